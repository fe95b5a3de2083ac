"""What a version rests on."""

from __future__ import annotations

from typing import Any

import numpy as np

from mainstay.config.settings import Settings
from mainstay.core.verdicts import Verdict
from mainstay.models.inputs import InputSpec
from mainstay.models.load import LoadedModel
from mainstay.models.thresholds import Thresholds
from mainstay.testing.models import CLASSES, PROFILE, make_contract, make_loaded
from mainstay.train import importance
from mainstay.train.fit import Rows


class TwoFields:
    """Says cold for snow, and where there is neither snow nor sun for the north."""

    classes_ = np.array(CLASSES)

    def predict_proba(self, frame: Any) -> Any:
        texts, places = frame["text"], frame["place"]
        if any("poison" in text for text in texts):
            raise ValueError("it breaks")
        cold = [("snow" in t) or ("sun" not in t and p == "north") for t, p in zip(texts, places, strict=True)]
        first = np.where(cold, 0.1, 0.9)
        return np.column_stack([first, 1 - first])


def model(estimator: Any = None) -> LoadedModel:
    return LoadedModel(
        estimator=estimator or TwoFields(),
        contract=make_contract(),
        classes=CLASSES,
        spec=InputSpec(),
        thresholds=Thresholds(),
        vocabulary={},
        profile=PROFILE,
    )


def rows(count: int = 300) -> Rows:
    draw = np.random.default_rng(4)
    values, truth = [], []
    for _ in range(count):
        text = ("snow", "sun", "day")[int(draw.integers(3))]
        place = ("north", "south")[int(draw.integers(2))]
        values.append({"text": text, "place": place, "degrees": float(draw.normal()), "station": None})
        truth.append("cold" if text == "snow" or (text == "day" and place == "north") else "warm")
    return Rows(values=values, truth=np.array(truth))


def test_a_fields_worth_is_what_is_lost_when_it_is_shuffled() -> None:
    report = importance.measure(model(), rows(), Settings())
    by = {one["field"]: one for one in report["fields"]}
    # Text shuffled: P(right) by hand: equal texts 1/3; else the answer goes by another text. Place matters in a third
    # of the rows, half of which then get the other place.
    assert abs(by["place"]["worth"] - 1 / 6) < 0.06
    assert by["text"]["worth"] > by["place"]["worth"]
    assert by["degrees"]["worth"] == 0.0
    assert [one["field"] for one in report["fields"]][:2] == ["text", "place"]
    for one in by.values():
        assert one["low"] <= one["worth"] <= one["high"]


def test_only_fields_that_the_model_takes_are_asked() -> None:
    report = importance.measure(make_loaded(), rows(60), Settings())
    assert [one["field"] for one in report["fields"]] == ["text"]


def test_a_slow_model_is_asked_about_fewer_rows() -> None:
    assert importance.measure(model(), rows(), Settings(), budget_s=0.0)["rows"] == importance.FEWEST_ROWS


def test_the_same_seed_gives_the_same_report() -> None:
    assert importance.measure(model(), rows(), Settings()) == importance.measure(model(), rows(), Settings())


def test_what_changed_beside_the_champion_is_told_and_nothing_is_judged() -> None:
    report = importance.measure(model(), rows(), Settings())
    before = {"fields": [{"field": "place", "worth": 0.5, "low": 0.45, "high": 0.55}]}
    found = importance.check(report, before)
    assert not found.applies
    assert found.verdict is Verdict.NOT_ENOUGH
    assert "place was worth +0.500" in found.reason
    assert "not shown to be worth anything: degrees" in found.reason
    assert "beside the champion" not in importance.check(report, report).reason


def test_no_row_and_a_model_that_raises_prove_nothing() -> None:
    assert importance.measure(model(), rows(0), Settings())["fields"] == []
    assert importance.check(None, None).reason == "it was not measured"

    class Fragile(TwoFields):
        calls = 0

        def predict_proba(self, frame: Any) -> Any:
            Fragile.calls += 1
            if Fragile.calls > 1:
                raise ValueError("only once")
            return super().predict_proba(frame)

    report = importance.measure(model(Fragile()), rows(60), Settings())
    assert all(one["worth"] is None and "only once" in one["error"] for one in report["fields"])
