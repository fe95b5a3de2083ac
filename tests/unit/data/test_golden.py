from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import polars as pl
import pytest

from mainstay.config.load import Loaded, load
from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.core.errors import BadData, ContractViolation, Damaged, NotEnoughEvidence, ProjectFileError, Refused
from mainstay.data import golden
from mainstay.data.prepare import Prepared, inspect, prepare
from mainstay.data.sealed import sealed_column
from mainstay.data.snapshot import Snapshots


class Gone(StrEnum):
    ERASED = "erased"


NOW = datetime(2026, 1, 5, tzinfo=UTC)
PROJECT = """\
mainstay = 1
[project]
name = "ponds"
task = "binary"
[data]
train = "train.csv"
test = { share = 0.2 }
key = "pond"
golden = GOLDEN
[fields.pond]
type = "identifier"
[fields.depth]
type = "number"
min = 0
[fields.note]
type = "text"
[target]
field = "clear"
classes = ["yes", "no"]
"""


def row(n: int, note: str = "") -> str:
    return f"p-{n // 2},{(n * 37) % 101 / 7},{note or f'note number {n}'},{'yes' if n * n % 3 else 'no'}"


def write(file: Path, rows: list[str]) -> None:
    file.write_text("\n".join(["pond,depth,note,clear", *rows]) + "\n", encoding="utf-8")


def project(folder: Path, golden: str = '{ rows = "golden.csv" }', rows: int = 200) -> Loaded:
    (folder / "mainstay.toml").write_text(PROJECT.replace("GOLDEN", golden), encoding="utf-8")
    write(folder / "train.csv", [row(n) for n in range(rows)])
    write(folder / "golden.csv", [row(n) for n in range(1000, 1020)])
    return load(folder, environ={})


def run(loaded: Loaded) -> Prepared:
    return prepare(loaded, Snapshots(loaded.state / "snapshots"), NOW)


def snapshots(loaded: Loaded) -> Snapshots:
    return Snapshots(loaded.state / "snapshots")


def test_a_file_is_frozen_at_first_use_and_read_by_one_function(tmp_path: Path) -> None:
    loaded = project(tmp_path)
    prepared = run(loaded)
    kept = golden.frozen(loaded, snapshots(loaded))
    assert kept is not None
    assert prepared.golden == kept
    assert (kept.snapshot.rows, kept.by, kept.frozen_at) == (20, golden.FIRST_USE, NOW)
    assert prepared.golden is not None
    assert prepared.golden.is_new
    assert prepared.train.lineage["golden"] == prepared.test.lineage["golden"] == kept.id
    again = run(loaded)
    assert again.golden is not None
    assert (again.golden.id, again.golden.is_new) == (kept.id, False)


def test_without_a_declaration_nothing_is_frozen_and_the_lineage_says_nothing(tmp_path: Path) -> None:
    loaded = project(tmp_path, golden="{}")
    prepared = run(loaded)
    assert prepared.golden is None
    assert "golden" not in prepared.train.lineage
    assert golden.frozen(loaded, snapshots(loaded)) is None
    assert not (loaded.state / golden.FILE).exists()


def test_before_its_first_use_there_is_nothing_to_read(tmp_path: Path) -> None:
    loaded = project(tmp_path)
    with pytest.raises(NotEnoughEvidence, match="never used"):
        golden.frozen(loaded, snapshots(loaded))


