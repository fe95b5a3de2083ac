"""The small plots of one data set, as SVG text in the clothes of a comparison. Text from the data is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from markupsafe import Markup, escape

from mainstay.comparison import words
from mainstay.comparison.records import Bars
from mainstay.comparison.svg import AXIS, PLOT_HEIGHT, ROW, VALUES, WIDTH, framed
from mainstay.profiling.records import Plot

LABEL = 128
LABEL_CHARS = 19
CELL = 15
NAMES = 130
NAME_CHARS = 18


def plot(one: Plot, *, title: str, times: bool = False) -> Markup:
    """Return rows in bins, or rows of single values."""
    return _bins(one, title, times=times) if one.ordered else _bars(one, title)


def pair(then: Plot, now: Plot) -> Bars:
    """Return two plots over the same labels as shares of rows, for `comparison.svg.field_plot`."""
    sides = [tuple(count / (sum(one.counts) or 1.0) for count in one.counts) for one in (then, now)]
    return Bars(labels=then.labels, reference=sides[0], current=sides[1], numeric=then.ordered)


def _bins(one: Plot, title: str, *, times: bool) -> Markup:
    edges = [float(label) for label in one.labels]
    low, span = edges[0], (edges[-1] - edges[0]) or 1.0
    top = max(one.counts) or 1.0
    ground = PLOT_HEIGHT - 2.0
    path = [f"M4 {ground:.1f}"]
    for i, count in enumerate(one.counts):
        height = ground - (PLOT_HEIGHT - 8.0) * count / top
        path.append(f"V{height:.1f}H{4.0 + (WIDTH - 8.0) * (edges[i + 1] - low) / span:.1f}")
    parts = [
        f'<path class="msc-cur-area" d="{"".join(path)}V{ground:.1f}Z"/>',
        f'<line class="msc-axis" x1="4" y1="{ground:g}" x2="{WIDTH - 4}" y2="{ground:g}"/>',
    ]
    before, beyond = ("≤ ", "≥ ") if one.ends_open else ("", "")
    if any((edge + 0.5) % 1.0 == 0 for edge in edges[:1]) and span < 64:  # bins around whole numbers
        low_shown, high_shown = edges[0] + 0.5, edges[-1] - 0.5
    else:
        low_shown, high_shown = low, edges[-1]
    show = _moment if times else words.number
    marks = [("start", 4.0, before, low_shown), ("end", WIDTH - 4.0, beyond, high_shown)]
    if not times:
        marks.insert(1, ("middle", WIDTH / 2.0, "", low + span / 2.0))
    for anchor, x, sign, value in marks:
        parts.append(
            f'<text x="{x:g}" y="{PLOT_HEIGHT + AXIS - 5}" text-anchor="{anchor}">{escape(sign + show(value))}</text>'
        )
    return framed("".join(parts), width=WIDTH, height=PLOT_HEIGHT + AXIS, title=title)


def _moment(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
    except (OverflowError, OSError, ValueError):
        return words.number(seconds)


def _bars(one: Plot, title: str) -> Markup:
    single = len(one.labels) - one.last_is_rest
    top, total = max(one.counts[:single], default=0.0) or 1.0, sum(one.counts) or 1.0
    room = WIDTH - LABEL - VALUES + 30
    parts = []
    for row, (label, count) in enumerate(zip(one.labels, one.counts, strict=True)):
        y = row * ROW
        parts.append(
            f'<text x="{LABEL - 8}" y="{y + 16}" text-anchor="end">{escape(words.short(label, LABEL_CHARS))}</text>'
        )
        if row < single:
            width = max(1.5, room * count / top)
            parts.append(f'<rect class="msc-cur" x="{LABEL}" y="{y + 6}" width="{width:.1f}" height="13" rx="1.5"/>')
        share = escape(words.share(count / total))
        parts.append(f'<text class="msc-dim" x="{WIDTH}" y="{y + 16}" text-anchor="end">{share}</text>')
    return framed("".join(parts), width=WIDTH, height=ROW * len(one.labels), title=title)


def heat(names: Sequence[str], matrix: Sequence[Sequence[float | None]]) -> Markup:
    """Return the ties of all pairs as a square of cells, the darker the stronger; each tells its figure."""
    side = CELL * len(names)
    parts = []
    for i, name in enumerate(names):
        short = escape(words.short(name, NAME_CHARS))
        parts.append(f'<text x="{NAMES - 6}" y="{NAMES + i * CELL + 11}" text-anchor="end">{short}</text>')
        x = NAMES + i * CELL + 11
        parts.append(f'<text transform="translate({x} {NAMES - 6}) rotate(-60)">{short}</text>')
        for j, value in enumerate(matrix[i]):
            if value is None or i == j:
                continue
            told = escape(f"{words.short(name)} and {words.short(names[j])}: {value:.2f}")
            parts.append(
                f'<rect class="msc-cur" x="{NAMES + j * CELL}" y="{NAMES + i * CELL}" width="{CELL - 1}" '
                f'height="{CELL - 1}" opacity="{max(0.04, value):.2f}"><title>{told}</title></rect>'
            )
    return framed("".join(parts), width=NAMES + side + 60, height=NAMES + side, title="Ties between columns")
