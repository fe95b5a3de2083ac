"""Which class is answered where the project declares what wrong answers cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mainstay.models.decision import Decision
from mainstay.stats import intervals

if TYPE_CHECKING:
    from mainstay.config.settings import Settings

Floats = NDArray[np.float64]
DRAWS = 500
BAYES, THRESHOLD = "bayes", "threshold"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Calibrated probabilities of rows that no model saw, beside their truth."""

    output: Floats
    """Shape (n, classes)."""
    codes: NDArray[np.int64]
    """Place of the true class."""
    keys: NDArray[np.int64]
    fold: NDArray[np.int64]
    """Rows of a key are of one fold."""


def matrix(settings: Settings, classes: tuple[str, ...]) -> Floats | None:
    """Return the declared costs, true class down, answer across; None where none are declared."""
    declared_costs = settings.decide.costs
    if not declared_costs:
        return None
    return np.array(
        [
            [declared_costs.get(true, {}).get(said, 0.0 if true == said else 1.0) for said in classes]
            for true in classes
        ],
        dtype=np.float64,
    )


def declared(settings: Settings, classes: tuple[str, ...]) -> Decision | None:
    """Return the decision by the declared costs alone; None where none are declared."""
    costs = matrix(settings, classes)
    if costs is None:
        return None
    return Decision(
        costs=tuple(tuple(row) for row in costs.tolist()),
        abstain=settings.decide.abstain,
        threshold=bayes_threshold(costs) if len(classes) == 2 else None,
        why="the class of least expected cost by [decide] costs",
    )


def bayes_threshold(costs: Floats) -> float | None:
    """Return from which probability the second of two classes costs less, None where one of them always does.

    Elkan (2001), eq. 2: (c₀₁ − c₀₀) / (c₀₁ − c₀₀ + c₁₀ − c₁₁), c with the true class first.
    """
    up, down = float(costs[0, 1] - costs[0, 0]), float(costs[1, 0] - costs[1, 1])
    return up / (up + down) if up > 0 and down > 0 else None


def costs_of(settings: Settings, classes: tuple[str, ...], output: Floats, truth: NDArray[Any]) -> Floats:
    """Return what each answer costs by the declared costs, where output is decided on by them."""
    decision = declared(settings, classes)
    if decision is None:
        raise ValueError("no costs are declared")
    return row_costs(decision, decision, output, codes_of(classes, truth))


def codes_of(classes: tuple[str, ...], truth: NDArray[Any]) -> NDArray[np.int64]:
    """Return the place of each true class."""
    places = {name: number for number, name in enumerate(classes)}
    return np.array([places[str(name)] for name in truth.tolist()], dtype=np.int64)


def row_costs(real: Decision, taken: Decision, output: Floats, codes: NDArray[np.int64]) -> Floats:
    """Return the `real` cost of each answer that the decision `taken` gives; one left to a person costs that."""
    expected = taken.expected(output)
    costs = np.array(real.costs)[codes, expected.argmin(axis=1)]
    if taken.abstain is not None:
        costs = np.where(expected.min(axis=1) > taken.abstain, taken.abstain, costs)
    return np.asarray(costs, dtype=np.float64)


def with_threshold(threshold: float) -> tuple[tuple[float, ...], ...]:
    """Return the matrix by which the second class is answered above a threshold on its probability."""
    return ((0.0, threshold), (1.0 - threshold, 0.0))


def least_cost_threshold(costs: Floats, chance: Floats, codes: NDArray[np.int64]) -> float:
    """Return the threshold on the second class's probability at which these rows would have cost least.

    Midway between two neighbouring probabilities; of several equally good ones the lowest.
    """
    order = np.argsort(chance, kind="stable")
    sorted_chance, truth = chance[order], codes[order]
    below = np.concatenate([[0.0], np.cumsum(costs[truth, 0])])
    above = np.concatenate([np.cumsum(costs[truth, 1][::-1])[::-1], [0.0]])
    edges = np.concatenate([[0.0], (sorted_chance[1:] + sorted_chance[:-1]) / 2.0, [1.0]])
    parts = np.concatenate([[True], sorted_chance[1:] > sorted_chance[:-1], [True]])
    total = np.where(parts, below + above, np.inf)
    return float(edges[int(np.argmin(total))])


