"""One turn of the watch over new journal events: blocks, evidence and incidents, in the caller's transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from mainstay.config.settings import Settings, WatchSettings
from mainstay.core.calls import is_load_test
from mainstay.core.events import Arm, Event
from mainstay.core.ports import Clock
from mainstay.core.profiles import Profile
from mainstay.store import blocks, feedback, states
from mainstay.watch import compare, diagnose, estimate, outlook, quality
from mainstay.watch.compare import Comparison, WatchState
from mainstay.watch.grading import LABELS, gap, is_graded, unit_of
from mainstay.watch.intake import Cut, Intake, Rest, busy_after, is_dense
from mainstay.watch.lifecycle import (
    Bundle,
    Reference,
    TurnResult,
    close_old,
    has_broken_field,
    on_alarm,
    on_quiet,
    retell,
)
from mainstay.watch.recall import EVENTS, Recent
from mainstay.watch.shares import share_out
from mainstay.watch.window import CONFIDENCE, COUNTED, Observation, cut, observe, once

if TYPE_CHECKING:
    from sqlalchemy import Connection

BLOCK_WORDS = 300
BLOCK_EXAMPLES = 5
MOST_GRADED = 5_000
BUNDLES = 4
"""Bundles whose labels are still looked for."""


def consumer(model: str) -> str:
    """Return the name under which the watch's place in the journal is kept."""
    return f"watch:{model}"


def watch_turn(
    tx: Connection,
    *,
    model: str,
    journal_events: Sequence[Event],
    loaded_model_provider: Callable[[str], Reference | None],
    settings: Settings,
    clock: Clock,
    cursor: Mapping[str, int] | None = None,
    recent: Recent | None = None,
    bounded: bool = True,
) -> TurnResult:
    """Take the events once, add whole blocks to the evidence, and open, extend or close incidents.

    All is written in `tx` together with the place in the journal (consumer `watch:<model>`), so that a turn that was
    killed is simply done again; events at or before the stored place are ignored. `journal_events` are those after that
    place, of any kind and model; `cursor` is the place after them when it lies further on (else it follows from the
    events). `loaded_model_provider` gets `model@version` and returns None for a bundle that cannot be opened; its
    requests are skipped and reported. Evidence is kept per bundle: a new version starts anew with its own profile.
    `recent` reads the newest requests again when an incident is told, to show them; without it those of this turn are
    all that is shown. `bounded`: of dense traffic a part is measured (`intake`); a replay has time, and measures all.
    """
    now = clock.now()
    place = blocks.cursor(tx, consumer(model))
    fresh = [event for event in journal_events if event.seq > place.get(event.worker, 0)]
    result = TurnResult()
    head, head_version = _head(tx, model)
    labels = feedback.count(tx, model)
    if not fresh and not head["waiting"] and labels == head["labels"]:
        _keep_place(tx, model, fresh, cursor)
        return result
    before_head = dict(head)
    place = _place_after(place, fresh, cursor)
    again = cache(lambda: journal_events if recent is None else recent(place, EVENTS))
    by_bundle = _by_bundle(fresh, model, head)
    arrived = {name: max(event.received_at for event in events) for name, events in by_bundle.items()}
    every = list(dict.fromkeys([*by_bundle, *head["bundles"]]))
    shared = share_out(head.get("time"), arrived, current=head["current"], bundles=every)
    for name in every:
        events = by_bundle.get(name, [])
        reference = loaded_model_provider(name)
        if reference is None:
            if events:
                result.skipped[name] = len(events)
            continue
        bundle, before = _open(tx, model, name, reference)
        bundle.recent, bundle.current = again, name == head["current"]
        bundle.labels_wanted, bundle.open_version = settings.retrain.min_labels, loaded_model_provider
        result.rows += len(events)
        if shared is not None:
            shared.add_to(bundle.state)
        dense = _take(bundle, events, settings.watch, bounded=bounded)
        _take_labels(tx, bundle, count=labels)
        _work(tx, bundle, dense, settings.watch, result, now)
        if name == head["current"]:
            close_old(tx, bundle, result, now)
        result.waiting += len(bundle.state.waiting)
        after = bundle.state.as_dict()
        if after != before:
            states.put(tx, _state_name(model, name), after, expected_version=bundle.version)
    names = [*[name for name in head["bundles"] if name not in by_bundle], *by_bundle][-BUNDLES:]
    kept = {"bundles": names, "current": head["current"], "waiting": result.waiting, "labels": labels}
    if shared is not None or "time" in head:
        kept["time"] = head["time"] if shared is None else shared.as_dict()
    if kept != before_head:
        states.put(tx, consumer(model), kept, expected_version=head_version)
    _keep_place(tx, model, fresh, cursor)
    return result


