"""Quality over time, side by side: estimated without labels, with the few that came, and measured as they matured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from mainstay.core.contracts import Task
from mainstay.core.errors import UsageError
from mainstay.models.segments import segment_names
from mainstay.stats import cbpe, labelled, ppi
from mainstay.store import blocks, feedback
from mainstay.watch import estimate, quality, quality_labelled, streams
from mainstay.watch.grading import is_graded
from mainstay.watch.quality_labelled import Known
from mainstay.watch.quality_records import Line, QualityReport, Value, Window
from mainstay.watch.story import ERROR_WITHIN, WITHIN

if TYPE_CHECKING:
    from sqlalchemy import Connection

MOST_BLOCKS, MOST_LABELS = 5_000, 20_000
DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "binary": ("accuracy", "precision", "recall", "f1", "roc_auc", "log_loss"),
    "multiclass": ("accuracy", "macro_f1", "log_loss"),
    "regression": ("mae", "rmse", "r2"),
}
ASSUMPTION = (
    "estimated: a score means the same as on the reference rows; few labels: the labelled requests are a random part; "
    "measured: speaks of the labelled requests"
)


def start_of(moment: datetime, every: str) -> datetime:
    """Return when the window of a moment begins, UTC; weeks begin on Monday."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if every == "hour":
        return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if every == "day":
        return day
    if every == "week":
        return day - timedelta(days=day.weekday())
    if every == "month":
        return day.replace(day=1)
    raise UsageError(f"windows of {every!r} are not known; allowed: hour, day, week, month")


def report(
    tx: Connection,
    *,
    model: str,
    known: Known,
    every: str = "day",
    since: datetime | None = None,
    metrics: Sequence[str] = (),
    seed: int = 0,
) -> QualityReport:
    """Return a version's quality per window and per declared segment, from the store alone.

    `metrics`: names of scikit-learn's scorers; by default those of the task. An unknown name raises UsageError. The
    newest MOST_BLOCKS blocks and MOST_LABELS labels are read. Of dense traffic, what was measured stands for all of it.
    """
    if known.contract.task is Task.RANKING:
        raise UsageError(
            "a ranking's quality is told by grades of whole groups, not by labels of rows",
            remedy="`mainstay status` shows NDCG on the grades that came.",
        )
    start_of(datetime(2000, 1, 1, tzinfo=UTC), every)  # raises for an unknown one
    names = tuple(metrics) or DEFAULTS[known.kind]
    for name in names:
        labelled.check(name)
    read = blocks.blocks(tx, model, since=since, bundle=known.name, limit=MOST_BLOCKS)
    labels = feedback.labels_of(tx, model, known.name, since=since, limit=MOST_LABELS)
    graded = [item for item in labels if is_graded(item, known.contract)]
    seen = [block for block in read if block.rows > 0]
    teller = _Teller(known=known, names=names, seed=seed)
    begins = {start_of(b.last_at, every) for b in seen} | {start_of(item.occurred_at, every) for item in graded}
    windows = tuple(
        teller.window(
            _stamp(begin, every),
            begin,
            [b for b in seen if start_of(b.last_at, every) == begin],
            [item for item in graded if start_of(item.occurred_at, every) == begin],
        )
        for begin in sorted(begins)
    )
    whole = teller.window("all", None, seen, graded)
    reference = known.profile.quality
    held = {} if reference is None else {name: one.real for name, one in reference.metrics.items() if name in names}
    needed, text = _unknown(known, whole)
    return QualityReport(
        model=model,
        version=known.name,
        every=every,
        since=since,
        complete=len(read) < MOST_BLOCKS and len(labels) < MOST_LABELS,
        metrics=names,
        held_out=held,
        windows=windows,
        segments=tuple(teller.segment(name, seen, graded) for name in sorted(reference.segments if reference else ())),
        whole=whole,
        assumption=ASSUMPTION,
        unknown=text,
        labels_needed=needed,
    )


def _stamp(begin: datetime, every: str) -> str:
    return begin.strftime({"hour": "%Y-%m-%d %H:00", "month": "%Y-%m"}.get(every, "%Y-%m-%d"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Teller:
    known: Known
    names: tuple[str, ...]
    seed: int

    def window(
        self, name: str, begin: datetime | None, seen: Sequence[blocks.Block], graded: Sequence[feedback.Graded]
    ) -> Window:
        """Return the three ways to tell the metrics of some blocks and labels."""
        sums, repeats = _sums(seen)
        return self._tell(name, begin, sums, graded, repeats=repeats, rows=sum(block.rows for block in seen))

    def segment(self, name: str, seen: Sequence[blocks.Block], graded: Sequence[feedback.Graded]) -> Window:
        """Return the same of one declared segment over all of the time."""
        sums, repeats = _sums(seen, name)
        part = [item for item in graded if name in segment_names(self.known.contract, item.inputs)]
        rows = int(sums["rows"][0]) if "rows" in sums else 0
        return self._tell(name, None, sums, part, repeats=repeats, rows=rows, segment=name)

    def _tell(
        self,
        name: str,
        begin: datetime | None,
        sums: cbpe.Sums,
        graded: Sequence[feedback.Graded],
        *,
        repeats: float,
        rows: int,
        segment: str = "",
    ) -> Window:
        reference = self.known.profile.quality
        found = None
        if reference is not None and "rows" in sums:
            found = cbpe.estimate(reference, sums, segment=segment, repeats=repeats)
        answers = quality_labelled.answers_of(self.known, graded) if graded else None
        rng = np.random.default_rng(self.seed)
        lines = []
        for metric in self.names:
            free = None if found is None else found.get(metric)
            powered = real = None
            if answers is not None:
                powered = quality_labelled.powered(metric, answers, reference, sums, repeats=repeats)
                real = labelled.measure(metric, answers.given, rng=rng)
            lines.append(Line(metric=metric, estimated=_value(free), few_labels=_value(powered), measured=_value(real)))
        return Window(
            name=name,
            begin=begin,
            rows=rows,
            labels=len(graded),
            lines=tuple(lines),
            overlap=None if found is None else found.overlap,
            warnings=() if found is None else found.warnings,
        )


def _sums(seen: Sequence[blocks.Block], segment: str = "") -> tuple[cbpe.Sums, float]:
    summaries = [block.summary.get("quality") for block in seen]
    return quality.window([one for one in summaries if one], segment)


def _value(found: cbpe.Estimated | labelled.Measured | ppi.Powered | None) -> Value | None:
    return None if found is None else Value(value=found.value, low=found.low, high=found.high)


def _unknown(known: Known, whole: Window) -> tuple[int, str]:
    """Return how many labels of random requests would tell, and the sentence that says so."""
    if known.kind == "regression":
        error = next((s for s in known.profile.signals if s.name == streams.ERROR), None)
        needed = 1 if error is None else estimate.labels_for_mean(error.mean, error.sd, share=ERROR_WITHIN)
        within = f"the mean distance within ±{ERROR_WITHIN:.0%} of what it was"
    else:
        line = next((one for one in whole.lines if one.metric == "accuracy"), None)
        best = None if line is None else line.measured or line.estimated
        needed = estimate.labels_needed(WITHIN, accuracy=0.5 if best is None else best.value)
        within = f"the share of right answers within ±{WITHIN * 100:.0f} points"
    came = f"{whole.labels} labels came" if whole.labels else "no labels came"
    text = f"{came}; {needed} labels of random requests tell {within}. "
    text += "Without labels a changed relation between inputs and truth cannot be seen."
    return needed, text
