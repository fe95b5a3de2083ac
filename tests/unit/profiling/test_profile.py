from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from mainstay.cli.main import app
from mainstay.comparison.records import Kind
from mainstay.core.errors import BadData, UsageError
from mainstay.profiling import page, plain
from mainstay.profiling.profile import profile
from mainstay.profiling.records import Profile, Weight

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DATA = Path(__file__).parents[4] / "shared" / "data"
public = pytest.mark.skipif(
    not DATA.is_dir(), reason="the public data sets are not beside the project (../shared/data)"
)


def rows_of(count: int = 1000, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    left = rng.random(count) < 0.3
    start = datetime(2026, 1, 1, tzinfo=UTC)
    days = np.sort(rng.integers(0, 120, count))
    days[days == 60] = 61
    return pl.DataFrame(
        {
            "id": [f"c-{i:05d}" for i in range(count)],
            "age": np.where(rng.random(count) < 0.4, np.nan, rng.normal(40, 12, count)),
            "spent": np.concatenate([[1e6, 2e6], rng.exponential(30, count - 2)]),
            "plan": rng.choice(["basic", "Basic", "plus"], count),
            "country": ["NL"] * count,
            "joined": [start + timedelta(days=int(day), hours=3) for day in days],
            "note": [
                f"the {rng.choice(['parcel', 'invoice'])} number {i} is late" + (" cancel" * bool(left[i]))
                for i in range(count)
            ],
            "mail": [f"user{i % 500}@example.org" for i in range(count)],
            "closed_on": np.where(left, 3.5, np.nan),
            "left": left,
        }
    ).with_columns(pl.col("age", "closed_on").fill_nan(None))


@pytest.fixture(scope="module")
def found() -> Profile:
    return profile(rows_of(), target="left", now=NOW)


def test_each_column_is_read_as_what_it_holds(found: Profile) -> None:
    assert {one.name: one.kind for one in found.columns} == {
        "id": Kind.IDENTIFIER,
        "age": Kind.NUMBER,
        "spent": Kind.NUMBER,
        "plan": Kind.CATEGORY,
        "country": Kind.CATEGORY,
        "joined": Kind.TIMESTAMP,
        "note": Kind.TEXT,
        "mail": Kind.CATEGORY,
        "closed_on": Kind.NUMBER,
        "left": Kind.BOOLEAN,
    }


def test_counts_are_those_of_polars(found: Profile) -> None:
    frame = rows_of()
    for one in found.columns:
        assert one.missing == frame[one.name].null_count()
        assert one.distinct == frame[one.name].drop_nulls().n_unique()
    spent, numbers = frame["spent"], found.column("spent").numbers
    assert numbers["mean"] == pytest.approx(spent.mean())
    assert numbers["q50"] == pytest.approx(spent.median())
    low, high = spent.quantile(0.25, "linear"), spent.quantile(0.75, "linear")
    assert low is not None
    assert high is not None
    beyond = (spent < low - 3 * (high - low)) | (spent > high + 3 * (high - low))
    assert numbers["outliers"] == beyond.sum() >= 2


def test_what_was_put_in_is_noticed(found: Profile) -> None:
    said = {(f.where, f.what.split(":")[0].split(" (")[0]) for f in found.findings}
    assert ("closed_on", "may leak the target") in said
    assert ("note", "may leak the target") in said
    assert ("id", "may leak the target") in said
    assert ("country", "is the same in every row") in said
    assert ("plan", "1 value differs from another one only in case or spaces") in said
    assert any(f.where == "age" and "is missing in" in f.what for f in found.findings)
    assert any(
        f.where == "mail" and "looks like an e-mail address in 1\N{NARROW NO-BREAK SPACE}000 rows" in f.what
        for f in found.findings
    )
    assert found.column("note").numbers["telling"]["true"][0] == "cancel"
    assert found.column("joined").numbers["future"] == 0
    assert [f.weight for f in found.findings] == sorted((f.weight for f in found.findings), key=list(Weight).index)


def test_times_tell_their_range_their_longest_gap_and_what_is_in_the_future() -> None:
    frame = rows_of()
    joined = frame["joined"]
    then = joined[-1] - timedelta(days=3)
    numbers = profile(frame.select("joined"), now=then).column("joined").numbers
    assert (numbers["first"], numbers["last"]) == (joined[0], joined[-1])
    assert numbers["longest_gap_s"] == 2 * 86_400
    assert numbers["longest_gap_from"].date() == joined[0].date() + timedelta(days=59)
    assert numbers["future"] == (joined > then + timedelta(days=1)).sum() > 0


def test_a_csv_is_read_as_the_frame_it_was_written_from(tmp_path: Path, found: Profile) -> None:
    path = tmp_path / "rows.csv"
    rows_of().write_csv(path)
    again = profile(path, target="left", now=NOW)
    assert [(one.name, one.kind, one.missing, one.distinct) for one in again.columns] == [
        (one.name, one.kind, one.missing, one.distinct) for one in found.columns
    ]
    assert again.column("age").suggested == "number"


def test_equal_data_give_equal_answers() -> None:
    assert profile(rows_of(), target="left", now=NOW) == profile(rows_of(), target="left", now=NOW)


def test_the_page_is_one_file_that_asks_nothing_of_the_network_and_shows_no_personal_value(found: Profile) -> None:
    text = page.document(found)
    assert len(text) < 200_000
    assert not re.findall(r"(?:src|href)\s*=|url\(|@import|<script", text)
    assert "default-src 'none'" in text
    assert "user1@" not in text
    assert "user1@" not in plain.report(found)
    assert text.count("<svg") == len([one for one in found.columns if one.plot is not None]) + 1


def test_what_the_data_say_is_shown_and_not_obeyed() -> None:
    frame = pl.DataFrame({"<script>alert(1)</script>": ["<b>x</b>", "y"] * 60, "target": ["a", "b"] * 60})
    text = page.document(profile(frame, target="target", now=NOW))
    assert "<script>" not in text
    assert "<b>x</b>" not in text


def test_a_thousand_columns_stay_under_a_megabyte() -> None:
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({f"x{i}": rng.standard_normal(60) for i in range(1000)})
    found = profile(frame, now=NOW)
    assert len(page.document(found)) < 1_000_000
    assert len(found.columns) == 1000


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame({"a": [None, None]}),
        pl.DataFrame({"a": [1.0]}),
        pl.DataFrame({"a": [float("inf"), float("nan"), 1.0]}),
        pl.DataFrame({"a": ["", " "]}),
        pl.DataFrame({"a": ["x\x00y", "\u202e"]}),
        pl.DataFrame({"a": [datetime(1, 1, 1), datetime(9999, 1, 1)]}),
        pl.DataFrame({"^a$": [1, 2], "*": [2, 3]}),
    ],
)
def test_odd_frames_are_looked_at_and_drawn(frame: pl.DataFrame) -> None:
    found = profile(frame, now=NOW)
    assert found.rows == frame.height
    assert "</html>" in page.document(found)
    assert plain.report(found)