def _state_name(model: str, bundle: str) -> str:
    return f"watch:{model}:{bundle}"


def _head(tx: Connection, model: str) -> tuple[dict[str, Any], int | None]:
    found = states.get(tx, consumer(model))
    if found is None:
        return {"bundles": [], "current": "", "waiting": 0, "labels": 0}, None
    return found


def _place_after(place: Mapping[str, int], fresh: Sequence[Event], cursor: Mapping[str, int] | None) -> dict[str, int]:
    after = {**place, **(cursor or {})}
    for event in fresh:
        after[event.worker] = max(after.get(event.worker, 0), event.seq)
    return after


def _keep_place(tx: Connection, model: str, fresh: Sequence[Event], cursor: Mapping[str, int] | None) -> None:
    place = _place_after({}, fresh, cursor)
    if place:
        blocks.set_cursor(tx, consumer(model), place)


def _by_bundle(fresh: Sequence[Event], model: str, head: dict[str, Any]) -> dict[str, list[Event]]:
    """Group the requests by the bundle that answered; one that no bundle answered goes to the current champion."""
    out: dict[str, list[Event]] = {}
    homeless: list[Event] = []
    newest: tuple[datetime, str] | None = None
    for event in fresh:
        if event.model != model or event.kind not in COUNTED or is_load_test(event.trace_id):
            continue
        if not event.bundle:
            homeless.append(event)
            continue
        out.setdefault(event.bundle, []).append(event)
        if event.served_arm in (Arm.CHAMPION, None):
            newest = max(newest or (event.received_at, event.bundle), (event.received_at, event.bundle))
    if newest is not None:
        head["current"] = newest[1]
    if homeless and head["current"]:
        out.setdefault(head["current"], []).extend(homeless)
    return out


def _open(tx: Connection, model: str, name: str, reference: Reference) -> tuple[Bundle, Mapping[str, Any] | None]:
    """Return the bundle and its state as it is stored."""
    found = states.get(tx, _state_name(model, name))
    if found is None:
        return Bundle(name=name, reference=reference, state=WatchState(model=model, bundle=name), version=None), None
    state = WatchState.from_dict(found[0])
    return Bundle(name=name, reference=reference, state=state, version=found[1]), found[0]


def _take(bundle: Bundle, events: Sequence[Event], settings: WatchSettings, *, bounded: bool) -> list[Cut]:
    """Measure the requests, or of more than can be measured a part of the units; return blocks of dense traffic."""
    state, reference = bundle.state, bundle.reference

    def look(event: Event) -> Observation:
        return observe(event, reference.signals, reference.contract)

    if state.rest is not None and not events:  # nothing more comes to it
        state.waiting, state.rest, over = [], None, Cut(rows=state.waiting, rest=state.rest)
        return [over]
    events = sorted(events, key=lambda event: event.received_at)
    before = len(state.waiting)
    if not bounded or (state.rest is None and not is_dense(state.busy_until, events)):
        state.waiting += [look(event) for event in events]
        if bounded and events:
            state.busy_until = busy_after(state.busy_until, events[0].received_at, len(events))
        return []
    plan = compare.plan_of(reference.profile, settings)
    rest = state.rest if state.rest is not None and len(state.rest.columns) == plan.width else None
    state.waiting.sort(key=lambda row: (row.received_at, row.id))
    keys = {event.key_hash for event in events}
    by_key = compare.counts_keys(keys, reference.contract.key is not None) if rest is None else rest.by_key
    each = compare.counts_each(reference.profile)
    intake = Intake(plan, reference.contract, most=settings.block_max_rows, by_key=by_key, each=each)
    cuts, state.waiting, state.rest = intake.take(state.waiting, rest, events, look)
    measured = max(0, sum(len(one.rows) for one in cuts) + len(state.waiting) - before)
    state.busy_until = busy_after(state.busy_until, events[0].received_at, measured)
    return cuts


def _take_labels(tx: Connection, bundle: Bundle, *, count: int) -> None:
    """Take labelled answers of the bundle that were not counted yet, each once."""
    state = bundle.state
    if count == state.labels_seen:
        return
    state.labels_seen = count
    known = set(state.graded)
    for item in feedback.labels(tx, state.model, limit=LABELS):
        if item.bundle != bundle.name or item.id in known or not is_graded(item, bundle.reference.contract):
            continue
        state.gaps.append((unit_of(item, state), gap(item)))
        state.graded.append(item.id)
    state.graded = state.graded[-MOST_GRADED:]


