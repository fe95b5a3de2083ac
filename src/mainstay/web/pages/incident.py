"""One incident: the story in plain words, the evidence, what else changed, what was done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from mainstay.core.incidents import TRANSITIONS, Finding, State
from mainstay.oncall.incidents import Shown
from mainstay.web import links, tables
from mainstay.web.looks import Look
from mainstay.web.pages import shapes
from mainstay.web.pages.incidents import TONES
from mainstay.web.shown.incident import Button, Case, Entry, Level, Word, Words
from mainstay.web.shown.parts import Cell, Column, Link, Table
from mainstay.web.words import counted, figure, moment, percent, spaced

MOST_LEVELS, MOST_WORDS, MOST_INPUT_CHARS = 12, 12, 600
MOVES = {
    State.ACKNOWLEDGED: ("acknowledge", "Acknowledge"),
    State.MITIGATED: ("mitigate", "Mitigated"),
    State.RESOLVED: ("resolve", "Resolve"),
    State.OPEN: ("reopen", "Reopen"),
}
AROUND = timedelta(days=1)


def page(look: Look) -> Case:
    """Read one incident with its examples' inputs."""
    return build(look.room.incident(look.number("number")), look.now())


def build(found: Shown, now: datetime) -> Case:
    """Return the page's context."""
    incident, facts = found.incident, found.incident.facts
    model, number = incident.model, incident.id
    here = links.incident(model, number)
    begin, end = incident.started_at - AROUND, min(now, max(incident.opened_at, incident.started_at) + AROUND)
    version = incident.bundle.rpartition("@")[2]
    return Case(
        model=model,
        id=number,
        title=incident.title,
        severity=incident.severity.value,
        tone=TONES[incident.severity],
        harm=spaced(incident.harm.value),
        state=incident.state.value,
        bundle=incident.bundle,
        bundle_href=links.version(model, int(version)) if version.isdigit() else "",
        monitor=found.monitor,
        started=moment(incident.started_at, now),
        noticed=moment(incident.opened_at, now),
        rows_to_detect=counted(incident.rows_to_detect) if incident.rows_to_detect else "",
        story=tuple(incident.story),
        advice=str(facts.get("recommendation", "") or ""),
        silenced=", ".join(moment(one.until, now).text for one in found.silences),
        useful=""
        if found.mark is None
        else f"{found.mark.by} found it {'useful' if found.mark.useful else 'not useful'}.",
        over_time=Link(text="The time around it", href=links.model(model, "time", from_=_text(begin), to=_text(end))),
        requests=Link(
            text="Requests since it began",
            href=links.model(model, "predictions", from_=_text(incident.started_at), to=_text(end)),
        ),
        buttons=tuple(
            _button(model, number, name, text, here)
            for to, (name, text) in MOVES.items()
            if to in TRANSITIONS[incident.state]
        ),
        marks=tuple(
            _button(model, number, name, text, here) for name, text in (("useful", "Useful"), ("useless", "Not useful"))
        ),
        note_action=links.model(model, "do/note"),
        levels=tuple(_level(one) for one in incident.findings[:MOST_LEVELS]),
        shapes=shapes.figures(_list(facts.get("shapes")), here),
        words=tuple(
            Words(field=name, words=tuple(_words(told, facts)))
            for name, told in _mapping(facts.get("words")).items()
            if told
        ),
        slices=shapes.slices(_list(facts.get("segments")), _mapping(facts.get("worst_slice")), here),
        segments=_segments(_list(facts.get("segments")), here),
        fields=_fields(_list(facts.get("fields")), {one["signal"]: one for one in _list(facts.get("distances"))}, here),
        examples=_examples(_list(facts.get("examples")), found.inputs, model, here, now),
        changes=_changes(_list(facts.get("changes")), here, now),
        timeline=tuple(
            Entry(
                at=moment(one.at, now),
                what=_what(one.from_state, one.to_state),
                by=one.by,
                note=_note(one.note, incident.title),
            )
            for one in found.changes
        ),
    )


def _what(before: str, after: str) -> str:
    if before == after:
        return "note"
    return "opened" if not before else after


def _note(note: str, title: str) -> str:
    return "" if note == title else note


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")


def _button(model: str, number: int, name: str, text: str, here: str) -> Button:
    return Button(text=text, href=links.model(model, f"do/{name}", subject=number, back=here))


def _list(found: Any) -> Sequence[Mapping[str, Any]]:
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list | tuple) else []


def _mapping(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}


def _level(one: Finding) -> Level:
    """Place then and now on a scale that begins at 0 where both are shares or counts, and spans both otherwise."""
    low, high = min(one.before, one.now, 0.0), max(one.before, one.now, 0.0)
    if low >= 0.0 and high <= 1.0:
        high = 1.0 if high > 0.25 else high * 1.25 or 1.0
    room = (high - low) or 1.0
    before, now = (round(100.0 * (value - low) / room, 2) for value in (one.before, one.now))
    return Level(
        name=one.signal,
        segment=one.segment,
        text=one.text,
        before=figure(one.before),
        now=figure(one.now),
        before_at=before,
        now_at=now,
        left=min(before, now),
        width=round(abs(now - before), 2),
    )


