"""Whether the people whom [rollout] approval asks for have agreed, each on the evidence that holds now."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from mainstay.config.settings import RolloutSettings
from mainstay.core.errors import StaleTransition, UsageError
from mainstay.core.releases import Release
from mainstay.release import opinion
from mainstay.store import approvals, audit

if TYPE_CHECKING:
    from sqlalchemy import Connection

NEEDED = {"none": 0, "one": 1, "two": 2}


def still_missing(
    tx: Connection,
    release: Release,
    rollout: RolloutSettings,
    *,
    what: str,
    evidence: str,
    by: str,
    reason: str,
    now: datetime,
) -> int:
    """Write `by`'s approval and return how many more people must agree on the same evidence.

    `evidence` is (the beginning of) the digest that the person saw; it may be left out where nobody has to agree.
    Raises StaleTransition with the reasons where that evidence holds no more, UsageError where it is missing or the
    person agreed already and another must.
    """
    needed = NEEDED[rollout.approval]
    if not evidence:
        if needed:
            raise UsageError(
                f"[rollout] approval = {rollout.approval!r}: an approval names the evidence that it rests on",
                remedy="Look at it with `mainstay rollout show`, then give its digest with --evidence.",
            )
        return 0
    digest = _holds(tx, release, evidence)
    before = {
        one.by for one in approvals.of(tx, release.model, release.version) if (one.what, one.digest) == (what, digest)
    }
    if by in before and needed > len(before):
        raise UsageError(f"{by} agreed to this already; another person must", remedy="Ask a second person to run it.")
    approvals.add(
        tx,
        approvals.Approval(
            model=release.model, version=release.version, what=what, digest=digest, by=by, reason=reason, at=now
        ),
    )
    detail: dict[str, Any] = {"what": what, "evidence": digest, "reason": reason}
    audit.append(tx, who=by, what="approve", subject=release.name, detail=detail, now=now)
    return max(0, needed - len(before | {by}))


def _holds(tx: Connection, release: Release, evidence: str) -> str:
    """Return the whole digest of the evidence that holds now; raise where it is not what the person saw."""
    known = opinion.read(tx, release.model)
    current = (known or {}).get("current")
    if known is None or current is None or current["version"] != release.version:
        raise StaleTransition(
            f"nothing is known of {release.name} that could be approved",
            remedy="Wait for the next turn of the loop, then look with `mainstay rollout show`.",
        )
    now = str(current["digest"])
    if len(evidence) >= SHORTEST and now.startswith(evidence):
        return now
    seen = [held for digest, held in known["seen"].items() if len(evidence) >= SHORTEST and digest.startswith(evidence)]
    why = "; ".join(opinion.differences(seen[-1], known["seen"][now])) if seen else "it was never shown"
    raise StaleTransition(
        f"the evidence {evidence[:16]} of {release.name} holds no more: {why or 'it is older'}; now it is {now}",
        remedy="Look at what holds now with `mainstay rollout show`, and decide anew.",
    )


SHORTEST = 8
"""Digits of a digest that must be given, at least."""
