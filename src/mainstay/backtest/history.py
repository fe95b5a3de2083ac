"""From a file of what was to the requests that the watch would have seen, and the reference that it compares with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from mainstay.attach import learn
from mainstay.backtest import answers, columns, times
from mainstay.backtest.answers import Answers
from mainstay.backtest.columns import Column
from mainstay.comparison import frames, words
from mainstay.comparison.frames import Loaded, require_columns
from mainstay.comparison.records import Kind
from mainstay.core.contracts import Contract, Field, FieldType, Role
from mainstay.core.errors import BadData, UsageError
from mainstay.core.events import Event
from mainstay.core.events import Kind as EventKind
from mainstay.models.reference import ReferenceOnly
from mainstay.models.signals import text_fields, word_set
from mainstay.store.feedback import Graded

MODEL = "history"
BUNDLE = f"{MODEL}@1"
WORKER = "history"
NO_LABEL = "label"
"""Name of the target where the history has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """What the columns of a history are for."""

    time: str | None = None
    prediction: str | None = None
    probability: str | None = None
    label: str | None = None
    key: str | None = None
    segments: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    kinds: Mapping[str, Kind] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A file, read: what is compared with what."""

    name: str
    reference: ReferenceOnly
    reference_rows: int
    says: str
    """What the reference is, as a clause."""
    columns: tuple[Column, ...]
    answers: Answers
    times: pl.Series
    """Of the replayed rows, ascending."""
    keys: list[str] | None
    label_after: timedelta
    target: str
    notes: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Return how many requests are replayed."""
        return len(self.times)

    def events(self) -> Iterator[Event]:
        """Yield the replayed rows as requests that a service answered, by time."""
        names = [column.field.name for column in self.columns]
        cells = zip(*(_python(column.replayed) for column in self.columns), strict=True)
        labels, sure = self._later(self.answers.labels), self._later(self.answers.confidences)
        moments = self.times.to_list()
        for number, row in enumerate(cells):
            yield Event(
                model=MODEL,
                worker=WORKER,
                seq=number + 1,
                id=str(number),
                kind=EventKind.EXTERNAL,
                occurred_at=moments[number],
                received_at=moments[number],
                bundle=BUNDLE,
                key_hash=self.keys[number] if self.keys is not None else "",
                inputs={name: value for name, value in zip(names, row, strict=True) if value is not None},
                label=None if labels is None else labels[number],
                confidence=None if sure is None else sure[number],
            )

    def labels(self) -> Iterator[Graded]:
        """Yield what came to be known as true, `label_after` behind each request."""
        truth, said = self._later(self.answers.truth), self._later(self.answers.labels)
        if truth is None or said is None:
            return
        sure = self._later(self.answers.confidences)
        classes = self.answers.task.is_classification
        usual = self.reference.profile.accuracy
        for number, (moment, true, label) in enumerate(zip(self.times.to_list(), truth, said, strict=True)):
            if true is None or label is None:
                continue
            yield Graded(
                model=MODEL,
                id=str(number),
                name=self.target,
                value=true,
                at=moment + self.label_after,
                feedback_id=str(number),
                bundle=BUNDLE,
                served_arm="",
                key_hash=self.keys[number] if self.keys is not None else "",
                unit="",  # a file has no requests that were sent again: each row is one
                occurred_at=moment,
                label=label,
                # Without confidences a labelled answer is held against how often answers were right.
                confidence=usual if sure is None else sure[number],
                correct=label == true if classes else None,
            )

    def _later(self, values: list[Any] | None) -> list[Any] | None:
        return None if values is None else values[self.reference_rows :]


def read(
    data: Any,
    roles: Roles,
    *,
    reference: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    label_after: timedelta = timedelta(0),
) -> History:
    """Read a history: a path (CSV, Parquet, NDJSON) or a frame, with a time in each row.

    `reference`: see `times.split_of`. `since` and `until` bound what is replayed. Raises UsageError for names that are
    no column, BadData for what cannot be read, NotEnoughEvidence for too few rows.
    """
    loaded = frames.load(data, side="history")
    name = loaded.name
    _require(loaded, roles)
    rows = times.timed(loaded.frame, roles.time, name)
    split = times.split_of(reference)
    notes = list(rows.notes)
    if split.file is None:
        count = times.cut(rows, split, name)
        before, after = rows.frame[:count], rows.frame[count:]
        old: pl.Series | None = rows.times[:count]
        new = rows.times[count:]
        says = f"its first {words.counted(count)} rows, until {words.moment(new[0])}"
    else:
        before, old, more = _reference_file(split.file, rows.frame, roles)
        after, new = rows.frame, rows.times
        says, notes = (
            f"the {words.counted(before.height)} rows of {words.short(Path(split.file).name)}",
            [*notes, *more],
        )
    after, new = _between(after, new, since, until)
    times.require_enough(before.height, after.height, name)
    chosen = columns.choose(
        before, after, (old, new), left=_left(roles, rows), segments=roles.segments, kinds=roles.kinds
    )
    asked = [name for name in (roles.prediction, roles.probability, roles.label, roles.key) if name is not None]
    both = pl.concat([before.select(asked), after.select(asked)], how="vertical_relaxed")
    given = answers.read(
        both, before.height, prediction=roles.prediction, probability=roles.probability, label=roles.label
    )
    keys = None if roles.key is None else _hashed(both.get_column(roles.key))
    target = roles.label or NO_LABEL
    return History(
        name=name,
        reference=_reference(chosen.columns, given, keys, before.height, roles, target, old),
        reference_rows=before.height,
        says=says,
        columns=chosen.columns,
        answers=given,
        times=new,
        keys=None if keys is None else keys[before.height :],
        label_after=label_after,
        target=target,
        notes=(*notes, *chosen.notes, *given.notes),
    )


