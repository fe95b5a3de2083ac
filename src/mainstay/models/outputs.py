"""What an answer looks like to the watch: its label or value, how sure, how spread, how far it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mainstay.core.contracts import Contract, Task
from mainstay.core.events import Trust
from mainstay.models.derived import NO, YES
from mainstay.models.signals import Signals

if TYPE_CHECKING:
    from mainstay.models.answers import Answer

LABEL, CONFIDENCE, LOW_TRUST, VALUE = "answer.label", "answer.confidence", "answer.low_trust", "answer.value"
ABSTAINED, ENTROPY, SCORE = "answer.abstained", "answer.entropy", "answer.score"


def output_signals(answer: Answer, contract: Contract) -> Signals:
    """Return the signals of one answer: label, calibrated confidence, and 1.0 where trust is low or it abstained.

    A label without confidence, from a service that tells none, is a label all the same; no label gives no signals.
    """
    if answer.label is None:
        return {}
    low = 0.0 if answer.trust is Trust.OK else 1.0
    out: Signals = {LOW_TRUST: low, ABSTAINED: abstained(answer.trust)}
    if answer.confidence is None and not isinstance(answer.label, str):
        return {VALUE: float(answer.label), **out}
    return {LABEL: str(answer.label), CONFIDENCE: answer.confidence, **out, **spread(answer.probabilities, contract)}


def abstained(trust: Trust | None) -> str | None:
    """Return whether an answer abstained, in a word; None where nothing is told of trust."""
    return None if trust is None else (YES if trust is Trust.ABSTAIN else NO)


def spread(probabilities: Mapping[str, float], contract: Contract) -> Signals:
    """Return how the probabilities of an answer are spread.

    `answer.entropy` −Σ p ln p / ln K of K classes, 0 to 1; `answer.score`, for a binary task, the probability of the
    class that was declared last. Fewer than two probabilities give nothing.
    """
    k = len(probabilities)
    if k < 2:
        return {}
    out: Signals = {ENTROPY: -sum(p * math.log(p) for p in probabilities.values() if p > 0.0) / math.log(k)}
    if contract.task is Task.BINARY and contract.classes:
        out[SCORE] = probabilities.get(contract.classes[-1])
    return out
