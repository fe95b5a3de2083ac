from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mainstay.core.verdicts import Verdict
from mainstay.train import label_noise
from mainstay.train.fit import Rows
from mainstay.train.folds import OutOfFold

ROOT = Path(__file__).parents[3]
BANKING77 = ROOT.parent / "shared" / "data" / "banking77" / "train.csv"
CLASSES = [f"c{n}" for n in range(6)]


def made(
    *, wrong: float, kind: str = "random", seed: int = 1, own: int = 1500, told: int = 1500
) -> tuple[Rows, OutOfFold, np.ndarray]:
    """Own rows and labels of traffic, of which a share is flipped, and what a fair model says of each."""
    rng = np.random.default_rng(seed)
    n, k = own + told, len(CLASSES)
    true = rng.integers(0, k, n)
    p = rng.dirichlet(np.full(k, 0.5), n) * 0.6
    p[np.arange(n), true] += 0.9 * rng.random(n)
    p /= p.sum(axis=1, keepdims=True)
    given = true.copy()
    flipped = (rng.random(n) < wrong) & (np.arange(n) >= own)
    given[flipped] = (true[flipped] + rng.integers(1, k, int(flipped.sum()))) % k if kind == "random" else 0
    keys = np.arange(n)
    if kind == "key":
        given, flipped = true.copy(), np.zeros(n, dtype=bool)
        flipped[own : own + 30] = True
        keys[own : own + 30] = own
        given[flipped] = (true[flipped] + 1) % k
    rows = Rows(
        values=[{}] * n,
        truth=np.array([CLASSES[g] for g in given]),
        keys=keys.tolist(),
        is_traffic=np.arange(n) >= own,
    )
    return rows, OutOfFold(output=p, fold=np.zeros(n, dtype=np.int64)), given != true


@pytest.mark.parametrize("seed", range(5))
def test_of_labels_that_are_as_good_as_the_projects_own_none_is_left_out(seed: int) -> None:
    rows, held_out, _ = made(wrong=0.0, seed=seed)
    found = label_noise.measure(rows, held_out, CLASSES)
    assert found is not None
    assert found.keep.all()
    assert label_noise.check(found.facts, 0.02).verdict is Verdict.PASS


@pytest.mark.parametrize("kind", ["random", "one_class"])
def test_flipped_labels_are_most_of_what_is_left_out_and_no_own_row_is(kind: str) -> None:
    rows, held_out, wrong = made(wrong=0.3, kind=kind)
    found = label_noise.measure(rows, held_out, CLASSES)
    assert found is not None
    out = ~found.keep
    assert not (out & ~rows.is_traffic).any()
    assert wrong[out].mean() >= 0.75
    assert (out & wrong).sum() >= 0.6 * wrong.sum()
    assert label_noise.check(found.facts, 0.1).verdict is Verdict.FAIL
    assert not label_noise.check(found.facts, None).applies


def test_everything_of_a_key_that_lies_is_left_out() -> None:
    rows, held_out, wrong = made(wrong=0.0, kind="key")
    found = label_noise.measure(rows, held_out, CLASSES)
    assert found is not None
    assert (found.facts["loud_keys"], found.facts["loud_labels"]) == (1, 30)
    assert not found.keep[wrong].any()


def test_too_few_labels_say_nothing() -> None:
    rows, held_out, _ = made(wrong=0.0, told=30)
    assert label_noise.measure(rows, held_out, CLASSES) is None
    assert not label_noise.check(None, 0.1).applies


def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("poisoned_labels", ROOT / "bench" / "poisoned_labels.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["poisoned_labels"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not BANKING77.is_file(), reason="Banking77 is not beside this checkout (../shared/data)")
def test_over_banking77_harmful_versions_are_refused_and_harmless_ones_pass() -> None:
    poison = bench()
    bank = poison.read(width=200, neighbours=False)
    design = {"own": 3000, "feedback": 4000, "margin": 0.02, "cap": 20}
    learned = [poison.run(bank, poison.Design(**design, leave_out=False), "one_class", seed) for seed in range(5)]
    sifted = [poison.run(bank, poison.Design(**design, leave_out=True), "one_class", seed) for seed in range(3)]
    harmful = [one for one in learned if one.loss > 0.02]
    assert len(harmful) >= 2
    assert not any(one.passed["0.99"] for one in harmful)
    assert all(one.passed["0.99"] for one in sifted)
    assert max(one.loss for one in sifted) <= 0.02
