"""A path leads to the routes that stand in the table, and to nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from mainstay.api.keys import Scope
from mainstay.api.routes import Ask, HotRoute, Reply, Table


async def answer(ask: Ask) -> Reply:
    return Reply(body=ask.body)


def make(**changes: Any) -> HotRoute:
    plain: dict[str, Any] = {"name": "one", "paths": ("/one", "/m/{model}/one"), "answer": answer, "scope": Scope.READ}
    return HotRoute(**(plain | changes))


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/one", {}),
        ("/m/weather/one", {"model": "weather"}),
        ("/m//one", None),
        ("/m/a/b/one", None),
        ("/one/", None),
        ("", None),
        ("/{model}", None),
    ],
)
def test_a_name_stands_for_one_segment(path: str, params: dict[str, str] | None) -> None:
    found = Table([make()], {}).find(path)
    assert (found.params if found else None) == params


def test_one_path_may_have_several_methods() -> None:
    get, post = make(name="get", method="GET"), make(name="post")
    found = Table([get, post], {}).find("/one")
    assert found is not None
    assert found.methods == {"GET": get, "POST": post}


def test_a_path_that_stands_nowhere_is_for_admins() -> None:
    table = Table([], {"/open": None, "/a/{b}": Scope.READ})
    assert table.scope_of("/open") is None
    assert table.scope_of("/a/x") is Scope.READ
    assert table.scope_of("/nothing") is Scope.ADMIN
