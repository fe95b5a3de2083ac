from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

from mainstay.core.errors import BadData, UsageError
from mainstay.data.source import read_frame


def put(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return name


def parquet(folder: Path) -> bytes:
    pl.DataFrame({"a": list(range(1000))}).write_parquet(folder / "whole.parquet")
    return (folder / "whole.parquet").read_bytes()


def test_csv_cells_are_text_and_empty_ones_null(tmp_path: Path) -> None:
    name = put(tmp_path, "x.csv", b"\xef\xbb\xbfa,b\r\n007,\r\n1,caf\xc3\xa9\r\n")
    assert read_frame(name, tmp_path).to_dicts() == [{"a": "007", "b": None}, {"a": "1", "b": "café"}]


def test_ndjson_and_parquet_keep_their_types(tmp_path: Path) -> None:
    name = put(tmp_path, "x.jsonl", b'{"a": 1, "b": "x"}\n{"a": 2.5}\n')
    assert read_frame(name, tmp_path).to_dicts() == [{"a": 1.0, "b": "x"}, {"a": 2.5, "b": None}]
    parquet(tmp_path)
    assert read_frame("whole.parquet", tmp_path).schema == {"a": pl.Int64()}


def test_a_pattern_reads_its_files_in_order_of_name_whatever_the_order_of_columns(tmp_path: Path) -> None:
    put(tmp_path, "d/2.csv", b"b,a\n4,3\n")
    put(tmp_path, "d/1.csv", b"a,b\n1,2\n")
    assert read_frame("d/*.csv", tmp_path).rows() == [("1", "2"), ("3", "4")]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("zero.csv", b"", "empty"),
        ("head.csv", b"a,b\n", "no rows"),
        ("cut.csv", b'a,b\n1,2\n3,"fo', "half-written"),
        ("cells.csv", b"a,b,c\n1,2,3\n4,5", "2 of 3 cells"),
        ("ragged.csv", b'a,b\n1,2\n"x\ny",2,3\n', "line 4 has 3 cells, its first line names 2 columns"),
        ("x.csv.gz", b"\x1f\x8b\x08\x00", "compressed.*gunzip -k x.csv.gz"),
        ("latin.csv", "a\ncafé\n".encode("latin-1"), "byte 5 is 0xe9"),
        ("cutchar.csv", b"a\ncaf\xc3", "byte 5 is 0xc3"),
        ("twice.csv", b"a,a\n1,2\n", "two columns named a"),
        ("noname.csv", b"a,\n1,2\n", "column 2 has no name"),
        ("cut.ndjson", b'{"a": 1}\n{"a":', "half-written"),
        ("rows.ndjson", b"[1]\n", "half-written or no NDJSON"),
        ("no.parquet", b"hello hello", "begins wrongly"),
        ("x.xlsx", b"PK", r"no known kind.*read_excel\('x.xlsx'\).to_parquet\('x.parquet'\)"),
        ("x.tsv", b"a\tb\n1\t2\n", "no known kind.*rename it to .csv"),
        ("x.json", b"[]", "no known kind.*read_json"),
    ],
)
def test_a_file_that_is_no_good_is_told_by_name_and_reason(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    with pytest.raises(BadData) as told:
        read_frame(put(tmp_path, name, data), tmp_path)
    assert re.search(message, f"{told.value.message} {told.value.remedy}")


def test_a_parquet_file_cut_anywhere_is_told(tmp_path: Path) -> None:
    whole = parquet(tmp_path)
    for length in range(1, len(whole), 97):
        with pytest.raises(BadData, match="half-written"):
            read_frame(put(tmp_path, "cut.parquet", whole[:length]), tmp_path)


def test_a_character_across_two_pieces_of_a_large_file_is_no_error(tmp_path: Path) -> None:
    text = "a\n" + "x" * ((1 << 20) - 3) + "é\n"
    assert read_frame(put(tmp_path, "x.csv", text.encode()), tmp_path).height == 1


def test_different_columns_in_a_pattern_are_told(tmp_path: Path) -> None:
    put(tmp_path, "d/1.csv", b"a,b\n1,2\n")
    put(tmp_path, "d/2.csv", b"a,c\n1,2\n")
    with pytest.raises(BadData, match=r"1\.csv and 2\.csv have different columns: b, c"):
        read_frame("d/*.csv", tmp_path)


@pytest.mark.parametrize(
    ("address", "message"), [("x.csv", "there is no"), ("d/*.csv", "no file fits"), (".", "folder")]
)
def test_what_is_not_there_is_told(tmp_path: Path, address: str, message: str) -> None:
    with pytest.raises(BadData, match=message):
        read_frame(address, tmp_path)


def test_addresses_with_a_scheme_say_that_they_are_not_built(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not built yet"):
        read_frame("s3://bucket/x.csv", tmp_path)


def test_a_first_column_without_a_name_holds_row_names_and_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, "r.csv", b'"","speed","dist"\n"1",4,2\n"2",7,4\n')
    assert read_frame("r.csv", tmp_path).to_dict(as_series=False) == {"speed": ["4", "7"], "dist": ["2", "4"]}


@pytest.mark.parametrize("sign", [b";", b"\t", b"|"])
def test_the_first_line_tells_what_stands_between_cells(tmp_path: Path, sign: bytes) -> None:
    put(
        tmp_path,
        "w.csv",
        b'"fixed, acidity",note\n7.4,"a;b"\n'.replace(b'y",', b'y"' + sign).replace(b"4,", b"4" + sign),
    )
    assert read_frame("w.csv", tmp_path).rows() == [("7.4", "a;b")]
