"""`mainstay backtest`: a file or a project's journal, replayed through the watch; read `of_file` top to bottom."""

from __future__ import annotations

import time as wall
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mainstay.backtest import engine, history, truth
from mainstay.backtest.engine import Feed, Played
from mainstay.backtest.history import Roles
from mainstay.backtest.records import Known, Pace, Report, duration
from mainstay.backtest.times import LEAST_REPLAYED
from mainstay.comparison import words
from mainstay.comparison.records import Kind
from mainstay.config.load import settings_from
from mainstay.config.settings import Settings
from mainstay.core.errors import NotEnoughEvidence, UsageError
from mainstay.core.incidents import Severity
from mainstay.core.ports import Progress, silent
from mainstay.watch import streams

if TYPE_CHECKING:
    from mainstay.parts import Parts


def of_file(
    data: Any,
    *,
    time: str | None = None,
    reference: str | None = None,
    prediction: str | None = None,
    probability: str | None = None,
    label: str | None = None,
    label_after: timedelta | None = None,
    key: str | None = None,
    segments: Iterable[str] = (),
    ignore: Iterable[str] = (),
    kinds: Mapping[str, str] | None = None,
    known: Any = None,
    least: Severity = Severity.NOTE,
    since: datetime | None = None,
    until: datetime | None = None,
    every: timedelta | str | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Report:
    """Replay a history through the watch: what would have been told, when, and was it right?

    Args:
        data: path of a CSV, Parquet or NDJSON file, or a pandas or Polars frame; needs no project and no model.
        time: column with the time of each row; without it, the only one that holds times.
        reference: what the rest is compared with: `2012-01-01` (the rows before), `30%` (the first rows), or a file.
            Without it, the first third.
        prediction, probability: columns with what a model answered and how sure it was.
        label: column with the truth; it is taken to come `label_after` behind its row (`[watch]
            feedback_expected_hours` by default).
        key: column that names the unit of evidence (a customer, a device).
        segments: columns that divide the traffic; each part is watched by itself too.
        ignore, kinds: columns to leave alone; what a column holds where it was guessed wrongly.
        known: known events, a file or frame with `start`, `end` and `name`: delay, precision and recall are told.
        least: alerts below this severity are not counted in precision and recall.
        since, until: bounds of what is replayed.
        every: how often the watch looks: a length of time, or `live` for after every block; by itself, about a thousand
            times over the history.
        settings: settings of the watch by dotted key (`watch.material.number_sigma`).

    Nothing is written. Raises UsageError, BadData or NotEnoughEvidence for what cannot be replayed.
    """
    began = wall.perf_counter()
    chosen = settings_from(_of_the_watch(settings))
    events = [] if known is None else truth.read(known)
    progress("reading", 0, 0)
    after = label_after if label_after is not None else timedelta(hours=chosen.watch.feedback_expected_hours)
    found = history.read(
        data,
        Roles(
            time=time,
            prediction=prediction,
            probability=probability,
            label=label,
            key=key,
            segments=tuple(segments),
            ignore=tuple(ignore),
            kinds=_kinds(kinds),
        ),
        reference=reference,
        since=since and truth.utc(since),
        until=until and truth.utc(until),
        label_after=after,
    )
    span = found.times[-1] - found.times[0]
    pace = _pace(every, engine.pace_of(found.rows, span, chosen))
    feed = Feed(
        model=history.MODEL,
        events=found.events(),
        labels=found.labels(),
        open_version=lambda _name: found.reference,
        settings=chosen,
        rows=found.rows,
    )
    played = engine.play(feed, pace, known=events, progress=progress)
    notes = list(found.notes)
    if label is not None:
        notes.append(f"Labels are taken to come {duration(after)} after their row.")
    return _report(
        played,
        source=found.name,
        reference=found.says,
        reference_rows=found.reference_rows,
        pace=pace,
        settings=chosen,
        changed=settings,
        known=events if known is not None else None,
        least=least,
        streams_=len(streams.plan(found.reference.profile, chosen.watch).watched),
        notes=notes,
        began=began,
    )


def of_journal(
    parts: Parts,
    *,
    known: Any = None,
    least: Severity = Severity.NOTE,
    since: datetime | None = None,
    until: datetime | None = None,
    every: timedelta | str | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Report:
    """Replay what a project served, each request against the version that answered it; see `of_file`.

    `parts` were opened with the settings to try; `settings` only names them. The store and the journal are read, and
    nothing is written.
    """
    from mainstay.backtest import served

    began = wall.perf_counter()
    events = [] if known is None else truth.read(known)
    progress("reading the journal", 0, 0)
    found = served.read(parts, since=since and truth.utc(since), until=until and truth.utc(until))
    if found.rows < LEAST_REPLAYED:
        raise NotEnoughEvidence(
            f"the journal of {parts.model} holds {found.rows} requests of that time; {LEAST_REPLAYED} are needed",
            remedy="Let it serve first, or replay a file: `mainstay backtest history.csv --time COLUMN`.",
        )
    pace = _pace(every, engine.pace_of(found.rows, found.end - found.start, parts.settings))
    feed = Feed(
        model=parts.model,
        events=found.events(),
        labels=found.labels,
        open_version=parts.open_version,
        settings=parts.settings,
        rows=found.rows,
    )
    played = engine.play(feed, pace, known=events, progress=progress)
    return _report(
        played,
        source=parts.model,
        reference="the reference of the version that answered",
        reference_rows=None,
        pace=pace,
        settings=parts.settings,
        changed=settings,
        known=events if known is not None else None,
        least=least,
        streams_=-1,
        notes=found.notes,
        really=found.really,
        began=began,
    )


def _report(
    played: Played,
    *,
    source: str,
    reference: str,
    reference_rows: int | None,
    pace: Pace,
    settings: Settings,
    changed: Mapping[str, Any] | None,
    known: Sequence[Known] | None,
    least: Severity,
    streams_: int,
    notes: Sequence[str],
    began: float,
    really: Sequence[dict[str, Any]] = (),
) -> Report:
    if played.start is None or played.end is None:
        raise NotEnoughEvidence("nothing was replayed: no request is of that time", remedy="Widen --since and --until.")
    judged = truth.judge(played, known or [], least=least)
    pages = settings.watch.false_pages
    return Report(
        source=source,
        reference=reference,
        reference_rows=reference_rows,
        start=played.start,
        end=played.end,
        rows=played.rows,
        blocks=played.blocks,
        pace=pace,
        labels=played.labels,
        told=judged.told,
        points=tuple(played.points),
        streams=streams_,
        expected=pages.expected,
        expected_days=pages.days,
        known=judged.found,
        score=judged.score if known is not None else None,
        really=truth.told_again(really, judged.told),
        changed=tuple(f"{key} = {value}" for key, value in (changed or {}).items()),
        notes=tuple(notes),
        sight=played.sight,
        skipped=played.skipped,
        seconds=wall.perf_counter() - began,
    )


def _pace(every: timedelta | str | None, by_itself: Pace) -> Pace:
    if every is None:
        return by_itself
    if isinstance(every, str):
        if every != "live":
            raise UsageError(f"every = {every!r} is neither `live` nor a length of time")
        return Pace(every=None)
    if every < timedelta(seconds=1):
        raise UsageError(f"every = {every!r} is under a second; allowed: a second or more, or `live`")
    return Pace(every=every)


def _of_the_watch(settings: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Refuse settings of anything but the watch: nothing else takes part in a replay."""
    for key in settings or {}:
        if not key.startswith("watch."):
            raise UsageError(
                f"{key!r} is no setting of the watch", remedy="Only `watch.…` can be set: `--set watch.season=hour`."
            )
    return settings or {}


def _kinds(given: Mapping[str, str] | None) -> dict[str, Kind]:
    out = {}
    for name, kind in (given or {}).items():
        if kind not in set(Kind) - {Kind.EMPTY}:
            allowed = words.listed(sorted(set(Kind) - {Kind.EMPTY}), most=9)
            raise UsageError(f"{kind!r} (of {name!r}) is no kind; allowed: {allowed}", remedy="Name one of these.")
        out[name] = Kind(kind)
    return out
