"""A batch over a small model, in this process: what becomes of rows, of files that do not fit, and of the journal."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mainstay.core.errors import BadData, EnvironmentFault, MainstayError, ModelOutputInvalid, UsageError
from mainstay.core.events import Arm, Event, Kind
from mainstay.core.fallbacks import Condition, FallbackTo, OnAbstain, Rule
from mainstay.journal.personal import Hasher
from mainstay.journal.read import Journal
from mainstay.journal.seal import seal_closed
from mainstay.models.load import load
from mainstay.score import csv_file, entry, pieces
from mainstay.score.records import Answerer, Pace, Report
from mainstay.score.source import open_source
from mainstay.testing.clock import FakeClock
from mainstay.testing.models import WordModel, make_bundle, make_contract

ROWS: list[dict[str, Any]] = [
    {"text": "sun day", "place": "north", "degrees": 20.5, "station": "s1"},
    {"text": "snow", "place": None, "degrees": 99.0, "station": "s2"},
    {"text": "snow, day", "place": "east", "degrees": None, "station": "s1"},
    {"text": "sun nothing", "place": "south", "degrees": 1.0, "station": "s3"},
    {"text": "poison", "place": "south", "degrees": 1.0, "station": None},
    {"text": 'say "sun"\nagain', "place": None, "degrees": -3.0, "station": "s4"},
]
STATUSES = ["ok", "ok", "refused", "failed", "failed", "ok"]


class Bench:
    """A folder, a model, and batches over it."""

    def __init__(self, folder: Path, **thresholds: Any) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.clock = FakeClock()
        loaded = load(make_bundle(folder / "bundles", WordModel(), **thresholds))
        self.answerer = Answerer(loaded=loaded, name="weather@1", live=True, hasher=Hasher("00" * 32))

    def write(self, name: str, rows: Sequence[dict[str, Any]] = ROWS) -> Path:
        path = self.folder / name
        frame = pl.DataFrame(rows, infer_schema_length=None)
        {"csv": frame.write_csv, "parquet": frame.write_parquet, "ndjson": frame.write_ndjson}[path.suffix[1:]](path)
        return path

    def score(self, source: Path, out: str = "out.ndjson", **options: Any) -> Report:
        watch = options.pop("watch", True)
        tell: Callable[[Pace], None] = options.pop("tell", lambda _: None)
        given = {"bad": None, "id_column": None, "ignore": (), "fresh": False} | options
        return entry.score(
            entry.options_of(source, self.folder / out, **given),
            self.answerer,
            state=self.state,
            segment_mb=1,
            clock=self.clock,
            watch=watch,
            tell=tell,
        )

    def lines(self, name: str = "out.ndjson") -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def events(self) -> list[Event]:
        return Journal(self.state / "journal").read({}, 100_000)[0]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("kind", ["csv", "parquet", "ndjson"])
def test_each_row_has_its_line_in_order_with_what_became_of_it(bench: Bench, kind: str) -> None:
    report = bench.score(bench.write(f"in.{kind}"))
    lines = bench.lines()
    assert [line["status"] for line in lines] == STATUSES
    assert [line["label"] for line in lines] == ["warm", "cold", None, None, None, "warm"]
    assert lines[0]["probabilities"] == {"warm": 0.9, "cold": pytest.approx(0.1)}
    assert [warning["code"] for warning in lines[1]["warnings"]] == ["out_of_range"]
    assert lines[5]["warnings"][0]["text"] == "2 of 3 words were never seen in training"
    assert report.counts == {"ok": 3, "refused": 1, "failed": 2, "fallback": 0}
    bad = bench.lines("out.ndjson.bad.ndjson")
    assert [(one["row"], one["status"]) for one in bad] == [(2, "refused"), (3, "failed"), (4, "failed")]
    assert bad[0]["problems"] == [
        {"field": "place", "what": "is no known category", "value": "east", "allowed": ["north", "south"]}
        | {"nearest": None}
    ]
    assert "nan" in bad[1]["reason"]
    assert bad[2]["reason"].endswith("ValueError (its text may quote a personal field)")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_columns_of_a_table_hold_what_the_lines_hold(bench: Bench, kind: str) -> None:
    source = bench.write("in.csv")
    bench.score(source)
    bench.score(source, f"out.{kind}", watch=False)
    read = pl.read_csv if kind == "csv" else pl.read_parquet
    frame = read(bench.folder / f"out.{kind}")
    names = ["id", "status", "label", "confidence", "trust", "p_warm", "p_cold", "warnings", "bundle"]
    assert frame.columns == names
    for row, line in zip(frame.iter_rows(named=True), bench.lines(), strict=True):
        assert {name: row[name] for name in names[:5]} == {name: line[name] for name in names[:5]}
        assert row["p_warm"] == line["probabilities"].get("warm")
        assert (json.loads(row["warnings"]) if row["warnings"] else []) == line["warnings"]


def test_the_declared_fallback_answers_as_in_serving(tmp_path: Path) -> None:
    bench = Bench(tmp_path, fallback_label="warm")
    bench.score(bench.write("in.csv"))
    line = bench.lines()[4]
    assert (line["status"], line["label"], line["trust"], line["confidence"]) == ("fallback", "warm", "abstain", None)
    assert bench.events()[4].served_arm is Arm.FALLBACK
    assert [one["row"] for one in bench.lines("out.ndjson.bad.ndjson")] == [2, 3, 4]


def test_where_a_project_says_so_the_fallback_answers_for_a_model_that_abstains(tmp_path: Path) -> None:
    rule = Rule(when=(Condition(field="place", among=("north",)),), label="cold")
    limits = {"abstain_confidence": 0.95, "on_abstain": OnAbstain.FALLBACK}
    bench = Bench(tmp_path, fallback_to=FallbackTo.RULE, fallback_rules=(rule,), **limits)
    bench.score(bench.write("in.csv", ROWS[:2]))
    ruled, own = bench.lines()
    assert (ruled["status"], ruled["label"], ruled["trust"], ruled["confidence"]) == (
        "fallback",
        "cold",
        "abstain",
        None,
    )
    assert (own["status"], own["label"], own["trust"]) == ("ok", "cold", "abstain")
    assert bench.events()[0].reason == "abstained: at confidence 0.90"


def test_no_bad_row_leaves_no_file_of_bad_rows(bench: Bench) -> None:
    report = bench.score(bench.write("in.csv", ROWS[:2]))
    assert report.bad is None
    assert sorted(path.name for path in bench.folder.glob("out*")) == ["out.ndjson"]
    assert sorted(path.name for path in bench.folder.glob(".*")) == []


# the journal


def test_the_journal_holds_each_row_once_with_its_personal_fields_hashed(bench: Bench) -> None:
    bench.score(bench.write("in.csv"))
    events = bench.events()
    kinds = [Kind.PREDICTION, Kind.PREDICTION, Kind.REFUSAL, Kind.ERROR, Kind.ERROR, Kind.PREDICTION]
    assert [event.kind for event in events] == kinds
    hasher = bench.answerer.hasher
    assert events[0].inputs == {"text": "sun day", "place": "north", "degrees": 20.5, "station": hasher.key_hash("s1")}
    assert events[0].key_hash == events[2].key_hash == hasher.key_hash("s1")
    assert events[4].key_hash == hasher.key_hash(events[4].id)
    assert (events[0].assigned_arm, events[0].served_arm) == (None, Arm.CHAMPION)
    assert events[2].inputs["fields"] == ["place"]
    assert "snow, day" not in repr(events[2])
    assert [event.id for event in events] == [line["id"] for line in bench.lines()]


def test_the_same_file_scored_again_is_not_journalled_again(bench: Bench) -> None:
    source = bench.write("in.csv")
    assert bench.score(source).journalled == 6
    again = bench.score(source, fresh=True)
    other = bench.score(source, "other.csv")
    assert (again.journalled, other.journalled) == (0, 0)
    assert "held these rows already" in other.watched
    assert len(bench.events()) == 6


def test_another_file_of_the_same_rows_is_other_traffic(bench: Bench) -> None:
    source = bench.write("in.csv")
    bench.score(source)
    os.utime(source, ns=(1, 1))
    bench.score(source, "other.csv")
    assert len(bench.events()) == 12


def test_what_is_left_out_of_the_watch_is_not_in_the_journal(bench: Bench) -> None:
    report = bench.score(bench.write("in.csv"), watch=False)
    assert report.journalled == 0
    assert "--no-watch" in report.watched
    assert not bench.state.exists()


def test_a_version_that_does_not_answer_now_is_not_watched_unless_asked_for(bench: Bench) -> None:
    object.__setattr__(bench.answerer, "live", False)
    source = bench.write("in.csv")
    assert "weather@1 is not the version that answers now" in bench.score(source, watch=None).watched
    bench.score(source, "b.csv", watch=True)
    assert bench.events()[0].served_arm is Arm.PREVIOUS


def test_the_declared_time_is_the_event_time(tmp_path: Path) -> None:
    from mainstay.core.contracts import Field, FieldType

    bench = Bench(tmp_path)
    contract = make_contract(
        fields=(*make_contract().fields, Field(name="at", type=FieldType.TIMESTAMP, required=False)), time="at"
    )
    loaded = load(make_bundle(tmp_path / "other", WordModel(), contract=contract))
    bench.answerer = Answerer(loaded=loaded, name="weather@1", live=True, hasher=bench.answerer.hasher)
    rows = [{"text": "sun", "at": "2026-03-01T10:00:00+02:00"}, {"text": "sun", "at": None}]
    bench.score(bench.write("in.csv", rows))
    first, second = bench.events()
    assert first.occurred_at.isoformat() == "2026-03-01T08:00:00+00:00"
    assert second.occurred_at == second.received_at == bench.clock.now()


# names of rows


def test_rows_are_named_by_a_column_or_by_run_and_number(bench: Bench) -> None:
    rows = [row | {"order": order} for row, order in zip(ROWS, [7, 8, None, 9, 10, 11], strict=True)]
    report = bench.score(bench.write("in.parquet", rows), id_column="order")
    assert [line["id"] for line in bench.lines()] == ["7", "8", f"{report.run}-2", "9", "10", "11"]
    assert bench.events()[1].id == "8"


def test_a_declared_field_can_name_the_rows(bench: Bench) -> None:
    bench.score(bench.write("in.ndjson"), id_column="station")
    assert bench.lines()[0]["id"] == "s1"
    assert bench.lines()[0]["status"] == "ok"


def test_what_cannot_be_an_id_makes_its_row_a_bad_one(bench: Bench) -> None:
    rows = [ROWS[0] | {"order": "x" * 129}, ROWS[1] | {"order": "fine"}]
    bench.score(bench.write("in.csv", rows), id_column="order")
    assert [line["status"] for line in bench.lines()] == ["refused", "ok"]


# files


def test_rows_of_another_length_and_lines_that_are_no_json_are_bad_rows_in_their_place(bench: Bench) -> None:
    text = 'text,place\nsun,north\nsnow\n\n"sun, day",south,7\nsnow,south\nsun,a,b\n'
    (bench.folder / "in.csv").write_text(text)
    bench.score(bench.folder / "in.csv")
    assert [line["status"] for line in bench.lines()] == ["ok", "refused", "refused", "ok", "refused"]
    assert "1 cells instead of 2" in bench.lines("out.ndjson.bad.ndjson")[0]["reason"]
    lines = ['{"text": "sun"}', "nonsense", "", "[1]", '{"text": "sun", "txet": 1}', '{"text": 5}']
    (bench.folder / "in.ndjson").write_text("\n".join(lines) + "\n")
    bench.score(bench.folder / "in.ndjson", "two.ndjson")
    assert [line["status"] for line in bench.lines("two.ndjson")] == ["ok", *["refused"] * 4]
    assert bench.lines("two.ndjson.bad.ndjson")[2]["problems"][0]["nearest"] == "text"


@pytest.mark.parametrize("kind", ["csv", "parquet", "ndjson"])
@pytest.mark.parametrize(("size", "piece", "block"), [(1, 200, 200), (3, 200, 200), (7, 450, 150), (100, 450, 150)])
def test_a_source_gives_the_same_pieces_from_every_piece_on(
    bench: Bench, kind: str, size: int, piece: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE_ROWS", size)
    monkeypatch.setattr(pieces, "PIECE_BYTES", piece)
    monkeypatch.setattr(csv_file, "BLOCK_BYTES", block)
    source = bench.write(f"in.{kind}", [row | {"text": f"{row['text']} {n}"} for n in range(5) for row in ROWS])
    if kind == "csv":
        lines = source.read_text().splitlines(keepends=True)
        source.write_text("".join([*lines[:4], "broken\n", *lines[4:], "broken\n", "a,b,c,d,e\n"]))
    opened = open_source(source, bench.answerer.contract, id_column=None, ignore=())
    whole = [[(row.number, row.raw) for row in one.rows] for one in opened.pieces(0)]
    flat = [number for rows in whole for number, _ in rows]
    assert flat == list(range(33 if kind == "csv" else 30))
    assert len(whole) > 2
    assert max(len(rows) for rows in whole) <= size
    shares = [one.share for one in opened.pieces(0)]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] == 1.0
    done = 0
    for place, rows in enumerate(whole):
        assert [[(row.number, row.raw) for row in one.rows] for one in opened.pieces(done)] == whole[place:]
        done += len(rows)


def test_columns_that_are_no_fields_are_refused_by_name_until_they_are_set_aside(bench: Bench) -> None:
    rows = [row | {"extra": 1, "weather": "cold"} for row in ROWS]
    for kind in ("csv", "parquet"):
        source = bench.write(f"in.{kind}", rows)
        with pytest.raises(BadData) as caught:
            bench.score(source, watch=False)
        assert [problem.where for problem in caught.value.problems] == ["extra"]
        assert "--ignore" in caught.value.remedy
        report = bench.score(source, f"{kind}.csv", ignore=("extra",), watch=False)
        assert report.ignored == ("weather", "extra")
        assert bench.score(source, f"all-{kind}.csv", ignore=("*",), watch=False).rows == 6
    report = bench.score(bench.write("in.ndjson", rows), "lines.ndjson", ignore=("extra",), watch=False)
    assert report.counts["refused"] == 1


@pytest.mark.parametrize("kind", ["csv", "parquet", "ndjson"])
def test_a_missing_column_is_named_with_the_nearest(bench: Bench, kind: str) -> None:
    rows = [{("txet" if name == "text" else name): value for name, value in row.items()} for row in ROWS]
    with pytest.raises(BadData) as caught:
        bench.score(bench.write(f"in.{kind}", rows))
    assert (caught.value.problems[0].where, caught.value.problems[0].nearest) == ("text", "txet")
    assert list(bench.folder.glob("*out*")) == []


def test_row_names_another_separator_and_spelled_gaps_are_read_as_in_training(bench: Bench) -> None:
    plain = bench.folder / "plain.csv"
    plain.write_text("text,place,degrees\nsun,north,\nrain,south,2.5\n")
    (bench.folder / "r.csv").write_text('"";"text";"place";"degrees"\n"1";"sun";"north";NA\n"2";"rain";"south";2.5\n')
    bench.score(plain, out="a.ndjson")
    bench.score(bench.folder / "r.csv", out="b.ndjson")
    said = [[(one["status"], one["label"]) for one in bench.lines(name)] for name in ("a.ndjson", "b.ndjson")]
    assert said[0] == said[1] == [("ok", said[0][0][1]), ("ok", said[0][1][1])]


def test_a_missing_id_column_is_named_with_the_nearest(bench: Bench) -> None:
    for kind in ("csv", "ndjson"):
        with pytest.raises(BadData) as caught:
            bench.score(bench.write(f"in.{kind}"), id_column="statoin")
        assert caught.value.problems[0].nearest == "station"


@pytest.mark.parametrize("kind", ["csv", "parquet", "ndjson"])
def test_a_half_written_file_is_refused_before_anything_is_done(bench: Bench, kind: str) -> None:
    source = bench.write(f"in.{kind}", ROWS[:3])
    source.write_bytes(source.read_bytes()[:-7])
    with pytest.raises(BadData, match="half-written"):
        bench.score(source)
    assert list(bench.folder.glob("*out*")) == []


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("gone.csv", None, "there is no"),
        ("in.csv", b"", "is empty"),
        ("in.csv", b"text,place\n", "holds no rows"),
        ("in.csv", b"text,text\na,b\n", "two columns named text"),
        ("in.csv", b"text,\na,b\n", "column 2 has no name"),
        ("in.csv", "text\nsün\n".encode("utf-16"), "not UTF-8"),
        ("in.csv", "text\nsün\n".encode("latin-1"), "not UTF-8"),
        ("in.csv", b"text\n\0\0\n", "NUL"),
        ("in.ndjson", b"\n \n", "holds no rows"),
        ("in.ndjson", b"text,place\na,b\n", "no JSON objects"),
        ("in.parquet", b"PAR1 and nothing more PAR1", "half-written or no Parquet"),
        ("in.parquet", b"something else", "begins wrongly"),
        ("in.xlsx", b"x", "no known kind: .xlsx"),
        ("noise", b"x", "no known kind: no suffix"),
    ],
)
def test_what_is_no_file_of_rows_is_refused_and_leaves_nothing(
    bench: Bench, name: str, content: bytes | None, says: str
) -> None:
    if content is not None:
        (bench.folder / name).write_bytes(content)
    with pytest.raises((BadData, UsageError), match=says):
        bench.score(bench.folder / name)
    assert list(bench.folder.glob("*out*")) == []


def test_a_parquet_file_without_rows_is_refused(bench: Bench) -> None:
    pl.DataFrame(schema={"text": pl.String}).write_parquet(bench.folder / "in.parquet")
    with pytest.raises(BadData, match="holds no rows"):
        bench.score(bench.folder / "in.parquet")


@pytest.mark.parametrize(
    ("out", "more", "says"),
    [
        ("in.csv", {}, "is the input too"),
        ("link.csv", {}, "is the input too"),
        ("nowhere/out.csv", {}, "there is no folder"),
        ("bundles", {}, "no known kind"),
        ("folder.csv", {}, "is a folder"),
        ("out.txt", {}, "no known kind: .txt"),
        ("out.csv", {"bad": "in.csv"}, "it is the input or the output"),
        ("old.csv", {}, "is there already"),
    ],
)
def test_an_output_that_cannot_be_is_refused(bench: Bench, out: str, more: dict[str, Any], says: str) -> None:
    source = bench.write("in.csv")
    (bench.folder / "link.csv").symlink_to(source)
    (bench.folder / "folder.csv").mkdir()
    (bench.folder / "old.csv").write_text("old")
    before = source.read_bytes()
    with pytest.raises(MainstayError, match=says):
        bench.score(source, out, **{name: bench.folder / value for name, value in more.items()})
    assert source.read_bytes() == before
    assert (bench.folder / "old.csv").read_text() == "old"
    assert list(bench.folder.glob(".*")) == []


def test_a_model_that_answers_nothing_stops_the_batch(bench: Bench) -> None:
    loaded = load(make_bundle(bench.folder / "other", WordModel(always_fail=True)))
    bench.answerer = Answerer(loaded=loaded, name="weather@1", live=True, hasher=bench.answerer.hasher)
    with pytest.raises(ModelOutputInvalid, match="answered none of the first 18 rows"):
        bench.score(bench.write("in.csv", ROWS[:2] * 9))
    assert not (bench.folder / "out.ndjson").exists()


# going on


class Stopped(BaseException):
    """Whoever watched had enough."""


def stop_after(count: int) -> Callable[[Pace], None]:
    def tell(pace: Pace) -> None:
        if pace.rows >= count:
            raise Stopped

    return tell


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE_ROWS", 2)


@pytest.mark.usefixtures("small_pieces")
def test_a_stopped_batch_is_gone_on_with_and_tells_so(bench: Bench) -> None:
    source = bench.write("in.csv")
    whole = bench.score(source, "whole.ndjson", watch=False)
    with pytest.raises(Stopped):
        bench.score(source, tell=stop_after(4))
    assert not (bench.folder / "out.ndjson").exists()
    told: list[Pace] = []
    report = bench.score(source, tell=told.append)
    assert (report.resumed_at, report.rows, report.counts) == (4, 6, whole.counts)
    assert [pace.rows for pace in told] == [6, 6]
    for name in ("ndjson", "ndjson.bad.ndjson"):
        assert (bench.folder / f"out.{name}").read_bytes() == (bench.folder / f"whole.{name}").read_bytes()
    assert [event.trace_id for event in bench.events()] == [f"{report.run}:{number}" for number in range(6)]


@pytest.mark.usefixtures("small_pieces")
def test_what_was_sealed_meanwhile_is_not_journalled_again(bench: Bench) -> None:
    source = bench.write("in.csv")
    with pytest.raises(Stopped):
        bench.score(source, tell=stop_after(4))
    ledger = next((bench.state / "score").glob("*.json"))
    ledger.write_text(ledger.read_text().replace('"rows":4', '"rows":2').replace('"seq":4', '"seq":2'))
    assert seal_closed(bench.state / "journal") != []
    assert bench.score(source).journalled == 2
    assert [event.trace_id.rpartition(":")[2] for event in bench.events() if event.trace_id] == list("012345")


@pytest.mark.usefixtures("small_pieces")
def test_a_batch_that_is_not_the_same_any_more_is_not_gone_on_with(bench: Bench) -> None:
    source = bench.write("in.csv")
    with pytest.raises(Stopped):
        bench.score(source, tell=stop_after(4))
    with pytest.raises(UsageError, match="--id is station; it was None") as caught:
        bench.score(source, id_column="station")
    assert "--fresh" in caught.value.remedy
    with pytest.raises(UsageError, match="the rows are watched: False; it was True"):
        bench.score(source, watch=False)
    bench.write("in.csv", ROWS[:5])
    with pytest.raises(UsageError, match="the input file changed since"):
        bench.score(source)
    assert bench.score(source, fresh=True).rows == 5


@pytest.mark.usefixtures("small_pieces")
def test_a_piece_that_was_changed_is_noticed(bench: Bench) -> None:
    source = bench.write("in.csv")
    with pytest.raises(Stopped):
        bench.score(source, tell=stop_after(4))
    [piece] = bench.folder.glob(".out.ndjson.scoring/00000001.piece")
    piece.write_bytes(b"short")
    with pytest.raises(EnvironmentFault, match="bytes; ") as caught:
        bench.score(source)
    assert "--fresh" in caught.value.remedy


@pytest.mark.usefixtures("small_pieces")
def test_two_processes_do_not_write_the_same_file_or_the_same_run(bench: Bench) -> None:
    source = bench.write("in.csv")

    def second(pace: Pace) -> None:
        if pace.rows == 2:
            with pytest.raises(EnvironmentFault, match="another process is writing"):
                bench.score(source, watch=False)
            with pytest.raises(EnvironmentFault, match="scores the same file"):
                bench.score(source, "other.csv")

    assert bench.score(source, tell=second).rows == 6
    assert not (bench.folder / ".other.csv.scoring" / "00000000.json").exists()


@pytest.mark.usefixtures("small_pieces")
def test_two_batches_at_once_write_under_names_of_their_own(bench: Bench) -> None:
    first, other = bench.write("in.csv"), bench.write("two.csv", ROWS[:3])

    def second(pace: Pace) -> None:
        if pace.rows == 2:
            bench.score(other, "other.csv")

    bench.score(first, tell=second)
    assert {event.worker for event in bench.events()} == {"score-0", "score-1"}
    assert len(bench.events()) == 9


def test_progress_tells_rows_pace_and_what_is_left() -> None:
    pace = Pace(rows=120_000, share=0.25, rows_per_s=40_000.4, eta_s=540.0)
    assert str(pace) == "120,000 rows (25%), 40,000 rows/s, about 9 min left"
