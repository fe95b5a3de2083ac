"""The report of a delivery as one self-contained page. Without scripts, without network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape

import mainstay
from mainstay.comparison import page as comparison
from mainstay.comparison import svg, words
from mainstay.comparison.records import FieldReport, Status
from mainstay.comparison.result import Comparison
from mainstay.core.verdicts import Check, Verdict
from mainstay.delivery.drift import HIDDEN
from mainstay.delivery.records import Answer, Bars, DeliveryReport

HERE = Path(__file__).parent
TONES = {Verdict.PASS: "good", Verdict.FAIL: "bad", Verdict.NOT_ENOUGH: "open"}
MEANS = {Verdict.PASS: "holds", Verdict.FAIL: "does not hold", Verdict.NOT_ENOUGH: "not enough evidence"}
MOST_MOVED = 12
LABEL, ROOM, ROW = 170, 240, 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One question as the page shows it."""

    name: str
    title: str
    question: str
    says: str
    means: str
    tone: str
    decides: bool
    plots: tuple[tuple[str, Markup], ...]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def document(report: DeliveryReport, compared: Comparison | None, *, judged: tuple[str, ...] = ()) -> str:
    """Return the whole page; `judged` are the questions that [gate] delivery lets decide."""
    sections = [_section(one, judged) for one in report.answers]
    moved = [] if compared is None else [f for f in compared.fields if f.status in (Status.BROKEN, Status.MOVED)]
    names = ("", "") if compared is None else ("last delivery", "this delivery")
    return comparison.template(HERE, "report.html").render(
        css=comparison.css(HERE),
        headline=headline(report),
        tone=_tone(report),
        subject=subject(report),
        judged=", ".join(judged),
        sections=sections,
        moved=[_moved(field, names, hidden=field.name in report.private) for field in moved[:MOST_MOVED]],
        version=mainstay.__version__,
    )


def headline(report: DeliveryReport) -> str:
    """Return what of the delivery does not hold, in one sentence."""
    bad = [check.name.replace("_", " ") for check in report.checks if check.applies and check.verdict is Verdict.FAIL]
    if bad:
        return f"Look before training: {words.listed(bad, most=6)}"
    unknown = [c.name.replace("_", " ") for c in report.checks if c.applies and c.verdict is Verdict.NOT_ENOUGH]
    if unknown:
        return f"Nothing was found; not enough evidence about {words.listed(unknown, most=6)}"
    return "The delivery is in order"


def subject(report: DeliveryReport) -> str:
    """Return what was looked at."""
    rows = report.rows
    told = [f"{words.counted(rows['train'])} training rows", f"{words.counted(rows['test'])} test rows"]
    if rows["last"]:
        told.append(f"{words.counted(rows['last'])} training rows of the delivery before")
    return ", ".join(told)


def _tone(report: DeliveryReport) -> str:
    verdicts = [check.verdict for check in report.checks if check.applies]
    return next((TONES[one] for one in (Verdict.FAIL, Verdict.NOT_ENOUGH) if one in verdicts), "good")


def _section(one: Answer, judged: tuple[str, ...]) -> Section:
    check: Check = one.check
    table = one.table
    return Section(
        name=check.name,
        title=check.name.replace("_", " ").capitalize(),
        question=check.question,
        says=words.short(check.reason, 900),
        means=MEANS[check.verdict] if check.applies else "no object",
        tone=TONES[check.verdict] if check.applies else "quiet",
        decides=check.name in judged,
        plots=tuple((bars.title, _bars(bars)) for bars in one.bars),
        head=tuple(table[0]) if table else (),
        rows=tuple(tuple(words.short(cell, 300) for cell in row) for row in table[1:]),
        notes=one.notes,
    )


def _bars(bars: Bars) -> Markup:
    """Return a bar for each label, two where two sides are compared, and the limit as a line."""
    top = max((*bars.values, *bars.beside, bars.limit or 0.0), default=0.0) or 1.0
    parts = []
    for i, (label, value) in enumerate(zip(bars.labels, bars.values, strict=True)):
        y = i * ROW
        parts.append(f'<text x="{LABEL - 8}" y="{y + 15}" text-anchor="end">{escape(words.short(label, 24))}</text>')
        sides = [("ref", value), ("cur", bars.beside[i])] if bars.beside else [("cur", value)]
        height = 14 // len(sides)
        for j, (side, share) in enumerate(sides):
            width = max(1.0 if share > 0 else 0.0, ROOM * share / top)
            parts.append(
                f'<rect class="msc-{side}" x="{LABEL}" y="{y + 4 + j * height}" width="{width:.1f}" height="{height}"/>'
            )
        told = " / ".join(f"{share:.3g}" for _, share in sides)
        parts.append(f'<text class="msc-dim" x="{LABEL + ROOM + 70}" y="{y + 15}" text-anchor="end">{told}</text>')
    height = ROW * len(bars.labels)
    if bars.limit is not None:
        x = LABEL + ROOM * bars.limit / top
        parts.append(f'<line class="msc-beyond" x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{height}"/>')
    return svg.framed("".join(parts), width=LABEL + ROOM + 72, height=height, title=bars.title)


def _moved(field: FieldReport, sides: tuple[str, str], *, hidden: bool) -> tuple[str, str, Markup]:
    if hidden:
        return words.short(field.name, 60), HIDDEN, Markup("")
    plot = Markup("") if field.bars is None else svg.field_plot(field.bars, name=field.name, sides=sides)
    return words.short(field.name, 60), words.short(field.says, 300), plot
