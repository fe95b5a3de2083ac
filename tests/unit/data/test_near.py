from __future__ import annotations

from pathlib import Path

from mainstay.data import near


def test_a_mistyped_path_is_told_with_the_file_beside_it_that_it_looks_like(tmp_path: Path) -> None:
    (tmp_path / "train.csv").touch()
    (tmp_path / "trian.csv.d").mkdir()
    assert near.did_you_mean(tmp_path / "trian.csv") == f"Did you mean {tmp_path / 'train.csv'}? "
    assert near.did_you_mean(tmp_path / "labels.parquet") == ""
    assert near.did_you_mean(tmp_path / "nowhere" / "train.csv") == ""
