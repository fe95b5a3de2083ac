"""The example of docs/backtest.md does what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "backtest.md"


def test_the_example_runs_and_says_what_stands_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code, names)
    (said,) = re.findall(r'report\.headline +# "(.*)"', code)
    assert names["report"].headline == said
    assert names["report"].score.recall == 1.0
    assert (tmp_path / "report.html").stat().st_size > 5_000
