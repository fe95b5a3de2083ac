"""One turn of a model's rollout: take in what was answered, judge it, move one step, keep the lease. Idempotent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mainstay.config import failpoints
from mainstay.config.load import contract_of
from mainstay.config.settings import RolloutSettings, Settings
from mainstay.core.events import Event
from mainstay.core.ports import Clock
from mainstay.core.releases import IN_ROLLOUT, LIVE, Evidence, Move, Policy, Release, Stage, advance, share_at
from mainstay.core.routes import Route
from mainstay.core.verdicts import Check, Verdict
from mainstay.release import elapsed, ingest, judge, moves, opinion, questions, rewards, routing, trail, window
from mainstay.store import pairs, releases, routes
from mainstay.store.pairs import Pair

if TYPE_CHECKING:
    from sqlalchemy import Connection

CheckInServer = Callable[[Release], Check]
"""Loads the version in the real server and asks it: PASS, FAIL, or NOT_ENOUGH while that is not done yet.

Called inside the turn's transaction, so it must answer quickly; long work belongs before or beside it.
"""
DamageOf = Callable[[str], str]
"""Returns what is wrong with the bundle of a digest on disk, or an empty text; called inside the turn's transaction."""
ACTOR = "loop"
COMPARED = frozenset({Stage.SHADOW, Stage.CANARY, Stage.PROBATION, Stage.HELD})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    tx: Connection
    settings: Settings
    now: datetime
    damage_of: DamageOf

    @property
    def rollout(self) -> RolloutSettings:
        return self.settings.rollout


def policy_of(rollout: RolloutSettings) -> Policy:
    """Return the rule's policy from the section [rollout] (percent become shares, hours become durations)."""
    return Policy(
        plan=str(rollout.plan.value),
        steps=tuple(percent / 100.0 for percent in rollout.steps),
        shadow_min_units=rollout.shadow_min_units,
        step_min_units=rollout.step_min_units,
        hold_after=timedelta(hours=rollout.hold_after_hours),
        probation=timedelta(hours=rollout.probation_hours),
        split=rollout.split / 100.0,
        by_hand=rollout.start == "by_hand",
        unjudged=rollout.unjudged,
    )


def current(tx: Connection, model: str) -> Release | None:
    """Return the version that the rollout turns for: one on probation first, else the one on its way, else None."""
    live = releases.live(tx, model)
    if live is not None and live.stage is Stage.PROBATION:
        return live
    return releases.on_its_way(tx, model)


def turning(history: Sequence[Release]) -> Release | None:
    """Return the same of a model's versions that were read already."""
    live = releases.latest(history, LIVE)
    return live if live is not None and live.stage is Stage.PROBATION else releases.latest(history, IN_ROLLOUT)


def rollout_turn(
    tx: Connection,
    *,
    model: str,
    journal_events: Sequence[Event],
    settings: Settings,
    clock: Clock,
    check_in_server: CheckInServer,
    damage_of: DamageOf = lambda _digest: "",
) -> list[str]:
    """Do the next thing for a model's rollout; return what was done, one sentence each (nothing: an empty list).

    `journal_events` are those not seen before; seeing them again does no harm. At most one move is made. The caller
    commits; `StaleTransition` means that somebody else moved, and the next turn starts from there. By how much the
    clock was set since the last turn is no time that passed.
    """
    turn = _Turn(tx=tx, settings=settings, now=clock.now(), damage_of=damage_of)
    release = current(tx, model)
    if release is None:
        opinion.keep(tx, model, None, None, settings, policy_of(turn.rollout), turn.now)
        elapsed.looked(tx, model, clock)
        return []
    if release.stage is Stage.GATED:
        elapsed.looked(tx, model, clock)
        return _check(turn, release, check_in_server)
    route = routes.current(tx, model)
    evidence = _evidence(turn, release, route, journal_events)
    policy = policy_of(turn.rollout)
    opinion.keep(tx, model, release, evidence, settings, policy, turn.now)
    passed, jump = elapsed.counted(tx, release, clock)
    move = _approved(turn.rollout, release, advance(release, evidence, policy, passed))
    trail.keep(tx, release, evidence.checks, turn.now, anyway=move is not None)
    failpoints.reach("rollout.judged")
    told = [_told_of(jump)] if jump else []
    if move is None:
        _keep_lease(turn, route)
        return told
    moved = moves.apply(tx, release, move, _act(turn, release, move, evidence))
    elapsed.begin(tx, moved)
    return [*told, _told(release, moved)]


def evidence_for(
    tx: Connection,
    release: Release,
    settings: Settings,
    *,
    has_champion: bool = True,
    read: tuple[Sequence[Pair], float] | None = None,
) -> Evidence:
    """Judge a version from the pairs in the store, without taking in anything new (for pages and `mainstay status`).

    `read`: the window of pairs, where it was read already.
    """
    rows, level = window.rows(tx, release) if read is None else read
    paid = rewards.gather(tx, release, settings, rows)
    checks = judge.judge(rows, questions.plan_of(settings, level=level), paid)
    return Evidence(
        checks=[_believed(check) for check in checks],
        units=sum(not p.champion_failed and not p.challenger_failed for p in rows),
        step_units=_step_units(tx, release),
        has_champion=has_champion,
        armed=is_armed(settings),
        trip=judge.tripped(rows),
    )