def test_a_look_freezes_nothing(tmp_path: Path) -> None:
    loaded = project(tmp_path)
    found = inspect(loaded)
    assert found.golden is not None
    assert found.golden.height == 20
    assert not loaded.state.exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda file: write(file, [row(n) for n in range(1000, 1019)]), "19 rows instead of 20"),
        (lambda file: write(file, [row(n, "new words" if n == 1003 else "") for n in range(1000, 1020)]), "in note"),
    ],
)
def test_a_file_that_changed_is_refused_until_it_is_frozen_anew(tmp_path: Path, change, told: str) -> None:  # type: ignore[no-untyped-def]
    loaded = project(tmp_path)
    before = run(loaded).golden
    assert before is not None
    change(tmp_path / "golden.csv")
    with pytest.raises(Refused, match=told) as caught:
        run(loaded)
    assert "mainstay golden freeze" in caught.value.remedy
    train = inspect_rows(loaded)
    made, was = golden.freeze(loaded, snapshots(loaded), train, NOW, by="ann", reason="labels were wrong")
    assert (was, made.by, made.reason) == (before.id, "ann", "labels were wrong")
    assert made.id != before.id
    now = run(loaded).golden
    assert now is not None
    assert now.id == made.id


def inspect_rows(loaded: Loaded) -> pl.DataFrame:
    from mainstay.data.prepare import read_parts

    return next(iter(read_parts(loaded))).report.good


def test_another_declaration_than_the_frozen_one_is_refused(tmp_path: Path) -> None:
    run(project(tmp_path))
    with pytest.raises(Refused, match=r"\[data\] golden says"):
        run(project(tmp_path, golden="{ share = 0.1 }"))


def test_rows_of_golden_keys_and_rows_that_say_the_same_are_in_no_part(tmp_path: Path) -> None:
    loaded = project(tmp_path)
    write(
        tmp_path / "golden.csv",
        [
            "p-7,0.5,a note of the seventh pond,yes",  # two training rows are of this key
            "x-1,5.285714285714286,NOTE   number: 1!,no",  # says what row 1 says
            "x-2,1,nobody else says this,yes",
        ],
    )
    prepared = run(loaded)
    used = pl.concat([prepared.train.frame(), prepared.test.frame()])
    assert used.height == 197
    assert "p-7" not in used["pond"].to_list()
    assert "note number 1" not in used["note"].to_list()
    told = "of train 2 other rows of golden keys, 1 rows that say nearly the same as a golden one were left out"
    assert prepared.warnings[0] == told


def test_a_share_is_drawn_once_with_whole_keys_and_stays_as_rows_come(tmp_path: Path) -> None:
    loaded = project(tmp_path, golden="{ share = 0.1 }")
    first = run(loaded)
    assert first.golden is not None
    held = first.golden.snapshot.frame()
    assert held.height == pytest.approx(20, abs=4)
    keys = set(held["pond"])
    assert keys.isdisjoint(first.train.frame()["pond"])
    assert keys.isdisjoint(first.test.frame()["pond"])
    assert first.train.rows + first.test.rows + held.height == 200
    write(tmp_path / "train.csv", [row(n) for n in range(600)])
    later = run(loaded)
    assert later.golden is not None
    assert later.golden.id == first.golden.id
    assert later.train.rows + later.test.rows + held.height == 600


def test_a_golden_row_that_breaks_the_contract_is_refused(tmp_path: Path) -> None:
    loaded = project(tmp_path)
    write(tmp_path / "golden.csv", [row(1000), "p-1,-4,too deep,yes"])
    with pytest.raises(ContractViolation, match=r"1 of 2 golden rows of golden\.csv break the contract"):
        run(loaded)


def test_a_record_that_cannot_be_read_is_no_first_use(tmp_path: Path) -> None:
    loaded = project(tmp_path)
    run(loaded)
    (loaded.state / golden.FILE).write_text("{", encoding="utf-8")
    with pytest.raises(Damaged, match=r"golden\.json"):
        run(loaded)


