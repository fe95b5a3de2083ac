"""Predictions: a search that is bounded by time and count, and one in full with why, and whether it comes out again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from mainstay.core import errors
from mainstay.core.events import Event, Feedback
from mainstay.models.explained.records import Explanation, Part
from mainstay.replay import Fed, Replayed
from mainstay.viewing.predictions import KINDS, LONGEST, MOST, USUAL, Asked, Found, One, Row
from mainstay.web import links, tables
from mainstay.web.looks import Look
from mainstay.web.shown.parts import Cell, Column, Link, Table
from mainstay.web.shown.predictions import Detail, Option, Prediction, Search, Share, Why
from mainstay.web.words import counted, length, moment, percent, seconds, spaced

TRUSTS = ("ok", "low", "abstain")
TONES = {"ok": "good", "low": "open", "abstain": "bad"}
LONGEST_TEXT = 300
ASKS = (
    ("all", "Ask its model again"),
    ("features", "What the model saw"),
    ("explanation", "Why this answer"),
    ("replay", "Compute it again"),
)
"""What can be asked of the model that answered, by its name in the address."""
T = TypeVar("T")
NAMES = ("Request", "When", "Answer", "Confidence", "Trust", "Version", "Arm", "Inputs")


def page(look: Look) -> Search:
    """Search the stretch of time that the address names; the last hour where it names none."""
    now = look.now()
    end = look.moment("to") or now
    asked = Asked(
        begin=look.moment("from") or end - USUAL,
        end=end,
        text=look.query.get("text", "")[:LONGEST_TEXT],
        label=look.query.get("label", "")[:LONGEST_TEXT],
        kind=look.query.get("kind", ""),
        trust=look.query.get("trust", ""),
    )
    return build(look.model, look.room.search(asked), now)


def build(model: str, found: Found, now: datetime) -> Search:
    """Return the page's context."""
    asked = found.asked
    more = f"the newest {MOST} of more" if found.more else counted(len(found.rows))
    cut = f" The search takes {length(LONGEST)} at most: its beginning was moved." if found.cut else ""
    return Search(
        begin_value=_text(asked.begin),
        end_value=_text(asked.end),
        text=asked.text,
        label=asked.label,
        kinds=_options("any", ("", *KINDS), asked.kind),
        trusts=_options("any", ("", *TRUSTS), asked.trust),
        told=f"{more} found.{cut}",
        found=Table(
            id="predictions",
            caption=f"Requests of {model}",
            columns=tuple(Column(name=name, number=name == "Confidence", quiet=name == "Inputs") for name in NAMES),
            rows=tuple(_row(one, model, now) for one in found.rows),
            empty="Nothing was found. Choose another time: the page Over time shows when requests came.",
            csv=links.model(
                model,
                "predictions",
                from_=_text(asked.begin),
                to=_text(asked.end),
                text=asked.text,
                label=asked.label,
                kind=asked.kind,
                trust=asked.trust,
                csv="predictions",
            ),
        ),
    )


def _options(first: str, values: Sequence[str], chosen: str) -> tuple[Option, ...]:
    return tuple(Option(value=value, text=value or first, chosen=value == chosen) for value in values)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")


def _row(one: Row, model: str, now: datetime) -> tuple[Cell, ...]:
    answered = one.kind in ("prediction", "external")
    inputs = one.inputs if len(one.inputs) <= LONGEST_TEXT else f"{one.inputs[:LONGEST_TEXT]}…"
    return (
        Cell(text=one.id, href=links.prediction(model, one.id) if answered else "", code=True),
        tables.time(one.at, now),
        Cell(text=_said(one.label)) if answered else Cell(text=one.kind, tone="bad", note=one.reason),
        tables.number(one.confidence, "{:.3f}"),
        Cell(text=one.trust or "–", tone=TONES.get(one.trust, "")),
        Cell(text=one.bundle or "–"),
        Cell(text=one.arm or "–"),
        Cell(text=inputs, plain=one.inputs, code=True),
    )


def _said(label: str) -> str:
    """Return an answer as people say it: the search finds it as JSON text, where a class is in quotes."""
    try:
        return shown_value(json.loads(label))
    except ValueError:
        return label


