"""The line of each CI server's workflow that trains."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import mainstay.starter

TEMPLATES = Path(mainstay.starter.__file__).parent / "template"


@pytest.mark.parametrize("name", ["workflow.yml", "gitlab-ci.yml", "Jenkinsfile"])
@pytest.mark.parametrize(("code", "goes_on"), [(0, True), (4, True), (5, True), (2, False), (3, False), (1, False)])
def test_what_the_gate_refused_or_could_not_judge_reaches_its_report(name: str, code: int, goes_on: bool) -> None:
    (line,) = re.findall(r"mainstay train --no-release.*esac", (TEMPLATES / name).read_text(encoding="utf-8"))
    ran = subprocess.run(["sh", "-e", "-c", f"mainstay() {{ return {code}; }}; {line}"], check=False)
    assert (ran.returncode == 0) is goes_on
