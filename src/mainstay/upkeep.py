"""What the loop looks at beside traffic: each family of conditions in its turn, each in a transaction of its own.

A family tells its conditions as they are now; `watch.conditions` makes incidents of them. Each has its own pace. One
that fails does not keep the others from theirs: the step fails with all that went wrong, after all were done. Nothing
is kept between two looks but in the store, so that a look that was killed is simply done again.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from mainstay import alerting, artefacts
from mainstay.core import errors
from mainstay.core.events import Event
from mainstay.models import load as models
from mainstay.store import blocks, releases, routes, states
from mainstay.watch import age, conditions, feeds, heartbeat, machine, probe, probed, rewards, skew
from mainstay.watch import artefacts as on_disk
from mainstay.watch.conditions import Condition
from mainstay.watch.turn import consumer

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from mainstay.core.releases import Release
    from mainstay.parts import Parts

log = logging.getLogger("mainstay.upkeep")
SKEW_EVERY, SKEW_AFTER_A_DEATH = timedelta(hours=1), timedelta(hours=24)
SKEW_S = 60.0
"""Longest computing of one version's sample (seconds)."""
LOOK_BACK = 4
"""Skew looks at so many times as many records of each worker as it computes again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Conditions of one kind."""

    name: str
    every: timedelta
    look: Callable[[Connection, Parts, Release | None, datetime], Sequence[Condition]]
    """Tells them, from the store alone."""
    before: Callable[[Parts, Release | None, datetime], None] | None = None
    """What is to be done before, outside the transaction."""
    elsewhere: bool = True
    """Whether it means anything for a model that answers elsewhere."""


def turn(parts: Parts) -> list[str]:
    """Look at each family whose time has come; return a sentence for each thing that began, came back or ended."""
    told: list[str] = []
    failed: list[str] = []
    with parts.store.read() as tx:
        live = releases.live(tx, parts.model)
    for family in FAMILIES:
        if _rests(parts, family, live):
            continue
        try:
            told += _look(parts, family, live)
        except errors.StaleTransition as stale:
            told.append(f"{family.name}: somebody else was first ({stale.message}); the next turn looks again")
        except errors.StoreUnavailable:
            raise
        except Exception as error:
            log.exception("conditions %s failed", family.name)
            failed.append(f"{family.name}: {type(error).__name__}: {error}")
    if failed:
        raise errors.EnvironmentFault(f"conditions could not be looked at: {'; '.join(failed)}")
    return told


def count(tx: Connection, parts: Parts, events: Sequence[Event], *, more: bool) -> None:
    """Count what the watch is about to take; in the transaction that moves its place on, before it does."""
    after = blocks.cursor(tx, consumer(parts.model))
    feeds.count(tx, parts.model, events, after=after, whole=not more, now=parts.clock.now())
    rewards.count_answers(tx, parts.model, events, parts.settings.watch, after=after)


def _rests(parts: Parts, family: Family, live: Release | None) -> bool:
    if parts.settings.project.elsewhere and not family.elsewhere:
        return True
    at = parts.looked_at.get(_place(family, live))
    return at is not None and abs(parts.clock.now() - at) < family.every


def _place(family: Family, live: Release | None) -> str:
    """Return the name of a look: another version is looked at at once."""
    return f"{family.name} {live.version if live is not None else 0}"


def _look(parts: Parts, family: Family, live: Release | None) -> list[str]:
    now = parts.clock.now()
    if family.before is not None:
        family.before(parts, live, now)
    with parts.store.begin() as tx:
        found = family.look(tx, parts, live, now)
        done = conditions.settle(
            tx,
            model=parts.model,
            bundle=live.name if live is not None else "",
            family=family.name,
            conditions=found,
            now=now,
        )
        if done.announced or done.mitigated:
            alerting.announce(tx, parts)
    parts.looked_at[_place(family, live)] = now
    began = [f"incident {i.id} ({i.severity.value}): {i.title}" for i in done.announced]
    return began + [f"incident {i.id} is over: {i.title}" for i in done.mitigated]


def _feeds(tx: Connection, parts: Parts, _live: Release | None, now: datetime) -> Sequence[Condition]:
    return feeds.look(tx, parts.model, times=parts.settings.watch.gap_times, now=now)


def _rewards(tx: Connection, parts: Parts, live: Release | None, now: datetime) -> Sequence[Condition]:
    return rewards.look(tx, parts.model, live.name if live is not None else "", parts.settings.watch, now)


def _machine(tx: Connection, parts: Parts, _live: Release | None, now: datetime) -> Sequence[Condition]:
    return machine.look(tx, parts.model, total_mb=_memory_mb(), now=now)


def _age(_tx: Connection, parts: Parts, live: Release | None, now: datetime) -> Sequence[Condition]:
    return age.look(live, parts.settings.watch.max_age_days, now)


def _probe(parts: Parts, live: Release | None, now: datetime) -> None:
    """Try the watch with the profile of who answers, when it is time."""
    if live is None:
        return
    with parts.store.read() as tx:
        last = heartbeat.last_probe(tx, parts.model)
    if not heartbeat.is_probe_due(last, live.name, now):
        return
    opened = parts.open_version(live.name)
    if opened is None:
        found = probed.Probed(at=now, bundle=live.name, quiet=False, bad=False, why="its bundle cannot be opened")
    else:
        found = probe.probe(opened.profile, parts.settings.watch, bundle=live.name, now=now, seed=int(now.timestamp()))
    with parts.store.begin() as tx:
        heartbeat.keep_probe(tx, parts.model, found)