def decide(
    settings: Settings, classes: tuple[str, ...], held: HeldOut | None
) -> tuple[Decision | None, dict[str, Any]]:
    """Return the decision, and what held-out rows say of it, JSON-ready; (None, {}) where no costs are declared.

    The costs decide on calibrated probabilities (Bayes). Of two classes a threshold is tuned beside it, and taken where
    it is asked for, or by `auto` where it is shown to cost less on rows that it was not tuned on (95 %, whole keys
    drawn anew): where probabilities are calibrated, the tuned one is the Bayes threshold with the noise of the sample.
    """
    bayes = declared(settings, classes)
    if bayes is None:
        return None, {}
    wish = settings.decide.by
    if held is None:
        return bayes, {"rule": BAYES, "why": "no held-out rows: the costs decide on the probabilities as they are"}
    costs = np.array(bayes.costs)
    plain = msgspec.structs.replace(bayes, costs=_zero_one(len(classes)), abstain=None)
    paid = {
        BAYES: row_costs(bayes, bayes, held.output, held.codes),
        "most_probable": row_costs(bayes, plain, held.output, held.codes),
    }
    report: dict[str, Any] = {"rows": len(held.codes), "rule": BAYES, "threshold": bayes.threshold}
    can_tune = len(classes) == 2 and bayes.abstain is None and len(np.unique(held.codes)) == 2
    if not can_tune:
        why = "the declared costs decide on calibrated probabilities; a threshold is tuned for two classes alone"
        return _told(bayes, why, report, paid)
    chance = held.output[:, 1]
    paid[THRESHOLD] = _cross_tuned(costs, bayes, held)
    low, high = _difference(paid[THRESHOLD] - paid[BAYES], held.keys, settings.project.seed)
    saves = float((paid[BAYES] - paid[THRESHOLD]).mean())
    found = f"a tuned threshold saves {saves:+.4g} an answer ({-high:+.4g} to {-low:+.4g}) on rows that it did not see"
    if wish == BAYES or (wish == "auto" and not high < 0):
        why = "[decide] by asks for it" if wish == BAYES else f"{found}, which is not shown to be more than nothing"
        return _told(bayes, f"the declared costs decide on calibrated probabilities: {why}", report, paid)
    threshold = round(least_cost_threshold(costs, chance, held.codes), 12)
    tuned = msgspec.structs.replace(
        bayes, costs=with_threshold(threshold), rule=THRESHOLD, threshold=threshold, abstain=None
    )
    why = "[decide] by asks for it" if wish == THRESHOLD else found
    return _told(tuned, f"a threshold of {threshold:.4f} decides: {why}", report, paid)


def _told(
    decision: Decision, why: str, report: dict[str, Any], paid: dict[str, Floats]
) -> tuple[Decision, dict[str, Any]]:
    report |= {
        "rule": decision.rule,
        "threshold": decision.threshold,
        "why": why,
        "costs": {name: float(one.mean()) for name, one in paid.items()},
    }
    return msgspec.structs.replace(decision, why=why), report


def _zero_one(count: int) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in (1.0 - np.eye(count)).tolist())


def _cross_tuned(costs: Floats, bayes: Decision, held: HeldOut) -> Floats:
    """Return what each row costs by the threshold that the other folds' rows make."""
    out = np.empty(len(held.codes))
    for number in np.unique(held.fold).tolist():
        inside, outside = np.flatnonzero(held.fold != number), np.flatnonzero(held.fold == number)
        threshold = least_cost_threshold(costs, held.output[inside, 1], held.codes[inside])
        tuned = msgspec.structs.replace(bayes, costs=with_threshold(threshold), abstain=None)
        out[outside] = row_costs(bayes, tuned, held.output[outside], held.codes[outside])
    return out


def _difference(values: Floats, keys: NDArray[np.int64], seed: int) -> tuple[float, float]:
    _, low, high = intervals.bootstrap_by_key(values, keys.tolist(), rng=np.random.default_rng(seed), draws=DRAWS)
    return low, high
