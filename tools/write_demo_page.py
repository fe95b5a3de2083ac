"""Write docs/demo.md from the summaries that the two demos left under build/demo."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
STORIES = {"Support desk": "support-desk", "Banking77": "banking77"}
ROWS = (
    ("accuracy, clean users, version 1", "clean_before"),
    ("accuracy, messy users, version 1", "messy_before"),
    ("accuracy, messy users, retrained version", "messy_after"),
    ("accuracy, clean users, retrained version", "clean_after"),
)
HEAD = """# The demo, measured

Written by `python tools/write_demo_page.py` from the summaries of the last runs of `make demo EXIT=1` and
`make demo-banking77 DATA=… EXIT=1`; nothing here is typed by hand. Accuracies are of the answers that the server gave
over HTTP, with 95 % Wilson intervals. The judged messages are never labelled and never shown to a fit.
"""
FOOT = """
What the stories are, and how the messages came about: `examples/support-desk/README.md` and
`examples/banking77/README.md`. The time to detect counts from the first messy request to the incident; no label was
given by then. The time to recover counts from the first label to the certified version: training, gate, shadow, every
canary step and probation (7 seconds in the demo).
"""


def main() -> int:
    """Write the page; a summary that is missing is an error."""
    stories = {}
    for title, name in STORIES.items():
        file = ROOT / "build" / "demo" / f"{name}.json"
        if not file.is_file():
            print(f"{file} is missing: play that story first", file=sys.stderr)
            return 2
        stories[title] = json.loads(file.read_text(encoding="utf-8"))
    page = [HEAD, machine(), table(stories), *(incident(title, told) for title, told in stories.items()), FOOT]
    (ROOT / "docs" / "demo.md").write_text("\n".join(page), encoding="utf-8")
    return 0


def machine() -> str:
    """Return on what the runs were made."""
    return f"Machine: {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}.\n"


def table(stories: dict[str, Any]) -> str:
    """Return the summary of all stories side by side."""
    lines = ["| | " + " | ".join(stories) + " |", "|---|" + "---|" * len(stories)]
    for label, key in ROWS:
        lines.append(f"| {label} | " + " | ".join(share(told[key]) for told in stories.values()) + " |")
    rest = {
        "alarms in the quiet phase": lambda t: str(t["quiet_alarms"]),
        "time to detect": lambda t: f"{t['detect_s']:.1f} s, {t['detect_rows']} requests",
        "time to recover": lambda t: f"{t['recover_s']:.0f} s",
        "labels given after the incident": lambda t: str(t["labels"]),
        "broken candidate": lambda t: "refused by the gate" if t["broken_exit"] == 4 else "not refused",
        "candidate that turned bad in traffic": lambda t: f"rolled back after {t['stop_s']:.0f} s",
        "who answers at the end": lambda t: t["who_answers"],
        "missed": lambda t: "; ".join(t["missed"]) or "nothing",
        "wall time of the story": lambda t: f"{t['seconds']:.0f} s",
    }
    for label, show in rest.items():
        lines.append(f"| {label} | " + " | ".join(show(told) for told in stories.values()) + " |")
    return "\n".join(lines) + "\n"


def share(score: dict[str, Any]) -> str:
    """Return an accuracy with its interval."""
    return f"{score['accuracy']:.1%} ({score['low']:.1%} to {score['high']:.1%}, n = {score['total']})"


def incident(title: str, told: dict[str, Any]) -> str:
    """Return the incident as it was told after the messy phase."""
    lines = [f"## {title}: the incident as told after the messy phase", "", f"**{told['incident']['title']}**", ""]
    lines += [f"- {sentence}" for sentence in told["incident"]["story"]]
    lines += ["", f"Why the candidate that turned bad was taken back: {told['stop_reason']}.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
