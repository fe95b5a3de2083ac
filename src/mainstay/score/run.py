"""One batch from beginning to end: read → check → predict → log → keep, piece by piece, then one file.

Nothing of a piece is kept before its rows are in the journal, and the journal knows which rows it has: whatever instant
the process dies at, the same command goes on and ends with the same file.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import msgspec

from mainstay.core.errors import BadData, EnvironmentFault, UsageError
from mainstay.core.ports import Clock
from mainstay.score import formats
from mainstay.score.answering import Answering, refuse_dead_model
from mainstay.score.records import Answerer, Options, Pace, Report, Row, Status, Tell
from mainstay.score.source import Source, kind_of, open_source
from mainstay.score.watched import Watched
from mainstay.score.work import Asked, Note, Work, differences, explained

FINGER_BYTES = 1 << 20
"""Bytes of the input's beginning and end that are part of its fingerprint."""
WatchedBy = Callable[[str], Watched]
"""Takes a run's name."""


def score(
    options: Options, answerer: Answerer, *, watched_by: WatchedBy | None, why_not: str, clock: Clock, tell: Tell
) -> Report:
    """Answer every row of a file; return what was done.

    `watched_by` opens the journal for the run; None leaves it out, and `why_not` says why. Raises BadData for an input
    that cannot be scored, UsageError for paths that cannot be, EnvironmentFault for what the disk says; what was done
    until then is kept, and the same call goes on.
    """
    kind = _check_paths(options)
    source = open_source(options.source, answerer.contract, id_column=options.id_column, ignore=options.ignore)
    asked = _asked(options, answerer, watch=watched_by is not None, kind=kind)
    work = Work(options.target)
    try:
        done = work.finished() if not options.fresh else None
        if done is None or work.begun() != asked:
            _begin(work, asked, options)
            watched = watched_by(asked.run) if watched_by is not None else None
            try:
                batch = _Batch(options, answerer, source, work, watched, clock=clock, tell=tell, run=asked.run)
                with _quiet_collector() as collect:
                    report = batch.run(why_not, collect)
            finally:
                if watched is not None:
                    watched.close()
        else:
            report = msgspec.convert(done, Report, dec_hook=lambda kind, value: kind(value))
        work.put_into_place(options.bad)
        return report
    finally:
        work.close()


class _Batch:
    """The pieces of one run."""

    def __init__(
        self,
        options: Options,
        answerer: Answerer,
        source: Source,
        work: Work,
        watched: Watched | None,
        *,
        clock: Clock,
        tell: Tell,
        run: str,
    ) -> None:
        self._options = options
        self._answerer = answerer
        self._source = source
        self._work = work
        self._watched = watched
        self._clock = clock
        self._tell = tell
        self._run = run
        self._form = formats.format_of(kind_of(options.target), answerer)
        self._began = clock.monotonic()

    def run(self, why_not: str, collect: Callable[[], object]) -> Report:
        notes = self._work.notes()
        resumed_at = sum(note.rows for note in notes)
        answering = Answering(self._answerer, run=self._run)
        rows = resumed_at
        for piece in self._source.pieces(resumed_at):
            began = self._clock.monotonic()
            answering.answer(piece.rows)
            if not notes:
                refuse_dead_model(self._answerer.name, piece.rows)
            if self._watched is not None:
                self._watched.take(piece.rows, took_s=self._clock.monotonic() - began)
            notes.append(self._keep(len(notes), piece.rows))
            rows += len(piece.rows)
            self._tell(self._pace(rows, rows - resumed_at, piece.share))
            collect()
        if not rows:
            raise BadData(f"{self._options.source} holds no rows", remedy="Write rows into it.")
        self._tell(Pace(rows=rows, share=1.0, rows_per_s=0.0, eta_s=0.0, step="writing the file"))
        report = self._report(notes, resumed_at, why_not)
        self._work.assemble(len(notes), self._form, msgspec.to_builtins(report, enc_hook=str))
        return report

    def _keep(self, number: int, rows: list[Row]) -> Note:
        data = self._form.piece(rows, first=number == 0)
        bad = formats.bad_lines(rows, self._answerer.contract)
        counts = Counter(row.status.value for row in rows)
        note = Note(first=rows[0].number, rows=len(rows), counts=dict(counts), size=len(data), bad_size=len(bad))
        self._work.add(number, note, data, bad)
        return note

    def _pace(self, rows: int, mine: int, share: float) -> Pace:
        took = max(1e-9, self._clock.monotonic() - self._began)
        before = (rows - mine) / rows
        # What an earlier run did took none of this one's time.
        gained = share * (1 - before)
        left = took * (1 - share) / gained if gained > 0 else None
        return Pace(rows=rows, share=share, rows_per_s=mine / took, eta_s=left)

    def _report(self, notes: list[Note], resumed_at: int, why_not: str) -> Report:
        counts: Counter[str] = Counter()
        for note in notes:
            counts.update(note.counts)
        rows = sum(note.rows for note in notes)
        written = self._watched.written if self._watched is not None else 0
        return Report(
            source=self._options.source,
            target=self._options.target,
            bad=self._options.bad if rows > counts[Status.OK.value] else None,
            bundle=self._answerer.name,
            rows=rows,
            counts={status.value: counts[status.value] for status in Status},
            resumed_at=resumed_at,
            journalled=written,
            watched=why_not if self._watched is None else _watched_sentence(rows, resumed_at, written),
            seconds=self._clock.monotonic() - self._began,
            run=self._run,
            ignored=self._source.ignored,
        )