def _on_disk(tx: Connection, parts: Parts, _live: Release | None, now: datetime) -> Sequence[Condition]:
    route = routes.current(tx, parts.model)
    if route is None:
        return []
    named = [(f"{parts.model}@{ref.version}", role, ref.digest) for role, ref in artefacts.named(route)]
    found = [
        on_disk.OnDisk(name=name, role=role, digest=digest, wrong=artefacts.damage(parts, digest))
        for name, role, digest in named
    ]
    told = conditions.latest(tx, parts.model, on_disk.FAMILY)
    return on_disk.look([one for one in found if one.wrong or one.name in told], now)


def _probed(tx: Connection, parts: Parts, _live: Release | None, _now: datetime) -> Sequence[Condition]:
    return [probed.condition(heartbeat.last_probe(tx, parts.model))]


def _alive(_tx: Connection, _parts: Parts, _live: Release | None, _now: datetime) -> Sequence[Condition]:
    """Say that the loop lives: whoever says it does."""
    return [Condition(name=heartbeat.LOOP, holds=False, over="The loop turns again.")]


def _skew(parts: Parts, _live: Release | None, now: datetime) -> None:
    """Compute a sample of served rows again, when it is time.

    What is tried is written down first: a model that takes this process with it, or does not come back, is left alone
    for a day.
    """
    rows = parts.settings.watch.skew_rows
    with parts.store.read() as tx:
        found = states.get(tx, _skew_name(parts))
        place = blocks.cursor(tx, consumer(parts.model))
    kept = found[0] if found is not None else {}
    if not rows or not _skew_is_due(kept, now):
        return
    behind = {worker: max(0, seq - LOOK_BACK * rows) for worker, seq in place.items()}
    events, _ = parts.journal.read(behind, LOOK_BACK * rows * max(1, len(behind)))
    chosen = skew.sample([event for event in events if event.model == parts.model], rows)
    version = found[1] if found is not None else None
    if chosen:
        with parts.store.begin() as tx:
            trying = kept | {"trying": sorted(chosen), "at": now.isoformat()}
            version = states.put(tx, _skew_name(parts), trying, expected_version=version)
    done, late = [], list[str]()
    for bundle, some in sorted(chosen.items()):
        found_ = _in_time(partial(_examined, parts, bundle, some, now), SKEW_S)
        if found_ is None:
            late.append(bundle)
            found_ = skew.Skew(bundle=bundle, at=now, rows=0, why=f"it took longer than {SKEW_S:g} s")
        done.append(found_.as_dict())
    with parts.store.begin() as tx:
        told = {"at": now.isoformat(), "trying": late, "samples": done}
        states.put(tx, _skew_name(parts), told, expected_version=version)


def _in_time(act: Callable[[], skew.Skew], seconds: float) -> skew.Skew | None:
    """Return what `act` returns, or None after so long: a model that hangs must not hang the loop."""
    done: list[skew.Skew] = []
    thread = threading.Thread(target=lambda: done.append(act()), name="skew", daemon=True)
    thread.start()
    thread.join(seconds)
    return done[0] if done else None


def _examined(parts: Parts, bundle: str, events: Sequence[Event], now: datetime) -> skew.Skew:
    number = bundle.rpartition("@")[2]
    try:
        with parts.store.read() as tx:
            release = releases.get_or_none(tx, parts.model, int(number)) if number.isdigit() else None
        if release is None:
            return skew.Skew(bundle=bundle, at=now, rows=0, why="the store knows no such version")
        loaded = models.load(parts.open_bundle(release.digest, original=True), original=True)
    except errors.MainstayError as error:
        return skew.Skew(bundle=bundle, at=now, rows=0, why=error.message)
    return skew.examine(loaded, events, parts.vault, bundle=bundle, now=now)


def _skew_is_due(kept: dict[str, Any], now: datetime) -> bool:
    if "at" not in kept:
        return True
    age_ = abs(now - datetime.fromisoformat(str(kept["at"])))
    return age_ >= (SKEW_AFTER_A_DEATH if kept.get("trying") else SKEW_EVERY)


def _skews(tx: Connection, parts: Parts, _live: Release | None, _now: datetime) -> Sequence[Condition]:
    found = states.get(tx, _skew_name(parts))
    samples = [skew.Skew.from_dict(one) for one in found[0].get("samples", ())] if found is not None else []
    return [skew.condition(one) for one in samples]


def _skew_name(parts: Parts) -> str:
    return f"skew:{parts.model}"


def _memory_mb() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    except (OSError, ValueError):
        return None


MINUTE = timedelta(minutes=1)
ON_DISK_EVERY = timedelta(seconds=15)
FAMILIES = (
    Family(name=heartbeat.FAMILY, every=MINUTE, look=_alive),
    Family(name=heartbeat.PROBE, every=MINUTE, look=_probed, before=_probe),
    Family(name=feeds.FAMILY, every=MINUTE, look=_feeds),
    Family(name=rewards.FAMILY, every=5 * MINUTE, look=_rewards),
    Family(name=machine.FAMILY, every=5 * MINUTE, look=_machine, elsewhere=False),
    Family(name=on_disk.FAMILY, every=ON_DISK_EVERY, look=_on_disk, elsewhere=False),
    Family(name=age.FAMILY, every=MINUTE, look=_age),
    Family(name=skew.FAMILY, every=5 * MINUTE, look=_skews, before=_skew, elsewhere=False),
)
