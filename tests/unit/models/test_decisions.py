"""Answers where wrong ones cost unlike much, and probabilities that are mapped: in a bundle as in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from mainstay.core.events import Trust
from mainstay.models import answers
from mainstay.models.bundle import BundleParts, write_bundle
from mainstay.models.calibration import Calibration
from mainstay.models.decision import Decision
from mainstay.models.load import LoadedModel, load
from mainstay.models.probabilities import ProbabilityMap
from mainstay.models.thresholds import Thresholds

DEAR = Decision(costs=((0.0, 1.0), (30.0, 0.0)))
ROWS = [
    {"text": text, "shop": "north", "weight": 1.0, "fresh": True, "buyer": "b"}
    for text in ("ripe apple pie", "claw hammer", "nail and plum", "green saw", "")
]


@pytest.fixture
def decided(parts: BundleParts, tmp_path: Path) -> LoadedModel:
    limits = msgspec.structs.replace(parts.thresholds, decision=DEAR)
    return load(write_bundle(tmp_path, replace(parts, thresholds=limits)))


def test_the_class_of_least_expected_cost_is_answered_and_its_own_probability_is_the_confidence(
    decided: LoadedModel,
) -> None:
    for answer in answers.answer(decided, ROWS):
        chance = answer.probabilities["fruit"]
        assert answer.label == ("fruit" if chance > 1 / 31 else "tool")
        assert answer.confidence == pytest.approx(answer.probabilities[answer.label])


def test_a_dear_rare_class_is_no_doubt_of_the_row(decided: LoadedModel) -> None:
    said = answers.from_output(decided, np.array([[0.9, 0.1]]), [decided.signals.measure(ROWS[1])], ROWS[1:2])[0]
    assert (said.label, said.confidence, said.trust) == ("fruit", pytest.approx(0.1), Trust.OK)


def test_what_no_label_is_worth_is_left_to_a_person(decided: LoadedModel) -> None:
    decided.thresholds = msgspec.structs.replace(
        decided.thresholds, decision=msgspec.structs.replace(DEAR, abstain=0.5)
    )
    output = np.array([[0.7, 0.3], [0.99, 0.01], [0.2, 0.8]])
    said = answers.from_output(decided, output, [decided.signals.measure(row) for row in ROWS[:3]], ROWS[:3])
    assert [answer.trust is Trust.ABSTAIN for answer in said] == [True, False, False]


def test_probabilities_are_mapped_before_anything_is_read_off_them(parts: BundleParts, tmp_path: Path) -> None:
    plain = load(write_bundle(tmp_path / "a", parts))
    made = ProbabilityMap(slope=0.5, offsets=(0.3, -0.3))
    calibration = msgspec.structs.replace(parts.calibration, probabilities=made)
    mapped = load(write_bundle(tmp_path / "b", replace(parts, calibration=calibration)))
    assert mapped.predict(ROWS) == pytest.approx(made.apply(plain.predict(ROWS)))
    said = answers.answer(mapped, ROWS)
    assert np.array([list(one.probabilities.values()) for one in said]) == pytest.approx(mapped.predict(ROWS))


def test_a_bundle_that_uses_neither_has_the_bytes_it_had_before(parts: BundleParts, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, parts)
    assert "probabilities" not in bundle.json("calibration.json")
    assert "decision" not in bundle.json("thresholds.json")


def test_a_bundle_of_before_answers_as_it_did() -> None:
    assert msgspec.json.decode(b'{"v": 1, "slope": 2.0}', type=Calibration).probabilities is None
    assert msgspec.json.decode(b'{"v": 1}', type=Thresholds).decision is None
