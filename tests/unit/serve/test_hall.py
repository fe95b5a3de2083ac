"""All models of one process: found by name, and none takes the others along."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from mainstay.core.errors import JournalFull, NotFound, NotReady, UsageError
from mainstay.serve import hall as halls
from mainstay.serve.hall import Hall
from mainstay.serve.supervisor import refuse_same_names


class Inside:
    """A worker that is nothing but its plan."""

    def __init__(self, plan: Any, *, live: object | None = object()) -> None:
        self.plan, self.ready, self.draining = plan, live is not None, False
        slot = SimpleNamespace(live=live, failed={})
        self.slots = dict.fromkeys(plan.models, slot)

    async def start(self) -> None:
        """Start nothing."""

    async def stop(self) -> None:
        """Stop nothing."""


def plan(model: str, tmp_path: Any, **more: Any) -> Any:
    return SimpleNamespace(models=[model], run=str(tmp_path), worker="w0", max_body_kb=1, **more)


def test_a_model_is_found_by_its_name_and_a_path_without_one_means_the_only_one(tmp_path: Any) -> None:
    east, west = Inside(plan("east", tmp_path)), Inside(plan("west", tmp_path))
    hall = Hall([east, west])  # type: ignore[list-item]
    assert hall.of("west") is west
    assert hall.models == ["east", "west"]
    with pytest.raises(NotFound, match="allowed: east, west"):
        hall.of("north")
    with pytest.raises(NotFound, match="several models") as caught:
        hall.only_model()
    assert "/v1/models/east/predict" in caught.value.remedy
    assert Hall([east]).only_model() == "east"  # type: ignore[list-item]


def test_a_model_without_a_version_does_not_make_the_server_unready_for_the_others(tmp_path: Any) -> None:
    east, west = Inside(plan("east", tmp_path)), Inside(plan("west", tmp_path), live=None)
    hall = Hall([east, west])  # type: ignore[list-item]
    assert (hall.ready, hall.serves) == (False, True)
    east.draining = True
    assert not hall.serves


def test_a_project_that_cannot_be_taken_in_is_tried_again_until_it_can(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(halls, "LATE_S", 0.0)
    tries: list[str] = []

    def make(given: Any) -> Any:
        tries.append(given.models[0])
        if given.models == ["east"] and tries.count("east") < 3:
            raise JournalFull(f"no room, try {tries.count('east')}")
        return Inside(given)

    async def scene() -> None:
        hall = Hall.of_plans([plan("east", tmp_path), plan("west", tmp_path)], make)
        assert (hall.models, sorted(hall.slots)) == (["east", "west"], ["west"])
        with pytest.raises(NotReady, match="'east' cannot be served now: no room, try 1"):
            hall.of("east")
        await hall.start()
        async with asyncio.timeout(60):
            while not hall.ready:
                await asyncio.sleep(0.005)
        assert hall.of("east").plan.models == ["east"]
        assert (tries.count("east"), hall.late) == (3, {})
        await hall.stop()

    asyncio.run(scene())


def test_alone_a_project_that_cannot_be_taken_in_ends_the_process(tmp_path: Any) -> None:
    def make(given: Any) -> Any:
        raise JournalFull("no room")

    with pytest.raises(JournalFull):
        Hall.of_plans([plan("east", tmp_path)], make)
    with pytest.raises(NotReady, match="no room; no room"):
        Hall.of_plans([plan("east", tmp_path), plan("west", tmp_path)], make)


def test_two_models_of_one_name_are_refused_with_a_way_out() -> None:
    refuse_same_names(["a", "b"])
    with pytest.raises(UsageError, match="'a' is the name of 2 of these projects") as caught:
        refuse_same_names(["a", "b", "a"])
    assert "[project] name" in caught.value.remedy
