"""Start, pause, resume, promote, abort and roll back by hand: the loop's moves, with a person's name and reason."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from mainstay.config.settings import RolloutSettings
from mainstay.core.errors import Damaged, GateFailed, StaleTransition, UsageError
from mainstay.core.releases import LIVE, Move, Policy, Release, Stage, share_at
from mainstay.core.routes import BundleRef
from mainstay.core.verdicts import Verdict
from mainstay.release import moves, routing, trials
from mainstay.store import audit, releases, routes

if TYPE_CHECKING:
    from sqlalchemy import Connection

_PATHS: dict[Stage, tuple[Stage, ...]] = {
    Stage.REGISTERED: (Stage.GATED, Stage.CHECKED, Stage.PROBATION),
    Stage.GATED: (Stage.CHECKED, Stage.PROBATION),
    Stage.CHECKED: (Stage.PROBATION,),
    Stage.SHADOW: (Stage.PROBATION,),
    Stage.CANARY: (Stage.PROBATION,),
    Stage.HELD: (Stage.PROBATION,),
    Stage.RETIRED: (Stage.PROBATION,),
    Stage.ROLLED_BACK: (Stage.CHECKED, Stage.PROBATION),
}
"""By which moves a version comes to answer everybody when a person says so."""
_UNPROVEN = frozenset({Stage.REGISTERED, Stage.ROLLED_BACK})
_TRIED_BEFORE = frozenset({Stage.RETIRED, Stage.ROLLED_BACK})
PAUSED = "paused by hand: "


def promote(
    tx: Connection, *, model: str, version: int, by: str, reason: str, now: datetime, force: bool = False
) -> Release:
    """Let a version answer everybody now, on probation (a model's first version: for good).

    Its gate must have passed and it must not have been rolled back, unless `force` with a reason. A refused or
    quarantined version never goes live. Another version on its way leaves.
    """
    release = releases.get(tx, model, version)
    if release.stage in LIVE:
        return release
    if release.stage not in _PATHS:
        raise GateFailed(f"{release.name} is {release.stage} ({release.reason}) and cannot go live, not even by force")
    if release.stage in _UNPROVEN and not force:
        raise GateFailed(
            f"{release.name} is {release.stage}: {release.reason or 'its gate has not passed'}",
            remedy="Promote a version whose gate passed, or force it with a reason.",
        )
    if force and not reason.strip():
        raise UsageError("promoting by force needs a reason; none was given", remedy="Say why, in a sentence.")
    other = releases.on_its_way(tx, model)
    if other is not None and other.version != version:
        _leave(tx, other, by=by, reason=f"{release.name} was promoted by hand", now=now)
    if release.stage in _TRIED_BEFORE:
        trials.begin(tx, release)
    moved = _walk(tx, release, by=by, reason=reason or "promoted by hand", now=now)
    audit.append(tx, who=by, what="promote", subject=moved.name, detail={"reason": reason, "force": force}, now=now)
    return moved


def start(tx: Connection, *, model: str, version: int, by: str, reason: str, now: datetime) -> Release:
    """Begin a rollout: of a version that was checked and waits, or, anew, of one that was rolled back.

    What an earlier trial showed is not held against it a second time.
    """
    release = releases.get(tx, model, version)
    if release.stage is Stage.CHECKED:
        move = Move(to=Stage.SHADOW, reason=reason, verdict=Verdict.PASS)
    elif release.stage is Stage.ROLLED_BACK:
        trials.begin(tx, release)
        move = Move(to=Stage.CHECKED, reason=reason, verdict=Verdict.PASS)
    else:
        raise StaleTransition(
            f"{release.name} is {release.stage} ({release.reason}) and cannot be started; allowed: a version that was "
            "checked and waits, or one that was rolled back",
            remedy="A version that passed its gate is started by the loop once it was asked in the real server.",
        )
    moved = moves.apply(tx, release, move, moves.Act(by=by, now=now, evidence={"reason": reason}))
    if moved.stage is Stage.CHECKED and routes.current(tx, model) is not None:
        again = Move(to=Stage.SHADOW, reason=reason, verdict=Verdict.PASS)
        moved = moves.apply(tx, moved, again, moves.Act(by=by, now=now, evidence={"reason": reason}))
    audit.append(tx, who=by, what="start", subject=moved.name, detail={"reason": reason}, now=now)
    return moved


def pause(tx: Connection, *, model: str, by: str, reason: str, now: datetime) -> Release:
    """Let the version on its way answer nobody until somebody resumes it; it goes on being compared."""
    release = releases.on_its_way(tx, model)
    if release is None or release.stage not in (Stage.SHADOW, Stage.CANARY):
        seen = "no version is on its way" if release is None else f"{release.name} is {release.stage}"
        raise StaleTransition(f"there is nothing to pause: {seen}; allowed: a version in shadow or canary")
    move = Move(to=Stage.HELD, step=release.step, reason=f"{PAUSED}{reason}", verdict=Verdict.NOT_ENOUGH)
    evidence = {"reason": reason, "paused": release.stage.value}
    moved = moves.apply(tx, release, move, moves.Act(by=by, now=now, evidence=evidence))
    audit.append(tx, who=by, what="pause", subject=moved.name, detail={"reason": reason}, now=now)
    return moved


def held_version(tx: Connection, model: str) -> Release:
    """Return the version that waits for a person; raises StaleTransition when none does."""
    held = releases.on_its_way(tx, model)
    if held is None or held.stage is not Stage.HELD:
        seen = "no version is on its way" if held is None else f"{held.name} is {held.stage}"
        raise StaleTransition(f"there is nothing to resume: {seen}; allowed: a held version")
    return held


def resume(
    tx: Connection, *, model: str, rollout: RolloutSettings, policy: Policy, by: str, reason: str, now: datetime
) -> Release:
    """Let a held version go on where it stood; this is also how its first step is taken once it is approved."""
    held = held_version(tx, model)
    back = _paused_at(tx, held)
    to = Stage.SHADOW if back is Stage.SHADOW else Stage.CANARY
    move = Move(to=to, step=held.step, reason=reason or "resumed by hand", verdict=Verdict.PASS)
    act = moves.Act(
        by=by,
        now=now,
        evidence={"reason": reason},
        share=share_at(policy, held.step) if to is Stage.CANARY else 0.0,
        kept=routing.kept_of(rollout, now),
        lease_until=routing.lease_end(now, rollout.lease_s),
    )
    moved = moves.apply(tx, held, move, act)
    audit.append(tx, who=by, what="resume", subject=moved.name, detail={"reason": reason}, now=now)
    return moved


def certify(tx: Connection, release: Release, *, by: str, reason: str, now: datetime) -> Release:
    """End a version's probation: the version before it is warm no more because of it."""
    move = Move(to=Stage.CERTIFIED, reason=reason, verdict=Verdict.PASS)
    moved = moves.apply(tx, release, move, moves.Act(by=by, now=now, evidence={"reason": reason}))
    audit.append(tx, who=by, what="certify", subject=moved.name, detail={"reason": reason}, now=now)
    return moved


def _paused_at(tx: Connection, held: Release) -> Stage | None:
    """Return where a version stood when somebody paused it; None for one that the loop holds."""
    last = releases.last_event(tx, held)
    was = None if last is None else last.evidence.get("paused")
    return None if was is None else Stage(was)


def abort(tx: Connection, *, model: str, by: str, reason: str, now: datetime) -> Release:
    """Take the version that is on its way out; the champion answers everybody."""
    leaving = releases.on_its_way(tx, model)
    if leaving is None:
        raise StaleTransition(f"no version of {model} is on its way")
    return _leave(tx, leaving, by=by, reason=reason, now=now)


def rollback(tx: Connection, *, model: str, by: str, reason: str, now: datetime, to: int | None = None) -> Release:
    """Take back the newest change in who answers; return the version that left.

    A canary leaves; without one the champion gives way to the one before it, or to the retired version `to`.
    """
    challenger = releases.on_its_way(tx, model)
    if to is None and challenger is not None and challenger.stage is Stage.CANARY:
        return _leave(tx, challenger, by=by, reason=reason, now=now)
    live = releases.live(tx, model)
    if live is None:
        raise StaleTransition(f"{model} has no version that could be rolled back")
    return _leave_live(tx, live, by=by, reason=reason, now=now, back_to=to)


def same_artefact(tx: Connection, model: str, ref: BundleRef) -> None:
    """Raise Damaged where the release of a version has another digest than what names it."""
    release = releases.get_or_none(tx, model, ref.version)
    if release is None or release.digest != ref.digest:
        seen = "there is no such release" if release is None else f"its release says {release.digest[:12]}"
        raise Damaged(
            f"the route names {model}@{ref.version} with digest {ref.digest[:12]}, and {seen}",
            remedy="Somebody wrote to the store; compare `mainstay audit` and a backup. What is loaded stays in force.",
        )


def follow_server(
    tx: Connection, *, model: str, out: int, back_to: int, by: str, reason: str, now: datetime, at_least_epoch: int
) -> Release | None:
    """Write down a rollback that holds in the server already; return the version that left, None if it had left.

    `out` is the version that the server put out, which may have become champion here meanwhile; `back_to` is the one
    that answers there, under the epoch `at_least_epoch`. Safe to repeat.
    """
    live, other = releases.live(tx, model), releases.on_its_way(tx, model)
    if live is not None and live.version == out:
        return _leave_live(tx, live, by=by, reason=reason, now=now, at_least_epoch=at_least_epoch, back_to=back_to)
    if other is not None and other.version == out:
        return _leave(tx, other, by=by, reason=reason, now=now, at_least_epoch=at_least_epoch)
    return None


def _leave_live(
    tx: Connection,
    live: Release,
    *,
    by: str,
    reason: str,
    now: datetime,
    at_least_epoch: int = 0,
    back_to: int | None = None,
) -> Release:
    """Return to the version before; one on its way leaves too, for what it was compared with is gone."""
    other = releases.on_its_way(tx, live.model)
    if other is not None:
        _leave(tx, other, by=by, reason=f"{live.name}, its champion, was rolled back", now=now)
    return _leave(tx, live, by=by, reason=reason, now=now, at_least_epoch=at_least_epoch, back_to=back_to)


def _leave(
    tx: Connection,
    release: Release,
    *,
    by: str,
    reason: str,
    now: datetime,
    at_least_epoch: int = 0,
    back_to: int | None = None,
) -> Release:
    move = Move(to=Stage.ROLLED_BACK, reason=reason or "rolled back by hand", verdict=Verdict.FAIL)
    act = moves.Act(by=by, now=now, evidence={"reason": reason}, at_least_epoch=at_least_epoch, back_to=back_to)
    moved = moves.apply(tx, release, move, act)
    audit.append(tx, who=by, what="rollback", subject=moved.name, detail={"reason": reason}, now=now)
    return moved


def _walk(tx: Connection, release: Release, *, by: str, reason: str, now: datetime) -> Release:
    path = _PATHS[release.stage]
    if routes.current(tx, release.model) is None:
        path = (*path[:-1], Stage.CERTIFIED)
    for stage in path:
        move = Move(to=stage, reason=reason, verdict=Verdict.PASS)
        release = moves.apply(tx, release, move, moves.Act(by=by, now=now, evidence={"reason": reason}))
    return release