def _require(loaded: Loaded, roles: Roles) -> None:
    named = [
        ("prediction", roles.prediction),
        ("probability", roles.probability),
        ("label", roles.label),
        ("key", roles.key),
        *(("segment", one) for one in roles.segments),
        *(("ignore", one) for one in roles.ignore),
        *(("kind", one) for one in roles.kinds),
    ]
    require_columns([(option, column) for option, column in named if column is not None], loaded.frame, loaded.name)
    used = [column for _, column in named[:4] if column is not None]
    if len(set(used)) < len(used):
        raise UsageError(f"one column was named for two things: {words.listed(used)}", remedy="Name one for each.")


def _left(roles: Roles, rows: times.Timed) -> list[str]:
    """Return the columns that have another use than to be watched."""
    used = [roles.prediction, roles.probability, roles.label, roles.key, roles.time, rows.times.name, *roles.ignore]
    return [name for name in used if name]


def _reference_file(
    address: str, replayed: pl.DataFrame, roles: Roles
) -> tuple[pl.DataFrame, pl.Series | None, list[str]]:
    """Return the rows of a file of their own, with their times where they have some, and what was done for that."""
    loaded = frames.load(address, side="reference")
    missing = [name for name in replayed.columns if name not in loaded.frame.columns and name != roles.time]
    wanted = [name for name in (roles.prediction, roles.probability, roles.key) if name in missing]
    if wanted:
        raise BadData(
            f"{loaded.name} has no column {wanted[0]!r}, which was named; it has {frames.listed(loaded.frame.columns)}",
            remedy="Give reference rows with the same columns.",
        )
    notes = [f"Not compared: {words.listed(missing, most=8)}, which {loaded.name} does not have."] if missing else []
    frame, moments = loaded.frame, None
    if roles.time is not None and roles.time in frame.columns:
        found = times.timed(frame, roles.time, loaded.name)
        frame, moments = found.frame, found.times
    names = replayed.columns
    return frame.select([pl.col(n) if n in frame.columns else pl.lit(None).alias(n) for n in names]), moments, notes


def _between(
    frame: pl.DataFrame, moments: pl.Series, since: datetime | None, until: datetime | None
) -> tuple[pl.DataFrame, pl.Series]:
    kept = moments.is_not_null()
    if since is not None:
        kept = kept & (moments >= since)
    if until is not None:
        kept = kept & (moments < until)
    return frame.filter(kept), moments.filter(kept)


def _reference(
    watched: Sequence[Column],
    given: Answers,
    keys: list[str] | None,
    count: int,
    roles: Roles,
    target: str,
    moments: pl.Series | None,
) -> ReferenceOnly:
    """Return the reference as `mainstay learn` makes it of a service's requests."""
    time = Field(name=moments.name, type=FieldType.TIMESTAMP, roles=(Role.IGNORED,)) if moments is not None else None
    contract = Contract(
        task=given.task,
        fields=(*(column.field for column in watched), *([time] if time is not None else [])),
        target=target,
        classes=given.classes,
        key=roles.key,
        time=None if time is None else time.name,
    )
    names = [column.field.name for column in watched]
    cells = zip(*(_python(column.reference) for column in watched), strict=True)
    values = [{n: v for n, v in zip(names, row, strict=True) if v is not None} for row in cells]
    if moments is not None:
        for row, moment in zip(values, moments.to_list(), strict=True):
            row[moments.name] = moment  # what the season is matched by
    nothing: list[Any] = [None] * count
    labels = nothing if given.labels is None else given.labels[:count]
    rows = learn.Rows(
        values=values,
        labels=labels,
        confidences=nothing if given.confidences is None else given.confidences[:count],
        keys=nothing if keys is None else list(keys[:count]),
        truth=_whole(given, labels, count),
        source="reference",
    )
    vocabulary = {one.name: word_set(row.get(one.name) for row in values) for one in text_fields(contract)}
    profile = learn.profile_of(contract, rows, vocabulary)
    if profile.accuracy is None:
        profile = msgspec.structs.replace(profile, accuracy=given.accuracy(count))
    return ReferenceOnly(contract=contract, profile=profile, vocabulary=vocabulary)


def _whole(given: Answers, labels: list[Any], count: int) -> list[Any] | None:
    """Return the truth of the reference rows where each of them has one and was answered."""
    if given.truth is None or any(one is None for one in (*given.truth[:count], *labels)):
        return None
    return given.truth[:count]


def _python(cells: pl.Series) -> list[Any]:
    return cells.to_list()


def _hashed(cells: pl.Series) -> list[str]:
    """Return keys as the journal has them: hashes, so that nothing personal is in a report; a gap is its own key."""
    texts = cells.cast(pl.String).to_list()
    known = {text: blake2b(text.encode(), digest_size=16).hexdigest() for text in set(texts) if text is not None}
    return [known[text] if text is not None else f"row {number}" for number, text in enumerate(texts)]