def _work(
    tx: Connection, bundle: Bundle, dense: Sequence[Cut], settings: WatchSettings, result: TurnResult, now: datetime
) -> None:
    state = bundle.state
    done = list(dense)
    if state.rest is None:
        whole, state.waiting = cut(
            state.waiting,
            least=settings.block_min_rows,
            most=settings.block_max_rows,
            patience=timedelta(minutes=settings.block_minutes),
            now=now,
        )
        done += [Cut(rows=rows) for rows in whole]
    if not done and len(state.gaps) >= settings.block_min_rows and state.started_at is not None:
        done = [Cut(rows=[])]
    broken = bool(done) and has_broken_field(tx, bundle)
    for one in done:
        rows, repeats = once(one.rows)
        comparison = compare.update(
            state,
            rows,
            bundle.reference.profile,
            settings,
            key_declared=bundle.reference.contract.key is not None,
            rest=one.rest,
        )
        if rows or one.rest is not None:
            result.blocks += 1
            blocks.put_block(tx, _block(bundle, rows, one.rest, comparison, broken=broken, repeats=repeats))
        if comparison.alarm:
            on_alarm(tx, bundle, comparison, settings, result, now)
        else:
            on_quiet(tx, bundle, comparison, result, now)
        retell(tx, bundle, comparison, settings, result, now)
    if done:
        state.time_passed = state.time_own = 0.0


def _block(
    bundle: Bundle,
    rows: Sequence[Observation],
    rest: Rest | None,
    comparison: Comparison,
    *,
    broken: bool,
    repeats: int,
) -> blocks.Block:
    state = bundle.state
    summary = _summary(state, rows, comparison, bundle.reference.profile, broken=broken) | {"repeats": repeats}
    moments, count, keys = [row.occurred_at for row in rows], len(rows), float(len({row.key for row in rows}))
    if rest is not None:
        moments.append(rest.begins_at)
        count, keys = count + rest.rows, keys / rest.share
        summary |= {
            "outcomes": dict(Counter(rest.outcomes) + Counter(summary["outcomes"])),
            "repeats": repeats + rest.repeats,
            "measured": len(rows),
            "measured_share": rest.share,
        }
    return blocks.Block(
        model=state.model,
        bundle=bundle.name,
        number=state.number,
        first_at=min(moments),
        last_at=max(moments),
        rows=count,
        keys=round(keys),
        summary=summary,
    )


def _believed(now: estimate.Estimate | None, *, broken: bool, doubts: Sequence[str]) -> dict[str, Any] | None:
    """Return the estimate with what it rests on; beside a broken field only bad news is to be believed.

    `doubts`: what speaks against it, e.g. inputs unlike those of the reference.
    """
    if now is None:
        return None
    if broken and not now.drop_shown:
        return replace(now, assumption=estimate.BROKEN).as_dict()
    if doubts:
        return replace(now, assumption=f"{'; '.join(doubts)}; {estimate.ASSUMPTION}").as_dict()
    return now.as_dict()


def _summary(
    state: WatchState, rows: Sequence[Observation], comparison: Comparison, profile: Profile, *, broken: bool
) -> dict[str, Any]:
    """Return what pages and the diagnosis need of a block later."""
    numbers: dict[str, list[float]] = {}
    for row in rows:
        for name, value in row.signals.items():
            if not isinstance(value, str):
                numbers.setdefault(name, []).append(value)
    words: dict[str, Counter[str]] = {}
    for row in rows:
        for name, found in row.words.items():
            words.setdefault(name, Counter()).update(found)
    unsure = sorted(
        (float(row.signals[CONFIDENCE]), row.id) for row in rows if isinstance(row.signals.get(CONFIDENCE), float)
    )
    now = diagnose.estimate_now(state, comparison, profile)
    sums = quality.block_sums(rows, profile.quality, repeats=state.history.repeats)
    state.newest = quality.fade(state.newest, sums)
    doubts = quality.doubts(profile.quality, state.newest)
    log = comparison.assessment.log_evidence
    return {
        "estimate": _believed(now, broken=broken, doubts=doubts),
        "log_evidence": log if log > float("-inf") else None,
        "log_bar": comparison.log_bar,
        "outlook": outlook.of(state, comparison, profile),
        "units": comparison.units,
        "means": {name: sum(values) / len(values) for name, values in sorted(numbers.items())},
        "outcomes": dict(Counter(row.outcome.value for row in rows)),
        "segments": dict(Counter(name for row in rows for name in row.segments)),
        "words": {name: dict(counts.most_common(BLOCK_WORDS)) for name, counts in words.items()},
        "unsure": [[confidence, id_] for confidence, id_ in unsure[:BLOCK_EXAMPLES]],
        "quality": sums,
    }