def _believed(check: Check) -> Check:
    """Return a check that passes only where each of its figures is a number."""
    if check.verdict is not Verdict.PASS or not _has_nan(check.numbers):
        return check
    return replace(
        check, verdict=Verdict.NOT_ENOUGH, reason=f"a figure is no number (NaN), which passes nothing: {check.reason}"
    )


def _has_nan(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_nan, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_nan, value))
    return isinstance(value, float) and math.isnan(value)


def is_armed(settings: Settings) -> bool:
    """Return whether any guard has a limit."""
    numbers = not settings.project.task.is_classification
    return bool(questions.armed(settings.rollout.guards, numbers=numbers))


def _step_units(tx: Connection, release: Release) -> int:
    if release.stage is Stage.PROBATION:
        return elapsed.compared(tx, release)
    return pairs.count_step(tx, release.model, release.version, release.step)


def _check(turn: _Turn, release: Release, check_in_server: CheckInServer) -> list[str]:
    check = check_in_server(release)
    if check.verdict is Verdict.NOT_ENOUGH:
        return []
    to = Stage.CHECKED if check.verdict is Verdict.PASS else Stage.QUARANTINED
    moved = releases.move(
        turn.tx, release, to, reason=check.reason, by=ACTOR, evidence={"checks": [asdict(check)]}, now=turn.now
    )
    elapsed.begin(turn.tx, moved)
    return [_told(release, moved)]


def _evidence(turn: _Turn, release: Release, route: Route | None, events: Sequence[Event]) -> Evidence:
    damaged = _damaged(turn, release, route)
    if route is None or release.stage not in COMPARED:
        return Evidence(has_champion=route is not None, armed=is_armed(turn.settings), damaged=damaged)
    champion = _champion_name(release, route)
    contract = contract_of(turn.settings)
    told = turn.rollout.plan.value == "shadow"
    ingest.ingest(
        turn.tx,
        events,
        release=release,
        champion=champion,
        route=route,
        contract=contract,
        told=told,
        target=turn.settings.target.field,
    )
    if release.stage is Stage.PROBATION:
        count = ingest.compared(events, release=release, champion=champion, route=route)
        elapsed.note_compared(turn.tx, release, count)
    found = evidence_for(turn.tx, release, turn.settings, read=window.rows(turn.tx, release))
    return replace(found, trip=found.trip or ingest.tripped(events, release=release, route=route), damaged=damaged)


def _damaged(turn: _Turn, release: Release, route: Route | None) -> str:
    """Return what is wrong on disk with this version or with what it is compared with and would give way to."""
    refs = [routing.ref(release), *([] if route is None else [route.champion])]
    if release.stage is Stage.PROBATION and route is not None and route.previous is not None:
        refs.append(route.previous)
    for ref in dict.fromkeys(refs):
        if wrong := turn.damage_of(ref.digest):
            return f"the artefact of {release.model}@{ref.version} on disk is not what was released: {wrong}"
    return ""


def _champion_name(release: Release, route: Route) -> str:
    """Return the name of the version that `release` is compared with: on probation, the one before it."""
    if route.champion == routing.ref(release):
        return f"{route.model}@{route.previous.version}" if route.previous else ""
    return f"{route.model}@{route.champion.version}"


def _approved(rollout: RolloutSettings, release: Release, move: Move | None) -> Move | None:
    """Return the move, or a halt before the first step when people must agree."""
    first_step = release.stage is Stage.SHADOW and move is not None and move.to in (Stage.CANARY, Stage.PROBATION)
    if move is None or not first_step or rollout.approval == "none":
        return move
    reason = f"{move.reason}; [rollout] approval = {rollout.approval!r}: a person must promote it by hand"
    return Move(to=Stage.HELD, step=0, reason=reason, verdict=Verdict.PASS)


def _act(turn: _Turn, release: Release, move: Move, evidence: Evidence) -> moves.Act:
    share = share_at(policy_of(turn.rollout), move.step) if move.to is Stage.CANARY else 0.0
    document = as_document(evidence)
    if evidence.damaged and move.to is Stage.HELD and release.stage is not Stage.CHECKED:
        document |= {"paused": release.stage.value}  # resumed, it goes on where it stood and skips nothing
    return moves.Act(
        by=ACTOR,
        now=turn.now,
        evidence=document,
        share=share,
        kept=routing.kept_of(turn.rollout, turn.now),
        lease_until=routing.lease_end(turn.now, turn.rollout.lease_s),
    )


def as_document(evidence: Evidence) -> dict[str, Any]:
    """Return the evidence as the release's event keeps it."""
    return {
        "checks": [asdict(check) for check in evidence.checks],
        "units": evidence.units,
        "step_units": evidence.step_units,
        "trip": evidence.trip,
        "damaged": evidence.damaged,
    }


def _keep_lease(turn: _Turn, route: Route | None) -> None:
    if route is None or route.challenger is None or route.lease_until is None:
        return
    left = (route.lease_until - turn.now).total_seconds()
    # A lease longer than any that is given was given by a clock that has gone back since.
    ahead = left > turn.rollout.lease_s
    if left < 0.7 * turn.rollout.lease_s or ahead:
        until = routing.lease_end(turn.now, turn.rollout.lease_s)
        routes.renew(turn.tx, route.model, epoch=route.epoch, lease_until=until, shorten=ahead)


def _told_of(jump: timedelta) -> str:
    return f"the clock moved by {jump.total_seconds():+.0f} s that did not pass: no time that a version stood its trial"


def _told(before: Release, after: Release) -> str:
    return f"{after.name}: {before.stage} → {after.stage} ({after.reason})"
