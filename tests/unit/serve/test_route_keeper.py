"""Routes between the store and the files, and a rollback that waits for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mainstay.core.errors import NotFound, StoreUnavailable, UsageError
from mainstay.core.routes import Route
from mainstay.serve import plan as plans
from mainstay.serve.route_keeper import Override, RouteKeeper, read_overrides
from serve_kit import CHALLENGER, CHAMPION, make_route


class FakeStore:
    def __init__(self, *routes: Route) -> None:
        self.held = list(routes)
        self.away = False
        self.overrides: list[Override] = []

    def routes(self) -> Sequence[Route]:
        if self.away:
            raise StoreUnavailable("away")
        return self.held

    def override(self, override: Override) -> Route:
        if self.away:
            raise StoreUnavailable("away")
        self.overrides.append(override)
        route = replace(override.route, epoch=max([override.route.epoch, *(r.epoch for r in self.held)]) + 1)
        self.held = [route]
        return route

    def keeper(self, folder: Path) -> RouteKeeper:
        return RouteKeeper(folder, ["weather"], source=self.routes, on_override=self.override)


def test_the_stores_routes_are_followed(tmp_path: Path) -> None:
    store = FakeStore(make_route())
    keeper = store.keeper(tmp_path)
    assert keeper.follow()
    assert not keeper.follow()
    store.held = [make_route(epoch=2, previous=CHALLENGER)]
    assert keeper.follow()
    assert keeper.routes() == {"weather": store.held[0]}


def test_a_renewed_lease_is_followed_and_an_older_epoch_is_not(tmp_path: Path) -> None:
    lease = datetime(2026, 1, 5, tzinfo=UTC)
    store = FakeStore(make_route(epoch=3, challenger=CHALLENGER, lease_until=lease))
    keeper = store.keeper(tmp_path)
    keeper.follow()
    renewed = make_route(epoch=3, challenger=CHALLENGER, lease_until=lease.replace(hour=1))
    store.held = [renewed]
    assert keeper.follow()
    store.held = [make_route(epoch=2)]
    assert not keeper.follow()
    assert keeper.routes() == {"weather": renewed}


def test_a_store_that_is_away_changes_nothing_and_is_told(tmp_path: Path) -> None:
    store = FakeStore(make_route())
    keeper = store.keeper(tmp_path)
    keeper.follow()
    store.away = True
    assert not keeper.follow()
    assert keeper.trouble == "away"
    assert keeper.routes() == {"weather": make_route()}
    store.away = False
    keeper.follow()
    assert keeper.trouble is None


def test_a_rollback_holds_at_once_and_reaches_the_store_when_it_is_back(tmp_path: Path) -> None:
    store = FakeStore(make_route(epoch=4, champion=CHALLENGER, previous=CHAMPION))
    keeper = store.keeper(tmp_path)
    keeper.follow()
    store.away = True
    route = keeper.roll_back(None, by="anna", reason="bad answers")
    assert (route.epoch, route.champion, route.previous) == (5, CHAMPION, CHALLENGER)
    assert keeper.routes() == {"weather": route}
    keeper.follow()
    store.away = False
    store.held = [make_route(epoch=5, champion=CHALLENGER, previous=CHAMPION, share=0.5)]
    assert keeper.follow()
    assert keeper.routes()["weather"].champion == CHAMPION
    assert keeper.routes()["weather"].epoch == 6
    assert [(o.by, o.reason) for o in store.overrides] == [("anna", "bad answers")]
    assert keeper.pending == {}


def test_a_rollback_survives_the_supervisors_death(tmp_path: Path) -> None:
    store = FakeStore(make_route(epoch=4, champion=CHALLENGER, previous=CHAMPION))
    keeper = store.keeper(tmp_path)
    keeper.follow()
    store.away = True
    keeper.roll_back("weather", by="anna", reason="")
    again = store.keeper(tmp_path)
    assert list(again.pending) == ["weather"]
    store.away = False
    again.follow()
    assert again.routes()["weather"].champion == CHAMPION
    assert store.keeper(tmp_path).pending == {}


def test_during_a_rollout_a_rollback_takes_the_challenger_out_and_keeps_the_champion(tmp_path: Path) -> None:
    lease = datetime(2026, 1, 5, tzinfo=UTC)
    store = FakeStore(make_route(challenger=CHALLENGER, share=0.5, lease_until=lease))
    keeper = store.keeper(tmp_path)
    keeper.follow()
    route = keeper.roll_back(None, by="", reason="")
    assert (route.champion, route.challenger, route.share, route.lease_until) == (CHAMPION, None, 0.0, None)


def test_on_probation_a_rollback_returns_to_the_old_champion(tmp_path: Path) -> None:
    store = FakeStore(make_route(champion=CHALLENGER, previous=CHAMPION, shadow=CHAMPION))
    keeper = store.keeper(tmp_path)
    keeper.follow()
    assert keeper.roll_back(None, by="", reason="").champion == CHAMPION


def test_there_must_be_something_to_return_to(tmp_path: Path) -> None:
    store = FakeStore(make_route())
    keeper = store.keeper(tmp_path)
    with pytest.raises(NotFound):
        keeper.roll_back(None, by="", reason="")
    keeper.follow()
    with pytest.raises(UsageError, match="no previous"):
        keeper.roll_back(None, by="", reason="")
    with pytest.raises(NotFound, match="allowed: weather"):
        keeper.roll_back("other", by="", reason="")


def test_while_a_rollback_cannot_reach_the_store_the_stores_newer_routes_do_not_undo_it(tmp_path: Path) -> None:
    store = FakeStore(make_route(epoch=4, champion=CHALLENGER, previous=CHAMPION))

    def refuse(override: Override) -> Route:
        raise KeyError("a defect on the way into the store")

    keeper = RouteKeeper(tmp_path, ["weather"], source=store.routes, on_override=refuse)
    keeper.follow()
    keeper.roll_back(None, by="anna", reason="")
    store.held = [make_route(epoch=9, champion=CHALLENGER)]
    assert not keeper.follow()
    assert keeper.routes()["weather"].champion == CHAMPION
    assert "KeyError" in (keeper.trouble or "")


def test_a_store_that_answers_a_rollback_with_an_older_epoch_is_not_believed(tmp_path: Path) -> None:
    store = FakeStore(make_route(epoch=4, champion=CHALLENGER, previous=CHAMPION))
    keeper = RouteKeeper(tmp_path, ["weather"], source=store.routes, on_override=lambda held: make_route(epoch=1))
    keeper.follow()
    route = keeper.roll_back(None, by="anna", reason="")
    keeper.follow()
    assert keeper.routes()["weather"] == route
    assert list(keeper.pending) == ["weather"]


def test_a_rollback_ends_a_holdout_and_does_not_leave_its_keys_with_what_left(tmp_path: Path) -> None:
    until = datetime(2026, 2, 1, tzinfo=UTC)
    route = make_route(champion=CHALLENGER, previous=CHAMPION, holdout=0.2, holdout_until=until)
    keeper = FakeStore(route).keeper(tmp_path)
    keeper.follow()
    back = keeper.roll_back(None, by="ann", reason="complaints")
    assert (back.champion, back.holdout, back.holdout_until) == (CHAMPION, 0.0, None)


def test_on_a_full_disk_a_rollback_holds_and_is_written_down_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = make_route(champion=CHALLENGER, previous=CHAMPION)
    store = FakeStore(route)
    keeper = store.keeper(tmp_path)
    keeper.follow()
    store.away = True

    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(plans, "write_json", no_room)
        assert keeper.roll_back(None, by="ann", reason="complaints").champion == CHAMPION
        assert keeper.routes()["weather"].champion == CHAMPION
    keeper.follow()
    assert [one.by for one in read_overrides(tmp_path / "overrides.json").values()] == ["ann"]
