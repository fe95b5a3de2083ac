"""What a model was handed of a recorded request: checked, made by its feature code, and nothing that is encrypted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from mainstay import replay
from mainstay.core.contracts import Pii
from mainstay.core.errors import NotEnoughEvidence, NotFound, UsageError
from mainstay.core.events import Arm, Event, Kind
from mainstay.models.inputs import InputSpec
from mainstay.models.load import LoadedModel
from mainstay.testing.models import CLASSES, PROFILE, VOCABULARY, WordModel, make_contract

AT = datetime(2026, 3, 9, tzinfo=UTC)
INPUTS = {"text": "Sun brine sun", "place": "north", "degrees": None}
TAKES = ("text", "place", "degrees")


def event(inputs: dict[str, Any], *, arm: Arm = Arm.CHAMPION, kind: Kind = Kind.PREDICTION) -> Event:
    return Event(
        model="m",
        worker="w",
        seq=1,
        id="r",
        kind=kind,
        occurred_at=AT,
        received_at=AT,
        bundle="m@1",
        served_arm=arm,
        inputs=inputs,
        label="warm",
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    def ask(
        found: Event | None, *, contract: Any = None, code: Any = None, spec: InputSpec | None = None
    ) -> replay.Fed:
        loaded = LoadedModel(
            estimator=WordModel(),
            contract=contract or make_contract(),
            classes=CLASSES,
            spec=spec or InputSpec(takes=TAKES),
            features=code,
            profile=PROFILE,
            vocabulary=VOCABULARY,
        )
        monkeypatch.setattr(replay.models, "load", lambda *_, **__: loaded)
        monkeypatch.setattr(replay, "_digest_of", lambda *_: "d")
        parts: Any = SimpleNamespace(
            model="m",
            journal=SimpleNamespace(find=lambda _: found),
            vault=SimpleNamespace(opened=lambda inputs: (dict(inputs), {})),
            open_bundle=lambda *_, **__: None,
        )
        return replay.features(parts, "r")

    return ask


def test_without_feature_code_it_is_the_checked_inputs_with_what_became_of_each(asked: Any) -> None:
    found = asked(event(INPUTS))
    assert not found.code
    told = {one.name: (one.value, one.note) for one in found.features}
    assert told["text"] == ("Sun brine sun", "1 of 2 words were never seen in training: brine")
    assert told["place"] == ("north", "")
    assert told["degrees"] == (None, "missing")


def test_with_feature_code_it_is_what_that_makes_of_them(asked: Any) -> None:
    def code(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.select(pl.col("text").str.len_chars().alias("length"), pl.lit(None).alias("nothing"))

    found = asked(event(INPUTS), code=code, spec=InputSpec(features="features", takes=TAKES))
    assert found.code
    assert [(one.name, one.value, one.made_of) for one in found.features] == [
        ("length", 13, "features.py"),
        ("nothing", None, "features.py"),
    ]


def test_no_value_of_an_encrypted_field_is_shown_nor_what_may_be_made_of_it(asked: Any) -> None:
    contract = make_contract()
    sealed = replace(contract, fields=(replace(contract.fields[0], pii=Pii.ENCRYPT), *contract.fields[1:]))
    found = asked(event(INPUTS), contract=sealed)
    assert found.withheld == ("text",)
    assert "brine" not in repr(found)
    made = asked(
        event(INPUTS), contract=sealed, code=lambda frame: frame, spec=InputSpec(features="features", takes=TAKES)
    )
    assert made.features == ()
    assert "text" in made.withheld
    assert "brine" not in repr(made)


def test_what_no_model_saw_or_the_record_does_not_hold_is_told(asked: Any) -> None:
    with pytest.raises(NotFound, match="holds no prediction"):
        asked(None)
    with pytest.raises(UsageError, match="declared fallback"):
        asked(event(INPUTS, arm=Arm.FALLBACK))
    with pytest.raises(UsageError, match="service elsewhere"):
        asked(event(INPUTS, kind=Kind.EXTERNAL))
    with pytest.raises(NotEnoughEvidence, match="text"):
        asked(event({"place": "north"}))
