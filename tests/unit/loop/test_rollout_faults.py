"""A rollout whose artefact is damaged, or whose labels stop: it is held, and promotes nobody."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from loop_kit import MODEL, Shop
from mainstay import artefacts, rollouts
from mainstay.core.events import Arm, Event
from mainstay.core.incidents import Incident, Severity, condition_of
from mainstay.release import opinion
from mainstay.store import incidents, releases
from mainstay.testing.clock import FakeClock

OTHER = {"tool": "fruit", "fruit": "tool"}


def folder_of(shop: Shop, version: int) -> Path:
    return shop.state / "bundles" / shop.releases()[version].digest


def delete(folder: Path) -> None:
    shutil.rmtree(folder)


def truncate(folder: Path) -> None:
    file = folder / "model" / "model.pkl"
    file.write_bytes(file.read_bytes()[:-1])


def swap(folder: Path) -> None:
    """Put another file of the same length in the place of one."""
    file = folder / "contract.json"
    file.write_bytes(b" " * len(file.read_bytes()))


def a_canary(shop: Shop) -> None:
    shop.turns(2)
    shop.compare(shop.customers(30), version=2)
    shop.turns(1)
    assert shop.stages()[2] == "canary"


def answered_by_the_challenger(shop: Shop) -> None:
    """Let it show all that its next step asks for."""
    arms = {"assigned_arm": Arm.CHALLENGER, "served_arm": Arm.CHALLENGER, "route_epoch": 99}
    shop.compare(shop.customers(20, version=2, **arms), version=1)


def told(shop: Shop) -> list[Incident]:
    with shop.parts().store.read() as tx:
        return [one for one in incidents.list_(tx, MODEL) if condition_of(one).startswith("artefact:")]


@pytest.mark.parametrize("spoil", [delete, truncate, swap])
def test_a_challenger_whose_bundle_is_damaged_in_mid_canary_is_held_and_goes_on_once_it_is_whole(
    shop: Shop, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    a_canary(shop)
    folder = folder_of(shop, 2)
    shutil.copytree(folder, tmp_path / "saved")
    spoil(folder)
    answered_by_the_challenger(shop)
    shop.turns(2)
    held = shop.releases()[2]
    assert (held.stage.value, held.step) == ("held", 0)
    assert "the artefact of shop@2 on disk is not what was released" in held.reason
    shop.clock.advance(minutes=1)  # type: ignore[attr-defined]
    shop.turns(1)
    [incident] = told(shop)
    assert (incident.severity, "shop@2" in incident.title) == (Severity.WATCH, True)
    rollouts.resume(shop.parts(), by="anna", reason="it is back, I think")
    shop.turns(1)
    assert shop.stages()[2] == "held", "it is not"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(tmp_path / "saved", folder)
    rollouts.resume(shop.parts(), by="anna", reason="it is back")
    shop.turns(1)
    assert shop.stages()[2] == "probation"
    assert [move for move in moves(shop) if move == "probation"] == ["probation"]


def moves(shop: Shop) -> list[str]:
    with shop.parts().store.read() as tx:
        return [move.to_stage for move in releases.events(tx, MODEL) if move.version == 2]


def test_a_champion_whose_bundle_is_damaged_holds_the_rollout_and_pages(shop: Shop) -> None:
    a_canary(shop)
    truncate(folder_of(shop, 1))
    answered_by_the_challenger(shop)
    shop.turns(1)
    assert shop.stages() == {1: "certified", 2: "held"}
    shop.clock.advance(minutes=1)  # type: ignore[attr-defined]
    shop.turns(1)
    [incident] = told(shop)
    assert (incident.severity, "champion" in incident.title) == (Severity.PAGE, True)


@pytest.mark.parametrize("version", [1, 2])
def test_a_probation_does_not_end_while_a_bundle_of_it_is_damaged(shop: Shop, version: int) -> None:
    a_canary(shop)
    answered_by_the_challenger(shop)
    shop.turns(1)
    shop.compare(shop.customers(20, version=2, route_epoch=99), version=1)
    shop.turns(1)
    truncate(folder_of(shop, version))
    shop.clock.advance(hours=3)  # type: ignore[attr-defined]
    shop.turns(2)
    assert shop.stages() == {1: "retired", 2: "probation"}
    assert told(shop)[0].severity is (Severity.PAGE if version == 2 else Severity.WATCH)


def test_a_bundle_is_read_again_only_when_something_about_it_changed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, digest, read = shop.parts(), shop.releases()[1].digest, []
    real = artefacts.bundles.open_bundle
    monkeypatch.setattr(artefacts.bundles, "open_bundle", lambda *a: (read.append(1), real(*a))[1])
    for _ in range(5):
        assert artefacts.damage(parts, digest) == ""
    assert len(read) == 1
    swap(folder_of(shop, 1))
    assert "contract.json" in artefacts.damage(parts, digest)
    assert artefacts.damage(parts, "f" * 64) != ""


# labels that stop


def said_of_accuracy(shop: Shop) -> str:
    with shop.parts().store.read() as tx:
        known = opinion.read(tx, MODEL)
    assert known is not None
    return next(str(check["reason"]) for check in known["current"]["checks"] if check["name"] == "accuracy")


def with_labels_as_a_guard(shop: Shop) -> None:
    file = shop.folder / "mainstay.toml"
    text = file.read_text().replace("latency_p99_ratio = 100.0", "latency_p99_ratio = 100.0, accuracy_margin = 0.3")
    file.write_text(text.replace("skew_rows = 0", "skew_rows = 0\nfeedback_expected_hours = 24"))


def differing(shop: Shop, events: Sequence[Event], *, by: int) -> None:
    """Let the other version say the opposite on all of them: only labels can tell who is right."""
    shop.compare([msgspec.structs.replace(one, label=OTHER[str(one.label)]) for one in events], version=by)


@pytest.mark.parametrize("labels_come", [True, False])
def test_labels_that_stop_in_mid_rollout_hold_it_and_what_older_ones_showed_promotes_nobody(
    shop: Shop, labels_come: bool
) -> None:
    with_labels_as_a_guard(shop)
    shop.turns(2)
    clock = shop.clock
    assert isinstance(clock, FakeClock)
    asked = shop.customers(240)
    differing(shop, asked, by=2)
    for number, event in enumerate(asked):  # each is right half of the time, in turns
        shop.label([event.id], value=str(event.label) if number % 2 else OTHER[str(event.label)])
    shop.turns(2)
    assert shop.stages()[2] == "canary", shop.releases()[2].reason
    arms = {"assigned_arm": Arm.CHALLENGER, "served_arm": Arm.CHALLENGER, "route_epoch": 99}
    first = shop.customers(5, version=2, **arms)
    differing(shop, first, by=1)
    shop.turns(1)
    assert shop.stages()[2] == "canary"
    clock.advance(hours=26)
    shop.turns(1)  # the lease is given anew
    differing(shop, shop.customers(8, version=2, **arms), by=1)
    differing(shop, shop.customers(12, route_epoch=99), by=2)
    if labels_come:
        shop.label([first[0].id], tag="late")
    shop.turns(2)
    if labels_come:
        assert shop.stages()[2] == "probation"
        return
    assert shop.stages()[2] == "canary"
    assert "labels stopped" in said_of_accuracy(shop)
    clock.advance(hours=24)
    shop.turns(1)
    assert shop.stages()[2] == "held"
    assert "accuracy" in shop.releases()[2].reason
    assert "probation" not in moves(shop)
