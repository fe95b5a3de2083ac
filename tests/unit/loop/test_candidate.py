"""A delivery can be killed at any commit; the next one goes on where it stopped."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from loop_kit import MODEL, Killed, Shop, dying_at_commit
from mainstay import candidate, wiring
from mainstay.core import errors
from mainstay.core.releases import Stage
from mainstay.core.verdicts import Check, Verdict
from mainstay.release import gate, manual
from mainstay.serve import trial
from mainstay.store import releases


def deliver(shop: Shop, pipeline: str = "third", **more: Any) -> candidate.Delivered:
    return candidate.deliver_candidate(shop.parts(), pipeline=pipeline, **more)


def empty(shop: Shop) -> bytes:
    """Return the store of a project that has no version yet."""
    path = shop.state / "store.db"
    kept, bundles = shop.saved(), shop.state / "bundles"
    path.unlink()
    bundles.rename(shop.state / "kept")
    fresh = Shop(folder=shop.folder, clock=shop.clock)
    fresh.parts()
    made = shop.saved()
    fresh.close()
    (shop.state / "kept").rename(bundles)
    shop.restore(kept)
    return made


@pytest.mark.parametrize("left", [None, b""], ids=["gone", "emptied"])
def test_a_store_that_was_lost_is_not_made_anew_beside_the_versions_it_knew(shop: Shop, left: bytes | None) -> None:
    path = shop.state / "store.db"
    kept = path.read_bytes()
    path.unlink()
    if left is not None:
        path.write_bytes(left)
    with pytest.raises(errors.StoreUnavailable, match="released version") as caught:
        wiring.assemble(shop.folder, environ={}, clock=shop.clock).store  # noqa: B018 - opening is the point
    assert "backup" in caught.value.remedy
    assert path.exists() is (left is not None)
    path.write_bytes(kept)
    assert shop.stages()[1] == "certified"


@pytest.mark.parametrize("first", [True, False], ids=["first version", "a candidate beside a champion"])
def test_killed_at_any_commit_and_run_again_it_ends_the_same(shop: Shop, first: bool) -> None:
    shop.parts()
    shop.turns(2)
    with shop.parts().store.begin() as tx:
        manual.abort(tx, model=MODEL, by="anna", reason="another is to come", now=shop.clock.now())
    before, recorded = empty(shop) if first else shop.saved(), list(shop.registry.versions)
    shop.restore(before)
    wanted_stage = deliver(shop).release.stage
    wanted = shop.dump()
    assert wanted_stage is (Stage.CERTIFIED if first else Stage.GATED)
    deaths, at = 0, 0
    while True:
        shop.restore(before)
        shop.registry.versions = list(recorded)
        at += 1
        parts = shop.parts()
        with dying_at_commit(parts.store, at, keep=True) as death:
            candidate.deliver_candidate(parts, pipeline="third")
        if not death.came:
            break
        deaths += 1
        assert deliver(shop).release.stage is wanted_stage, at
        assert shop.dump() == wanted, f"killed after commit {at}"
    assert deaths >= 4


def test_a_training_that_died_before_the_gate_leaves_a_version_that_the_next_one_judges(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.turns(2)

    def dies(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(gate, "run_gate", dies)
        with pytest.raises(Killed):
            deliver(shop, release=False)
    left = shop.releases()[3]
    assert (left.stage, "gate" in left.facts) == (Stage.REGISTERED, False)
    done = deliver(shop, release=False)
    assert (done.release.version, done.release.digest, done.release.stage) == (3, left.digest, Stage.REGISTERED)
    assert done.release.facts["gate"]["verdict"] == "pass"
    assert sorted(shop.releases()) == [1, 2, 3]


def test_what_mlflow_missed_is_recorded_by_the_next_run(shop: Shop) -> None:
    shop.registry.away = True
    told = deliver(shop, release=False)
    assert told.warnings[-1:] == ("not recorded in MLflow: MLflow is away",)
    assert told.gate_report.passed
    shop.registry.away = False
    assert "mlflow" in deliver(shop, release=False).release.facts
    assert shop.registry.versions[-1] == (3, told.release.digest)
    runs = shop.registry.runs
    deliver(shop, release=False)
    assert shop.registry.runs == runs


def test_training_the_champions_data_again_leaves_its_record_as_it_was(shop: Shop) -> None:
    before = shop.dump()["releases"]
    assert deliver(shop, "words").release.version == 1
    assert shop.dump()["releases"] == before


def test_a_version_that_the_real_server_refuses_reaches_nobody(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any, **__: Any) -> Check:
        return Check(name="real_server", question=trial.QUESTION, verdict=Verdict.FAIL, reason="it does not load")

    shutil.rmtree(shop.state / "bundles" / shop.releases()[2].digest)
    monkeypatch.setattr(trial, "try_in_server", refuses)
    with shop.parts().store.begin() as tx:
        two = releases.get(tx, MODEL, 2)
        candidate.keep_trial(tx, two, refuses())
    assert shop.turns(2)[0].done == ["shop@2: gated → quarantined (it does not load)"]
    assert shop.stages() == {1: "certified", 2: "quarantined"}


def test_what_passes_while_another_is_on_its_way_waits_with_its_report(shop: Shop) -> None:
    shop.turns(2)
    told = deliver(shop)
    assert (told.release.name, told.release.stage, told.gate_report.passed) == ("shop@3", Stage.REGISTERED, True)
    assert "another version is on its way" in told.warnings[-1]
    assert told.release.facts["gate"]["verdict"] == "pass"
    with shop.parts().store.begin() as tx:
        manual.abort(tx, model=MODEL, by="anna", reason="", now=shop.clock.now())
    assert (deliver(shop).release.version, shop.stages()[3]) == (3, "gated")
