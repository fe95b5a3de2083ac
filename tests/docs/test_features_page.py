"""What docs/features.md and docs/splits.md show is what the loader and Python take."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from mainstay.config.load import load
from mainstay.core.features import MARK

DOCS = Path(__file__).parents[2] / "docs"
PROJECT = """\
mainstay = 1
[project]
name = "shown"
task = "binary"
[data]
key = "customer_id"
[fields.customer_id]
type = "identifier"
[fields.ordered_at]
type = "timestamp"
[target]
field = "kept"
classes = ["yes", "no"]
"""


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)


SHOWN = [(page, text) for page in ("features.md", "splits.md") for text in blocks(page, "toml")]


def test_the_blocks_were_found() -> None:
    assert len(SHOWN) == 5


@pytest.mark.parametrize(("page", "text"), SHOWN)
def test_each_piece_of_a_project_file_is_taken(page: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "mainstay.toml").write_text(PROJECT, encoding="utf-8")
    document: dict[str, dict[str, Any]] = tomllib.loads(text)
    flags = {f"{section}.{key}": value for section, table in document.items() for key, value in table.items()}
    settings = load(tmp_path, environ={}, flags={"data.time": "ordered_at"} | flags).settings
    assert settings.data.time == "ordered_at"


def test_the_feature_shown_is_one() -> None:
    (text,) = blocks("features.md", "python")
    scope: dict[str, Any] = {}
    exec(compile(text, "features.py", "exec"), scope)
    found = scope["vibration_per_degree"]
    assert found(7.0, 10.0) == pytest.approx(0.1)
    assert (getattr(found, MARK).owner, getattr(found, MARK).cost_us) == ("pumps", 0.5)
