"""Questions about the answer among the inputs: leaks, times that run ahead, names that are learned by heart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from mainstay.comparison import words
from mainstay.config.settings import DeliveryQuestion
from mainstay.core.contracts import FieldType
from mainstay.core.verdicts import Check, Verdict, combine
from mainstay.delivery.records import Answer, Bars, Delivery, answer, within
from mainstay.profiling import leaks
from mainstay.profiling.records import Suspect
from mainstay.profiling.samples import Rows, drawn, seen_by_contract
from mainstay.stats.alone import Skill

MOST_TOLD = 5
MOST_BARS = 15
AHEAD = timedelta(days=1)
STANDS_OUT, NEXT = 0.8, 0.5
"""A feature that surely tells so much of the target alone (λ or R²), and the next best at most that part of it, stands
out: it is told whatever the limit is ..."""
NEARLY_ALL, LEFT = 0.9, 0.25
"""... and one that tells so much, and leaves at most that part of what the next best leaves."""


def leakage(given: Delivery, rng: np.random.Generator) -> tuple[Answer, Answer]:
    """Ask whether a feature knows the target: alone, together with others, or as a name that is learned by heart."""
    rows = drawn(given.train.height, given.settings.delivery.rows, rng)
    some = given.train[rows]
    columns = seen_by_contract(given.contract, some)
    asked = leaks.Asked(
        truth=some[given.contract.target],
        classes=given.contract.task.is_classification,
        keys=keys_of(given, some),
        rng=rng,
        time=given.contract.time,
    )
    limit = given.settings.delivery.alone
    skills = leaks.skills_of(columns, asked)
    found = leaks.suspects(columns, asked, least=limit, skills=skills)
    named = [one for one in found if one.kind == "identifier"]
    return _leaks(skills, asked, [one for one in found if one.kind != "identifier"], limit), _identifiers(named)


def keys_of(given: Delivery, some: pl.DataFrame) -> Rows | None:
    """Return a number for each row's key, where a key is declared; a row without one is a key of its own."""
    if given.contract.key is None:
        return None
    keys = some[given.contract.key].cast(pl.String)
    alone = pl.Series([f"row {i}" for i in range(len(keys))])
    filled = pl.select(pl.when(keys.is_null()).then(alone).otherwise(pl.lit("key ") + keys)).to_series()
    return (filled.rank("dense") - 1).to_numpy().astype(np.intp)


def _leaks(skills: Mapping[str, Skill] | None, asked: leaks.Asked, found: Sequence[Suspect], limit: float) -> Answer:
    question, asks = DeliveryQuestion.LEAKAGE, "Does no feature know the target by itself or together with others?"
    if skills is None:
        return answer(question, asks, Verdict.NOT_ENOUGH, f"fewer than {leaks.LEAST_ROWS} rows have a target")
    measure = "λ" if asked.classes else "R²"
    known = {name: skill for name, skill in skills.items() if np.isfinite(skill.value)}
    verdicts = [within(skill.low, skill.high, limit) for skill in known.values()]
    verdict = Verdict.FAIL if found else _all(verdicts)
    best = sorted(known.items(), key=lambda item: -item[1].value)
    told = [f"{words.short(one.name)} {one.why}" for one in found[:MOST_TOLD]]
    if not told and best:
        name, skill = best[0]
        told = [
            f"most is told alone by {words.short(name)}: {measure} {skill.value:.3f} ({skill.low:.3f} to "
            f"{skill.high:.3f}), allowed {limit:g}"
        ]
    alone = stands_out(known)
    if alone is not None and not any(one.name == alone for one in found):
        told.append(_doubt(alone, known, measure))
    numbers = {
        "measure": measure,
        "limit": limit,
        "stands_out": alone,
        "alone": {n: {"value": s.value, "low": s.low, "high": s.high, "rows": s.rows} for n, s in known.items()},
        "suspects": [{"name": one.name, "kind": one.kind, "why": one.why} for one in found],
    }
    plot = Bars(
        title=f"How much of the target each feature tells alone ({measure}, on rows held out)",
        labels=tuple(name for name, _ in best[:MOST_BARS]),
        values=tuple(max(0.0, skill.value) for _, skill in best[:MOST_BARS]),
        limit=limit,
    )
    reason = "; ".join(told) or "no feature but texts, and no word of them stands for a class"
    return answer(question, asks, verdict, reason, numbers=numbers, bars=[plot] if best else ())


