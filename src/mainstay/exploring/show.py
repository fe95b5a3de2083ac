"""`mainstay explore show`: what could be drawn, what was, and which answers get labels at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mainstay.core.events import Event
from mainstay.exploring import logs
from mainstay.models.signals import as_category
from mainstay.retrain import selective
from mainstay.stats.selective import Selective

if TYPE_CHECKING:
    from mainstay.core.exploration import Rule
    from mainstay.parts import Parts

WINDOW = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One answer; of a ranking one place."""

    answer: str
    said: int
    """How often the model said it; of a ranking how many candidates it put there."""
    given: int
    """How often it was given, draws and all."""
    least: float | None
    """The least chance with which it could have been given, where it could."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """How a model explores, and what came of it since a moment."""

    rule: Rule | None
    """As the project declares it; None: it explores nothing."""
    since: datetime
    answered: int
    drawable: int
    """Answers that could have been drawn."""
    drawn: int
    """Of these, those that were."""
    changed: int
    """Of these, those that gave something else than the model's own answer."""
    lines: tuple[Line, ...]
    labels: Selective | None
    """Which answers have labels; None for numbers and rankings."""


def show(parts: Parts, rule: Rule | None, *, since: datetime | None = None) -> Shown:
    """Return what was drawn since a moment (by default of seven days)."""
    now = parts.clock.now()
    since = since or now - WINDOW
    seen = logs.answers(parts, since=since, until=now)
    drawable = [event for event in seen if event.explored is not None]
    with parts.store.read() as tx:
        labels = selective.look(tx, parts.model, parts.settings)
    return Shown(
        rule=rule,
        since=since,
        answered=len(seen),
        drawable=len(drawable),
        drawn=sum(one.explored is not None and one.explored.drawn for one in drawable),
        changed=sum(_changed(one) for one in drawable),
        lines=_lines(drawable),
        labels=labels,
    )


def _changed(event: Event) -> bool:
    how = event.explored
    return how is not None and (how.label is not None or how.rank != how.model_rank)


def _lines(drawable: Sequence[Event]) -> tuple[Line, ...]:
    said: Counter[str] = Counter()
    given: Counter[str] = Counter()
    least: dict[str, float] = {}
    for event in drawable:
        how = event.explored
        if how is None:
            continue
        said[str(how.model_rank) if how.rank else as_category(event.label)] += 1
        given[str(how.rank) if how.rank else as_category(event.given)] += 1
        for name, chance in how.propensities.items():
            least[name] = min(chance, least.get(name, 1.0))
    names = sorted({*said, *given}, key=_by_place)
    return tuple(Line(answer=n, said=said[n], given=given[n], least=least.get(n)) for n in names)


def _by_place(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (0, name)


def sentences(found: Shown) -> tuple[str, ...]:
    """Return it in words."""
    if found.rule is None:
        first = "Nothing is explored: [serve.explore] share is 0."
    else:
        first = f"A share of {found.rule.share:g} of the answers is drawn ({found.rule.how.value})."
    lines = [first]
    if found.drawable:
        lines.append(
            f"Since {found.since:%Y-%m-%d}: {found.drawable:,} of {found.answered:,} answers could have been drawn, "
            f"{found.drawn:,} were, {found.changed:,} of them to something else than the model said."
        )
    elif found.rule is not None:
        lines.append(f"Since {found.since:%Y-%m-%d} none of {found.answered:,} answers could have been drawn.")
    if found.labels is not None and found.labels.text:
        lines.append(found.labels.text)
    return tuple(lines)


def table(found: Shown) -> list[Mapping[str, object]]:
    """Return what was said and given, line by line."""
    return [
        {
            "answer": one.answer,
            "said": one.said,
            "given": one.given,
            "least": "" if one.least is None else f"{one.least:.4f}",
        }
        for one in found.lines
    ]
