"""A version on its way: the evidence against its limits, both arms, what is missing, what can be done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from mainstay.core.releases import IN_ROLLOUT, Stage
from mainstay.core.verdicts import Check
from mainstay.status.records import Rollout as Standing
from mainstay.status.records import Status
from mainstay.store.pairs import Pair
from mainstay.store.release_events import ReleaseEvent
from mainstay.viewing.rollout import Arm, Need, Way
from mainstay.web import links, tables
from mainstay.web.looks import Look
from mainstay.web.pages import bands
from mainstay.web.pages.overview import GUARD_WORDS
from mainstay.web.shown.parts import Cell, Column, Table
from mainstay.web.shown.rollout import Action, Current, Limit, Rollout, Step
from mainstay.web.words import counted, figure, length, moment, percent, seconds, spaced, whole_percent

BEFORE = (Stage.GATED, Stage.CHECKED, Stage.SHADOW)
AFTER = (Stage.PROBATION, Stage.CERTIFIED)


def page(look: Look) -> Rollout:
    """Read the rollout that turns now."""
    status = look.room.status()
    checks = () if status.rollout is None else status.rollout.checks
    champion = "" if status.answering is None else status.answering.name
    return build(status, look.room.rollout(checks, champion), look.now())


def build(status: Status, way: Way, now: datetime) -> Rollout:
    """Return the page's context."""
    model, standing = status.model, status.rollout
    current = None if standing is None or way.release is None else _current(model, standing, way, now)
    return Rollout(
        model=model,
        current=current,
        actions=_actions(status, way),
        events=events_table(way.events, model, now, csv=links.model(model, "rollout", csv="events")),
    )


def _actions(status: Status, way: Way) -> tuple[Action, ...]:
    model, here, found = status.model, links.model(status.model, "rollout"), []
    if status.elsewhere:
        return ()
    if way.release is not None and way.release.stage in IN_ROLLOUT:
        version = way.release.version
        held = way.release.stage is Stage.HELD
        if held or way.release.stage in (Stage.SHADOW, Stage.CANARY):
            text, act = ("Let it go on", "resume") if held else ("Hold", "hold")
            found.append(Action(text=text, href=_ask(model, act, version, here), danger=False))
        found += [
            Action(text=f"Promote {way.release.name}", href=_ask(model, "promote", version, here), danger=False),
            Action(text=f"Abort {way.release.name}", href=_ask(model, "abort", version, here), danger=True),
        ]
    settled = way.release is None or way.release.stage is Stage.PROBATION  # else what is on its way leaves first
    if settled and status.answering is not None and status.answering.previous:
        text = f"Roll back to {status.answering.previous}"
        found.append(Action(text=text, href=_ask(model, "rollback", status.answering.previous, here), danger=True))
    return tuple(found)


def _ask(model: str, act: str, subject: int | str, back: str) -> str:
    return links.model(model, f"do/{act}", subject=subject, back=back)


def _current(model: str, standing: Standing, way: Way, now: datetime) -> Current:
    needs = {need.guard: need for need in way.needs}
    pace = f"{counted(round(way.per_hour))} distinct requests an hour are answered by both" if way.per_hour else ""
    return Current(
        name=standing.name,
        href=links.version(model, standing.version),
        stage=spaced(standing.stage.value),
        since=moment(standing.since, now),
        share=whole_percent(standing.share),
        reason=standing.reason,
        trigger=standing.trigger,
        missing=standing.missing,
        champion=way.champion,
        pace=f"{pace}; {counted(way.pairs)} so far." if pace else f"{counted(way.pairs)} distinct requests so far.",
        steps=_steps(way, standing.stage),
        limits=tuple(_limit(check, needs.get(check.name)) for check in standing.checks),
        over_time=bands.figures(way.trail, now, links.model(model, "rollout")),
        arms=_arms(way, model),
        different=_different(way.different, model, now),
    )


def _steps(way: Way, stage: Stage) -> tuple[Step, ...]:
    """Return the stages with the shares of the keys between them; one that waits for a person stands where it stood."""
    step = 0 if way.release is None else way.release.step
    names = [spaced(one.value) for one in BEFORE]
    names += [f"{whole_percent(share)} of keys" for share in way.steps if share < 1]
    names += [spaced(one.value) for one in AFTER]
    if stage in BEFORE:
        here = BEFORE.index(stage)
    elif stage in AFTER:
        here = len(names) - len(AFTER) + AFTER.index(stage)
    else:
        here = min(len(BEFORE) + step, len(names) - len(AFTER) - 1)
    return tuple(
        Step(name=name, state="done" if i < here else "here" if i == here else "ahead") for i, name in enumerate(names)
    )


