from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mainstay.config import crosscheck
from mainstay.config.settings import DecideSettings, Settings
from mainstay.core.events import Trust
from mainstay.core.verdicts import Verdict
from mainstay.models.answers import Answer
from mainstay.train import costs, decide
from mainstay.train.decide import HeldOut
from mainstay.train.fit import Rows

CLASSES = ("ok", "fraud")


def settings(**given: Any) -> Settings:
    return Settings().model_copy(update={"decide": DecideSettings(**given)})


FRAUD = {"fraud": {"ok": 50.0}, "ok": {"fraud": 2.0}}


def held(rows: int = 3_000, *, seed: int = 1, distort: float = 1.0) -> HeldOut:
    """Rows whose second probability is right, or bent by a power of its odds."""
    rng = np.random.default_rng(seed)
    chance = rng.beta(0.4, 4.0, rows)
    codes = (rng.random(rows) < chance).astype(np.int64)
    odds = (np.clip(chance, 1e-9, 1 - 1e-9) / (1 - np.clip(chance, 1e-9, 1 - 1e-9))) ** distort
    said = odds / (1 + odds)
    return HeldOut(
        output=np.column_stack([1 - said, said]), codes=codes, keys=np.arange(rows), fold=np.arange(rows) % 5
    )


def test_the_threshold_is_elkans_also_where_right_answers_cost() -> None:
    found = np.array([[1.0, 6.0], [40.0, 3.0]])
    threshold = decide.bayes_threshold(found)
    assert threshold == pytest.approx(5 / (5 + 37))
    decision = decide.Decision(costs=tuple(tuple(row) for row in found.tolist()))
    for chance in (0.0, threshold - 1e-9, threshold + 1e-9, 1.0):
        said = int(decision.expected(np.array([[1 - chance, chance]])).argmin())
        by_hand = int(chance * 3 + (1 - chance) * 6 < chance * 40 + (1 - chance) * 1)
        assert said == by_hand == int(chance > threshold)


def test_of_many_classes_the_cheapest_is_found_as_by_trying_all() -> None:
    rng = np.random.default_rng(3)
    classes = ("a", "b", "c", "d")
    declared = {t: {s: float(rng.integers(1, 20)) for s in classes if s != t} for t in classes}
    decision = decide.declared(settings(costs=declared), classes)
    assert decision is not None
    output = rng.dirichlet(np.ones(4), 200)
    said = decision.expected(output).argmin(axis=1)
    for row, chosen in zip(output, said, strict=True):
        each = [sum(p * declared[t].get(s, 0.0) for p, t in zip(row, classes, strict=True)) for s in classes]
        assert each[chosen] == pytest.approx(min(each))


def test_what_is_not_named_costs_one_where_it_is_wrong() -> None:
    found = decide.matrix(settings(costs={"fraud": {"ok": 50.0}}), CLASSES)
    assert found is not None
    assert found.tolist() == [[0.0, 1.0], [50.0, 0.0]]


def test_a_tuned_threshold_is_the_best_of_all_thresholds_by_brute_force() -> None:
    rng = np.random.default_rng(7)
    paid = np.array([[0.5, 2.0], [9.0, 1.0]])
    for _ in range(50):
        chance = rng.integers(0, 12, 40) / 12  # many equal ones
        codes = rng.integers(0, 2, 40)
        found = decide.least_cost_threshold(paid, chance, codes)

        def total(threshold: float, chance: Any = chance, codes: Any = codes) -> float:
            return float(paid[codes, (chance > threshold).astype(int)].sum())

        tried = [total(t) for t in np.linspace(-0.01, 1.01, 400)]
        if not 0 < found < 1:
            continue
        assert total(found) == pytest.approx(min(tried))


def test_where_probabilities_are_right_the_costs_decide_and_not_a_threshold_of_the_sample() -> None:
    decision, report = decide.decide(settings(costs=FRAUD), CLASSES, held())
    assert decision is not None
    assert (decision.rule, report["rule"]) == ("bayes", "bayes")
    assert decision.threshold == pytest.approx(2 / 52)
    assert report["costs"]["bayes"] < report["costs"]["most_probable"]


def test_where_they_are_far_off_a_threshold_is_tuned_and_the_report_says_why() -> None:
    bent = held(distort=3.0)
    decision, report = decide.decide(settings(costs=FRAUD), CLASSES, bent)
    assert decision is not None
    assert decision.rule == "threshold"
    assert "saves" in report["why"]
    real = decide.declared(settings(costs=FRAUD), CLASSES)
    assert real is not None
    assert decide.row_costs(real, decision, bent.output, bent.codes).mean() < report["costs"]["bayes"]


