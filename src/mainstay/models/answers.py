"""The one place where answers are made: evaluation, gate, serving, shadow and batch all call `answer`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mainstay.core.errors import ModelOutputInvalid
from mainstay.core.events import Caveat, Trust
from mainstay.models.doubts import UNLIKE
from mainstay.models.signals import RowSignals, Signals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mainstay.models.decision import Decision
    from mainstay.models.load import LoadedModel
    from mainstay.models.thresholds import Thresholds

CAVEAT_SHARE = 0.25
"""From this share of never-seen words on, the answer says so."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer and how far it can be trusted."""

    label: Any
    """The most probable class, or where costs are declared the one of least expected cost (the first declared one on a
    tie); the value of a regression."""
    probabilities: dict[str, float] = {}
    """Per declared class, in declared order; empty for regression."""
    confidence: float | None = None
    """Calibrated probability that the label is right; None for regression."""
    trust: Trust = Trust.OK
    caveats: tuple[Caveat, ...] = ()


def answer(
    loaded: LoadedModel,
    rows: Sequence[Mapping[str, Any]],
    signals: Sequence[Signals] | RowSignals | None = None,
) -> list[Answer]:
    """Answer checked rows, in order; no rows give no answers.

    `signals` are the rows' measured signals, where the caller needs them too; otherwise they are measured here (by
    `loaded.signals` when None). Raises ModelOutputInvalid when a probability or value is not finite.
    """
    if not rows:
        return []
    if signals is None:
        signals = loaded.signals
    measured = [signals.measure(row) for row in rows] if isinstance(signals, RowSignals) else signals
    return from_output(loaded, loaded.predict(rows), measured, rows)


def from_output(
    loaded: LoadedModel,
    output: NDArray[np.float64],
    measured: Sequence[Signals],
    rows: Sequence[Mapping[str, Any]],
) -> list[Answer]:
    """Make the answers from what `loaded.predict` (or its out-of-fold twins) put out, the rows and their signals."""
    if not np.isfinite(output).all():
        raise _not_finite(output)
    if not loaded.contract.task.is_classification:
        made = _values(loaded, output, measured)
    else:
        made = _labels(loaded, output, measured)
    if loaded.doubts is not None and (said := loaded.doubts.of(rows, measured)):
        for index, more in said.items():
            made[index] = _doubted(made[index], more, loaded.thresholds)
    if (limit := loaded.abstain_limit) is not None:
        made = [_abstaining(one, limit(row)) for one, row in zip(made, rows, strict=True)]
    return made


def _abstaining(made: Answer, limit: float) -> Answer:
    """Return the answer, which abstains below a limit that its segment has."""
    if made.confidence is None or made.confidence >= limit:
        return made
    return msgspec.structs.replace(made, trust=Trust.ABSTAIN)


def _doubted(made: Answer, more: Sequence[Caveat], limits: Thresholds) -> Answer:
    """Return the answer with what else must be said of it."""
    lower = limits.low_unlike and made.trust is Trust.OK and any(caveat.code in UNLIKE for caveat in more)
    trust = Trust.LOW if lower else made.trust
    return msgspec.structs.replace(made, caveats=(*made.caveats, *more), trust=trust)


def _labels(loaded: LoadedModel, output: NDArray[np.float64], measured: Sequence[Signals]) -> list[Answer]:
    classes, limits, text_names = loaded.classes, loaded.thresholds, loaded.text_names
    if limits.decision is not None:
        return _decided(loaded, limits.decision, output, measured)
    best = output.argmax(axis=1)
    confidences = loaded.calibration.apply(output.max(axis=1)).tolist()
    probabilities = output.tolist()
    out = []
    for index, chosen in enumerate(best.tolist()):
        confidence = confidences[index]
        caveats, low = _text_caveats(text_names, measured[index], limits)
        out.append(
            Answer(
                label=classes[chosen],
                probabilities=dict(zip(classes, probabilities[index], strict=True)),
                confidence=confidence,
                trust=_trust(confidence, low=low, limits=limits),
                caveats=caveats,
            )
        )
    return out


