"""The example of docs/profile.md does what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "profile.md"


def test_the_example_runs_and_says_what_stands_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    (said,) = re.findall(r"why\) +# (.*)", code)
    assert capsys.readouterr().out.strip() == said
    assert (tmp_path / "rentals.html").stat().st_size > 5_000
