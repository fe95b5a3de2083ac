"""The card of one model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mainstay.scorecard import ml_test_score, practice
from mainstay.scorecard.evidence import Known, gather
from mainstay.scorecard.records import Scorecard

if TYPE_CHECKING:
    from mainstay.project import Project


def scorecard(project: Project) -> Scorecard:
    """Return how ready a project's model is, by what is held of it."""
    return of(gather(project), model=project.name)


def of(known: Known, *, model: str) -> Scorecard:
    """Return the card of what is known."""
    return Scorecard(
        model=model,
        version="" if known.release is None else known.release.name,
        at=known.at,
        tests=ml_test_score.score(known),
        practices=practice.check(known),
    )
