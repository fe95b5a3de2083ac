"""What a source delivers is asked what every delivery is asked, before any of it is kept."""

from __future__ import annotations

import json
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from mainstay import wiring
from mainstay.cli.main import app
from mainstay.core.verdicts import Verdict
from mainstay.parts import Parts
from mainstay.pulled import take
from mainstay.retrain import guard
from mainstay.store import audit, pulled
from mainstay.testing.clock import FakeClock

TOML = """
mainstay = 1
[project]
name = "shop"
task = "binary"
[data]
train = "train.csv"
key = "buyer"
[fields.text]
type = "text"
[fields.size]
type = "number"
required = false
[fields.buyer]
type = "identifier"
role = "ignored"
pii = "hash"
[target]
field = "kind"
classes = ["tool", "fruit"]
[train.pipelines]
words = {{ build = "model:build", input = "text" }}
[retrain]
on = ["rows:10"]
[retrain.sources.crm]
address = "fresh.ndjson"
{more}
"""
WORDS = {"fruit": ("apple", "pear", "plum", "jam", "ripe"), "tool": ("nail", "saw", "hammer", "steel", "blade")}


def records(count: int, *, seed: int, shift: float = 0.0) -> list[dict[str, Any]]:
    luck = random.Random(seed)
    made = []
    for number in range(count):
        kind = luck.choice(sorted(WORDS))
        words = [*luck.choices(WORDS[kind], k=4), f"n{luck.randrange(10_000)}"]
        made.append(
            {
                "id": f"{seed}-{number}",
                "updated_at": 1000 * seed + number,
                "text": " ".join(words),
                "size": luck.gauss(10.0 + shift, 2.0),
                "buyer": f"b{number}",
                "kind": kind,
            }
        )
    return made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def folder(tmp_path: Path, clock: FakeClock) -> Path:
    """A project whose last training rows are known."""
    with closing(opened(tmp_path, clock)) as parts:
        rows = pl.DataFrame(records(400, seed=1)).select("text", "size", "buyer", "kind")
        parts.snapshots.put(rows, {"part": "train"}, clock.now())
    return tmp_path


def opened(folder: Path, clock: FakeClock, more: str = "") -> Parts:
    (folder / "mainstay.toml").write_text(TOML.format(more=more))
    return wiring.assemble(folder, environ={}, clock=clock)


def deliver(folder: Path, made: list[dict[str, Any]]) -> None:
    (folder / "fresh.ndjson").write_text("".join(json.dumps(one) + "\n" for one in made))


def pulled_from(folder: Path, clock: FakeClock, made: list[dict[str, Any]], more: str = "", **how: Any) -> take.Taken:
    deliver(folder, made)
    with closing(opened(folder, clock, more)) as parts:
        taken = take.pull(parts, "crm", **how)
        with parts.store.read() as tx:
            assert len(pulled.kept(tx, "shop", sources=["crm"], limit=9_999)) == taken.kept
            facts = guard.gather(tx, "shop", parts.settings, clock.now())
        whole = next(c for c in guard.allow(facts, parts.settings, clock.now()) if c.name == "deliveries_whole")
        assert (whole.verdict is Verdict.PASS) == (not taken.held)
        return taken


def test_a_delivery_like_the_rows_before_is_kept_and_leaves_no_report(folder: Path, clock: FakeClock) -> None:
    taken = pulled_from(folder, clock, records(700, seed=2))
    assert (taken.kept, taken.held, taken.mark) == (700, "", "2699")
    assert not (folder / ".mainstay" / "deliveries").exists()


def test_flipped_labels_are_held_with_a_report_and_nothing_of_the_piece_is_kept(folder: Path, clock: FakeClock) -> None:
    made = records(300, seed=2)
    for one in made[::3]:
        one["kind"] = "fruit" if one["kind"] == "tool" else "tool"
    taken = pulled_from(folder, clock, made)
    assert (taken.kept, taken.mark) == (0, "")
    assert "label_noise: " in taken.held
    page = Path(taken.held.rpartition("(read ")[2].rstrip(")"))
    report = json.loads((page.parent / "report.json").read_text())
    assert {one["name"]: one["verdict"] for one in report["checks"]}["label_noise"] == "fail"
    assert "<html" in page.read_text()
    # Mended at the source, the same marks are asked for again, and the guard lets go.
    assert pulled_from(folder, clock, records(300, seed=2)).kept == 300


def test_what_was_good_before_a_bad_piece_stays_kept_and_the_next_pull_begins_there(
    folder: Path, clock: FakeClock
) -> None:
    made = records(1500, seed=2)
    for one in made[1200:1400]:
        one["text"] += f" {one['buyer']}@example.com"
    deliver(folder, made)
    with closing(opened(folder, clock)) as parts:
        taken = take.pull(parts, "crm")
    assert taken.kept == 1000  # a file comes in pages of a thousand
    assert "personal: text: " in taken.held
    assert taken.mark == "2999"


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda one: one | {"text": f"{one['text']} {one['kind'].upper()}code"}, "leakage: "),
        (lambda one: one | {"text": "the same", "size": 1.0, "buyer": "b"}, "duplicates: "),
        (lambda one: {name: value for name, value in one.items() if name != "size"}, "no record has size any more"),
    ],
)
def test_leaks_copies_and_a_field_that_is_gone_hold_it_too(
    folder: Path, clock: FakeClock, spoil: Any, told: str
) -> None:
    taken = pulled_from(folder, clock, [spoil(one) for one in records(300, seed=2)])
    assert taken.kept == 0
    assert told in taken.held


def test_a_changed_world_is_learned_from_unless_drift_is_named(folder: Path, clock: FakeClock) -> None:
    made = records(300, seed=2, shift=6.0)
    assert "drift: " in pulled_from(folder, clock, made, 'checks = ["drift"]').held
    assert pulled_from(folder, clock, made).kept == 300


def test_few_records_or_no_question_hold_nothing(folder: Path, clock: FakeClock) -> None:
    made = [one | {"text": "the same", "size": 1.0, "buyer": "b"} for one in records(99, seed=2)]
    assert pulled_from(folder, clock, made).kept == 99
    made = [one | {"text": "the same", "size": 1.0, "buyer": "b"} for one in records(300, seed=3)]
    deliver(folder, made)
    with closing(opened(folder, clock, "checks = []")) as parts:
        assert take.pull(parts, "crm").kept == 300


def test_a_person_takes_it_anyway_with_a_reason_that_the_audit_keeps(
    folder: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(folder, [one | {"text": "the same", "size": 1.0, "buyer": "b"} for one in records(150, seed=2)])
    opened(folder, clock).close()
    monkeypatch.chdir(folder)
    held = CliRunner().invoke(app, ["pull", "crm"])
    assert held.exit_code == 3
    assert "duplicates: " in held.output
    taken = CliRunner().invoke(app, ["pull", "crm", "--anyway", "a till has few different receipts"])
    assert taken.exit_code == 0, taken.output
    with closing(opened(folder, clock)) as parts, parts.store.read() as tx:
        (one,) = audit.of_kind(tx, take.TAKEN_ANYWAY)
    assert one.detail["reason"] == "a till has few different receipts"
    assert "duplicates: " in one.detail["found"]
