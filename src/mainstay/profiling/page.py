"""The look at the data as one self-contained page. Without scripts, without network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

import mainstay
from mainstay.comparison import page as comparison
from mainstay.comparison import words
from mainstay.comparison.records import Kind
from mainstay.profiling import draw
from mainstay.profiling.records import ColumnLook, Profile, Suspect, Weight

HERE = Path(__file__).parent
TONES = {Weight.MEND: "bad", Weight.LOOK: "open", Weight.KNOW: "quiet"}
MEANS = {Weight.MEND: "mend", Weight.LOOK: "look at", Weight.KNOW: "know"}
MOST_CARDS = 150
"""Columns with a card and a plot; the page stays under a megabyte."""
MOST_FINDINGS = 40
MOST_TIES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One column as the page shows it."""

    name: str
    kind: str
    role: str
    tone: str
    says: tuple[str, ...]
    plot: Markup
    figures: tuple[tuple[str, str], ...]
    words: tuple[tuple[str, str], ...]


def document(profile: Profile) -> str:
    """Return the whole page."""
    shown = profile.columns[:MOST_CARDS]
    target = next((look for look in profile.columns if look.name == profile.target), None)
    return comparison.template(HERE, "report.html").render(
        css=comparison.css(HERE),
        headline=headline(profile),
        subject=f"{words.short(profile.name, 80)}: {words.counted(profile.rows)} rows, {len(profile.columns)} columns",
        kinds=kinds_line(profile),
        tone="bad" if any(f.weight is Weight.MEND for f in profile.findings) else "good",
        findings=[
            (MEANS[f.weight], TONES[f.weight], words.short(f.where, 60), words.short(f.what, 400))
            for f in profile.findings[:MOST_FINDINGS]
        ],
        more_findings=max(0, len(profile.findings) - MOST_FINDINGS),
        target=None if target is None else _card(target, profile.target),
        suspects=[suspect_line(one) for one in profile.suspects],
        heat=draw.heat(profile.tied, profile.matrix) if len(profile.tied) > 1 else "",
        ties=[
            (words.short(t.a), words.short(t.b), t.measure, f"{t.value:+.2f}".replace("-", "−"))
            for t in profile.ties[:MOST_TIES]
        ],
        cards=[_card(look, profile.target) for look in shown if look.name != profile.target],
        left_out=[words.short(look.name) for look in profile.columns[MOST_CARDS:]],
        notes=profile.notes,
        version=mainstay.__version__,
    )


def write(profile: Profile, path: str | Path) -> Path:
    """Write the page and return its path; an existing file is replaced as a whole."""
    return comparison.write(document(profile), path)


def file_name(address: str) -> str:
    """Return the name of the page for a file or pattern, for the folder where one stands."""
    kept = "".join(sign if sign.isalnum() or sign in "-_." else "-" for sign in Path(address).name)
    return f"{kept.partition('.')[0].strip('-') or 'data'}-profile.html"


def headline(profile: Profile) -> str:
    """Return what to do first, in one sentence."""
    mend = sum(f.weight is Weight.MEND for f in profile.findings)
    look = sum(f.weight is Weight.LOOK for f in profile.findings)
    if mend:
        return f"{mend} {'thing' if mend == 1 else 'things'} to mend before training, {look} to look at"
    return f"Nothing that must be mended, {look} {'thing' if look == 1 else 'things'} to look at"


def kinds_line(profile: Profile) -> str:
    """Return how many columns hold what."""
    counts: dict[str, int] = {}
    for one in profile.columns:
        counts[one.kind.value] = counts.get(one.kind.value, 0) + 1
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))


def suspect_line(one: Suspect) -> tuple[str, str]:
    """Return a suspect and why."""
    return words.short(one.name, 120), words.short(one.why, 400)


def _card(look: ColumnLook, target: str | None) -> Card:
    weights = [f.weight for f in look.findings]
    tone = next((TONES[weight] for weight in Weight if weight in weights), "good")
    return Card(
        name=words.short(look.name, 60),
        kind=look.kind.value,
        role="target" if look.name == target else "",
        tone=tone,
        says=tuple(words.short(f.what, 400) for f in look.findings),
        plot=Markup("")
        if look.plot is None
        else draw.plot(look.plot, title=words.short(look.name), times=look.kind is Kind.TIMESTAMP),
        figures=tuple(figures(look)),
        words=tuple(_words(look.numbers)),
    )


def figures(look: ColumnLook) -> Iterator[tuple[str, str]]:
    """Yield the figures of a column: name, value."""
    n = look.numbers
    yield "held as", look.dtype
    if look.suggested:
        yield "contract type", look.suggested
    yield "missing", f"{words.counted(look.missing)} ({words.share(look.missing / look.rows)})"
    yield "different values", words.counted(look.distinct)
    for key, called in (
        ("mean", "mean"),
        ("sd", "standard deviation"),
        ("min", "smallest"),
        ("q01", "1 %"),
        ("q25", "quartile"),
        ("q50", "median"),
        ("q75", "quartile"),
        ("q99", "99 %"),
        ("max", "largest"),
        ("length_mean", "characters, mean"),
        ("length_max", "longest"),
        ("words_mean", "words, mean"),
        ("longest_gap_s", "longest gap (s)"),
        ("usual_gap_s", "usual gap (s)"),
    ):
        if n.get(key) is not None:
            yield called, words.number(float(n[key]))
    for key, called in (
        ("outliers", "far out"),
        ("zeros", "zeros"),
        ("rare_values", "values of under 5 rows"),
        ("future", "in the future"),
        ("days_without", "days without a row"),
    ):
        if n.get(key) is not None:
            yield called, words.counted(n[key])
    for key, called in (("first", "first"), ("last", "last"), ("longest_gap_from", "longest gap from")):
        if n.get(key) is not None:
            yield called, words.moment(n[key])
    if n.get("commonest") is not None:
        yield "commonest", f"{words.short(n['commonest'], 40)} ({words.share(n['commonest_rows'] / max(1, look.rows))})"
    for key, called in (("scripts", "scripts beside Latin"), ("languages", "languages")):
        if n.get(key):
            yield called, ", ".join(f"{name} {words.share(share)}" for name, share in list(n[key].items())[:6])


def _words(numbers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for label, found in numbers.get("telling", {}).items():
        if found:
            yield words.short(label), ", ".join(words.short(word, 24) for word in found)
