from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar
from scipy.special import xlogy

from mainstay.core.contracts import Contract, Field, FieldType, Role, Task
from mainstay.core.events import Trust
from mainstay.core.profiles import Profile
from mainstay.core.trials import Measured, Round
from mainstay.core.verdicts import Check, Verdict
from mainstay.models.answers import Answer
from mainstay.models.inputs import InputSpec
from mainstay.models.load import LoadedModel
from mainstay.release import behaviour, metrics, paired, quality
from mainstay.release.gate import GateReport, run_gate
from mainstay.release.metrics import Labelled
from unit.release.rollout_makers import settings

CONTRACT = Contract(
    task=Task.BINARY,
    fields=(
        Field(name="x", type=FieldType.NUMBER),
        Field(name="shop", type=FieldType.CATEGORY, values=("north", "south"), roles=(Role.SEGMENT,)),
    ),
    target="kind",
    classes=("a", "b"),
)
SETTINGS = settings().model_copy(
    update={
        "gate": settings().gate.model_copy(
            update={"floors": {"accuracy": 0.85}, "not_worse_by": {"accuracy": 0.03}, "max_p99_ms": 50.0}
        )
    }
)
ROWS = 400


class Estimator:
    """Says `b` where x is positive, wrongly on the rows whose number is in `wrong`."""

    classes_ = np.array(["a", "b"])

    def __init__(self, wrong: range = range(0), output: Any = None) -> None:
        self.wrong = wrong
        self.output = output

    def predict_proba(self, frame: Any) -> Any:
        if self.output is not None:
            return self.output(frame)
        x = frame["x"].to_numpy()
        says_b = (x > 0) ^ np.isin(np.abs(x).astype(int) - 1, list(self.wrong))
        p = np.where(says_b, 0.9, 0.1)
        return np.column_stack([1 - p, p])


def model(wrong: range = range(0), output: Any = None, classes: tuple[str, ...] = ("a", "b")) -> LoadedModel:
    return LoadedModel(
        estimator=Estimator(wrong, output),
        contract=CONTRACT,
        classes=classes,
        spec=InputSpec(),
        profile=Profile(source="none", rows=0, keys=0, signals=[]),
    )


def data(n: int = ROWS, *, south: int = 60) -> Labelled:
    rows: list[Mapping[str, Any]] = []
    truth = []
    for i in range(n):
        x = float(i + 1) if i % 2 else -float(i + 1)
        rows.append({"x": x, "shop": "south" if i < south else "north"})
        truth.append("b" if x > 0 else "a")
    return Labelled(rows=rows, truth=truth)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "model.pkl").write_bytes(b"x" * 1000)
    return tmp_path


def gate(candidate: LoadedModel, champion: LoadedModel | None, bundle: Path, **more: Any) -> GateReport:
    base: dict[str, Any] = {
        "test": data(),
        "recent": None,
        "settings": SETTINGS,
        "contract": CONTRACT,
        "bundle_path": bundle,
        "probe": lambda: fared([1.0] * 100),
    }
    return run_gate(candidate, champion, **(base | more))


def fared(*rounds: list[float], empty: float = 0.2, memory_mb: float | None = 20.0) -> Measured:
    same = Check(name="real_server", question="?", verdict=Verdict.PASS, reason="")
    return Measured(
        answers=same,
        rounds=[Round(answered_ms=one, empty_ms=[empty] * 30) for one in rounds],
        memory_mb=memory_mb,
        empty_mb=90.0,
    )


def named(report: GateReport) -> dict[str, Check]:
    return {check.name: check for check in report.checks}


def test_a_good_first_version_passes_and_comparisons_do_not_apply(bundle: Path) -> None:
    report = gate(model(range(20)), None, bundle)
    assert report.verdict is Verdict.PASS
    found = named(report)
    assert [n for n, c in found.items() if not c.applies] == [
        "not_worse",
        "not_worse_on_recent",
        "segments",
        "worst_slice",
        "memory",
        "calibration",
    ]
    assert list(found) == [
        "contract_and_signature",
        "finite_output",
        "row_independence",
        "floors",
        "not_worse",
        "not_worse_on_recent",
        "segments",
        "worst_slice",
        "latency",
        "memory",
        "size",
        "calibration",
    ]