def _limit(check: Check, need: Need | None) -> Limit:
    word, tone = GUARD_WORDS[check.verdict] if check.applies else ("does not count", "quiet")
    low, high, limit = (_number(check, name) for name in ("low", "high", "limit"))
    drawn = low is not None and high is not None and limit is not None
    places = _places(low or 0.0, high or 0.0, limit or 0.0) if drawn else (0.0, 0.0, 0.0, -1.0)
    told = f"between {figure(low or 0.0)} and {figure(high or 0.0)}, limit {figure(limit or 0.0)}" if drawn else ""
    mean = _number(check, "mean")
    left, right, bar, zero = places
    middle = (left + right) / 2
    if drawn and mean is not None and high is not None and low is not None and high > low:
        middle = left + (right - left) * min(1.0, max(0.0, (mean - low) / (high - low)))
    return Limit(
        name=spaced(check.name),
        question=check.question,
        verdict=word,
        tone=tone,
        reason=check.reason,
        need=_need(need),
        drawn=drawn,
        low=left,
        width=round(max(right - left, 0.6), 2),
        mean=round(middle, 2),
        limit=bar,
        zero=zero,
        told=told,
    )


def _need(need: Need | None) -> str:
    if need is None:
        return ""
    when = f", {length(need.due)} at this pace" if need.due is not None else ""
    return f"about {counted(need.units)} more units of evidence decide it, if the figures stay{when}"


def _number(check: Check, name: str) -> float | None:
    value: Any = check.numbers.get(name)
    return float(value) if isinstance(value, int | float) and abs(value) < 1e12 else None


def _places(low: float, high: float, limit: float) -> tuple[float, float, float, float]:
    """Return interval, limit and 0 on a scale that shows twice the limit's distance from 0 at least."""
    reach = max(abs(limit), 1e-9)
    start, end = min(low, 0.0, limit - reach), max(high, 0.0, limit + reach)
    # An interval that is wide as nothing is known yet is cut off: the limit must stay to be seen.
    start, end = max(start, limit - 8 * reach), min(end, limit + 8 * reach)

    def place(value: float) -> float:
        return round(100.0 * min(1.0, max(0.0, (value - start) / (end - start))), 2)

    return place(low), place(high), place(limit), place(0.0)


def _arms(way: Way, model: str) -> Table:
    sides = [(arm.name, arm) for arm in (way.champion_arm, way.challenger_arm) if arm is not None]
    names = ("Answered users", "Failed", "Unsure", "Mean confidence", "p50", "p99", "Right of labelled")
    return Table(
        id="arms",
        caption=f"Both arms, on the newest {counted(way.compared)} requests that both answered",
        columns=(Column(name="Arm"), *(Column(name=name, number=True) for name in names)),
        rows=tuple(_arm(name, arm) for name, arm in sides),
        empty="No request was answered by both yet. Send requests; the comparison begins with the first.",
        csv=links.model(model, "rollout", csv="arms"),
    )


def _arm(name: str, arm: Arm) -> tuple[Cell, ...]:
    right = percent(arm.right / arm.labelled) if arm.labelled else "–"
    return (
        Cell(text=name),
        tables.count(arm.answered),
        tables.count(arm.failed),
        tables.count(arm.doubted),
        tables.number(arm.confidence, "{:.3f}"),
        Cell(text="–" if arm.p50_us is None else seconds(arm.p50_us / 1e6), plain=str(arm.p50_us or "")),
        Cell(text="–" if arm.p99_us is None else seconds(arm.p99_us / 1e6), plain=str(arm.p99_us or "")),
        Cell(text=right, note=f"{counted(arm.right)} of {counted(arm.labelled)}" if arm.labelled else ""),
    )


def _different(found: Sequence[Pair], model: str, now: datetime) -> Table:
    names = ("Request", "When", "Champion", "Challenger", "Truth")
    return Table(
        id="different",
        caption="Requests that both answer differently, the newest",
        columns=tuple(Column(name=name) for name in names),
        rows=tuple(
            (
                Cell(text=one.id, href=links.prediction(model, one.id), code=True),
                tables.time(one.occurred_at, now),
                Cell(text=_label(one.champion_label, failed=one.champion_failed)),
                Cell(text=_label(one.challenger_label, failed=one.challenger_failed)),
                Cell(text="–" if one.label is None else _label(one.label)),
            )
            for one in found
        ),
        empty="Both give the same answers so far.",
        csv=links.model(model, "rollout", csv="different"),
    )


def _label(value: Any, *, failed: bool = False) -> str:
    if failed:
        return "failed"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def events_table(found: Sequence[ReleaseEvent], model: str, now: datetime, *, csv: str) -> Table:
    """Return moves of versions as a table, newest first."""
    return Table(
        id="events",
        caption=f"Moves of versions of {model}",
        columns=(
            Column(name="When"),
            Column(name="Version"),
            Column(name="From"),
            Column(name="To"),
            Column(name="By"),
            Column(name="Why", quiet=True),
        ),
        rows=tuple(
            (
                tables.time(one.at, now),
                Cell(text=str(one.version), href=links.version(model, one.version)),
                Cell(text=spaced(one.from_stage) or "–"),
                Cell(text=spaced(one.to_stage) + (f", step {one.step + 1}" if one.to_stage == Stage.CANARY else "")),
                Cell(text=one.by),
                Cell(text=one.reason),
            )
            for one in found
        ),
        empty="No version moved yet. mainstay train makes the first.",
        csv=csv,
    )
