from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.cli import labels
from mainstay.core import errors


def written(tmp_path: Path, content: str | bytes) -> Path:
    file = tmp_path / "labels"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def test_a_csv_gives_one_item_a_line_and_leaves_other_columns_aside(tmp_path: Path) -> None:
    file = written(tmp_path, 'id,label,colour,at\na1,fine,red,\na2,"wo,rn",blue,2026-01-05T09:00:00Z\n')
    assert labels.read(file) == [
        {"id": "a1", "label": "fine"},
        {"id": "a2", "label": "wo,rn", "at": "2026-01-05T09:00:00Z"},
    ]


def test_ndjson_gives_one_item_a_line(tmp_path: Path) -> None:
    file = written(tmp_path, '{"id": "a1", "label": "fine"}\n\n{"id": "a2", "label": 3.5, "by": "ann"}\n')
    assert labels.read(file) == [{"id": "a1", "label": "fine"}, {"id": "a2", "label": 3.5, "by": "ann"}]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    assert labels.read(written(tmp_path, b"\xef\xbb\xbfid,label\na,b\n")) == [{"id": "a", "label": "b"}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("id,lable\na,b\n", "has no column 'label'"),
        ("", "has no column 'id'"),
        ("id,label\n", "no line with a label"),
        ('{"id": "a"\n', "line 1 is no JSON"),
        ('{"id": "a", "label": "b"}\n[1]\n', "line 2 is no JSON object"),
        ('id,label\na,"b\n', "is no CSV"),
        (b"id,label\na,\xff\n", "is not UTF-8"),
    ],
)
def test_a_file_that_is_no_file_of_labels_is_refused_by_line(tmp_path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(errors.BadData, match=said):
        labels.read(written(tmp_path, content))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match="No such file"):
        labels.read(tmp_path / "none")
