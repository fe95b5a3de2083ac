from __future__ import annotations

import random

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error

from mainstay.release import paired, promises
from mainstay.release.online import online_figures
from mainstay.store import pairs, promotions, releases
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from unit.release import rollout_makers as make

PAIRS = make.pairs(make.better, 300)
LABELLED = [p for p in PAIRS if p.label is not None]


def test_online_figures_are_the_gates_metrics_on_the_labelled_pairs() -> None:
    """Against scikit-learn and Tango's interval."""
    found = {
        f.metric: f for f in online_figures(PAIRS, ["accuracy", "macro_f1", "log_loss", "ndcg"], by_key=True, seed=1)
    }
    assert set(found) == {"accuracy", "macro_f1"}
    truth = [p.label for p in LABELLED]
    mine, theirs = [p.challenger_label for p in LABELLED], [p.champion_label for p in LABELLED]
    one = found["accuracy"]
    assert one.challenger == pytest.approx(accuracy_score(truth, mine))
    assert one.difference == pytest.approx(accuracy_score(truth, mine) - accuracy_score(truth, theirs))
    gained = sum(m == t != c for m, t, c in zip(mine, truth, theirs, strict=True))
    lost = sum(c == t != m for m, t, c in zip(mine, truth, theirs, strict=True))
    assert (one.low, one.high) == paired.tango(gained, lost, len(truth))
    assert found["macro_f1"].challenger == pytest.approx(f1_score(truth, mine, average="macro"))
    assert found["macro_f1"].low < found["macro_f1"].difference < found["macro_f1"].high
    assert (one.rows, one.units) == (len(LABELLED), len(LABELLED))


def test_keys_that_come_again_widen_the_interval() -> None:
    again = [
        make.pair(i, label="a", challenger_label="b" if i % 10 == 3 else "a", key_hash=f"k{i % 10}") for i in range(200)
    ]
    [wide] = online_figures(again, ["accuracy"], by_key=True, seed=1)
    [narrow] = online_figures(again, ["accuracy"], by_key=False, seed=1)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    assert wide.units == 10


def test_of_numbers_less_error_is_better() -> None:
    rng = random.Random(1)
    rows = [
        make.pair(i, label=50.0, champion_label=50 + rng.gauss(0, 3), challenger_label=50 + rng.gauss(0, 1))
        for i in range(100)
    ]
    [one] = online_figures(rows, ["mae"], by_key=True, seed=1)
    mine = [float(p.challenger_label) for p in rows]
    assert one.challenger == pytest.approx(mean_absolute_error(np.full(100, 50.0), mine))
    assert 0 < one.low < one.difference


def test_without_labels_there_is_no_figure() -> None:
    assert online_figures([make.pair(1)], ["accuracy"], by_key=True, seed=1) == []
    found = online_figures(LABELLED, ["ece"], by_key=True, seed=1)[0].document()
    assert found["metric"] == "ece"


def test_the_ledger_holds_the_promised_metrics_that_no_guard_measures() -> None:
    with Store.open("sqlite://", clock=FakeClock(make.NOW)).begin() as tx:
        numbers = {"macro_f1": {"difference": 0.1, "low": 0.05, "high": 0.2, "margin": 0.02}}
        gate = {"checks": [{"name": "not_worse", "numbers": numbers}]}
        releases.add(tx, make.release(1))
        release = releases.add(tx, make.release(2, facts={"gate": gate}))
        for pair in PAIRS:
            pairs.add(tx, pair)
        promises.open_(tx, release, champion=1, evidence={"checks": []}, by="loop", now=make.NOW)
        [entry] = promotions.all_of(tx, make.MODEL)
        assert entry.online["macro_f1"]["units"] == len(LABELLED)
        assert promises.kept(entry) == {"macro_f1": "kept"}
