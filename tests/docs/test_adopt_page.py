"""The example of docs/adopt.md does what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mainstay import Project

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_example_makes_a_project_that_answers(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "adopt.md").read_text(encoding="utf-8")
    code, _ = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cancer@1 is certified")
    answering = Project.open(tmp_path / "cancer").status().answering
    assert answering is not None
    assert answering.name == "cancer@1"
