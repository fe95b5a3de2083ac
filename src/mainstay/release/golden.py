"""The gate's question about the golden set: floors of its own on rows that nothing is ever fitted to or chosen on."""

from __future__ import annotations

from dataclasses import replace

from mainstay.config.settings import Settings
from mainstay.core.verdicts import Check, Verdict
from mainstay.models import answers
from mainstay.models.load import LoadedModel
from mainstay.release import metrics, quality
from mainstay.release.metrics import Labelled, score

NAME = "golden_floors"
QUESTION = "Does every metric on the golden set reach its floor?"


def floors(candidate: LoadedModel, rows: Labelled, settings: Settings) -> Check:
    """Ask whether the floors of [gate] golden_floors hold on the golden rows; without any the primary metric is told.

    Rows that are gone, or that the model does not answer, are no pass.
    """
    declared = settings.gate.golden_floors
    try:
        mine = score(answers.answer(candidate, rows.rows), rows.truth, rows.groups, at=settings.evaluate.at)
    except Exception as error:  # noqa: BLE001 - edge: the model is the user's code, and raising is an answer
        why = f"the model raised {type(error).__name__}: {error}"
        return Check(name=NAME, question=QUESTION, verdict=Verdict.NOT_ENOUGH, reason=why, applies=bool(declared))
    if declared:
        return replace(quality.floors(mine, declared), name=NAME, question=QUESTION)
    primary = settings.evaluate.primary
    value = metrics.value(primary, mine)
    told = f"{primary} {value:.4f} on {len(rows)} golden rows; no [gate] golden_floors is declared: nothing was asked"
    return Check(
        name=NAME,
        question=QUESTION,
        verdict=Verdict.NOT_ENOUGH,
        reason=told,
        numbers={"rows": len(rows), primary: value if len(rows) else None},
        applies=False,
    )