def _words(told: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> list[Word]:
    """Return words with the share of requests that hold them; of all where the rows are not known, of the largest."""
    told = list(told)[:MOST_WORDS]
    now_rows = float(facts.get("rows") or 0) or max((float(one["now"]) for one in told), default=1.0)
    then_rows = float(_mapping(facts.get("reference")).get("rows") or 0) or 1.0
    shares = [(min(1.0, one["now"] / now_rows), min(1.0, one["before"] / then_rows)) for one in told]
    most = max((max(pair) for pair in shares), default=1.0) or 1.0
    return [
        Word(
            word=str(one["word"]),
            now=f"{counted(int(one['now']))} requests now",
            before=f"{counted(int(one['before']))} of the reference",
            now_width=round(100.0 * now / most, 2),
            before_width=round(100.0 * before / most, 2),
        )
        for one, (now, before) in zip(told, shares, strict=True)
    ]


def _segments(found: Sequence[Mapping[str, Any]], here: str) -> Table:
    names = ("Segment", "Share of requests", "Accuracy, estimated", "Before", "Drop")
    return Table(
        id="segments",
        caption="Segments, the one that accounts for most of the drop first",
        columns=(Column(name=names[0]), *(Column(name=name, number=True) for name in names[1:])),
        rows=tuple(
            (
                Cell(text=str(one["segment"]), note="for sure" if one.get("shown") else ""),
                _share(one.get("share")),
                _between(one.get("estimated_accuracy"), one.get("low"), one.get("high")),
                _share(one.get("reference_accuracy")),
                _share(one.get("drop")),
            )
            for one in found
        ),
        empty="No segment has traffic enough to tell. Segments are declared in the contract.",
        csv=f"{here}?csv=segments",
    )


def _share(value: Any) -> Cell:
    return (
        Cell(text=percent(float(value)), plain=repr(float(value))) if isinstance(value, int | float) else Cell(text="–")
    )


def _between(value: Any, low: Any, high: Any) -> Cell:
    if not isinstance(value, int | float):
        return Cell(text="–")
    known = isinstance(low, int | float) and isinstance(high, int | float)
    return Cell(
        text=percent(float(value)), plain=repr(float(value)), note=f"{percent(low)} to {percent(high)}" if known else ""
    )


def _fields(found: Sequence[Mapping[str, Any]], far: Mapping[str, Mapping[str, Any]], here: str) -> Table:
    names = ("Field", "Signal", "Costs accuracy", "Evidence", "PSI", "KS")
    rows = []
    for one in found:
        distance = far.get(str(one.get("signal")), {})
        points = one.get("points")
        rows.append(
            (
                Cell(text=str(one["field"])),
                Cell(text=str(one.get("signal", ""))),
                Cell(
                    text=f"{100 * points:.1f} points" if isinstance(points, int | float) else "–",
                    plain=repr(points) if isinstance(points, int | float) else "",
                    note="for sure" if one.get("sure") else "",
                ),
                tables.number(one.get("nats"), "{:.1f} nats"),
                tables.number(distance.get("psi"), "{:.2f}"),
                tables.number(distance.get("ks"), "{:.2f}"),
            )
        )
    return Table(
        id="fields",
        caption="Fields, the one that costs most first",
        columns=tuple(Column(name=name, number=i > 1) for i, name in enumerate(names)),
        rows=tuple(rows),
        empty="No field of the contract is among the findings.",
        csv=f"{here}?csv=fields",
    )


def _examples(
    found: Sequence[Mapping[str, Any]], inputs: Mapping[str, Mapping[str, Any]], model: str, here: str, now: datetime
) -> Table:
    rows = []
    for one in found:
        id_ = str(one.get("id", ""))
        held = inputs.get(id_)
        text = "" if held is None else json.dumps(held, ensure_ascii=False, default=str)
        rows.append(
            (
                Cell(text=id_, href=links.prediction(model, id_), code=True),
                tables.time(_moment(one.get("at")), now),
                Cell(text="; ".join(str(text) for text in one.get("shows", ()))),
                Cell(text=text[:MOST_INPUT_CHARS] + ("…" if len(text) > MOST_INPUT_CHARS else "") or "–", code=True),
            )
        )
    return Table(
        id="examples",
        caption="Requests that show it, the most telling first",
        columns=(
            Column(name="Request"),
            Column(name="When"),
            Column(name="What tells"),
            Column(name="Inputs", quiet=True),
        ),
        rows=tuple(rows),
        empty="No request is kept that shows it.",
        csv=f"{here}?csv=examples",
    )


def _changes(found: Sequence[Mapping[str, Any]], here: str, now: datetime) -> Table:
    return Table(
        id="changes",
        caption="What else changed about then",
        columns=(Column(name="When"), Column(name="Kind"), Column(name="What")),
        rows=tuple(
            (
                tables.time(_moment(one.get("at")), now),
                Cell(text=spaced(str(one.get("kind", "")))),
                Cell(text=str(one.get("text", ""))),
            )
            for one in found
        ),
        empty="Nothing was recorded: no release, no setting, no schema.",
        csv=f"{here}?csv=changes",
    )


def _moment(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
