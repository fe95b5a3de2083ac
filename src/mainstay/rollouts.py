"""What people do with a rollout: look, start, pause, resume, abort, promote, and read its history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mainstay.core import errors
from mainstay.core.releases import Release, Stage
from mainstay.release import approval, manual, opinion, promises, rollout
from mainstay.store import integrity, promotions, routes
from mainstay.store import releases as rows

if TYPE_CHECKING:
    from mainstay.parts import Parts
    from mainstay.store.release_events import ReleaseEvent

EVIDENCE_SHOWN = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The version on its way, and what is thought of it."""

    model: str
    name: str = ""
    """`model@version`; empty when none is on its way."""
    stage: str = ""
    step: int = 0
    share: float = 0.0
    """Part of the keys that it answers."""
    since: datetime | None = None
    why: str = ""
    verdict: str = ""
    reason: str = ""
    evidence: str = ""
    """Digest that an approval names."""
    judged_at: datetime | None = None
    checks: tuple[Mapping[str, Any], ...] = ()
    approvals_needed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of a command."""

    name: str
    stage: str
    text: str
    missing: int = 0
    """How many more people must agree before anything happens."""


def show(parts: Parts) -> Look:
    """Return the version on its way with the opinion that the loop wrote last."""
    with parts.store.read() as tx:
        release = rollout.current(tx, parts.model)
        known = opinion.read(tx, parts.model) or {}
        route = routes.current(tx, parts.model)
    if release is None:
        return Look(model=parts.model)
    now = known.get("current") or {}
    now = now if now.get("version") == release.version and now.get("stage") == release.stage.value else {}
    return Look(
        model=parts.model,
        name=release.name,
        stage=release.stage.value,
        step=release.step,
        share=1.0 if release.stage is Stage.PROBATION else 0.0 if route is None else route.share,
        since=release.since,
        why=release.reason,
        verdict=now.get("verdict", ""),
        reason=now.get("reason", "not judged since it came here"),
        evidence=now.get("digest", ""),
        judged_at=datetime.fromisoformat(known["at"]) if now else None,
        checks=tuple(now.get("checks", ())),
        approvals_needed=approval.NEEDED[parts.settings.rollout.approval],
    )


def start(parts: Parts, version: int, *, by: str, reason: str) -> Done:
    """Begin a rollout of a version that waits, or anew of one that was rolled back."""
    return _done(_act(parts, manual.start, by=by, reason=reason, version=version), "is on its way")


def pause(parts: Parts, *, by: str, reason: str) -> Done:
    """Let the version on its way answer nobody until it is resumed."""
    return _done(_act(parts, manual.pause, by=by, reason=reason), "answers nobody until it is resumed")


def abort(parts: Parts, *, by: str, reason: str) -> Done:
    """Take the version on its way out."""
    return _done(_act(parts, manual.abort, by=by, reason=reason), "left; the champion answers everybody")


def resume(parts: Parts, *, by: str, reason: str, evidence: str = "") -> Done:
    """Let a held version go on, once as many people as [rollout] approval asks for agreed on the evidence of now."""
    settings, now = parts.settings.rollout, parts.clock.now()
    with parts.store.begin() as tx:
        held = manual.held_version(tx, parts.model)
        more = approval.still_missing(
            tx, held, settings, what="resume", evidence=evidence, by=by, reason=reason, now=now
        )
        if more:
            return _waits(held, more)
        policy = rollout.policy_of(settings)
        moved = manual.resume(tx, model=parts.model, rollout=settings, policy=policy, by=by, reason=reason, now=now)
    return _done(moved, "goes on")


def promote(
    parts: Parts, version: int, *, by: str, reason: str, force: bool = False, evidence: str = ""
) -> tuple[Release, Done]:
    """Let a version answer everybody, or end its probation; return where it stood before, too.

    With [rollout] approval = "two", two people must agree on the same evidence; `force` skips that and is audited.
    """
    settings, now = parts.settings.rollout, parts.clock.now()
    with parts.store.begin() as tx:
        before = rows.get(tx, parts.model, version)
        asked = settings.approval == "two" and not force and before.stage in rollout.COMPARED
        if asked:
            more = approval.still_missing(
                tx, before, settings, what="promote", evidence=evidence, by=by, reason=reason, now=now
            )
            if more:
                return before, _waits(before, more)
        if before.stage is Stage.PROBATION and evidence:
            moved = manual.certify(tx, before, by=by, reason=reason, now=now)
            return before, _done(moved, "is certified")
        moved = manual.promote(tx, model=parts.model, version=version, by=by, reason=reason, now=now, force=force)
    return before, _done(moved, "answers")


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Every move of a model's versions, and what is wrong with their record."""

    moves: tuple[ReleaseEvent, ...]
    head: str
    """Hash of the newest move: kept elsewhere, it shows later that nothing was cut off."""
    problems: tuple[str, ...]


def history(parts: Parts, *, version: int | None = None, expect: str = "") -> History:
    """Return the hash-chained record, checked whole; `expect` is the hash of a move that must be in it."""
    with parts.store.read() as tx:
        moves = rows.events(tx, parts.model)
        problems = [*rows.verify_chain(tx, parts.model), *integrity.versions(tx, parts.model)]
        problems += promises.problems(tx, parts.model)
    if expect and not any(move.hash.startswith(expect) for move in moves):
        problems.append(f"no move has the hash {expect}: moves were cut off, or the record was written anew")
    shown = [move for move in moves if version is None or move.version == version]
    return History(moves=tuple(shown), head=moves[-1].hash if moves else "", problems=tuple(problems))


def ledger(parts: Parts) -> Sequence[promotions.Promotion]:
    """Return what each promotion promised offline and what was seen online, newest first."""
    with parts.store.read() as tx:
        return promotions.all_of(tx, parts.model)


def _act(parts: Parts, do: Callable[..., Release], **more: Any) -> Release:
    with parts.store.begin() as tx:
        return do(tx, model=parts.model, now=parts.clock.now(), **more)


def _done(moved: Release, what: str) -> Done:
    return Done(name=moved.name, stage=moved.stage.value, text=f"{moved.name} {what}: {moved.reason}")


def _waits(release: Release, more: int) -> Done:
    people = "1 more person" if more == 1 else f"{more} more people"
    text = f"noted; {people} must agree on the same evidence before {release.name} moves"
    return Done(name=release.name, stage=release.stage.value, text=text, missing=more)


def must_be_whole(found: History) -> None:
    """Raise Damaged where the record was changed."""
    if found.problems:
        raise errors.Damaged(
            f"The record of moves is not whole: {found.problems[0]}",
            remedy="Compare with a backup of the store; who could write to it could change it.",
            problems=[errors.Problem(where="history", what=problem) for problem in found.problems],
        )