def test_a_version_below_its_floor_fails(bundle: Path) -> None:
    report = gate(model(range(100)), None, bundle)
    assert named(report)["floors"].verdict is Verdict.FAIL
    assert not report.passed
    assert "floors" in report.why


def test_a_version_equal_to_the_champion_passes(bundle: Path) -> None:
    report = gate(model(range(20)), model(range(20)), bundle, recent=data(200))
    assert report.verdict is Verdict.PASS
    assert named(report)["not_worse_on_recent"].verdict is Verdict.PASS


def test_a_version_shown_worse_fails_and_one_perhaps_worse_is_withheld(bundle: Path) -> None:
    assert named(gate(model(range(40)), model(), bundle))["not_worse"].verdict is Verdict.FAIL
    assert named(gate(model(range(8)), model(), bundle))["not_worse"].verdict is Verdict.NOT_ENOUGH
    assert named(gate(model(range(2)), model(), bundle))["not_worse"].verdict is Verdict.PASS


def test_a_version_that_is_worse_on_recent_traffic_alone_does_not_pass(bundle: Path) -> None:
    recent = replace(data(100), truth=["a"] * 100)
    other = model(output=lambda frame: np.tile([0.9, 0.1], (len(frame), 1)))
    report = gate(model(), other, bundle, recent=recent)
    assert named(report)["not_worse_on_recent"].verdict is Verdict.FAIL


def test_harm_in_one_segment_fails_though_the_whole_looks_well(bundle: Path) -> None:
    wide = SETTINGS.model_copy(update={"gate": SETTINGS.gate.model_copy(update={"not_worse_by": {"accuracy": 0.2}})})
    report = gate(model(range(30)), model(), bundle, settings=wide)
    check = named(report)["segments"]
    assert check.verdict is Verdict.FAIL
    assert "shop=south" in check.reason
    assert named(report)["not_worse"].verdict is Verdict.PASS


def test_segments_with_too_few_rows_are_named_and_not_judged(bundle: Path) -> None:
    check = named(gate(model(), model(), bundle, test=data(ROWS, south=10)))["segments"]
    assert check.verdict is Verdict.PASS
    assert "shop=south" in check.reason
    few = named(gate(model(), model(), bundle, test=data(40)))["segments"]
    assert (few.applies, few.verdict) == (False, Verdict.NOT_ENOUGH)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_output_that_is_not_finite_never_passes(bundle: Path, bad: float) -> None:
    report = gate(model(output=lambda frame: np.full((len(frame), 2), bad)), None, bundle)
    assert report.verdict is Verdict.FAIL
    assert named(report)["finite_output"].verdict is Verdict.FAIL
    assert "floors" not in named(report)


def test_output_that_is_no_probability_fails(bundle: Path) -> None:
    report = gate(model(output=lambda frame: np.full((len(frame), 2), 0.9)), None, bundle)
    assert named(report)["finite_output"].verdict is Verdict.FAIL


def test_a_model_that_raises_fails_with_its_words(bundle: Path) -> None:
    def explode(frame: Any) -> Any:
        raise KeyError("weight")

    report = gate(model(output=explode), None, bundle)
    assert report.verdict is Verdict.FAIL
    assert "KeyError: 'weight'" in report.why


def test_other_classes_than_declared_fail(bundle: Path) -> None:
    report = gate(model(classes=("b", "a")), None, bundle)
    assert named(report)["contract_and_signature"].verdict is Verdict.FAIL


def ranks(frame: Any) -> Any:
    p = (np.argsort(np.argsort(frame["x"].to_numpy())) + 1) / (len(frame) + 2)
    return np.column_stack([1 - p, p])


def by_place(frame: Any) -> Any:
    p = np.arange(1, len(frame) + 1) / (len(frame) + 2)
    return np.column_stack([1 - p, p])


def fails_alone(frame: Any) -> Any:
    if len(frame) == 1:
        raise ValueError("expected 2 rows")
    return np.tile([0.9, 0.1], (len(frame), 1))