def test_asked_for_either_is_taken_and_no_evidence_leaves_the_costs() -> None:
    assert decide.decide(settings(costs=FRAUD, by="threshold"), CLASSES, held())[1]["rule"] == "threshold"
    assert decide.decide(settings(costs=FRAUD, by="bayes"), CLASSES, held(distort=3.0))[1]["rule"] == "bayes"
    decision, report = decide.decide(settings(costs=FRAUD), CLASSES, None)
    assert decision is not None
    assert "no held-out rows" in report["why"]
    assert decide.decide(Settings(), CLASSES, held()) == (None, {})


def test_the_expected_cost_of_bayes_decisions_is_no_more_than_that_of_any_other_threshold() -> None:
    """On the very chances that made the truth, in expectation and not by the sample: exact."""
    chance = np.linspace(0.0, 1.0, 1001)
    decision = decide.declared(settings(costs=FRAUD), CLASSES)
    assert decision is not None
    expected = decision.expected(np.column_stack([1 - chance, chance]))
    mine = expected.min(axis=1).sum()
    for threshold in np.linspace(0, 1, 101):
        said = (chance > threshold).astype(int)
        assert mine <= expected[np.arange(1001), said].sum() + 1e-9


def answers_of(labels: list[str], chances: list[float], trust: list[Trust] | None = None) -> list[Answer]:
    trusts = trust or [Trust.OK] * len(labels)
    return [
        Answer(label=label, probabilities={"ok": 1 - p, "fraud": p}, confidence=0.5, trust=t)
        for label, p, t in zip(labels, chances, trusts, strict=True)
    ]


def rows(truth: list[str], keys: list[str] | None = None) -> Rows:
    return Rows(values=[{}] * len(truth), truth=np.array(truth), keys=keys)


def test_what_answers_cost_is_counted_as_they_are_given() -> None:
    said = answers_of(["fraud", "fraud", "ok", "ok"], [0.2, 0.3, 0.01, 0.02], [Trust.OK] * 3 + [Trust.ABSTAIN])
    found = costs.measure(said, rows(["fraud", "ok", "fraud", "ok"]), CLASSES, settings(costs=FRAUD, abstain=5.0))
    assert found is not None
    assert found["value"] == pytest.approx((0 + 2 + 50 + 5) / 4)
    assert found["most_probable"] == pytest.approx((50 + 0 + 50 + 0) / 4)
    assert found["abstained"] == 0.25
    assert found["saved"] == pytest.approx(found["most_probable"] - found["value"])


def test_the_gate_judges_costs_only_where_a_limit_is_declared() -> None:
    many = answers_of(["fraud", "ok"] * 100, [0.5, 0.1] * 100)
    report = costs.measure(many, rows(["ok", "ok"] * 100), CLASSES, settings(costs=FRAUD))
    verdicts = [
        (check.verdict, check.applies)
        for limit in (None, 2.0, 1.0, 0.5)
        if (check := costs.check(report, limit)) is not None
    ]
    assert verdicts == [
        (Verdict.NOT_ENOUGH, False),
        (Verdict.PASS, True),
        (Verdict.NOT_ENOUGH, True),
        (Verdict.FAIL, True),
    ]
    assert costs.check(None, None) is None
    missing = costs.check(None, 1.0)
    assert missing is not None
    assert (missing.verdict, missing.applies) == (Verdict.NOT_ENOUGH, True)
    assert costs.measure(many, rows(["ok"] * 200), CLASSES, Settings()) is None


@pytest.mark.parametrize(
    ("given", "key", "told"),
    [
        ({"gate": {"max_cost": 1.0}}, "gate.max_cost", "says nothing without"),
        ({"decide": {"abstain": 1.0}}, "decide.abstain", "says nothing without costs"),
        ({"decide": {"costs": {"ok": {"x": 1.0}}}}, "decide.costs.ok.x", "no declared class"),
        ({"decide": {"costs": FRAUD, "by": "threshold", "abstain": 1.0}}, "decide.by", "knows no abstaining"),
        ({"train": {"class_weight": {"x": 1.0}}}, "train.class_weight.x", "no declared class"),
        ({"train": {"class_weight": {"ok": 0.0}}}, "train.class_weight.ok", "not above 0"),
        ({"train": {"half_life_days": 3.0}}, "train.half_life_days", "no [data] time"),
        ({"train": {"candidates": ["a"]}}, "train.candidates", "no declared pipeline"),
        ({"train": {"calibrate": "none", "probabilities": "auto"}}, "train.probabilities", "no rows for it"),
    ],
)
def test_settings_that_say_nothing_or_two_things_are_named(given: dict[str, Any], key: str, told: str) -> None:
    base = {"target": {"field": "kind", "classes": CLASSES}, "fields": {"x": {"type": "number"}}}
    found = crosscheck.check_all(Settings.model_validate({**base, **given}))
    assert [told in problem.what for path, problem in found if ".".join(path) == key] == [True]
