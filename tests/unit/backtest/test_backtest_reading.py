"""A file of what was: times, the reference, which columns are watched, what was answered, known events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mainstay.backtest import answers, columns, history, times, truth
from mainstay.backtest.history import Roles
from mainstay.core.contracts import FieldType, Role, Task
from mainstay.core.errors import BadData, NotEnoughEvidence, UsageError

START = datetime(2025, 1, 6, tzinfo=UTC)


def hours(count: int) -> pl.Series:
    return pl.Series("at", [START + timedelta(hours=n) for n in range(count)], dtype=pl.Datetime("us", "UTC"))


def rows(count: int = 600, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {"at": hours(count), "size": rng.normal(10, 2, count), "channel": rng.choice(["app", "chat"], count)}
    )


# times


@pytest.mark.parametrize(
    ("said", "split"),
    [
        (None, times.Split(share=times.FIRST_PART)),
        ("30%", times.Split(share=0.3)),
        ("2012-01-01", times.Split(until=datetime(2012, 1, 1, tzinfo=UTC))),
        ("until 2012-01-01T06:00:00+01:00", times.Split(until=datetime(2012, 1, 1, 5, tzinfo=UTC))),
        ("old.parquet", times.Split(file="old.parquet")),
    ],
)
def test_a_reference_is_a_date_a_part_or_a_file(said: str | None, split: times.Split) -> None:
    assert times.split_of(said) == split


@pytest.mark.parametrize("said", ["0%", "100%", "many%", "last year"])
def test_another_reference_is_refused_with_what_is_allowed(said: str) -> None:
    with pytest.raises(UsageError, match="reference"):
        times.split_of(said)


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000])
def test_numbers_are_time_since_1970_in_the_unit_that_their_size_tells(unit: int) -> None:
    moments = [int((START + timedelta(hours=n)).timestamp() * unit) for n in range(60)]
    found = times.timed(pl.DataFrame({"at": moments}), "at", "f.csv")
    assert found.times[1] - found.times[0] == timedelta(hours=1)
    assert found.times[0] == START
    assert "since 1970" in found.notes[0]


def test_rows_that_are_out_of_order_are_put_in_order_and_it_is_said() -> None:
    frame = rows(100).sample(fraction=1.0, shuffle=True, seed=3)
    found = times.timed(frame, "at", "f.csv")
    assert found.times.is_sorted()
    assert found.frame.sort("at").equals(found.frame)
    assert found.notes == ("The rows were not in order of `at`; they were put in order.",)


def test_few_unreadable_times_are_left_out_and_many_are_an_error_that_names_them() -> None:
    texts = [moment.isoformat() for moment in hours(300)]
    some = pl.DataFrame({"at": ["soon", *texts[1:]]})
    found = times.timed(some, "at", "f.csv")
    assert found.frame.height == 299
    assert "1 rows without a readable `at`" in found.notes[0]
    with pytest.raises(
        BadData, match=r"10 of 300 cells of 'at' in f.csv are no time, for example '?01/02/2025"
    ) as told:
        times.timed(pl.DataFrame({"at": ["01/02/2025"] * 10 + texts[10:]}), "at", "f.csv")
    assert [problem.row for problem in told.value.problems] == [0, 1, 2, 3, 4]
    assert "ISO 8601" in told.value.remedy


def test_the_only_column_of_times_is_taken_by_itself_and_none_or_several_are_asked_for() -> None:
    assert times.timed(rows(60), None, "f").times.len() == 60
    with pytest.raises(UsageError, match=r"no column of f holds times; it has size, channel"):
        times.timed(rows(60).drop("at"), None, "f")
    with pytest.raises(UsageError, match="several columns of f hold times: at, then"):
        times.timed(rows(60).with_columns(pl.col("at").alias("then")), None, "f")


def test_rows_of_one_moment_are_on_one_side_and_too_few_on_a_side_are_no_evidence() -> None:
    moments = pl.Series("at", [START] * 80 + [START + timedelta(days=1)] * 80)
    found = times.Timed(frame=pl.DataFrame({"at": moments}), times=moments, notes=())
    assert times.cut(found, times.Split(share=0.3), "f") == 80
    with pytest.raises(NotEnoughEvidence, match="0 of the 160 rows of f are the reference and 160 are replayed"):
        times.cut(found, times.Split(until=START), "f")


@pytest.mark.parametrize(("text", "length"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("2d", 172_800), ("0s", 0)])
def test_a_length_of_time_is_a_number_with_its_unit(text: str, length: float) -> None:
    assert times.lasting(text, what="--every").total_seconds() == length


@pytest.mark.parametrize("text", ["", "h", "10", "-1h", "ten minutes", "nanh"])
def test_another_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no length of time"):
        times.lasting(text, what="--every")


@pytest.mark.parametrize(
    "spelling", ["%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%b %d %Y", "%m/%d/%Y %I:%M %p"]
)
def test_dates_of_one_other_spelling_are_read_as_what_they_are(spelling: str) -> None:
    moments = hours(60 * 24).gather_every(24)
    found = times.timed(pl.DataFrame({"day": moments.dt.strftime(spelling)}), "day", "f")
    assert found.times.dt.date().to_list() == moments.dt.date().to_list()
    assert found.notes == (f"`day` is no ISO 8601: read as {spelling}.",)


def test_dates_of_which_nobody_can_tell_day_and_month_are_not_guessed() -> None:
    frame = pl.DataFrame({"day": [f"0{month}/0{day}/2012" for month in range(1, 10) for day in range(1, 10)]})
    with pytest.raises(BadData, match="81 of 81 cells of 'day' in f are no time"):
        times.timed(frame, "day", "f")


# columns


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("year", pl.col("at").dt.year() - 2025),
        ("month", pl.col("at").dt.month()),
        ("hour", pl.col("at").dt.hour()),
        ("weekday from Sunday", pl.col("at").dt.weekday() % 7),
        ("night", pl.col("at").dt.hour() < 6),
        ("season", (pl.col("at").dt.month() * 31 + pl.col("at").dt.day()) // 100),
    ],
)
def test_a_column_that_follows_from_the_time_alone_is_of_the_calendar(name: str, part: pl.Expr) -> None:
    frame = pl.DataFrame({"at": hours(800 * 24)}).with_columns(part.alias("it"))
    assert columns.is_calendar(frame["it"], frame["at"]), name


@pytest.mark.parametrize("part", ["month", "day", "hour"])
def test_a_part_of_the_date_by_a_local_clock_with_summer_time_is_of_the_calendar(part: str) -> None:
    at = hours(400 * 24).dt.replace_time_zone("UTC") if hours(1).dtype.time_zone is None else hours(400 * 24)
    local = at.dt.convert_time_zone("America/New_York")
    assert columns.is_calendar(getattr(local.dt, part)(), at)


def test_a_price_that_changes_every_month_of_one_year_is_no_calendar() -> None:
    frame = pl.DataFrame({"at": hours(300 * 24)})
    price = frame["at"].dt.month().replace_strict({month: 7.0 + (month * 5) % 11 for month in range(1, 13)})
    assert not columns.is_calendar(price, frame["at"])
    assert not columns.is_calendar(pl.Series(np.random.default_rng(0).normal(size=frame.height)), frame["at"])


def test_what_tells_nothing_is_left_alone_with_its_reason_and_a_kind_that_is_given_is_kept() -> None:
    frame = rows(400).with_columns(
        pl.col("at").dt.hour().alias("hour"), pl.lit("x").alias("same"), pl.Series("order_id", range(400))
    )
    before, after = frame[:200], frame[200:]
    moments = (before["at"], after["at"])
    found = columns.choose(before, after, moments, left=["at"])
    assert [column.field.name for column in found.columns] == ["size", "channel"]
    told = " ".join(found.notes)
    assert "hour, which only say where in the calendar" in told
    assert "same, which are the same in every row" in told
    assert "order_id, which hold names of things" in told
    from mainstay.comparison.records import Kind

    kept = columns.choose(before, after, moments, left=["at"], kinds={"hour": Kind.INTEGER})
    assert "hour" in [column.field.name for column in kept.columns]
    with pytest.raises(BadData, match="no column is left to watch: same are the same in every row"):
        columns.choose(before[["same"]], after[["same"]], moments, left=[])


def test_cells_of_another_kind_are_gaps_and_it_is_said() -> None:
    before = pl.DataFrame({"size": [str(n) for n in range(100)] * 2})
    after = pl.DataFrame({"size": ["n/a"] * 150 + ["7"] * 50})
    found = columns.choose(before, after, (None, hours(200)), left=[])
    (column,) = found.columns
    assert (column.field.type, column.field.required) == (FieldType.INTEGER, False)
    assert column.replayed.null_count() == 150
    assert "150 cells of `size` are no integer, for example 'n/a': counted as missing" in found.notes[0]


def test_a_segment_divides_numbers_by_the_quartiles_of_the_reference() -> None:
    frame = pl.DataFrame({"size": np.arange(0.5, 200.5), "kind": ["a", "b"] * 100})
    found = columns.choose(frame[:100], frame[100:], (None, hours(100)), left=[], segments=["size", "kind"])
    assert all(Role.SEGMENT in column.field.roles for column in found.columns)
    assert len(found.columns[0].field.bins) == 5


# answers


def test_a_probability_of_the_higher_class_becomes_the_confidence_in_what_was_said() -> None:
    frame = pl.DataFrame({"p": [0.9, 0.2, 0.6, 0.4], "left": [1, 0, 0, 0]})
    found = answers.read(frame, 2, prediction=None, probability="p", label="left")
    assert (found.task, found.labels, found.truth) == (Task.BINARY, ["1", "0", "1", "0"], ["1", "0", "0", "0"])
    assert found.confidences == pytest.approx([0.9, 0.8, 0.6, 0.6])
    same = answers.read(frame, 2, prediction="p", probability=None, label="left")
    assert (same.labels, same.confidences) == (found.labels, found.confidences)


def test_a_probability_of_what_was_said_stays_and_is_calibrated_on_labelled_reference_rows() -> None:
    rng = np.random.default_rng(1)
    sure = rng.uniform(0.5, 1.0, 4_000)
    right = rng.random(4_000) < 0.5 + (sure - 0.5) / 2  # surer than it may be
    said = rng.choice(["a", "b", "c"], 4_000)
    true = np.where(right, said, "d")
    frame = pl.DataFrame({"said": said, "p": sure, "true": true})
    found = answers.read(frame, 3_000, prediction="said", probability="p", label="true")
    assert found.confidences is not None
    mean = np.mean([c for c in found.confidences[3_000:] if c is not None])
    assert abs(mean - right[3_000:].mean()) < 0.05
    assert abs(sure[3_000:].mean() - right[3_000:].mean()) > 0.1
    assert "calibrated on the 3" in found.notes[0]


def test_numbers_are_a_regression_and_a_label_alone_is_refused() -> None:
    frame = pl.DataFrame({"said": np.arange(100) * 1.5, "true": np.arange(100) * 1.4, "word": ["a", "b"] * 50})
    found = answers.read(frame, 50, prediction="said", probability=None, label="true")
    assert (found.task, found.confidences) == (Task.REGRESSION, None)
    assert found.truth == pytest.approx((np.arange(100) * 1.4).tolist())
    with pytest.raises(UsageError, match="needs what was answered"):
        answers.read(frame, 50, prediction=None, probability=None, label="true")
    with pytest.raises(BadData, match="'said' holds numbers and 'word' holds String"):
        answers.read(frame, 50, prediction="said", probability=None, label="word")
    with pytest.raises(BadData, match="which is no probability"):
        answers.read(frame, 50, prediction="word", probability="said", label=None)


def test_classes_that_are_numbers_or_booleans_are_named_alike_on_both_sides() -> None:
    frame = pl.DataFrame({"said": [1.0, 0.0] * 40, "code": [1, 0] * 40, "yes": [True, False] * 40})
    found = answers.read(frame, 40, prediction="code", probability=None, label="said")
    assert (found.labels, found.truth) == (["1", "0"] * 40, ["1", "0"] * 40)
    assert answers.read(frame, 40, prediction="yes", probability=None, label=None).classes == ("false", "true")


# the whole file


def test_a_file_becomes_requests_by_time_with_labels_behind_them() -> None:
    frame = rows(300).with_columns(
        pl.Series("said", ["a", "b", "b"] * 100), pl.Series("true", ["a", "b", "c"] * 100), pl.Series("who", range(300))
    )
    found = history.read(
        frame,
        Roles(time="at", prediction="said", label="true", key="who"),
        reference="50%",
        label_after=timedelta(hours=5),
    )
    events, labels = list(found.events()), list(found.labels())
    assert found.rows == len(events) == len(labels) == 150
    assert [event.received_at for event in events] == found.times.to_list()
    assert events[0].inputs.keys() == {"size", "channel"}
    assert (events[0].label, labels[0].value, labels[2].correct) == ("a", "a", False)
    assert labels[0].at - events[0].received_at == timedelta(hours=5)
    assert labels[0].id == events[0].id
    assert len({event.key_hash for event in events}) == 150
    assert "who" not in events[0].inputs
    assert events[0].key_hash not in ("150", "")


def test_the_reference_may_be_a_file_of_its_own_and_bounds_hold_for_what_is_replayed(tmp_path: Path) -> None:
    rows(200, seed=1).drop("at").write_csv(tmp_path / "old.csv")
    since, until = START + timedelta(hours=100), START + timedelta(hours=400)
    found = history.read(rows(600), Roles(time="at"), reference=str(tmp_path / "old.csv"), since=since, until=until)
    assert (found.reference_rows, found.rows) == (200, 300)
    assert found.times[0] == since
    assert "old.csv" in found.says


def test_names_that_are_no_column_are_refused_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="key = 'chanel' is no column of history") as told:
        history.read(rows(), Roles(time="at", key="chanel"))
    assert "channel" in told.value.remedy
    with pytest.raises(UsageError, match="one column was named for two things"):
        history.read(rows(), Roles(time="at", prediction="channel", label="channel"))


# known events


def test_known_events_are_read_and_those_that_are_none_are_named() -> None:
    found = truth.read(
        pl.DataFrame({"start": ["2025-02-01", "2025-03-01"], "end": ["2025-02-03", None], "name": ["x", None]})
    )
    assert [(one.name, one.end is None) for one in found] == [("x", False), ("event 2", True)]
    with pytest.raises(BadData) as told:
        truth.read(pl.DataFrame({"start": ["then", "2025-03-01"], "end": ["", "2025-02-01"], "name": ["x", "y"]}))
    assert [problem.what for problem in told.value.problems] == ["is no time", "lies before start"]
    with pytest.raises(UsageError, match="no column 'start'"):
        truth.read(pl.DataFrame({"begin": ["2025-02-01"]}))