def by_neighbour(frame: Any) -> Any:
    x = frame["x"].to_numpy()
    p = 1 / (1 + np.exp(-(x + 1e-6 * np.roll(x, 1))))
    return np.column_stack([1 - p, p])


def by_equals(frame: Any) -> Any:
    """Count equal rows: where all test rows differ, only a copy shows it."""
    x = frame["x"].to_numpy()
    p = np.where((x[:, None] == x[None, :]).sum(axis=1) > 1, 0.8, 0.9)
    return np.column_stack([1 - p, p])


def by_large_batch(frame: Any) -> Any:
    p = np.full(len(frame), 0.9 if len(frame) < 500 else 0.8)
    return np.column_stack([1 - p, p])


def by_lot(frame: Any) -> Any:
    p = np.random.default_rng().uniform(0.4, 0.6, len(frame))
    return np.column_stack([1 - p, p])


@pytest.mark.parametrize(
    ("output", "how"),
    [
        (ranks, "split"),
        (by_place, "shuffled"),
        (fails_alone, ""),
        (by_neighbour, "shuffled"),
        (by_equals, "copies of themselves"),
        (by_large_batch, "in a large batch"),
        (by_lot, "asked again"),
    ],
)
def test_answers_that_depend_on_other_rows_fail(bundle: Path, output: Any, how: str) -> None:
    report = gate(model(output=output), None, bundle)
    check = named(report)["row_independence"]
    assert check.verdict is Verdict.FAIL
    assert how in check.reason


def test_an_estimator_that_remembers_what_it_was_asked_fails(bundle: Path) -> None:
    seen: list[int] = []

    def remembers(frame: Any) -> Any:
        seen.append(len(frame))
        p = np.full(len(frame), 0.9 - 0.001 * len(seen))
        return np.column_stack([1 - p, p])

    check = named(gate(model(output=remembers), None, bundle))["row_independence"]
    assert check.verdict is Verdict.FAIL
    assert "asked again" in check.reason


