"""From journal events to pairs: both answers to one request, told by bundle name, whichever side answered the user."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mainstay.core.calls import is_load_test
from mainstay.core.contracts import Contract, Pii, Role
from mainstay.core.events import Arm, Event, Kind, PairedAnswer
from mainstay.core.fallbacks import ABSTAINED, TRIPPED
from mainstay.core.releases import Release, Stage
from mainstay.core.routes import Route
from mainstay.models.segments import group_name
from mainstay.store import feedback, half_pairs, pairs
from mainstay.store.pairs import Pair

if TYPE_CHECKING:
    from sqlalchemy import Connection

UNCOUNTED_STEP = -1
"""Of a pair that no canary step counts: from shadow, from before the step, from after the lease ran out, or of a user
who was shown an answer that was drawn at random, which says nothing of what either version brings."""


def pair_of(
    event: Event, *, release: Release, champion: str, step: int, contract: Contract | None = None
) -> Pair | None:
    """Return the pair that an event completes, or None when it tells nothing about `release` against `champion`.

    A SHADOW record holds both answers, and of the inputs those that make segments. A PREDICTION record counts when the
    challenger was to answer and could not, so that somebody else answered in its place. The pair's arm is the side that
    was to answer the user.
    """
    if event.kind is Kind.SHADOW and event.paired is not None:
        found = _from_shadow(event, event.paired, release, champion, step)
    elif event.kind is Kind.PREDICTION and _challenger_failed(event):
        found = _from_failure(event, release, champion, step)
    else:
        return None
    if found is None or contract is None:
        return found
    return replace(found, segments=_segments(contract, event))


def _segments(contract: Contract, event: Event) -> tuple[str, ...]:
    """Return the declared segments of a request, of fields that the journal holds as they came."""
    if not event.inputs:
        return ()  # a record from before shadow answers held them
    fields = [field for field in contract.with_role(Role.SEGMENT) if field.pii is Pii.KEEP]
    names = (group_name(field, event.inputs.get(field.name)) for field in fields)
    return tuple(name for name in names if name is not None)


def ingest(
    tx: Connection,
    events: Iterable[Event],
    *,
    release: Release,
    champion: str,
    route: Route,
    contract: Contract | None = None,
    told: bool = False,
    target: str = "",
) -> int:
    """Keep the pairs of new events; return how many distinct requests were new. Safe to repeat.

    With a contract each pair knows the declared segments of its request. `told`: whether what others say that both
    versions answered is evidence too. Whoever may tell events could make it up, so it is none for a rollout that moves.

    A label of the `target` that came before its pair is written with it; one that comes later is written into the pair
    by who joins it (`mainstay.ingest`). Writes are serialised, so that one of both sees the other, whoever is killed.
    """
    found: list[Pair] = []
    for event in events:
        if event.model != release.model or event.received_at < release.created_at or is_load_test(event.trace_id):
            continue
        if event.kind is Kind.EXTERNAL:
            pair = _from_elsewhere(tx, event, release, champion, contract) if told else None
        else:
            step = _step(event, release, route)
            pair = pair_of(event, release=release, champion=champion, step=step, contract=contract)
        if pair is not None:
            found.append(pair)
    known = feedback.values_of(tx, release.model, target, [pair.id for pair in found]) if target else {}
    return sum(pairs.add(tx, replace(pair, label=known.get(pair.id))) for pair in found)


def compared(events: Iterable[Event], *, release: Release, champion: str, route: Route) -> int:
    """Return how many requests of the present route both versions answered, one that was asked before too."""
    return sum(
        event.model == release.model
        and event.route_epoch >= route.epoch
        and not is_load_test(event.trace_id)
        and pair_of(event, release=release, champion=champion, step=UNCOUNTED_STEP) is not None
        for event in events
    )


def tripped(events: Iterable[Event], *, release: Release, route: Route) -> str:
    """Return which worker asks the challenger of the present route no more, and why, or an empty text.

    It counts whether or not the requests are new: a pair is kept of each distinct request once, its failures are not.
    """
    if release.stage is not Stage.CANARY:
        return ""
    said = f"{Arm.CHALLENGER.value}: {TRIPPED}"
    for event in events:
        here = event.model == release.model and event.route_epoch == route.epoch and event.kind is Kind.PREDICTION
        if here and str(event.reason or "").startswith(said):
            return f"worker {event.worker}: {str(event.reason).removeprefix(said)}"
    return ""


def _step(event: Event, release: Release, route: Route) -> int:
    current = event.route_epoch >= route.epoch
    leased = route.lease_until is None or event.received_at < route.lease_until
    if event.assigned_arm is Arm.HOLDOUT or not current or not leased:
        return UNCOUNTED_STEP  # held out on purpose: no part of the split that is checked
    return release.step if release.stage is Stage.CANARY else UNCOUNTED_STEP


def _challenger_failed(event: Event) -> bool:
    failed = bool(event.reason) and not str(event.reason).startswith(ABSTAINED)
    return event.assigned_arm is Arm.CHALLENGER and event.served_arm is not Arm.CHALLENGER and failed


def _from_failure(event: Event, release: Release, champion: str, step: int) -> Pair | None:
    if event.bundle and event.bundle != champion:
        return None
    return Pair(
        **_shared(event, release, step),
        arm=Arm.CHALLENGER,
        challenger_failed=True,
        champion_failed=event.label is None,
        champion_label=event.label,
        champion_confidence=event.confidence,
        champion_trust=event.trust,
        champion_latency_us=event.latency_us,
    )


def _from_shadow(event: Event, paired: PairedAnswer, release: Release, champion: str, step: int) -> Pair | None:
    shadow = _side(event.label, event.confidence, event.trust, event.latency_us, failed=event.label is None)
    # Where a fallback answered, no model did: the champion failed too, and what was sent is not its answer.
    served = (
        _side(None, None, None, 0, failed=True)
        if paired.failed
        else _side(paired.label, paired.confidence, paired.trust, paired.latency_us, failed=False)
    )
    if (event.bundle, paired.bundle) == (release.name, champion):
        # A challenger that could not answer its user is written down here too, with the answer given in its place.
        asked = event.assigned_arm is Arm.CHALLENGER
        arm, mine, theirs = Arm.CHALLENGER if asked else Arm.CHAMPION, shadow, served
    elif (event.bundle, paired.bundle) == (champion, release.name):
        arm, mine, theirs = Arm.CHALLENGER, served, shadow
    else:
        return None
    if paired.served_arm is Arm.FALLBACK and not paired.failed:
        return None
    sides = {f"challenger_{k}": v for k, v in mine.items()} | {f"champion_{k}": v for k, v in theirs.items()}
    if paired.drawn:
        step = UNCOUNTED_STEP
    return Pair(**_shared(event, release, step), arm=arm, **sides)


def _from_elsewhere(
    tx: Connection, event: Event, release: Release, champion: str, contract: Contract | None
) -> Pair | None:
    """Return the pair that two answers told from elsewhere make: both versions', to the same inputs of the same key.

    So a service whose router mirrors requests to both versions is compared as one that is served here; answers to
    requests that only one of them saw make no pair, and are no evidence. Latencies are not told, and not judged.
    """
    if not event.unit or event.bundle not in (release.name, champion):
        return None
    side, other = ("challenger", "champion") if event.bundle == release.name else ("champion", "challenger")
    mine = {"id": event.id, "label": event.label, "confidence": event.confidence, "trust": event.trust}
    theirs = half_pairs.join(
        tx,
        model=release.model,
        version=release.version,
        unit=event.unit,
        side=side,
        answer=mine,
        at=event.received_at,
    )
    if theirs is None:
        return None
    sides = {f"{side}_{name}": mine[name] for name in ("label", "confidence")}
    sides |= {f"{other}_{name}": theirs.get(name) for name in ("label", "confidence")}
    shared = _shared(event, release, UNCOUNTED_STEP)
    # Labels are told of what the user was answered: by the champion, as the one who is not on trial.
    shared["id"] = event.id if side == "champion" else theirs["id"]
    segments = () if contract is None else _segments(contract, event)
    return Pair(**shared, arm=Arm.CHAMPION, segments=segments, **sides)


def _shared(event: Event, release: Release, step: int) -> dict[str, Any]:
    return {
        "model": release.model,
        "version": release.version,
        "unit": event.unit or event.id,
        "id": event.id,
        "key_hash": event.key_hash,
        # By the server's clock: what a caller says of its time must not decide whether labels are due.
        "occurred_at": event.received_at,
        "step": step,
    }


def _side(label: Any, confidence: float | None, trust: Any, latency_us: int, *, failed: bool) -> dict[str, Any]:
    return {"label": label, "confidence": confidence, "trust": trust, "latency_us": latency_us, "failed": failed}
