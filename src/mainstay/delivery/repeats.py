"""Questions about rows that come again: copies within training, and test rows that training has seen."""

from __future__ import annotations

import numpy as np
import polars as pl

from mainstay.comparison import words
from mainstay.comparison.records import Kind
from mainstay.config.settings import DeliveryQuestion
from mainstay.core.verdicts import Verdict
from mainstay.delivery.records import Answer, Delivery, answer, below
from mainstay.profiling import copies
from mainstay.profiling.samples import TWIN_ROWS, drawn, seen_by_contract

BY_NATURE = 0.5
"""Where so many training rows have a twin among themselves, a twin is no sign of anything."""
MOST_SHOWN = 10
CHARS = 90


def duplicates(given: Delivery) -> Answer:
    """Ask how many training rows are copies of others in every declared field and the target."""
    frame, contract = given.train, given.contract
    columns = [name for name in frame.columns if not name.startswith("_")]
    features = [one.name for one in contract.features]
    exact = copies.exact(frame.select(columns))
    same_inputs = copies.exact(frame.select([*features, contract.target]))
    against = copies.conflicting(frame.select(features), frame[contract.target])
    limit, rows = given.settings.delivery.duplicates, frame.height
    reason = (
        f"{words.counted(exact)} of {words.counted(rows)} training rows ({words.share(exact / rows)}) are copies of "
        f"others, allowed {words.share(limit)}; {words.counted(same_inputs)} in what the model sees and the target; "
        f"{words.counted(against)} have the inputs of a row with another target"
    )
    return answer(
        DeliveryQuestion.DUPLICATES,
        "Are there few enough copies among the training rows?",
        below(exact / rows, limit),
        reason,
        numbers={"rows": rows, "exact": exact, "same_inputs": same_inputs, "conflicting": against, "limit": limit},
    )


def near_duplicates(given: Delivery, rng: np.random.Generator) -> Answer:
    """Ask how many test rows have a twin among the training rows: the same after normalisation, or nearly the same.

    Texts by MinHash (Jaccard .8), whole rows with numbers rounded to a hundredth of a standard deviation and texts
    normalised. Of many rows a sample of each side is looked at, so of a sampled side the share is a lower bound.
    """
    question, asks = DeliveryQuestion.NEAR_DUPLICATES, "Are the test rows others than the training rows?"
    if given.test is None or not given.test.height:
        return answer(question, asks, Verdict.NOT_ENOUGH, "there are no test rows", applies=False)
    limit = given.settings.delivery.near_duplicates
    train, test = seen_by_contract(given.contract, given.train), seen_by_contract(given.contract, given.test)
    told, table, worst = [], [], 0.0
    theirs, mine = copies.rounded(train, train), copies.rounded(test, train)
    own = float(theirs.is_duplicated().mean() or 0.0)  # type: ignore[arg-type]
    whole = float(mine.is_in(theirs.implode()).mean() or 0.0)  # type: ignore[arg-type]
    numbers: dict[str, object] = {"rows": {"share": whole, "among_training": own}, "limit": limit}
    texts = [i for i, one in enumerate(train) if one.kind is Kind.TEXT]
    told.append(
        f"{words.share(whole)} of {words.counted(given.test.height)} test rows have a twin in training (rounded, "
        f"normalised), {words.share(own)} of the training rows among themselves"
    )
    by_nature = own >= BY_NATURE
    worst = 0.0 if by_nature else whole
    sampled = False
    for i in texts:
        rows = [drawn(len(side), TWIN_ROWS, rng) for side in (train[i].cells, test[i].cells)]
        sampled |= len(rows[0]) < len(train[i].cells)
        twins = copies.twins(train[i].cells[rows[0]], test[i].cells[rows[1]])
        if not twins.rows:
            continue
        share = twins.near / twins.rows
        worst = max(worst, share)
        numbers[train[i].name] = {"texts": twins.rows, "same": twins.same, "near": twins.near}
        told.append(
            f"{words.counted(twins.near)} of {words.counted(twins.rows)} texts in {words.short(train[i].name)} have a "
            f"near twin there ({words.counted(twins.same)} the same)"
        )
        table += _examples(given, train[i].name, twins, rows)
    verdict = below(worst, limit)
    if verdict is Verdict.PASS and ((by_nature and not texts) or sampled):
        verdict = Verdict.NOT_ENOUGH
        told.append(
            "rows of so few values coincide by chance" if by_nature else "of the training texts a sample was looked at"
        )
    reason = "; ".join(told) + f"; allowed {words.share(limit)}"
    head = ("test row", "training row", "similarity", "text")
    return answer(question, asks, verdict, reason, numbers=numbers, table=[head, *table] if table else ())


def _examples(
    given: Delivery, name: str, twins: copies.Twins, rows: list[np.ndarray[tuple[int], np.dtype[np.intp]]]
) -> list[tuple[str, ...]]:
    out: list[tuple[str, ...]] = []
    for there, here, similar in twins.pairs[:MOST_SHOWN]:
        train_row, test_row = int(rows[0][there]), int(rows[1][here])
        text = (
            given.test[name][test_row] if given.shows_values and isinstance(given.test, pl.DataFrame) else "(personal)"
        )
        out.append((str(test_row), str(train_row), f"{similar:.2f}", words.short(text, CHARS)))
    return out
