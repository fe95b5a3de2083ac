from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from mainstay.core.errors import Damaged, NotFound, UsageError
from mainstay.data.content import digest_of
from mainstay.data.snapshot import Snapshots

NOW = datetime(2026, 1, 5, tzinfo=UTC)
FRAME = pl.DataFrame(
    {
        "text": ["ab", "c", None, ""],
        "number": [1.5, None, -0.0, 0.0],
        "whole": [1, 2, None, 4],
        "flag": [True, None, False, True],
        "at": pl.Series([NOW, None, NOW, NOW], dtype=pl.Datetime("us", "UTC")),
    }
)


def test_a_snapshot_gives_back_its_rows_and_lineage(tmp_path: Path) -> None:
    put = Snapshots(tmp_path).put(FRAME, {"source": "x"}, NOW)
    found = Snapshots(tmp_path).open(put.id)
    assert found == put
    assert found.frame().equals(FRAME)
    assert (found.rows, found.lineage, found.created_at) == (4, {"source": "x"}, NOW)


def test_the_same_rows_have_the_same_id_and_keep_their_first_lineage(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    first = snapshots.put(FRAME, {"source": "x"}, NOW)
    again = snapshots.put(FRAME.clone(), {"source": "y"}, NOW.replace(year=2027))
    assert again == first
    assert snapshots.ids() == [first.id]


def test_the_id_does_not_depend_on_how_the_rows_are_held_in_memory_or_file(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "a.parquet", compression="uncompressed", row_group_size=2)
    pieces = pl.concat([FRAME.head(1), FRAME.tail(3)], rechunk=False)
    categories = pl.concat([FRAME.head(2), FRAME.slice(2, 2)])
    assert {digest_of(f) for f in (FRAME, pl.read_parquet(tmp_path / "a.parquet"), pieces, categories)} == {
        digest_of(FRAME)
    }


def test_the_id_is_the_one_it_always_was() -> None:
    # Ids stand in bundles and lineage: another digest for the same rows would orphan them.
    assert digest_of(FRAME) == "da14bf33cdbb1af9189cf619e235493950c5e28aec89e5de2918f1de99428ba7"


@pytest.mark.parametrize(
    "other",
    [
        FRAME.rename({"text": "texts"}),
        FRAME.select(reversed(FRAME.columns)),
        FRAME.reverse(),
        FRAME.head(3),
        FRAME.with_columns(pl.col("whole").cast(pl.Int32)),
        FRAME.with_columns(pl.Series("text", ["a", "bc", None, ""])),
        FRAME.with_columns(pl.Series("text", ["ab", "c", "", None])),
        FRAME.with_columns(pl.Series("number", [1.5, 0.0, -0.0, None])),
    ],
)
def test_any_change_of_names_types_values_or_order_changes_the_id(other: pl.DataFrame) -> None:
    assert digest_of(other) != digest_of(FRAME)


def test_a_damaged_file_is_never_given_out(tmp_path: Path) -> None:
    snapshot = Snapshots(tmp_path).put(FRAME, {}, NOW)
    whole = snapshot.path.read_bytes()
    for damage in (b"", whole[: len(whole) // 2], whole[:40] + b"\xff" + whole[41:]):
        snapshot.path.write_bytes(damage)
        with pytest.raises(Damaged):
            snapshot.frame()


def test_other_rows_in_its_place_are_noticed(tmp_path: Path) -> None:
    snapshot = Snapshots(tmp_path).put(FRAME, {}, NOW)
    FRAME.reverse().write_parquet(snapshot.path)
    with pytest.raises(Damaged, match="does not hold the rows"):
        snapshot.frame()


def test_putting_the_same_rows_again_mends_a_damaged_snapshot(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    snapshots.put(FRAME, {}, NOW).path.write_bytes(b"")
    assert snapshots.put(FRAME, {}, NOW).frame().equals(FRAME)


@pytest.mark.parametrize("name", ["", "abc", "../x", "f" * 64])
def test_an_unknown_id_is_not_found(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound):
        Snapshots(tmp_path / "none").open(name)


def test_nothing_half_written_is_left_behind(tmp_path: Path) -> None:
    snapshot = Snapshots(tmp_path).put(FRAME, {}, NOW)
    assert [path.name for path in tmp_path.iterdir()] == [snapshot.id]


def test_types_outside_the_contract_are_refused() -> None:
    with pytest.raises(UsageError, match="column x"):
        digest_of(pl.DataFrame({"x": [[1]]}))
