from __future__ import annotations

import pandas as pd
import polars as pl
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from mainstay.adoption import contract
from mainstay.adoption.rows import given
from mainstay.core.contracts import Field, FieldType


def title(cells: list[str], *, column: str | None) -> Field:
    """Return the field of the column that an estimator of texts is adopted with."""
    frame = pd.DataFrame({"title": cells, "year": range(len(cells))})
    fitted = make_pipeline(CountVectorizer(), LogisticRegression()).fit(cells, ["a", "b"] * (len(cells) // 2))
    way = contract.way_of(fitted, given(frame), features=None, column=column, beside=())
    rows = pl.DataFrame({"title": cells})
    return contract._field(contract.field_of("title", rows["title"]), rows, rows, way, beside=set())


@pytest.mark.parametrize("words", ["The {}", "{}"])
def test_short_texts_whose_words_the_estimator_reads_are_a_text_and_no_category(words: str) -> None:
    found = title([words.format(f"film{number}") for number in range(400)], column="title")
    assert (found.type, found.max_chars) == (FieldType.TEXT, 4000)


def test_a_few_canned_texts_stay_the_list_that_they_are() -> None:
    found = title(["stop", "go"] * 200, column="title")
    assert (found.type, found.values) == (FieldType.CATEGORY, ("go", "stop"))
