"""From reference answers and their truth to what label-free estimates need of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.core.contracts import Contract, Task
from mainstay.core.quality import ReferenceQuality
from mainstay.models.answers import Answer
from mainstay.models.outputs import CONFIDENCE, LABEL, VALUE
from mainstay.models.signals import Signals
from mainstay.stats import cbpe_reference

ANSWER = "answer."
OF_ANSWERS = (LABEL, CONFIDENCE, VALUE)
"""What an answer says that may explain how good it is; the rest follows from these and is not kept with its label."""


def reference_quality(
    contract: Contract,
    table: Sequence[Signals],
    answers: Sequence[Answer],
    truth: Sequence[Any] | None,
    *,
    keys: NDArray[np.int64],
    places: Sequence[Sequence[str]],
    moments: Sequence[datetime] | None,
) -> ReferenceQuality | None:
    """Return what the reference rows say about quality; None without their truth, for rankings, or for too few.

    `table` holds the measured signals with the answer's, `keys` the number of each row's key, `places` its segments,
    `moments` its time. Of two classes, rows whose truth is neither are left out; of more, such an answer is wrong.
    """
    if truth is None or not len(truth) or contract.task is Task.RANKING:
        return None
    classes = contract.classes or tuple(sorted({str(value) for value in truth}))
    if not contract.task.is_classification:
        usable = [i for i, answer in enumerate(answers) if _is_number(answer.label) and _is_number(truth[i])]
    else:
        told = [i for i, answer in enumerate(answers) if answer.label is not None and answer.confidence is not None]
        usable = [i for i in told if len(classes) != 2 or str(truth[i]) in classes]
    if not usable:
        return None
    part = [answers[i] for i in usable]
    known: dict[str, Any] = {
        "keys": keys[usable].astype(np.intp),
        "rows": [_explaining(table[i]) for i in usable],
        "segments": _segments([places[i] for i in usable]),
        "moments": None if moments is None else np.array([moments[i].timestamp() for i in usable]),
    }
    if contract.task is Task.REGRESSION:
        values = np.array([float(answer.label) for answer in part])
        return cbpe_reference.learn_numbers(values, np.array([float(truth[i]) for i in usable]), **known)
    index = {name: i for i, name in enumerate(classes)}
    true = np.array([index.get(str(truth[i]), -1) for i in usable], dtype=np.intp)
    said = np.array([index.get(str(answer.label), -1) for answer in part], dtype=np.intp)
    confidence = np.array([answer.confidence for answer in part], dtype=np.float64)
    probabilities = _probabilities(part, classes)
    if len(classes) == 2:
        score = np.where(said == 1, confidence, 1.0 - confidence) if probabilities is None else probabilities[:, 1]
        return cbpe_reference.learn_binary(score, said == 1, true == 1, classes=classes, **known)
    if (said < 0).any():
        return None
    return cbpe_reference.learn_classes(confidence, said, true, classes=classes, probabilities=probabilities, **known)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _explaining(row: Signals) -> Signals:
    return {name: value for name, value in row.items() if name in OF_ANSWERS or not name.startswith(ANSWER)}


def _probabilities(answers: Sequence[Answer], classes: Sequence[str]) -> NDArray[np.float64] | None:
    """Return what the model gave each class, shape (n, classes); None where a service tells no probabilities."""
    if not all(answer.probabilities for answer in answers):
        return None
    return np.array([[answer.probabilities.get(name, 0.0) for name in classes] for answer in answers])


def _segments(places: Sequence[Sequence[str]]) -> dict[str, NDArray[np.intp]]:
    found: dict[str, list[int]] = {}
    for i, names in enumerate(places):
        for name in names:
            found.setdefault(name, []).append(i)
    return {name: np.array(index, dtype=np.intp) for name, index in sorted(found.items())}
