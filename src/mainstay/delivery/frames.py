"""Questions about the rows as they came: the contract, what is missing, what is personal, how many of each class."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from mainstay.comparison import words
from mainstay.config.settings import DeliveryQuestion
from mainstay.core.contracts import Pii
from mainstay.core.verdicts import Verdict
from mainstay.delivery.records import Answer, Bars, Delivery, answer, below
from mainstay.profiling.personal import personal_in

MOST_TOLD = 5
MOST_BARS = 12


def schema(given: Delivery) -> Answer:
    """Ask how many rows break the contract (which Pandera checks), and whether columns are otherwise than last time."""
    bad = sum(report.bad.height for report in given.reports)
    rows = sum(report.good.height for report in given.reports) + bad
    limit = given.settings.data.quarantine.max_share
    every = [problem for report in given.reports for problem in report.problems]
    problems = [str(one if given.shows_values else replace(one, value=None)) for one in every]
    flagged = sum(report.flagged for report in given.reports)
    changed = _changed(given.train, given.last)
    asks = "Do the rows hold the contract, and are the columns those of the last delivery?"
    if not given.reports:
        return answer(DeliveryQuestion.SCHEMA, asks, Verdict.NOT_ENOUGH, "the rows were not checked as they came")
    share = bad / rows if rows else 1.0
    told = f"{words.counted(bad)} of {words.counted(rows)} rows break the contract ({words.share(share)})"
    reason = f"{told}, allowed {words.share(limit)}"
    if problems:
        reason += f": {'; '.join(problems[:MOST_TOLD])}"
    if changed:
        reason += f"; otherwise than last time: {', '.join(changed[:MOST_TOLD])}"
    verdict = Verdict.FAIL if changed else below(share, limit)
    numbers = {"rows": rows, "broken": bad, "flagged": flagged, "changed": changed, "limit": limit}
    table = [("what breaks the contract",), *((words.short(one, 300),) for one in problems)] if problems else []
    return answer(DeliveryQuestion.SCHEMA, asks, verdict, reason, numbers=numbers, table=table)


def _changed(now: pl.DataFrame, last: pl.DataFrame | None) -> list[str]:
    if last is None:
        return []
    gone = [f"{name} is gone" for name in last.columns if name not in now.columns and not name.startswith("_")]
    new = [f"{name} is new" for name in now.columns if name not in last.columns and not name.startswith("_")]
    other = [
        f"{name} holds {now.schema[name]}, was {last.schema[name]}"
        for name in now.columns
        if name in last.columns and now.schema[name] != last.schema[name] and pl.Null not in (last.schema[name],)
    ]
    return gone + new + other


def missing(given: Delivery) -> Answer:
    """Ask which features are missing how often, and which say nothing: the same in every row."""
    limit = given.settings.delivery.missing
    rows = given.train.height
    shares = {one.name: given.train[one.name].null_count() / rows for one in given.contract.features}
    constant = [name for name in shares if given.train[name].drop_nulls().n_unique() < 2]
    worst = sorted(shares.items(), key=lambda item: -item[1])
    over = [name for name, share in worst if share > limit]
    lacking = [(name, share) for name, share in worst if share > 0]
    told = ", ".join(f"{words.short(name)} {words.share(share)}" for name, share in lacking[:MOST_TOLD])
    reason = f"missing: {told}" if told else f"no feature is missing in any of {words.counted(rows)} rows"
    reason += f"; allowed {words.share(limit)}"
    if constant:
        reason += f"; the same in every row: {', '.join(map(words.short, constant[:MOST_TOLD]))}"
    plot = _bars("Share of rows without each feature", lacking, limit)
    return answer(
        DeliveryQuestion.MISSING,
        "Is every feature there often enough, and does it vary?",
        Verdict.FAIL if over or constant else Verdict.PASS,
        reason,
        numbers={"shares": shares, "constant": constant, "limit": limit},
        bars=plot,
    )


def _bars(title: str, figures: list[tuple[str, float]], limit: float | None) -> list[Bars]:
    if not figures:
        return []
    shown = figures[:MOST_BARS]
    return [Bars(title=title, labels=tuple(n for n, _ in shown), values=tuple(v for _, v in shown), limit=limit)]


def balance(given: Delivery) -> Answer:
    """Ask whether every class has enough rows, and tell how the classes of training and test rows differ."""
    contract, least = given.contract, given.settings.delivery.class_rows
    asks = "Has every class enough rows to be learned and judged?"
    truth = given.train[contract.target]
    if not contract.task.is_classification:
        spread = {name: truth.quantile(q) for name, q in (("5 %", 0.05), ("median", 0.5), ("95 %", 0.95))}
        told = ", ".join(f"{name} {words.number(float(value))}" for name, value in spread.items() if value is not None)
        return answer(
            DeliveryQuestion.BALANCE, asks, Verdict.NOT_ENOUGH, f"the target is a number ({told})", applies=False
        )
    counts = _counts(truth)
    declared = {name: counts.get(name, 0) for name in contract.classes or tuple(counts)}
    thin = {name: count for name, count in declared.items() if count < least}
    rarest = min(declared, key=lambda name: declared[name])
    total = sum(counts.values()) or 1
    reason = f"{words.short(rarest)!r} has the fewest rows, {words.counted(declared[rarest])}; asked for {least}"
    if thin:
        reason = f"{len(thin)} of {len(declared)} classes have fewer than {least} rows: " + ", ".join(
            f"{words.short(name)} {count}" for name, count in list(thin.items())[:MOST_TOLD]
        )
    names = sorted(declared, key=lambda name: -declared[name])[:MOST_BARS]
    beside: tuple[float, ...] = ()
    if given.test is not None and given.test.height:
        theirs = _counts(given.test[contract.target])
        every = sum(theirs.values()) or 1
        beside = tuple(theirs.get(name, 0) / every for name in names)
    plot = Bars(
        title="Share of each class" + (", training and test rows" if beside else ""),
        labels=tuple(names),
        values=tuple(declared[name] / total for name in names),
        beside=beside,
    )
    numbers = {"rows": declared, "thin": thin, "limit": least}
    verdict = Verdict.FAIL if thin else Verdict.PASS
    return answer(DeliveryQuestion.BALANCE, asks, verdict, reason, numbers=numbers, bars=[plot])


def _counts(truth: pl.Series) -> dict[str, int]:
    table = truth.drop_nulls().cast(pl.String).value_counts(name="rows")
    return dict(zip(table.to_series(0).to_list(), table["rows"].to_list(), strict=True))


def personal(given: Delivery) -> Answer:
    """Ask whether a field that is kept as it comes holds what looks personal."""
    allowed = given.settings.delivery.personal
    found: dict[str, list[str]] = {}
    named: list[str] = []
    for one in given.contract.fields:
        if one.pii is not Pii.KEEP or one.name in allowed:
            continue
        for item in personal_in(one.name, given.train[one.name]):
            if item.rows:
                found.setdefault(one.name, []).append(f"{item.what} in {words.counted(item.rows)} rows")
            else:
                named.append(one.name)
    asks = "Is every field that looks personal declared as one?"
    numbers = {"found": found, "named": named}
    if found:
        told = "; ".join(f"{words.short(name)}: {', '.join(what)}" for name, what in list(found.items())[:MOST_TOLD])
        remedy = "declare pii = hash, drop or encrypt, or name it in [delivery] personal"
        return answer(
            DeliveryQuestion.PERSONAL, asks, Verdict.FAIL, f"{told} and kept as it comes; {remedy}", numbers=numbers
        )
    if named:
        why = f"by its name {', '.join(named[:MOST_TOLD])} may be personal, by its values it cannot be told"
        return answer(DeliveryQuestion.PERSONAL, asks, Verdict.NOT_ENOUGH, why, numbers=numbers)
    why = "no e-mail or IP address, phone number, IBAN or card number in a field that is kept as it comes"
    return answer(DeliveryQuestion.PERSONAL, asks, Verdict.PASS, why, numbers=numbers)
