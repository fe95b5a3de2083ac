"""What gives a protected group away: how well features predict it, and which of them carry that.

A model that does not see a field may still act on it. The judge is a gradient-boosted classifier, asked about rows that
it was not fitted on; a field's share is what is lost when its values are shuffled among those rows (Breiman 2001),
alone: of two fields that say the same, each can be done without.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.core.contracts import Contract, Field, FieldType, Role
from mainstay.models.segments import group_name
from mainstay.train.audit.groups import protected_names
from mainstay.train.fit import quiet

MOST_ROWS, LEAST_ROWS, LEAST_GROUP = 4000, 100, 20
FOLDS, SHUFFLES = 3, 1
TOPICS = 8
"""Numbers that a text becomes: its place among the texts (truncated singular value decomposition of hashed words)."""
TOLD = 10
_NUMBERS = (FieldType.NUMBER, FieldType.INTEGER, FieldType.BOOLEAN)
_NAMED = (FieldType.CATEGORY,)


def proxies(contract: Contract, rows: Sequence[Mapping[str, Any]], *, seed: int) -> dict[str, Any]:
    """Return for each protected field: `auc` (0.5: nothing is given away), `rows`, `carried_by`, or `why_not`.

    `auc`: area under the ROC curve, of several groups the mean of each against the rest, each weighing as its rows.
    `carried_by`: features, each with how much of `auc` its shuffled values cost, largest first.
    """
    out: dict[str, Any] = {}
    random = np.random.default_rng(seed)
    some = np.sort(random.permutation(len(rows))[:MOST_ROWS]).tolist()
    kept = [rows[i] for i in some]
    for name in protected_names(contract):
        field = contract.field(name)
        features = [f for f in contract.features if f.name != name and Role.PROTECTED not in f.roles]
        groups = [str(group_name(field, row.get(name))) for row in kept] if field is not None else []
        out[name] = _proxy(features, kept, groups, seed)
    return out


def _proxy(
    features: Sequence[Field], rows: Sequence[Mapping[str, Any]], groups: Sequence[str], seed: int
) -> dict[str, Any]:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    sizes = Counter(groups)
    large = {name for name, size in sizes.items() if size >= LEAST_GROUP}
    inside = [i for i, name in enumerate(groups) if name in large]
    if len(inside) < LEAST_ROWS or len(large) < 2:
        return {"auc": None, "rows": len(inside), "why_not": f"fewer than two groups of {LEAST_GROUP} rows"}
    blocks = {f.name: block for f in features if (block := _numbers(f, [rows[i] for i in inside], seed)) is not None}
    if not blocks:
        return {"auc": None, "rows": len(inside), "why_not": "there is no feature beside it"}
    x = np.hstack(list(blocks.values()))
    edges = np.cumsum([0, *(block.shape[1] for block in blocks.values())])
    y = np.array([groups[i] for i in inside])
    random = np.random.default_rng(seed)
    whole: list[float] = []
    lost: dict[str, list[float]] = {name: [] for name in blocks}
    with quiet(), threadpool_limits(1):  # threads for so few rows wait for each other longer than they work
        for fitted, held in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, y):
            judge = HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=6, random_state=seed)
            judge.fit(x[fitted], y[fitted])
            auc = _auc(judge, x[held], y[held])
            whole.append(auc)
            for place, name in enumerate(blocks):
                columns = slice(int(edges[place]), int(edges[place + 1]))
                for _ in range(SHUFFLES):
                    shuffled = x[held].copy()
                    shuffled[:, columns] = shuffled[random.permutation(len(held)), columns]
                    lost[name].append(auc - _auc(judge, shuffled, y[held]))
    carried = sorted(((float(np.mean(values)), name) for name, values in lost.items()), reverse=True)
    return {
        "auc": float(np.mean(whole)),
        "rows": len(inside),
        "carried_by": [{"feature": name, "auc_lost": share} for share, name in carried[:TOLD] if share > 0],
    }


def _auc(judge: Any, x: NDArray[np.float64], y: NDArray[Any]) -> float:
    from sklearn.metrics import roc_auc_score

    said = judge.predict_proba(x)
    weights = [float((y == name).mean()) for name in judge.classes_]
    each = [roc_auc_score(y == name, said[:, i]) for i, name in enumerate(judge.classes_)]
    return float(np.average(each, weights=weights))


def _numbers(field: Field, rows: Sequence[Mapping[str, Any]], seed: int) -> NDArray[np.float64] | None:
    """Return a field as columns of numbers, None where it holds nothing that groups could share."""
    values = [row.get(field.name) for row in rows]
    if field.type in _NUMBERS:
        return np.array([[np.nan if value is None else float(value)] for value in values])
    if field.type in _NAMED:
        # By how common a value is: trees split that anywhere, and equal counts go by name.
        common = sorted(Counter(str(value) for value in values).items(), key=lambda item: (-item[1], item[0]))
        order = {name: i for i, (name, _) in enumerate(common)}
        return np.array([[float(order[str(value)])] for value in values])
    if field.type is FieldType.TEXT:
        return _topics([value or "" for value in values], seed)
    return None


def _topics(texts: Sequence[str], seed: int) -> NDArray[np.float64] | None:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer

    words = HashingVectorizer(n_features=2**12, alternate_sign=False).transform(texts)
    if words.nnz == 0:
        return None
    return np.asarray(TruncatedSVD(TOPICS, random_state=seed).fit_transform(words), dtype=np.float64)
