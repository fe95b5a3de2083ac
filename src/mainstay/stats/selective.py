"""Whether labels come for every answer, or only for what a model chose.

A bank learns whether a loan is paid back only where it gave one: labels then say nothing of what should have been
answered otherwise (selective labels: Lakkaraju et al. 2017). It shows in labels that come for some answers and never
for others. Labels that a draw at random or a review brings for an answer are what mends it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LEAST_PER_ANSWER = 20
"""Rows with one answer from which on it is told that none of them has a label."""
EXPECTED = 5.0
"""So many labels must be expected, at the rate of the others: none then has a chance below 1 % (Poisson, e⁻⁵)."""
SPARSE = 0.1
"""An answer that is labelled less than so often as the others is told of too, from SPARSE_EXPECTED labels on."""
SPARSE_EXPECTED = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """One answer."""

    answer: str
    rows: int
    labelled: int

    @property
    def share(self) -> float:
        """Return the part of its rows that has a label, 0 to 1."""
        return self.labelled / self.rows if self.rows else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Selective:
    """What is labelled, answer by answer."""

    answers: tuple[Covered, ...]
    """By name, every answer that was given."""
    never: tuple[str, ...]
    """Answers that were given often enough, and of which none has a label though others have."""
    sparse: tuple[str, ...]
    """Answers that are labelled far less often than the others."""
    unseen: tuple[str, ...]
    """Declared classes that nothing was answered with and no label names: nothing would tell that they are missed."""

    @property
    def found(self) -> bool:
        """Return whether labels seem to exist only for what was chosen."""
        return bool(self.never or self.sparse)

    @property
    def text(self) -> str:
        """Return what was found as a sentence, with the remedy; empty where nothing was."""
        if not self.found:
            return ""
        told = []
        if self.never:
            told.append(f"nobody labelled an answer {', '.join(self.never)}")
        if self.sparse:
            told.append(f"{', '.join(self.sparse)} {'is' if len(self.sparse) == 1 else 'are'} hardly labelled")
        if self.unseen:
            told.append(
                f"{', '.join(self.unseen)} {'is' if len(self.unseen) == 1 else 'are'} neither answered nor named"
            )
        return f"Labels may exist only for what the model chose: {'; '.join(told)}. {REMEDY}"


REMEDY = "Let a share be drawn at random ([serve.explore] share), or label some: mainstay review draw 50."


def look(
    answered: Mapping[str, int],
    labelled: Mapping[str, int],
    *,
    classes: Sequence[str] = (),
    named: Sequence[str] = (),
    explored: bool = False,
) -> Selective:
    """Return what is labelled of rows counted by answer; `classes` are all there are, `named` those that labels name.

    `explored`: a share is drawn at random, so that few labels of an answer are what is wanted. An answer counts from
    LEAST_PER_ANSWER rows on, held against the label rate of all other answers.
    """
    rows, labels = sum(answered.values()), sum(labelled.values())
    never, sparse = [], []
    for name, count in sorted(answered.items()):
        mine = min(labelled.get(name, 0), count)
        others = rows - count
        expected = count * (labels - mine) / others if others > 0 else 0.0
        if count < LEAST_PER_ANSWER:
            continue
        if not mine and expected >= EXPECTED:
            never.append(name)
        elif mine and not explored and expected >= SPARSE_EXPECTED and mine < SPARSE * expected:
            sparse.append(name)
    known = set(named)
    return Selective(
        answers=tuple(
            Covered(answer=name, rows=count, labelled=labelled.get(name, 0)) for name, count in sorted(answered.items())
        ),
        never=tuple(never),
        sparse=tuple(sparse),
        unseen=tuple(name for name in classes if not answered.get(name) and name not in known) if named else (),
    )


def answered(sums: Iterable[Mapping[str, Any]], classes: Sequence[str]) -> dict[str, int]:
    """Return how many answers of each class blocks of traffic hold, as far as their sums tell (`stats.cbpe`)."""
    total = [0.0] * len(classes)
    for one in sums:
        said, rows, chance = one.get("said"), one.get("rows"), one.get("chance")
        if said is not None and len(said) == len(classes):
            counts = [float(n) for n in said]
        elif rows and chance and len(classes) == 2:
            counts = [float(rows[0]) - float(chance[0]), float(chance[0])]
        else:
            continue
        total = [a + b for a, b in zip(total, counts, strict=True)]
    return {name: round(count) for name, count in zip(classes, total, strict=True) if round(count) > 0}