def test_names_that_are_no_column_and_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'lft' is no column"):
        profile(rows_of(60), target="lft", now=NOW)
    with pytest.raises(UsageError, match="same in every row"):
        profile(rows_of(60), target="country", now=NOW)
    with pytest.raises(BadData):
        profile(tmp_path / "none.csv", now=NOW)


def test_the_command_writes_the_page_and_answers_in_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows_of(200).write_parquet("june.parquet")
    done = CliRunner().invoke(app, ["profile", "june.parquet", "--target", "left", "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["html"] == "june-profile.html"
    assert Path("june-profile.html").stat().st_size > 10_000
    assert answer["profile"]["columns"][0]["name"] == "id"
    shown = CliRunner().invoke(app, ["profile", "june.parquet", "--out", "there.html"])
    assert "200 rows, 10 columns" in shown.stdout
    assert Path("there.html").exists()


@public
def test_the_rentals_are_known_to_be_the_sum_of_two_columns() -> None:
    found = profile(DATA / "bike" / "hour.csv", target="cnt", now=NOW)
    whys = {one.name: one.why for one in found.suspects}
    assert whys["casual + registered"] == "the target is exactly 1·casual + 1·registered"
    assert set(whys) == {"casual + registered", "registered", "instant"}


@public
def test_the_census_has_its_published_copies_and_no_leak() -> None:
    found = profile(DATA / "adult" / "adults.parquet", target="class", now=NOW)
    assert found.rows == 48_842
    assert found.copies.exact == 52
    assert found.suspects == ()
    assert [f.where for f in found.findings if "is it a weight" in f.what] == ["fnlwgt"]
    strongest = found.ties[0]
    assert {strongest.a, strongest.b} == {"education", "education-num"}


def test_numbers_with_commas_are_to_be_mended_and_are_no_names_that_leak() -> None:
    rng = np.random.default_rng(3)
    spelled = [f"{value:.2f}".replace(".", ",") for value in rng.lognormal(6, 1, 200)]
    frame = pl.DataFrame({"revenue": spelled, "left": rng.random(200) < 0.5})
    told = {one.where: one for one in profile(frame, target="left", now=NOW).findings}
    assert told["revenue"].weight is Weight.MEND
    assert "numbers with a decimal comma" in told["revenue"].what


def test_nested_values_are_told_as_such_and_not_as_missing(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user": [{"city": "Oslo"}] * 60, "tags": [["a"]] * 60, "left": [True, False] * 30})
    frame.write_ndjson(tmp_path / "nested.ndjson")
    found = profile(tmp_path / "nested.ndjson", target="left", now=NOW)
    assert [(one.name, one.missing) for one in found.columns[:2]] == [("user", 0), ("tags", 0)]
    nested = [one.where for one in found.findings if "holds lists, records or bytes" in one.what]
    assert nested == ["user", "tags"]


def test_mostly_empty_texts_are_told_as_a_value_and_no_gap() -> None:
    frame = pl.DataFrame({"mpaa": [""] * 80 + ["R"] * 40, "good": [True, False] * 60})
    told = [one.what for one in profile(frame, target="good", now=NOW).findings if one.where == "mpaa"]
    assert told == ["is empty text in 67 % of the rows, which is a value and not a gap"]
