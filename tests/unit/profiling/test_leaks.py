from __future__ import annotations

import numpy as np
import polars as pl

from mainstay.comparison.records import Kind
from mainstay.profiling.leaks import Asked, suspects
from mainstay.profiling.records import Seen, Suspect


def asked(truth: pl.Series, *, classes: bool, keys: np.ndarray | None = None, time: str | None = None) -> Asked:
    return Asked(truth=truth, classes=classes, keys=keys, rng=np.random.default_rng(0), time=time)


def number(name: str, values: object) -> Seen:
    return Seen(name=name, kind=Kind.NUMBER, cells=pl.Series(name, values, dtype=pl.Float64))


def by_name(found: tuple[Suspect, ...]) -> dict[str, str]:
    return {one.name: one.kind for one in found}


def test_a_column_that_tells_the_class_alone_is_suspect_with_an_interval_and_a_usual_one_is_not() -> None:
    rng = np.random.default_rng(1)
    truth = pl.Series("left", np.where(rng.random(2000) < 0.3, "yes", "no"))
    told = (truth == "yes").to_numpy()
    columns = [
        number("days_since_leaving", np.where(told, rng.exponential(9, 2000), np.nan)),
        number("good", told + rng.standard_normal(2000)),
        Seen(name="state", kind=Kind.CATEGORY, cells=pl.Series(np.where(told, "closed", "open"))),
    ]
    found = suspects(columns, asked(truth, classes=True))
    assert by_name(found) == {"days_since_leaving": "alone", "state": "alone"}
    assert found[0].low is not None
    assert found[0].low > 0.9


def test_a_sum_and_a_product_are_told_with_their_parts() -> None:
    rng = np.random.default_rng(2)
    a, b, c = rng.integers(1, 50, 800), rng.integers(1, 900, 800), rng.standard_normal(800)
    columns = [number("a", a), number("b", b), number("c", c)]
    sums = suspects(columns, asked(pl.Series(a + b), classes=False))
    assert ("a + b", "identity") in [(one.name, one.kind) for one in sums]
    products = suspects(columns, asked(pl.Series(a * b), classes=False))
    assert ("a · b", "identity") in [(one.name, one.kind) for one in products]
    assert "identity" not in by_name(suspects(columns, asked(pl.Series(a + b + c**2), classes=False))).values()


def test_names_of_things_are_told_and_the_time_is_not() -> None:
    truth = pl.Series(["a", "b"] * 100)
    columns = [
        Seen(name="ticket", kind=Kind.IDENTIFIER, cells=pl.Series([f"t{i}" for i in range(200)])),
        Seen(
            name="street",
            kind=Kind.CATEGORY,
            cells=pl.Series([f"s{i // 10}" if i < 20 else f"s{i}" for i in range(200)]),
        ),
        Seen(name="town", kind=Kind.CATEGORY, cells=pl.Series([f"t{i % 9}" for i in range(200)])),
    ]
    assert by_name(suspects(columns, asked(truth, classes=True))) == {"ticket": "identifier", "street": "identifier"}


def test_a_word_that_stands_for_a_class_is_told() -> None:
    rng = np.random.default_rng(3)
    words = np.array(["the", "parcel", "card", "came", "late", "again", "please"])
    truth = pl.Series(rng.choice(["billing", "delivery", "login"], 900))
    texts = [" ".join(rng.choice(words, 6)) + (" #q7" if label == "billing" else "") for label in truth.to_list()]
    column = Seen(name="message", kind=Kind.TEXT, cells=pl.Series(texts))
    (found,) = suspects([column], asked(truth, classes=True))
    assert (found.name, found.kind) == ("message", "words")
    assert "'q7'" in found.why
    plain = Seen(name="message", kind=Kind.TEXT, cells=pl.Series([text.replace("#q7", "") for text in texts]))
    assert suspects([plain], asked(truth, classes=True)) == ()


def test_few_keys_leave_too_little_evidence_to_suspect() -> None:
    """Four customers, each of one class: their plan tells the class in these rows, and nothing of other customers."""
    keys = np.repeat(np.arange(4), 50)
    truth = pl.Series(np.where(keys % 2 == 0, "a", "b"))
    plan = Seen(
        name="plan",
        kind=Kind.CATEGORY,
        cells=pl.Series(np.where(keys == 0, "p", np.where(keys == 1, "q", np.where(keys == 2, "r", "s")))),
    )
    assert by_name(suspects([plan], asked(truth, classes=True))) == {"plan": "alone"}
    assert suspects([plan], asked(truth, classes=True, keys=keys)) == ()


def test_too_few_rows_say_nothing() -> None:
    truth = pl.Series(["a", "b"] * 20)
    assert suspects([number("x", [0.0, 1.0] * 20)], asked(truth, classes=True)) == ()