def test_labelled_traffic_is_known_by_the_hash_of_its_key() -> None:
    contract = Contract(
        task=Task.BINARY,
        fields=(Field(name="note", type=FieldType.TEXT), Field(name="who", type=FieldType.IDENTIFIER)),
        target="truth",
        classes=("yes", "no"),
        key="who",
    )
    rows = pl.DataFrame({"note": ["red blue"], "who": ["ann"], "truth": ["yes"]})
    traffic = pl.DataFrame(
        {"note": ["so", "other"], "who": [None, None], "truth": ["no", "no"], "_key": ["#ann", "#bob"]}
    )
    kept = golden.apart(contract, traffic, rows, hashed=lambda key: f"#{key}")
    assert (kept.by_key, kept.frame["_key"].to_list()) == (1, ["#bob"])


def test_sealed_rows_are_looked_at_opened_and_stay_sealed() -> None:
    contract = Contract(
        task=Task.BINARY, fields=(Field(name="note", type=FieldType.TEXT),), target="truth", classes=("yes", "no")
    )
    rows = pl.DataFrame({"note": ["red and blue"], "truth": ["yes"]})
    tokens = [{"note": "t-red"}, {}, {"note": "t-erased"}, {"note": "t-other"}]
    traffic = pl.DataFrame(
        {"note": [None, "plain", None, None], "truth": ["no"] * 4, "_key": ["a", "b", "c", "d"]},
        schema_overrides={"note": pl.String},
    ).with_columns(sealed_column(tokens))

    def opened(name: str, token: str) -> object:
        return Gone.ERASED if token == "t-erased" else {"t-red": "Red, and BLUE", "t-other": "green"}[token]

    kept = golden.apart(contract, traffic, rows, open_value=opened)
    assert (kept.by_content, kept.frame["_key"].to_list()) == (1, ["b", "c", "d"])
    assert kept.frame.columns == traffic.columns
    assert kept.frame["note"].to_list() == ["plain", None, None]


def test_where_fields_tell_no_rows_apart_content_is_refused_and_the_key_still_serves() -> None:
    contract = Contract(
        task=Task.BINARY,
        fields=(Field(name="sex", type=FieldType.CATEGORY), Field(name="who", type=FieldType.IDENTIFIER)),
        target="truth",
        classes=("yes", "no"),
        key="who",
    )
    rows = pl.DataFrame({"sex": ["f"], "who": ["g"], "truth": ["yes"]})
    train = pl.DataFrame({"sex": ["f", "f", "m", "f"], "who": ["a", "b", "c", "g"], "truth": ["no", "yes", "no", "no"]})
    with pytest.raises(BadData, match="2 of 3 rows say nearly the same"):
        golden.apart(contract, train, rows)
    assert golden.apart(contract, train, rows, ways=("key",)).frame["who"].to_list() == ["a", "b", "c"]


def test_what_is_left_out_is_counted_once_and_told_apart(tmp_path: Path) -> None:
    loaded = project(tmp_path, golden='{ share = 0.1, apart = ["key", "content"] }')
    run(loaded)
    write(tmp_path / "train.csv", [*(row(n) for n in range(200)), *(row(n, f"said later {n}") for n in range(200))])
    told = run(loaded).warnings[0]
    assert told.startswith("of train ")
    counts = [int(part.split()[0]) for part in told.removeprefix("of train ").split(", ")]
    assert counts[0] == counts[1] == 20
    assert "20 golden rows, 20 other rows of golden keys" in told


def test_golden_rows_themselves_are_left_out_whatever_else_is_declared() -> None:
    contract = Contract(
        task=Task.BINARY,
        fields=(Field(name="who", type=FieldType.IDENTIFIER),),
        target="truth",
        classes=("yes", "no"),
    )
    train = pl.DataFrame({"who": ["a", "b", None], "truth": ["no", "yes", "no"]})
    assert golden.apart(contract, train, train.head(1)).frame["who"].to_list() == ["b", None]


def test_a_declaration_that_says_two_things_is_told(tmp_path: Path) -> None:
    with pytest.raises(ProjectFileError) as caught:
        project(tmp_path, golden='{ rows = "golden.csv", share = 0.1 }')
    assert [problem.what for problem in caught.value.problems] == ["says two things"]
