"""A retraining that a person asks for, and what the loop would say to one: triggers, guards, then a candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from mainstay import candidate
from mainstay.core import errors
from mainstay.core.ports import Progress, silent
from mainstay.core.verdicts import Check, Verdict, combine
from mainstay.online import learn, offer
from mainstay.retrain import guard, trigger
from mainstay.retrain.trigger import Trigger
from mainstay.store import audit

if TYPE_CHECKING:
    from mainstay.candidate import Delivered
    from mainstay.parts import Parts


MANUAL = candidate.MANUAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What asks for a training now, and whether the loop may begin one."""

    triggers: Sequence[Trigger]
    checks: Sequence[Check]
    """The guards, each with its verdict."""

    @property
    def allowed(self) -> bool:
        """Return whether every guard passes."""
        return guard.allowed(self.checks)

    @property
    def text(self) -> str:
        """Return what the loop will do, as a sentence."""
        if not self.triggers:
            return "Nothing asks for a training."
        if self.allowed:
            return f"The loop trains: {self.triggers[0].why}."
        open_ = [c for c in self.checks if c.applies and c.verdict is not Verdict.PASS]
        return f"The loop waits ({', '.join(c.name for c in open_)}), though {self.triggers[0].why}."


def outlook(parts: Parts) -> Outlook:
    """Return what asks for a training now and what the guards say; nothing is changed."""
    now = parts.clock.now()
    with parts.store.read() as tx:
        due = trigger.due_triggers(tx, parts.model, parts.settings, now)
        facts = guard.gather(tx, parts.model, parts.settings, now, vault=parts.vault)
    return Outlook(triggers=due, checks=guard.allow(facts, parts.settings, now))


def by_hand(
    parts: Parts,
    *,
    by: str,
    anyway: str = "",
    as_of: datetime | None = None,
    progress: Progress = silent,
) -> Delivered:
    """Train a version as the loop would, at a person's word: rests and failures keep nobody from it, the rest does.

    `as_of`: a version fitted anew to what was known then; an online learner goes on from it with every later label.
    `anyway`: why the guards are passed over, for the audit; the gate is not. Raises NotEnoughEvidence, or Refused where
    a guard says that what would be learned is wrong.
    """
    against = guard.by_hand(outlook(parts).checks)
    if against and not anyway:
        told = "; ".join(f"{check.name}: {check.reason}" for check in against)
        kind = errors.Refused if combine(against) is Verdict.FAIL else errors.NotEnoughEvidence
        raise kind(
            f"nothing is trained now: {told}",
            remedy='Wait until that is mended, or say why not: mainstay retrain --anyway "…". The gate judges it.',
        )
    if against:
        with parts.store.begin() as tx:
            detail = {"reason": anyway, "guards": [check.name for check in against]}
            audit.append(tx, who=by, what="retrain anyway", subject=parts.model, detail=detail, now=parts.clock.now())
    pipelines = parts.settings.retrain.pipelines
    if parts.settings.retrain.online and as_of is None:
        return offered(parts, by=by, anyway=bool(against), progress=progress)
    return candidate.deliver_candidate(parts, pipelines=pipelines, by=by, as_of=as_of, progress=progress)


def offered(
    parts: Parts,
    *,
    by: str,
    trigger: str = MANUAL,
    release: bool = True,
    anyway: bool = False,
    progress: Progress = silent,
) -> Delivered:
    """Have the online learner take what waits, and what it has learned since the version that answers judged.

    Raises NotEnoughEvidence where it learned nothing, Refused where the version that answers cannot go on learning, or
    where a guard says no and nothing was learned before.
    """
    while True:
        done = learn.batch(parts, anyway=anyway)
        if done.state is None:
            break
    try:
        handed, notes = offer.make(parts)
    except errors.NotEnoughEvidence:
        learn.refuse(done)
        raise
    made = candidate.deliver_candidate(parts, handed=handed, trigger=trigger, release=release, by=by, progress=progress)
    return replace(made, warnings=(*made.warnings, *notes))
