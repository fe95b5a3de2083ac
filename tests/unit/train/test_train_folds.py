from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from mainstay.config.load import Loaded
from mainstay.core.errors import NotEnoughEvidence
from mainstay.train.fit import Rows, read_rows
from mainstay.train.folds import assign_folds, left_out_signals

from .conftest import make_frame


def rows_of(project: Loaded, count: int, per_key: int = 1) -> Rows:
    return read_rows(project.contract, make_frame(count, seed=1, per_key=per_key))


def test_every_row_is_held_out_once_and_classes_are_spread(project: Loaded) -> None:
    rows = rows_of(project, 100)
    fold = assign_folds(project.contract, rows, seed=1)
    sizes = Counter(fold.tolist())
    assert sorted(sizes) == [0, 1, 2, 3, 4]
    shares = [np.mean(rows.truth[fold == number] == "tool") for number in range(5)]
    assert max(shares) - min(shares) <= 0.1


def test_rows_of_one_key_are_held_out_together(project: Loaded) -> None:
    rows = rows_of(project, 120, per_key=4)
    fold = assign_folds(project.contract, rows, seed=1)
    assert all(len(set(fold[i : i + 4].tolist())) == 1 for i in range(0, 120, 4))


def test_the_same_seed_gives_the_same_folds_and_another_gives_others(project: Loaded) -> None:
    rows = rows_of(project, 60)
    first, again, other = (assign_folds(project.contract, rows, seed=seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(("count", "per_key"), [(9, 1), (20, 20)])
def test_too_few_rows_or_keys_are_not_folded(project: Loaded, count: int, per_key: int) -> None:
    with pytest.raises(NotEnoughEvidence):
        assign_folds(project.contract, rows_of(project, count, per_key), seed=1)


def test_left_out_unseen_shares_equal_those_of_a_vocabulary_without_the_key(project: Loaded) -> None:
    from mainstay.models.signals import RowSignals, word_set

    rows = rows_of(project, 30, per_key=3)
    found = left_out_signals(project.contract, rows)
    assert rows.keys is not None
    for i, row in enumerate(rows.values):
        others = word_set(r["text"] for r, key in zip(rows.values, rows.keys, strict=True) if key != rows.keys[i])
        assert found[i] == RowSignals(project.contract, {"text": others}).measure(row)