def standardises(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(((pl.col("x") - pl.col("x").mean()) / pl.col("x").std()).fill_null(0.0).alias("x"))


def looks_at_the_row_before(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns((pl.col("x") + pl.col("x").shift(1, fill_value=0.0)).alias("x"))


def sorts(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort("x")


def sums_over_the_key(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("x").sum().over("who").alias("x"))


@pytest.mark.parametrize("code", [standardises, looks_at_the_row_before, sorts, sums_over_the_key])
def test_feature_code_that_looks_at_other_rows_is_found_and_named(code: Any) -> None:
    contract = replace(CONTRACT, fields=(*CONTRACT.fields, Field(name="who", type=FieldType.IDENTIFIER)), key="who")

    class Smooth(Estimator):
        def predict_proba(self, frame: Any) -> Any:
            p = 1 / (1 + np.exp(-frame["x"].to_numpy() / 100))
            return np.column_stack([1 - p, p])

    rows = [{"x": float(n % 7 * 31 - n), "shop": "north", "who": f"u{n}"} for n in range(60)]
    data = Labelled(rows=rows, truth=["a"] * len(rows))

    def asked(features: Any) -> Check:
        loaded = LoadedModel(
            estimator=Smooth(),
            contract=contract,
            classes=("a", "b"),
            spec=InputSpec(features="features"),
            features=features,
            profile=Profile(source="test", rows=0, keys=0, signals=[]),
        )
        return behaviour.row_independence(loaded, data, seed=1)

    assert asked(lambda frame: frame).verdict is Verdict.PASS
    found = asked(code)
    assert found.verdict is Verdict.FAIL
    assert "answers change when rows are" in found.reason


def test_no_test_row_never_passes(bundle: Path) -> None:
    report = gate(model(), None, bundle, test=Labelled(rows=[], truth=[]))
    assert report.verdict is not Verdict.PASS


def test_slow_untimed_and_oversized_versions_do_not_pass(bundle: Path) -> None:
    assert named(gate(model(), None, bundle, probe=lambda: fared([60.0] * 100)))["latency"].verdict is Verdict.FAIL
    assert named(gate(model(), None, bundle, probe=lambda: fared([math.nan] * 100)))["latency"].verdict is Verdict.FAIL
    assert named(gate(model(), None, bundle, probe=lambda: fared([1.0] * 99)))["latency"].verdict is Verdict.NOT_ENOUGH

    def broken() -> Measured:
        raise OSError("gone")

    assert named(gate(model(), None, bundle, probe=broken))["latency"].verdict is Verdict.NOT_ENOUGH
    assert behaviour.size(bundle, 0.0005).verdict is Verdict.FAIL
    assert behaviour.size(bundle / "nowhere", 1.0).verdict is Verdict.NOT_ENOUGH


def test_the_best_round_counts_and_a_machine_that_is_too_busy_says_nothing() -> None:
    slow, quick = [2.0] * 90 + [60.0] * 10, [2.0] * 100
    assert behaviour.latency(fared(slow, quick), 50.0).verdict is Verdict.PASS
    assert behaviour.latency(fared(slow, slow), 50.0).verdict is Verdict.FAIL
    assert behaviour.latency(fared(slow, slow, empty=30.0), 50.0).verdict is Verdict.NOT_ENOUGH
    assert behaviour.latency(fared([60.0] * 100, empty=30.0), 50.0).verdict is Verdict.FAIL
    assert behaviour.latency(fared([2.0] * 90 + [math.inf] * 10, empty=30.0), 50.0).verdict is Verdict.FAIL
    assert behaviour.latency(fared(), 50.0).verdict is Verdict.NOT_ENOUGH


def test_memory_is_told_and_judged_where_a_limit_is_declared() -> None:
    assert not behaviour.memory(fared(memory_mb=500.0), None).applies
    assert behaviour.memory(fared(memory_mb=500.0), 400.0).verdict is Verdict.FAIL
    assert behaviour.memory(fared(memory_mb=300.0), 400.0).verdict is Verdict.PASS
    assert behaviour.memory(fared(memory_mb=None), 400.0).verdict is Verdict.NOT_ENOUGH
    assert behaviour.memory(fared(memory_mb=math.nan), 400.0).verdict is Verdict.NOT_ENOUGH


def test_a_missing_floor_asks_nothing_and_is_no_pass() -> None:
    scored = metrics.score([], [])
    assert quality.floors(scored, {}).verdict is Verdict.NOT_ENOUGH
    assert quality.floors(scored, {"accuracy": 0.0}).verdict is Verdict.NOT_ENOUGH


def test_the_report_is_json_ready(bundle: Path) -> None:
    import msgspec

    report = gate(model(), model(), bundle, recent=data(100))
    assert msgspec.json.decode(msgspec.json.encode(report.as_dict()))["verdict"] == "pass"


def test_tango_agrees_with_its_closed_form_when_nothing_differs() -> None:
    z = stats.norm.ppf(0.95)
    for n in (10, 240, 5000):
        low, high = paired.tango(0, 0, n)
        assert low == pytest.approx(-(z**2) / (n + z**2), abs=1e-9)
        assert high == pytest.approx(-low, abs=1e-9)


@pytest.mark.parametrize(("gained", "lost", "n"), [(12, 2, 50), (4, 4, 240), (1, 9, 100)])
def test_tango_limits_solve_the_score_equation_with_a_numerical_maximum_likelihood(
    gained: int, lost: int, n: int
) -> None:
    def score(difference: float) -> float:
        """Return the score statistic, the nuisance probability found by maximising the likelihood."""
        lowest, highest = max(0.0, -difference), (1.0 - difference) / 2.0

        def loss(q: float) -> float:
            rest = n - gained - lost
            return -float(xlogy(gained, q + difference) + xlogy(lost, q) + xlogy(rest, 1 - 2 * q - difference))

        q = minimize_scalar(loss, bounds=(lowest, highest), method="bounded", options={"xatol": 1e-10}).x
        return (gained - lost - n * difference) / math.sqrt(n * (2 * q + difference - difference**2))

    low, high = paired.tango(gained, lost, n)
    assert score(low) == pytest.approx(paired.Z_95, abs=1e-4)
    assert score(high) == pytest.approx(-paired.Z_95, abs=1e-4)


def test_tango_is_antisymmetric_and_holds_its_level() -> None:
    assert paired.tango(7, 3, 90) == pytest.approx(tuple(-v for v in reversed(paired.tango(3, 7, 90))), abs=1e-9)
    rng = np.random.default_rng(2)
    draws = rng.multinomial(240, [0.05, 0.08, 0.87], size=1500)
    missed = sum(paired.tango(int(b), int(c), 240)[0] > -0.03 for b, c, _ in draws)
    assert missed <= stats.binom(1500, 0.06).ppf(1 - 1e-4)


def test_metrics_agree_with_another_implementation() -> None:
    from sklearn import metrics as other

    from mainstay.models.answers import Answer

    rng = np.random.default_rng(4)
    truth = rng.choice(["a", "b", "c"], 300).tolist()
    p = rng.dirichlet([1, 1, 1], 300)
    answers = [
        Answer(label="abc"[row.argmax()], probabilities=dict(zip("abc", row.tolist(), strict=True)), confidence=0.5)
        for row in p
    ]
    scored = metrics.score(answers, truth)
    said = [a.label for a in answers]
    assert metrics.value("accuracy", scored) == pytest.approx(other.accuracy_score(truth, said))
    assert metrics.value("macro_f1", scored) == pytest.approx(other.f1_score(truth, said, average="macro"))
    assert metrics.value("log_loss", scored) == pytest.approx(other.log_loss(truth, p, labels=["a", "b", "c"]))
    assert math.isnan(metrics.value("accuracy", metrics.score([], [])))


def test_repeating_keys_widen_the_interval(bundle: Path) -> None:
    rows = data(200)
    keyed = replace(rows, keys=[i // 20 for i in range(200)])
    mine, theirs = (metrics.score(_answers(m, rows), rows.truth) for m in (model(range(20)), model()))
    alone = quality.not_worse("not_worse", mine, theirs, rows, {"accuracy": 0.03}, 1).numbers["accuracy"]
    together = quality.not_worse("not_worse", mine, theirs, keyed, {"accuracy": 0.03}, 1).numbers["accuracy"]
    assert together["low"] < alone["low"]


def _answers(of: LoadedModel, rows: Labelled) -> Any:
    from mainstay.models import answers

    return answers.answer(of, rows.rows)


def test_a_ranking_is_compared_group_by_group_and_a_whole_group_is_drawn_at_once() -> None:
    rng = np.random.default_rng(5)
    groups = [f"g{i // 5}" for i in range(200)]
    truth = [float(grade) for grade in rng.integers(0, 3, 200)]
    rows = [{"x": value} for value in truth]
    data = metrics.Labelled(rows=rows, truth=truth, keys=groups, groups=groups)
    good = metrics.score(
        [Answer(label=t + 0.1 * float(rng.normal()), trust=Trust.OK) for t in truth], truth, groups, at=3
    )
    poor = metrics.score([Answer(label=float(rng.normal()), trust=Trust.OK) for _ in truth], truth, groups, at=3)
    assert metrics.value("ndcg", good) > 0.99 > 0.8 > metrics.value("ndcg", poor)
    for name in ("ndcg", "mrr", "map"):
        worse = quality.not_worse("not_worse", poor, good, data, {name: 0.02}, 1)
        assert worse.verdict is Verdict.FAIL
        assert quality.not_worse("not_worse", good, good, data, {name: 0.02}, 1).verdict is Verdict.PASS
    assert "groups with a relevant candidate" in quality.floors(good, {"ndcg": 0.9}).reason
    counted = round(float(good.ranked["weight"].sum())) if good.ranked else 0
    assert counted == len({group for group, grade in zip(groups, truth, strict=True) if grade > 0})


def test_a_model_that_answers_by_its_pickle_fails_where_none_may_be_loaded() -> None:
    from mainstay.release import behaviour
    from mainstay.testing.models import make_loaded

    check = behaviour.no_pickle(make_loaded())
    assert check.verdict is Verdict.FAIL
    assert "pickles = 'never'" in check.reason
