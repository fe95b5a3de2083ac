"""A version is the same artefact everywhere, or it is neither promoted nor brought to the workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from loop_kit import MODEL, Shop
from mainstay import wiring
from mainstay.core.errors import Damaged, EnvironmentFault, Refused
from mainstay.models import own
from mainstay.project import Project
from mainstay.serve.route_keeper import RouteKeeper


def project(shop: Shop, **flags: str) -> Project:
    opened = Project.open(shop.folder, environ={}, flags=flags)
    opened.__dict__["parts"] = shop.parts()
    return opened


def digest(shop: Shop) -> str:
    return shop.releases()[1].digest


def promote(shop: Shop) -> None:
    project(shop).promote(1, reason="again", by="ann", force=True)


def test_a_version_whose_artefact_is_whole_is_promoted(shop: Shop) -> None:
    promote(shop)


def test_a_tag_that_was_changed_in_mlflow_stops_a_promotion(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop.registry, "digest_of", lambda model, version: "e" * 64, raising=False)
    with pytest.raises(Damaged, match="MLflow's version of shop@1 carries the digest eeeeeeeeeeee"):
        promote(shop)


def test_mlflow_that_is_away_stops_none(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(model: str, version: int) -> str:
        raise EnvironmentFault("MLflow is away")

    monkeypatch.setattr(shop.registry, "digest_of", away, raising=False)
    promote(shop)


def changed(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b" ")


@pytest.mark.parametrize(
    "tamper",
    [
        lambda shop: changed(shop.state / "bundles" / digest(shop) / "contract.json"),
        lambda shop: (shop.state / "bundles" / digest(shop) / "manifest.json").write_text("{}"),
        lambda shop: (shop.state / "bundles" / digest(shop)).rename(shop.state / "bundles" / ("f" * 64)),
    ],
)
def test_a_bundle_that_is_not_what_was_released_stops_a_promotion(shop: Shop, tamper: Callable[[Shop], object]) -> None:
    tamper(shop)
    with pytest.raises(Damaged):
        promote(shop)


def test_a_compiled_version_is_promoted_where_no_pickle_may_be_loaded(shop: Shop) -> None:
    held = project(shop, **{"serve.pickles": "never"})
    held.parts.loaded = held.loaded
    held.promote(1, reason="again", by="ann", force=True)


def test_a_route_in_the_store_that_names_another_artefact_never_reaches_a_worker(shop: Shop) -> None:
    parts = shop.parts()
    run = shop.state / "run"
    run.mkdir(exist_ok=True)
    held: dict[str, object] = {}
    keeper = RouteKeeper(run, [MODEL], source=lambda: wiring.route_source(parts, held), on_override=None)  # type: ignore[arg-type]
    keeper.follow()
    good = keeper.routes()[MODEL]
    with parts.store.begin() as tx:
        tx.execute(
            text("UPDATE routes SET epoch = epoch + 1, document = replace(document, :old, :new)"),
            {"old": good.champion.digest, "new": "f" * 64},
        )
    keeper.follow()
    assert keeper.routes()[MODEL] == good
    assert "its release says" in (keeper.trouble or "")


def test_the_watch_goes_on_without_a_version_whose_code_may_not_run(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise Refused("not signed")

    parts, named = shop.parts(), f"{MODEL}@1"
    parts._models = {}
    assert parts.open_version(named) is not None
    parts._models = {}
    monkeypatch.setattr(own, "permit", refused)
    assert parts.open_version(named) is None
