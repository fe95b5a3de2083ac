"""The operations page names every metric that there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from mainstay.api.metrics import render
from mainstay.serve.metrics import Metrics

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def test_the_page_lists_the_families_that_a_worker_has_with_their_types() -> None:
    state = {"worker": "w0", "metrics": Metrics().as_dict(), "rss_mb": 1.0, "models": {"m": {"epoch": 1}}}
    lines = render([state]).decode().splitlines()
    families = dict(line.split()[2:4] for line in lines if line.startswith("# TYPE"))
    told = dict(re.findall(r"^\| `(mainstay_\w+)` \| (\w+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert told == families