def _decided(
    loaded: LoadedModel, decision: Decision, output: NDArray[np.float64], measured: Sequence[Signals]
) -> list[Answer]:
    """Answer with the class of least expected cost.

    Confidence is the probability that this label is right. Whether the model knows the row is asked of the most
    probable class: a rare class that is answered because a miss is dear is no sign of doubt.
    """
    expected = decision.expected(output)
    best, least = expected.argmin(axis=1), expected.min(axis=1)
    confidences = loaded.calibration.apply(output[np.arange(len(output)), best]).tolist()
    sure = output.max(axis=1).tolist()
    probabilities = output.tolist()
    out = []
    for index, chosen in enumerate(best.tolist()):
        caveats, low = _text_caveats(loaded.text_names, measured[index], loaded.thresholds)
        trust = _trust(sure[index], low=low, limits=loaded.thresholds)
        out.append(
            Answer(
                label=loaded.classes[chosen],
                probabilities=dict(zip(loaded.classes, probabilities[index], strict=True)),
                confidence=confidences[index],
                trust=Trust.ABSTAIN if decision.abstain is not None and least[index] > decision.abstain else trust,
                caveats=caveats,
            )
        )
    return out


def _values(loaded: LoadedModel, output: NDArray[np.float64], measured: Sequence[Signals]) -> list[Answer]:
    out = []
    for value, row in zip(output.tolist(), measured, strict=True):
        caveats, low = _text_caveats(loaded.text_names, row, loaded.thresholds)
        out.append(Answer(label=value, trust=Trust.LOW if low else Trust.OK, caveats=caveats))
    return out


def _trust(confidence: float, *, low: bool, limits: Thresholds) -> Trust:
    if limits.abstain_confidence is not None and confidence < limits.abstain_confidence:
        return Trust.ABSTAIN
    if low or (limits.low_confidence is not None and confidence < limits.low_confidence):
        return Trust.LOW
    return Trust.OK


def _text_caveats(names: Sequence[str], row: Signals, limits: Thresholds) -> tuple[tuple[Caveat, ...], bool]:
    """Return what must be said about the texts of a row, and whether they alone make trust low."""
    caveats: tuple[Caveat, ...] = ()
    low = False
    for name in names:
        share = row[f"{name}.unseen"]
        if share is None:
            if row[f"{name}.words"] == 0.0:
                caveats += (Caveat(code="no_words", field=name, value=0, text=f"{name} holds no word"),)
                low = low or limits.low_unseen_share is not None
        elif share >= CAVEAT_SHARE:  # type: ignore[operator]
            caveats += (_unseen(name, share, row[f"{name}.words"]),)  # type: ignore[arg-type]
            low = low or (limits.low_unseen_share is not None and share >= limits.low_unseen_share)  # type: ignore[operator]
        elif limits.low_unseen_share is not None and share >= limits.low_unseen_share:  # type: ignore[operator]
            low = True
    return caveats, low


def _unseen(name: str, share: float, total: float) -> Caveat:
    count, total = round(share * total), int(total)
    was = "word was" if total == 1 else "words were"
    if count == 1 and total > 1:
        was = "words was"
    text = f"{count} of {total} {was} never seen in training"
    return Caveat(code="unseen_words", field=name, value=round(share, 4), text=text)


def _not_finite(output: NDArray[np.float64]) -> ModelOutputInvalid:
    finite = np.isfinite(output)
    bad_rows = np.flatnonzero(~(finite if output.ndim == 1 else finite.all(axis=1)))
    first = int(bad_rows[0])
    return ModelOutputInvalid(
        f"The model gave a value that is not finite for {len(bad_rows)} of {len(output)} rows, first row {first}: "
        f"{output[first].tolist()!r}"
    )