@contextmanager
def _quiet_collector() -> Iterator[Callable[[], object]]:
    """Let Python look for unreachable cycles only between pieces: among many live rows it costs a third of the time."""
    was_on = gc.isenabled()
    gc.freeze()
    gc.disable()
    try:
        yield gc.collect
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()


def _watched_sentence(rows: int, resumed_at: int, written: int) -> str:
    before = rows - written
    if before <= resumed_at and written:
        return "the watch sees these rows like live traffic"
    if not written:
        return "the journal held these rows already: the same file was scored by the same version before"
    return f"the watch sees these rows like live traffic; the journal held {before:,} of them already"


def _check_paths(options: Options) -> str:
    """Return the kind of the output; raises UsageError for paths that cannot be."""
    kind = kind_of(options.target)
    source, target, bad = (path.resolve() for path in (options.source, options.target, options.bad))
    if source == target or (target.exists() and source.exists() and target.samefile(source)):
        raise UsageError(f"{options.target} is the input too", remedy="Name another output.")
    if bad in (source, target):
        raise UsageError(f"bad rows cannot go to {options.bad}: it is the input or the output", remedy="Name another.")
    for path in (options.target, options.bad):
        if path.is_dir():
            raise UsageError(f"{path} is a folder", remedy="Name a file.")
        if not path.parent.is_dir():
            raise UsageError(f"there is no folder {path.parent}", remedy=f"mkdir -p {path.parent}")
    if options.bad.parent.stat().st_dev != options.target.parent.stat().st_dev:
        raise UsageError(
            f"{options.bad} is on another disk than {options.target}", remedy="Name a file on the same disk with --bad."
        )
    return kind


def _asked(options: Options, answerer: Answerer, *, watch: bool, kind: str) -> Asked:
    fingerprint = _fingerprint(options.source)
    parts = [fingerprint, answerer.loaded.digest, options.id_column or ""]
    return Asked(
        run=blake2b("\x1f".join(parts).encode("utf-8", "surrogateescape"), digest_size=6).hexdigest(),
        source=str(options.source.resolve()),
        fingerprint=fingerprint,
        bundle=answerer.name,
        digest=answerer.loaded.digest,
        bad=str(options.bad.resolve()),
        id_column=options.id_column,
        ignore=sorted(options.ignore),
        watch=watch,
        kind=kind,
    )


def _fingerprint(path: Path) -> str:
    """Return what tells a file from another and from itself after a change: length, time of change, both ends."""
    try:
        about = path.stat()
        with path.open("rb") as file:
            head = file.read(FINGER_BYTES)
            file.seek(max(0, about.st_size - FINGER_BYTES))
            tail = file.read()
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be read: {error.strerror}") from error
    digest = blake2b(head, digest_size=16)
    digest.update(tail)
    return f"{about.st_size}-{about.st_mtime_ns}-{digest.hexdigest()}"


def _begin(work: Work, asked: Asked, options: Options) -> None:
    """Begin a run, or go on with the one that was begun; raises UsageError where neither can be."""
    if options.fresh or not work.holds_pieces():
        with explained(options.target):
            work.forget()
    before = work.begun()
    if before is not None:
        changed = differences(before, asked)
        if changed:
            raise UsageError(
                f"an unfinished run for {options.target} cannot be gone on with: {'; '.join(changed)}",
                remedy="Run it as it was begun (--version, the same input and options), or begin anew with --fresh.",
            )
        return
    for path in (options.target, options.bad):
        if path.exists() and not options.fresh:
            raise UsageError(
                f"{path} is there already, of a run that ended", remedy="Name another file, or replace it with --fresh."
            )
    work.begin(asked)
