"""The small plots, as SVG text that takes its colours from the page. Text from the data is escaped here."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from mainstay.comparison import words
from mainstay.comparison.records import Bars, Effect

WIDTH = 340
PLOT_HEIGHT = 84
AXIS = 16
ROW = 24
LABEL = 128
VALUES = 116
FOREST = 150
DIAGRAM = 240
PAD = 34
LABEL_CHARS = 19
LETTER = 6.6
"""About the width of a letter at the size that plots use."""


def field_plot(bars: Bars, *, name: str, sides: tuple[str, str]) -> Markup:
    """Return the plot of one field: overlaid histograms for numbers, pairs of bars for categories."""
    title = f"{words.short(name)}: {sides[0]} and {sides[1]}"
    return _histogram(bars, title) if bars.numeric else _pairs(bars, title)


def framed(body: str, *, width: float, height: float, title: str) -> Markup:
    """Return the plot; `body` holds numbers and escaped text only."""
    head = f'<svg class="msc-plot" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" role="img">'
    return Markup(head + f"<title>{escape(title)}</title>{body}</svg>")  # noqa: S704 - made of numbers and escaped text


def _histogram(bars: Bars, title: str) -> Markup:
    edges = [float(label) for label in bars.labels]
    low, high = edges[0], max(edges[-1], math.nextafter(edges[0], math.inf))
    top = max(*bars.reference, *bars.current) or 1.0
    across = [4.0 + (WIDTH - 8.0) * (edge - low) / (high - low) for edge in edges]
    parts = []
    for side, shares in (("ref", bars.reference), ("cur", bars.current)):
        heights = [PLOT_HEIGHT - 2.0 - (PLOT_HEIGHT - 8.0) * share / top for share in shares]
        parts.append(f'<path class="msc-{side}-area" d="{_steps(across, heights)}"/>')
    parts.append(f'<line class="msc-axis" x1="4" y1="{PLOT_HEIGHT - 2}" x2="{WIDTH - 4}" y2="{PLOT_HEIGHT - 2}"/>')
    before, beyond = ("≤ ", "≥ ") if bars.ends_open else ("", "")
    marks = [
        ("start", 4.0, before, low),
        ("middle", WIDTH / 2.0, "", (low + high) / 2.0),
        ("end", WIDTH - 4.0, beyond, high),
    ]
    for anchor, x, sign, value in marks:
        text = escape(sign + words.number(_tidy(_inside(value, edges), high - low)))
        parts.append(f'<text x="{x:g}" y="{PLOT_HEIGHT + AXIS - 5}" text-anchor="{anchor}">{text}</text>')
    return framed("".join(parts), width=WIDTH, height=PLOT_HEIGHT + AXIS, title=title)


def _steps(across: Sequence[float], heights: Sequence[float]) -> str:
    ground = PLOT_HEIGHT - 2.0
    path = [f"M{across[0]:.1f} {ground:.1f}"]
    for i, height in enumerate(heights):
        path.append(f"V{height:.1f}H{across[i + 1]:.1f}")
    return "".join([*path, f"V{ground:.1f}Z"])


def _inside(value: float, edges: Sequence[float]) -> float:
    """Return the nearest whole number within the plot where the bins lie around whole numbers."""
    if any((edge + 0.5) % 1.0 for edge in edges):
        return value
    return float(min(max(round(value), math.ceil(edges[0])), math.floor(edges[-1])))


def _tidy(value: float, span: float) -> float:
    """Return an axis value without digits that the plot cannot show."""
    if span <= 0 or not math.isfinite(span):
        return value
    return round(value, max(0, 2 - math.floor(math.log10(span))))


def _pairs(bars: Bars, title: str) -> Markup:
    # All others together would dwarf the single values: they are told in figures only.
    single = len(bars.labels) - bars.last_is_rest
    top = max(*bars.reference[:single], *bars.current[:single]) or 1.0
    label = min(LABEL, 18.0 + LETTER * max(len(words.short(text, LABEL_CHARS)) for text in bars.labels))
    room = WIDTH - label - VALUES
    parts = []
    for row, (text, then, now) in enumerate(zip(bars.labels, bars.reference, bars.current, strict=True)):
        y = row * ROW
        parts.append(
            f'<text x="{label - 8:g}" y="{y + 16}" text-anchor="end">{escape(words.short(text, LABEL_CHARS))}</text>'
        )
        for offset, side, share in ((3, "ref", then), (12, "cur", now)) if row < single else ():
            width = max(1.5 if share > 0 else 0.0, room * share / top)
            parts.append(
                f'<rect class="msc-{side}" x="{label:g}" y="{y + offset}" width="{width:.1f}" height="8" rx="1.5"/>'
            )
        shares = escape(f"{words.share(then)} → {words.share(now)}")
        parts.append(f'<text class="msc-dim" x="{WIDTH}" y="{y + 16}" text-anchor="end">{shares}</text>')
    return framed("".join(parts), width=WIDTH, height=ROW * len(bars.labels), title=title)


def forest(effect: Effect) -> Markup:
    """Return one size with its interval against the band of what does not matter."""
    if not (math.isfinite(effect.low) and math.isfinite(effect.high)):
        return Markup("")
    value, low, high = (x - effect.none for x in (effect.value, effect.low, effect.high))
    reach = 1.15 * max(abs(low), abs(high), 3.0 * effect.material, 1e-9)

    def place(x: float) -> float:
        return FOREST / 2.0 + (FOREST / 2.0 - 4.0) * x / reach

    band = place(effect.material) - place(-effect.material)
    tone = "msc-beyond" if effect.is_material else "msc-within"
    body = (
        f'<rect class="msc-band" x="{place(-effect.material):.1f}" y="1" width="{band:.1f}" height="18"/>'
        f'<line class="msc-axis" x1="{FOREST / 2}" y1="1" x2="{FOREST / 2}" y2="19"/>'
        f'<line class="{tone}" x1="{place(low):.1f}" y1="10" x2="{place(high):.1f}" y2="10"/>'
        f'<circle class="{tone}" cx="{place(value):.1f}" cy="10" r="3.5"/>'
    )
    return framed(body, width=FOREST, height=20, title=words.interval(effect))


def lean_bars(leans: Sequence[tuple[str, float]]) -> Markup:
    """Return how much area each field is worth to the classifier."""
    top = max((lost for _, lost in leans), default=0.0) or 1.0
    room = WIDTH - LABEL - 50
    parts = []
    for row, (name, lost) in enumerate(leans):
        y = row * 22
        parts.append(
            f'<text x="{LABEL - 8}" y="{y + 15}" text-anchor="end">{escape(words.short(name, LABEL_CHARS))}</text>'
        )
        parts.append(
            f'<rect class="msc-cur" x="{LABEL}" y="{y + 5}" width="{room * lost / top:.1f}" height="12" rx="1.5"/>'
            f'<text class="msc-dim" x="{WIDTH}" y="{y + 15}" text-anchor="end">{lost:.3f}</text>'
        )
    return framed("".join(parts), width=WIDTH, height=22 * len(leans), title="Area lost without each field")


def reliability(
    sides: tuple[Sequence[tuple[float, float, float]], Sequence[tuple[float, float, float]]], *, unit: bool
) -> Markup:
    """Return mean prediction against mean truth for bins of both sides; on the diagonal they agree."""
    values = [x for side in sides for row in side for x in row[:2]]
    low, high = (0.0, 1.0) if unit else (min(values), max(values))
    span = (high - low) or 1.0

    def place(x: float) -> float:
        return PAD + (DIAGRAM - PAD - 8.0) * (x - low) / span

    def up(x: float) -> float:
        return DIAGRAM - place(x)

    parts = [
        f'<line class="msc-axis" x1="{PAD}" y1="{DIAGRAM - PAD}" x2="{DIAGRAM - 8}" y2="{DIAGRAM - PAD}"/>',
        f'<line class="msc-axis" x1="{PAD}" y1="8" x2="{PAD}" y2="{DIAGRAM - PAD}"/>',
        f'<line class="msc-diagonal" x1="{place(low):.1f}" y1="{up(low):.1f}" '
        f'x2="{place(high):.1f}" y2="{up(high):.1f}"/>',
    ]
    for name, side in zip(("ref", "cur"), sides, strict=True):
        if not side:
            continue
        line = " ".join(f"{place(told):.1f},{up(truth):.1f}" for told, truth, _ in side)
        parts.append(f'<polyline class="msc-{name}-line" points="{line}"/>')
        parts += [
            f'<circle class="msc-{name}" cx="{place(told):.1f}" cy="{up(truth):.1f}" r="3"/>' for told, truth, _ in side
        ]
    ends = [escape(words.number(_tidy(x, span))) for x in (low, high)]
    parts += [
        f'<text x="{PAD}" y="{DIAGRAM - PAD + 14}">{ends[0]}</text>',
        f'<text x="{DIAGRAM - 8}" y="{DIAGRAM - PAD + 14}" text-anchor="end">{ends[1]}</text>',
        f'<text x="{(PAD + DIAGRAM) / 2}" y="{DIAGRAM - 6}" text-anchor="middle">mean prediction</text>',
        f'<text transform="translate(14 {(DIAGRAM - PAD) / 2}) rotate(-90)" text-anchor="middle">mean truth</text>',
        f'<text x="{PAD - 4}" y="16" text-anchor="end">{ends[1]}</text>' if len(ends[1]) < 4 else "",
    ]
    return framed("".join(parts), width=DIAGRAM, height=DIAGRAM, title="Prediction and truth")
