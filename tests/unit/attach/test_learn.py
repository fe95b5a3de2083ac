"""A service's first requests, or rows that its project names, become what its traffic is compared with."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

import mainstay
from mainstay import loop, wiring
from mainstay.attach import learn
from mainstay.attach.recorder import recorder
from mainstay.config import load as config
from mainstay.core.contracts import FieldType, Pii, Task
from mainstay.core.errors import BadData, NotEnoughEvidence, UsageError
from mainstay.core.events import Event, Kind
from mainstay.core.releases import Stage
from mainstay.models import bundle as bundles
from mainstay.models import reference
from mainstay.parts import Parts
from mainstay.store import blocks, incidents, releases
from mainstay.testing.clock import FakeClock
from mainstay.watch.window import Outcome, outcome_of

FILE = """
mainstay = 1
[project]
name = "fraud"
task = "binary"
answers = "elsewhere"
[data]
test = "reference.csv"
[fields.amount]
type = "number"
[fields.country]
type = "category"
[target]
field = "truth"
[attach]
prediction = "said"
confidence = "sure"
"""
WORDS = ["where", "is", "my", "parcel", "the", "card", "was", "refused", "please", "close", "account"]


def parts_of(project: Path, clock: FakeClock | None = None) -> Parts:
    return wiring.assemble(project, environ={}, clock=clock or FakeClock())


def turn(parts: Parts) -> loop.TurnReport:
    report = loop.turn(parts)
    assert report.failed == {}
    return report


def row(dice: random.Random, **changes: Any) -> dict[str, Any]:
    said = " ".join(dice.choices(WORDS, k=6))
    plain = {"amount": dice.gauss(100, 20), "country": dice.choice(["de", "fr"]), "age": dice.randint(18, 80)}
    return plain | {"text": said, "vip": dice.random() < 0.5} | changes


def send(project: Path, count: int, *, seed: int = 1, output: Any = None, **changes: Any) -> None:
    dice = random.Random(seed)
    for _ in range(count):
        said = dice.choice(["ok", "fraud"]) if output is None else output
        mainstay.log(
            project=project, inputs=row(dice, **changes), output=said, confidence=0.75, key=dice.randint(1, 50)
        )
    assert recorder(project).flush(120)


def test_until_enough_was_seen_the_count_is_told_and_nothing_is_watched(project: Path) -> None:
    send(project, 30)
    parts = wiring.assemble(project, environ={})
    turn(parts)
    with parts.store.read() as tx:
        assert releases.live(tx, "fraud") is None
    found = mainstay.Project.open(project, environ={}).status()
    assert found.learning is not None
    assert (found.learning.seen, found.learning.needed) == (30, 500)
    assert found.summary.why == "learning: 30 of 500 requests."


@pytest.fixture
def learned(project: Path) -> Parts:
    """Return a project that learned from 200 requests and then saw 100 more."""
    mainstay.Watch(None, project=project, learn=200)  # type: ignore[arg-type]
    send(project, 300)
    parts = parts_of(project)
    assert "the contract of 5 fields was learned from 200 requests" in " ".join(turn(parts).done)
    assert "fraud@1: answers elsewhere" in " ".join(turn(parts).done)
    return parts


def test_the_first_requests_become_contract_and_reference(learned: Parts) -> None:
    fields = {field.name: field.type for field in learned.loaded.contract.fields}
    assert fields == {
        "amount": FieldType.NUMBER,
        "country": FieldType.CATEGORY,
        "age": FieldType.INTEGER,
        "text": FieldType.TEXT,
        "vip": FieldType.BOOLEAN,
    }
    assert learned.loaded.contract.task is Task.BINARY
    with learned.store.read() as tx:
        live = releases.live(tx, "fraud")
    assert live is not None
    assert (live.stage, live.trigger, live.facts["rows"]) == (Stage.CERTIFIED, "attach", 200)


def test_the_reference_knows_answers_and_keys_and_texts_but_no_trust(learned: Parts) -> None:
    found = learned.open_version("fraud@1")
    assert isinstance(found, reference.ReferenceOnly)
    names = {signal.name for signal in found.profile.signals if not signal.segment}
    assert {"amount", "country", "vip", "text.unseen", "answer.label", "answer.confidence"} <= names
    assert "answer.low_trust" not in names
    assert (found.profile.rows, found.profile.keys) == (200, 49)


def test_requests_behind_the_learned_ones_are_watched_and_each_once(learned: Parts) -> None:
    turn(learned)
    with learned.store.read() as tx:
        rows = sum(block.rows for block in blocks.blocks(tx, "fraud", limit=100))
    assert 90 <= rows <= 100


def test_traffic_like_the_first_raises_no_incident_and_a_zeroed_field_does(learned: Parts) -> None:
    project = learned.loaded.root
    send(project, 600, seed=2)
    turn(learned)
    with learned.store.read() as tx:
        assert incidents.list_(tx, "fraud", limit=10) == []
    send(project, 200, seed=3, amount=0.0)
    turn(learned)
    with learned.store.read() as tx:
        (found,) = incidents.list_(tx, "fraud", limit=10)
    assert "`amount` looks broken" in found.title
    assert "`mainstay learn" in found.story[-1]
    assert "retrain" not in " ".join(found.story)


@pytest.mark.parametrize("broken", [None, "12.50", {"value": 12.5, "currency": "EUR"}])
def test_a_field_that_is_gone_or_of_another_kind_is_an_incident_that_names_it(learned: Parts, broken: Any) -> None:
    project = learned.loaded.root
    dice = random.Random(4)
    for _ in range(200):
        asked = row(dice, amount=broken)
        mainstay.log(project=project, inputs=asked, output=dice.choice(["ok", "fraud"]), confidence=0.75)
    assert recorder(project).flush(120)
    turn(learned)
    with learned.store.read() as tx:
        (found,) = incidents.list_(tx, "fraud", limit=10)
    assert (found.severity.value, found.harm.value) == ("page", "data_fault")
    assert "`amount`" in found.title + " ".join(found.story)


def test_truths_told_by_the_service_or_by_a_file_are_joined(learned: Parts) -> None:
    project = learned.loaded.root
    told = mainstay.log(project=project, inputs=row(random.Random(5)), output="ok", truth="fraud")
    other = mainstay.log(project=project, inputs=row(random.Random(6)), output="ok")
    assert recorder(project).flush(120)
    facade = mainstay.Project.open(project, environ={})
    said = facade.feedback([{"id": other, "label": "ok"}, {"id": told, "label": "a class never seen"}])
    assert (said.refused, said.unknown) == ((), ())
    assert facade.feedback([{"id": f"{told}-mistyped", "label": "ok"}]).unknown == (f"{told}-mistyped",)
    turn(learned)
    found = facade.status().quality.real
    assert found is not None
    assert found.n == 2


def test_what_a_person_wrote_into_the_file_while_it_learned_stays(project: Path) -> None:
    mainstay.Watch(None, project=project, learn=50, pii={"text": "hash", "vip": "drop"})  # type: ignore[arg-type]
    send(project, 60)
    text = (project / "mainstay.toml").read_text() + "\n# mine\n[watch]\nblock_min_rows = 40\n"
    (project / "mainstay.toml").write_text(text)
    turn(parts_of(project))
    loaded = config.load(project, environ={})
    assert "# mine" in (project / "mainstay.toml").read_text()
    assert loaded.settings.watch.block_min_rows == 40
    assert {f.name: f.pii for f in loaded.contract.fields if f.pii is not Pii.KEEP} == {"text": Pii.HASH}
    assert "vip" not in {f.name for f in loaded.contract.fields}


def test_a_killed_turn_is_done_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mainstay.Watch(None, project=project, learn=50)  # type: ignore[arg-type]
    send(project, 60)
    parts = parts_of(project)
    turn(parts)
    with monkeypatch.context() as during:
        during.setattr(learn, "_release", lambda *_, **__: 1 / 0)
        assert "learn" in loop.turn(parts).failed
    turn(parts)
    with parts.store.read() as tx:
        assert [release.version for release in releases.all_of(tx, "fraud")] == [1]


def test_values_of_several_kinds_are_left_out_and_said(project: Path) -> None:
    mainstay.Watch(None, project=project, learn=50)  # type: ignore[arg-type]
    for number in range(60):
        mainstay.log(project=project, inputs={"x": number, "mixed": number if number % 2 else "text"}, output="ok")
    assert recorder(project).flush(120)
    told = " ".join(turn(parts_of(project)).done)
    assert "field mixed is not watched: holds texts and numbers at once" in told
    assert [f.name for f in config.load(project, environ={}).contract.fields] == ["x"]


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (["a", "b"], Task.BINARY),
        (["a", "b", "c"], Task.MULTICLASS),
        ([0, 1, 1], Task.BINARY),
        ([0.5, 1.25], Task.REGRESSION),
        (list(range(100)), Task.REGRESSION),
        ([None, None], Task.MULTICLASS),
        ([1, 0.5, None], Task.REGRESSION),
    ],
)
def test_answers_suggest_the_task(labels: list[Any], task: Task) -> None:
    assert learn.task_of(labels) is task


def test_numbers_are_watched_as_numbers(project: Path) -> None:
    mainstay.Watch(None, project=project, learn=50)  # type: ignore[arg-type]
    dice = random.Random(7)
    for _ in range(60):
        mainstay.log(project=project, inputs={"x": dice.random()}, output=dice.random())
    assert recorder(project).flush(120)
    parts = parts_of(project)
    turn(parts)
    turn(parts)
    found = parts.open_version("fraud@1")
    assert found is not None
    assert "answer.value" in {signal.name for signal in found.profile.signals}


def reference_file(project: Path, rows: int = 100, **changes: Any) -> None:
    project.mkdir(parents=True)
    (project / "mainstay.toml").write_text(FILE)
    dice = random.Random(8)
    columns = {"amount": [dice.gauss(100, 20) for _ in range(rows)], "country": ["de", "fr"] * (rows // 2)}
    columns |= {"truth": ["ok", "fraud"] * (rows // 2), "said": ["ok", "ok"] * (rows // 2), "sure": [0.75] * rows}
    pl.DataFrame({**columns, **changes}).drop([name for name, value in changes.items() if value is None]).write_csv(
        project / "reference.csv"
    )


def test_rows_that_the_project_names_are_the_reference_from_the_start(project: Path) -> None:
    reference_file(project)
    parts = parts_of(project)
    assert "compared with 100 rows (reference.csv)" in " ".join(turn(parts).done)
    found = parts.open_version("fraud@1")
    assert found is not None
    assert (found.profile.accuracy, found.profile.mean_confidence) == (0.5, 0.75)


def test_a_reference_without_answers_watches_inputs(project: Path) -> None:
    reference_file(project)
    (project / "mainstay.toml").write_text(FILE.partition("[attach]")[0])
    parts = parts_of(project)
    turn(parts)
    found = parts.open_version("fraud@1")
    assert found is not None
    assert {signal.name for signal in found.profile.signals} == {
        "amount",
        "amount.outside",
        "amount.default",
        "country",
    }
    assert found.profile.accuracy is None


def test_a_reference_that_lacks_its_columns_is_told_with_those_it_has(project: Path) -> None:
    reference_file(project)
    (project / "mainstay.toml").write_text(FILE.replace('"said"', '"predicted"'))
    with pytest.raises(BadData, match=r"'predicted'.*'said'"):
        learn.rows_of_file(config.load(project, environ={}))


def test_a_reference_file_that_is_not_there_is_told_by_check(project: Path) -> None:
    reference_file(project)
    (project / "reference.csv").unlink()
    report = mainstay.Project.open(project, environ={}).check()
    assert not report.ok
    assert "reference.csv" in str(report.problems[0])


def test_a_bundle_without_a_model_is_read_as_it_was_written(learned: Parts, tmp_path: Path) -> None:
    found = learned.open_version("fraud@1")
    assert isinstance(found, reference.ReferenceOnly)
    again = reference.write(tmp_path, found)
    assert again.digest == found.digest
    opened = reference.open_(bundles.open_bundle(tmp_path / again.digest, again.digest))
    assert msgspec.json.encode(opened.profile) == msgspec.json.encode(found.profile)
    assert opened.vocabulary == found.vocabulary


def test_records_of_a_service_carry_no_version_and_are_counted_for_what_they_are_compared_with(learned: Parts) -> None:
    events, _ = learned.journal.read({}, 1_000)
    assert {event.bundle for event in events if event.kind is Kind.EXTERNAL} == {""}
    assert {event.bundle for event in loop._named(learned, events, "fraud@1")} == {"fraud@1"}


def test_nothing_is_trained_for_it(learned: Parts) -> None:
    facade = mainstay.Project.open(learned.loaded.root, environ={})
    with pytest.raises(UsageError, match="answers elsewhere"):
        facade.train()
    assert facade.check().ok


def test_the_newest_requests_become_the_reference_when_a_person_says_so(learned: Parts) -> None:
    project = learned.loaded.root
    send(project, 100, seed=9, amount=0.0)
    facade = mainstay.Project.open(project, environ={})
    told = facade.learn(reason="amounts are hidden since the new contract", by="ann", rows=100)
    assert told == "fraud@2: amounts are hidden since the new contract (100 rows, newest 100 requests)"
    with learned.store.read() as tx:
        stages = {release.name: release.stage for release in releases.all_of(tx, "fraud")}
        assert releases.verify_chain(tx, "fraud") == []
    assert stages == {"fraud@1": Stage.RETIRED, "fraud@2": Stage.CERTIFIED}
    send(project, 300, seed=10, amount=0.0)
    turn(learned)
    with learned.store.read() as tx:
        assert incidents.list_(tx, "fraud", limit=10) == []


def test_learning_anew_waits_for_the_first_reference(project: Path) -> None:
    send(project, 30)
    turn(parts_of(project))
    with pytest.raises(UsageError, match="still being learned"):
        mainstay.Project.open(project, environ={}).learn(reason="new model", by="ann")


def test_too_few_requests_make_no_reference(learned: Parts) -> None:
    facade = mainstay.Project.open(learned.loaded.root, environ={})
    with pytest.raises(NotEnoughEvidence, match="5 usable reference rows"):
        facade.learn(reason="new model", by="ann", rows=5)


def test_what_answers_elsewhere_is_neither_promoted_nor_rolled_back(learned: Parts) -> None:
    facade = mainstay.Project.open(learned.loaded.root, environ={})
    with pytest.raises(UsageError, match="answers elsewhere"):
        facade.promote(1, reason="why not", by="ann")
    with pytest.raises(UsageError, match="answers elsewhere"):
        facade.rollback(reason="why not", by="ann")


def test_a_reference_that_cannot_be_used_is_told_once_and_by_status_and_mended_without_a_restart(project: Path) -> None:
    reference_file(project)
    (project / "mainstay.toml").write_text(FILE.replace('"said"', '"predicted"'))
    parts = wiring.assemble(project, environ={})
    assert "nothing to compare traffic with: reference.csv has no column 'predicted'" in " ".join(turn(parts).done)
    assert turn(parts).done == []
    assert "no column 'predicted'" in mainstay.Project.open(project, environ={}).status().summary.why
    (project / "mainstay.toml").write_text(FILE)
    assert "fraud@1" in " ".join(turn(parts).done)


def test_first_requests_that_break_a_declared_contract_make_no_reference(project: Path) -> None:
    project.mkdir()
    (project / "mainstay.toml").write_text(
        FILE.replace('[data]\ntest = "reference.csv"\n', "").partition("[attach]")[0]
    )
    with (project / "mainstay.toml").open("a") as file:
        file.write("[attach]\nlearn_requests = 50\n")
    for _ in range(60):
        mainstay.log(project=project, inputs={"amount": "three", "country": "de"}, output="ok")
    assert recorder(project).flush(120)
    assert "0 usable reference rows of first 50 requests" in " ".join(turn(parts_of(project)).done)


def test_stray_fields_and_floods_of_names_do_not_enter_the_contract() -> None:
    rows = [{"x": 1, f"stray_{number}": 2} for number in range(500)]
    assert learn.frame_of(rows)[0].columns == ["x"]
    assert len(learn.frame_of([{f"f{n}": 1 for n in range(1_000)}] * 20)[0].columns) == 300


def test_the_loop_seals_what_a_stopped_service_left_and_truths_still_find_it(learned: Parts) -> None:
    project = learned.loaded.root
    told = mainstay.log(project=project, inputs=row(random.Random(5)), output="ok")
    recorder(project).stop()
    turn(learned)
    assert list((project / ".mainstay" / "journal" / "active").glob("*.seg")) == []
    found = learned.journal.find(told)
    assert found is not None
    assert found.label == "ok"


def test_an_answer_to_what_breaks_the_contract_counts_as_refused_and_any_other_as_answered() -> None:
    at = FakeClock().now()
    event = Event(model="m", worker="x", seq=1, id="i", kind=Kind.EXTERNAL, occurred_at=at, received_at=at)
    assert outcome_of(event) is Outcome.ANSWERED
    assert outcome_of(msgspec.structs.replace(event, reason="breaks the contract: x")) is Outcome.REFUSED