def one_page(look: Look) -> Prediction:
    """Read one prediction; `?show=features`, `explanation`, `replay` or `all` ask the model that answered it."""
    id_, wanted = look.params["id"], look.query.get("show", "")
    found, room, problems = look.room.prediction(id_), look.room, []

    def asked(what: str, ask: Callable[[str], T]) -> T | None:
        if wanted not in (what, "all"):
            return None
        try:
            return ask(id_)
        except errors.MainstayError as error:
            problems.append(f"{error.message}. {error.remedy}".strip())
            return None

    fed, why, replayed = (
        asked("features", room.features),
        asked("explanation", room.explain),
        asked("replay", room.replay),
    )
    return build_one(
        found,
        look.now(),
        classes=room.contract().classes,
        show=wanted,
        fed=fed,
        why=why,
        replayed=replayed,
        problem=" ".join(dict.fromkeys(problems)),
    )


def build_one(
    found: One,
    now: datetime,
    *,
    classes: Sequence[str] = (),
    show: str = "",
    fed: Fed | None = None,
    why: Explanation | None = None,
    replayed: Replayed | None = None,
    problem: str = "",
) -> Prediction:
    """Return the page's context; `show`: what was asked of the model."""
    event = found.event
    here = links.prediction(event.model, event.id)
    return Prediction(
        id=event.id,
        answer=shown_value(event.given),
        sure="" if event.confidence is None or event.given != event.label else f"{percent(event.confidence)} sure",
        details=_details(event, now),
        inputs=inputs_table(event.model, event.id, event.inputs),
        probabilities=Table(
            id="probabilities",
            caption="Probabilities",
            columns=(Column(name="Class"), Column(name="Probability", number=True)),
            rows=tuple(
                (Cell(text=name), Cell(text=percent(value), plain=repr(value)))
                for name, value in sorted(event.probabilities.items(), key=lambda one: -one[1])
            ),
            empty="The record holds none.",
            csv=f"{here}?csv=probabilities",
        ),
        warnings=Table(
            id="warnings",
            caption="Reasons to doubt it",
            columns=(Column(name="Field"), Column(name="Warning"), Column(name="Why", quiet=True)),
            rows=tuple(
                (Cell(text=one.field), Cell(text=spaced(one.code)), Cell(text=one.text)) for one in event.warnings
            ),
            empty="None was given.",
            csv=f"{here}?csv=warnings",
        ),
        feedback=_feedback(found.feedback, here, now),
        label_action=links.model(event.model, "do/label"),
        classes=tuple(classes),
        shadow=""
        if found.shadow is None
        else f"{found.shadow.bundle} would have said {shown_value(found.shadow.label)}.",
        asks=tuple(Link(text=text, href=f"{here}?show={name}", here=show == name) for name, text in ASKS),
        fed_told="" if fed is None else _fed_told(fed),
        fed=_fed(fed, here, show),
        why=None if why is None else _why(why),
        why_not=problem,
        replayed="" if replayed is None else _told(replayed),
        replayed_tone="good" if replayed is not None and replayed.same else "bad",
        differences=Table(
            id="differences",
            caption="Then and now",
            columns=(Column(name="What"), Column(name="Then"), Column(name="Now")),
            rows=tuple(
                (Cell(text=one.what), Cell(text=shown_value(one.then)), Cell(text=shown_value(one.now)))
                for one in (() if replayed is None else replayed.differences)
            ),
            empty="",
            csv=f"{here}?show={show or 'replay'}&csv=differences",
        ),
    )


def _fed_told(found: Fed) -> str:
    made = "what features.py makes of the inputs" if found.code else "the inputs after the contract's check"
    hidden = f" Not shown, as a field is encrypted: {', '.join(found.withheld)}." if found.withheld else ""
    gone = "".join(f" {name}: {why}." for name, why in found.missing.items())
    return f"{found.bundle} was handed {made}.{hidden}{gone}"


def _fed(found: Fed | None, here: str, show: str) -> Table:
    return Table(
        id="features",
        caption="What the model was handed",
        columns=(Column(name="Feature"), Column(name="Value"), Column(name="From"), Column(name="Note", quiet=True)),
        rows=tuple(
            (
                Cell(text=one.name),
                Cell(text="–" if one.value is None else shown_value(one.value)),
                Cell(text=one.made_of),
                Cell(text=one.note),
            )
            for one in (() if found is None else found.features)
        ),
        empty="Nothing of it can be shown.",
        csv=f"{here}?show={show or 'features'}&csv=features",
    )


def _told(found: Replayed) -> str:
    same = "to the last bit" if found.equal_bytes else f"within {found.largest:.2g}"
    if found.same:
        return f"It comes out again from {found.bundle} ({found.runtime}), {same}. {found.note}".strip()
    return f"It does not come out again from {found.bundle} ({found.runtime}). {found.note}".strip()


