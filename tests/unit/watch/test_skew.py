"""Served rows computed again the training way: what agrees is quiet, and each way to differ is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from mainstay.core.calls import LOAD_TEST
from mainstay.core.contracts import Contract, Field, FieldType, Pii, Task
from mainstay.core.events import Arm, Event, Kind
from mainstay.core.incidents import Harm, Severity
from mainstay.data.request_check import compile_request_check
from mainstay.journal.vault import Vault
from mainstay.models.answers import answer
from mainstay.models.inputs import InputSpec
from mainstay.models.load import LoadedModel
from mainstay.testing.clock import FakeClock
from mainstay.testing.models import CLASSES, PROFILE, VOCABULARY, WordModel, make_contract, make_loaded
from mainstay.watch import skew

TEXTS = ("snow and day", "sun", "a day of sun", "snow")


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault.of(tmp_path / "subjects", "weather")


def served(loaded: LoadedModel, clock: FakeClock, rows: list[dict[str, Any]], *, alone: bool = True) -> list[Event]:
    """Return the records of rows that a server answered, each alone or all together."""
    check = compile_request_check(loaded.contract)
    checked = [check.check(row) for row in rows]
    values = [dict(one.values) for one in checked]
    given = [answer(loaded, [row])[0] for row in values] if alone else answer(loaded, values)
    hidden = {field.name for field in loaded.contract.fields if field.pii is not Pii.KEEP}
    return [
        Event(
            model="weather",
            worker="w0",
            seq=n + 1,
            id=f"p{n}",
            kind=Kind.PREDICTION,
            occurred_at=clock.now(),
            received_at=clock.now(),
            bundle="weather@1",
            served_arm=Arm.CHAMPION,
            inputs={name: value for name, value in row.items() if name not in hidden},
            label=said.label,
            probabilities=said.probabilities,
            confidence=said.confidence,
            trust=said.trust,
            warnings=[*one.caveats, *said.caveats],
        )
        for n, (one, row, said) in enumerate(zip(checked, values, given, strict=True))
    ]


def rows() -> list[dict[str, Any]]:
    return [{"text": text, "place": "north", "degrees": 3.5 * n, "station": f"s{n}"} for n, text in enumerate(TEXTS)]


def examine(loaded: LoadedModel, events: list[Event], vault: Vault, clock: FakeClock) -> skew.Skew:
    return skew.examine(loaded, events, vault, bundle="weather@1", now=clock.now())


def with_features(code: Callable[[pl.DataFrame], pl.DataFrame]) -> LoadedModel:
    """Return a model that reads the column `seen` of feature code."""
    contract = Contract(
        task=Task.MULTICLASS,
        fields=(
            Field(name="text", type=FieldType.TEXT),
            Field(name="degrees", type=FieldType.NUMBER, required=False),
            Field(name="day", type=FieldType.TIMESTAMP, required=False),
        ),
        target="weather",
        classes=CLASSES,
    )
    return LoadedModel(
        estimator=WordModel(),
        contract=contract,
        classes=CLASSES,
        spec=InputSpec(input="seen", features="features"),
        features=code,
        vocabulary=VOCABULARY,
        profile=PROFILE,
    )


def test_what_training_makes_of_served_rows_is_what_was_served(vault: Vault, clock: FakeClock) -> None:
    loaded = make_loaded()
    found = examine(loaded, served(loaded, clock, rows()), vault, clock)
    assert (found.rows, found.left_out, found.counts, found.why) == (4, 0, {}, "")
    assert skew.condition(found).holds is False


def test_feature_code_that_works_row_by_row_is_quiet(vault: Vault, clock: FakeClock) -> None:
    seen = pl.col("text").str.to_lowercase().alias("seen")
    loaded = with_features(lambda frame: frame.select(seen, "degrees", "day"))
    asked = [{"text": t, "degrees": None if n else 1.5, "day": "2026-03-02T08:00:00Z"} for n, t in enumerate(TEXTS)]
    assert examine(loaded, served(loaded, clock, asked), vault, clock).counts == {}


def test_feature_code_that_looks_at_the_whole_frame_is_named(vault: Vault, clock: FakeClock) -> None:
    """Rows are served alone, and trained on together: a mean over the frame is another thing in each."""

    def centred(frame: pl.DataFrame) -> pl.DataFrame:
        warm = pl.col("degrees") - pl.col("degrees").mean() > 0
        return frame.select(pl.when(warm).then(pl.lit("sun")).otherwise(pl.lit("snow")).alias("seen"))

    loaded = with_features(centred)
    asked = [{"text": t, "degrees": float(n)} for n, t in enumerate(TEXTS)]
    found = examine(loaded, served(loaded, clock, asked), vault, clock)
    assert found.counts == {"features": 2, "answer": 2}
    condition = skew.condition(found)
    assert condition.holds is True
    assert condition.told is not None
    assert (condition.told.harm, condition.told.severity) == (Harm.SKEW, Severity.WATCH)
    assert "seen is 'snow' for the row alone, 'sun' in company" in condition.told.story[0]
    assert "looks at the whole frame" in condition.told.advice


def test_feature_code_that_reads_the_clock_shows_in_the_answer(vault: Vault, clock: FakeClock) -> None:
    now = {"word": "sun"}
    loaded = with_features(lambda frame: frame.select(pl.lit(now["word"]).alias("seen"), "text"))
    events = served(loaded, clock, [{"text": text} for text in TEXTS])
    assert examine(loaded, events, vault, clock).counts == {}
    now["word"] = "snow"
    found = examine(loaded, events, vault, clock)
    assert found.counts == {"answer": 4}
    assert "label was 'warm', training makes it 'cold'" in found.found[0].text


def test_a_compiled_form_that_says_something_else_shows(vault: Vault, clock: FakeClock) -> None:
    served_by, original = make_loaded(WordModel(certainty=0.9)), make_loaded(WordModel(certainty=0.9 + 2e-6))
    found = examine(original, served(served_by, clock, rows()), vault, clock)
    assert found.counts == {"answer": 4}
    close = make_loaded(WordModel(certainty=0.9 + 2e-7))
    assert examine(close, served(served_by, clock, rows()), vault, clock).counts == {}


def test_a_row_that_training_would_refuse_is_named(vault: Vault, clock: FakeClock) -> None:
    loaded = make_loaded()
    events = served(loaded, clock, rows())
    events[1] = msgspec.structs.replace(events[1], inputs=events[1].inputs | {"place": "west"})
    found = examine(loaded, events, vault, clock)
    assert found.counts == {"fields": 1}
    assert found.found[0].id == "p1"


def test_rows_whose_record_lacks_what_the_model_takes_are_left_out_and_counted(vault: Vault, clock: FakeClock) -> None:
    fields = tuple(replace(f, pii=Pii.DROP) if f.name == "text" else f for f in make_contract().fields)
    loaded = make_loaded(contract=make_contract(fields=fields))
    found = examine(loaded, served(loaded, clock, rows()), vault, clock)
    assert (found.rows, found.left_out) == (0, 4)
    assert skew.condition(found).holds is None


def test_a_model_that_fails_here_says_why_and_accuses_nobody(vault: Vault, clock: FakeClock) -> None:
    loaded = make_loaded()
    events = served(loaded, clock, rows())
    found = examine(make_loaded(WordModel(always_fail=True)), events, vault, clock)
    assert (found.rows, found.why) == (0, "ValueError: this text breaks the model")
    assert skew.condition(found).holds is None
    assert skew.Skew.from_dict(found.as_dict()) == found


def test_the_sample_is_spread_over_what_models_answered_and_over_nothing_else(clock: FakeClock) -> None:
    loaded = make_loaded()
    events = served(loaded, clock, [{"text": "sun"}] * 40)
    events[5] = msgspec.structs.replace(events[5], served_arm=Arm.FALLBACK)
    events[6] = msgspec.structs.replace(events[6], trace_id=f"{LOAD_TEST}{'0' * 16}")
    events[7] = msgspec.structs.replace(events[7], kind=Kind.REFUSAL)
    events[20:] = [msgspec.structs.replace(e, bundle="weather@2") for e in events[20:]]
    chosen = skew.sample(events, 10)
    assert {bundle: len(some) for bundle, some in chosen.items()} == {"weather@1": 5, "weather@2": 5}
    assert not {"p5", "p6", "p7"} & {event.id for some in chosen.values() for event in some}
    assert skew.sample(events, 0) == {}
    assert sum(len(some) for some in skew.sample(events, 1_000).values()) == 37