def stands_out(known: Mapping[str, Skill]) -> str | None:
    """Return the feature that tells nearly all of the target where no other tells much, or None.

    A copy of the target with some noise stays below a limit that honest strong features keep; beside others it shows.
    """
    best = sorted(known, key=lambda name: -known[name].value)[:2]
    if len(best) < 2:
        return None
    first, next_best = known[best[0]], max(known[best[1]].value, 0.0)
    far = first.low >= STANDS_OUT and next_best <= NEXT * first.value
    near = first.low >= NEARLY_ALL and 1.0 - first.value <= LEFT * (1.0 - next_best)
    return best[0] if far or near else None


def _doubt(name: str, known: Mapping[str, Skill], measure: str) -> str:
    rest = max((max(skill.value, 0.0) for other, skill in known.items() if other != name), default=0.0)
    return (
        f"{words.short(name)} tells the target nearly alone: {measure} {known[name].value:.2f}, where no other feature "
        f"tells more than {rest:.2f}; is it known before the answer?"
    )


def _all(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict over features; without any there is nothing that could tell alone."""
    checks = [Check(name="", question="", verdict=one, reason="") for one in verdicts]
    return combine(checks) if checks else Verdict.PASS


def _identifiers(named: Sequence[Suspect]) -> Answer:
    asks = "Is no feature a name of things, which a model can learn by heart and which says nothing of new ones?"
    told = "; ".join(f"{words.short(one.name)} {one.why}" for one in named[:MOST_TOLD])
    return answer(
        DeliveryQuestion.IDENTIFIERS,
        asks,
        Verdict.FAIL if named else Verdict.PASS,
        f'{told}; give it role = "ignored"' if named else "no feature has a value of its own in most rows",
        numbers={"names": [one.name for one in named]},
    )


def time_travel(given: Delivery, now: datetime) -> Answer:
    """Ask whether any time lies after the moment that is predicted for, or in the future, and how test rows lie."""
    question, asks = DeliveryQuestion.TIME_TRAVEL, "Is nothing known before it happened?"
    contract, frame = given.contract, given.train
    times = [one.name for one in contract.fields if one.type is FieldType.TIMESTAMP and one.name != contract.time]
    if contract.time is None or not frame[contract.time].is_not_null().any():
        told = f"; the times of {', '.join(times)} cannot be held against it" if times else ""
        return answer(
            question,
            asks,
            Verdict.NOT_ENOUGH,
            f"no row carries the event's time ([data] time){told}",
            applies=bool(times),
        )
    at = frame[contract.time]
    after = {name: int((frame[name] > at).sum()) for name in times}
    future = int((at > now + AHEAD).sum())
    newest = at.max()
    early = None
    if given.test is not None and given.test.height:
        early = float((given.test[contract.time] <= newest).mean() or 0.0)  # type: ignore[arg-type]
    wrong = [
        f"{words.short(n)} is later than {contract.time} in {words.counted(c)} rows" for n, c in after.items() if c
    ]
    if future:
        wrong.append(f"{words.counted(future)} rows are of the future")
    told = f"; {words.share(early)} of the test rows are no later than the newest training row" if early else ""
    strict = given.settings.delivery.later_test
    if strict and early:
        wrong.append(f"{words.share(early)} of the test rows are no later than the newest training row")
    undated = at.null_count()
    if undated:
        told += f"; {words.counted(undated)} training rows have no time"
    good = f"no time lies after {contract.time}, and none in the future"
    numbers = {"after": after, "future": future, "test_not_later": early, "without_time": undated}
    verdict = Verdict.FAIL if wrong else Verdict.NOT_ENOUGH if strict and early is None else Verdict.PASS
    reason = "; ".join(wrong) + ("" if strict and wrong else told) if wrong else good + told
    return answer(question, asks, verdict, reason, numbers=numbers)