def shown_value(value: Any) -> str:
    """Return a value as text: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _details(event: Event, now: datetime) -> tuple[Detail, ...]:
    version = event.bundle.rpartition("@")[2]
    found = [
        ("Version", event.bundle, links.version(event.model, int(version)) if version.isdigit() else "", False),
        ("Arm", f"{event.served_arm or 'none'}, chosen {event.assigned_arm or 'none'}", "", False),
        ("Drawn", _draw(event), "", False),
        ("Trust", str(event.trust or ""), "", False),
        ("Latency", seconds(event.latency_us / 1e6) if event.latency_us else "", "", False),
        ("Answered together", f"{event.batch} rows" if event.batch else "", "", False),
        ("Status", str(event.status), "", False),
        ("Reason", event.reason or "", "", False),
        ("Trace", event.trace_id or "", "", True),
        ("Key", event.key_hash, "", True),
        ("Record", f"{event.worker}, {event.seq}", "", True),
    ]
    times = [("When", moment(event.occurred_at, now)), ("Arrived", moment(event.received_at, now))]
    return (
        *(Detail(name=name, value=at.text, href="", code=False, at=at) for name, at in times),
        *(Detail(name=name, value=value, href=href, code=code) for name, value, href, code in found if value),
    )


def _draw(event: Event) -> str:
    """Return how an answer was given that could have been drawn at random."""
    how = event.explored
    if how is None:
        return ""
    own = f"the model puts it on place {how.model_rank}" if how.rank else f"the model says {shown_value(event.label)}"
    place = f"shown on place {how.rank}, " if how.rank else ""
    return f"{'yes' if how.drawn else 'no'}, {place}given with chance {how.propensity:.4g}; {own}"


def inputs_table(model: str, id_: str, inputs: Mapping[str, Any]) -> Table:
    """Return a request's inputs, as they are kept."""
    return Table(
        id="inputs",
        caption="Inputs, as they are kept",
        columns=(Column(name="Field"), Column(name="Value")),
        rows=tuple(
            (Cell(text=name), Cell(text="–" if value is None else shown_value(value))) for name, value in inputs.items()
        ),
        empty="No input is kept.",
        csv=f"{links.prediction(model, id_)}?csv=inputs",
    )


def _feedback(found: Sequence[Feedback], here: str, now: datetime) -> Table:
    return Table(
        id="feedback",
        caption="What was told of it",
        columns=(Column(name="When"), Column(name="Name"), Column(name="Value"), Column(name="By")),
        rows=tuple(
            (tables.time(one.at, now), Cell(text=one.name), Cell(text=shown_value(one.value)), Cell(text=one.by or "–"))
            for one in found
        ),
        empty="Nothing yet: mainstay feedback, or POST /v1/feedback with its id.",
        csv=f"{here}?csv=feedback",
    )


def _why(found: Explanation) -> Why:
    parts = [*found.fields, *found.words]
    reach = max((abs(part.contribution) for part in parts), default=1.0) or 1.0
    low = min(0.0, *(part.contribution for part in parts)) if parts else 0.0
    high = max(0.0, *(part.contribution for part in parts)) if parts else reach
    room = (high - low) or 1.0
    what = "the answer" if found.label is None else repr(found.label)
    rest = ", ".join(
        f"{name} {added:+.3g}"
        for name, added in (
            ("all other fields", found.others),
            ("all other words", found.other_words),
            ("words that it has not", found.absent_words),
        )
        if added
    )
    return Why(
        told=f"{what}: {found.value:.4g} ({found.unit}), from {found.base_value:.4g} of {found.compared_with}; "
        f"{'exact' if found.exact else 'estimated'} ({spaced(found.method)}).",
        zero=round(100.0 * -low / room, 2),
        shares=tuple(_part(part, low, room) for part in parts),
        note=". ".join(filter(None, (rest, found.note))),
    )


def _part(part: Part, low: float, room: float) -> Share:
    start, end = min(0.0, part.contribution), max(0.0, part.contribution)
    error = "" if part.standard_error is None else f" ± {part.standard_error:.2g}"
    value = shown_value(part.value)
    return Share(
        name=part.field if part.word is None else f"{part.field}: {part.word}",
        value="" if part.word is not None else value if len(value) <= 60 else f"{value[:59]}…",
        added=f"{part.contribution:+.3g}{error}".replace("-", "−"),
        left=round(100.0 * (start - low) / room, 2),
        width=round(max(100.0 * (end - start) / room, 0.3), 2),
        is_up=part.contribution >= 0,
    )
