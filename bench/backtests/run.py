"""Replay real histories through the watch and print what it told: delays, misses, false incidents.

`python bench/backtests/run.py bike --data ../shared/data` (or seasonal, desk, banking, clinc, adult, all). Each line is
one case as JSON; `--keep FOLDER` writes figures and reports. Data are the public sets named in docs/backtest.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import bike
import desk
import people
import scenes
import texts

PARTS = ("bike", "seasonal", "desk", "banking", "clinc", "adult")


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=(*PARTS, "all"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", default="", help="of banking and clinc: cases whose name holds this")
    parser.add_argument("--keep", type=Path, default=None)
    given = parser.parse_args()
    for part in PARTS if given.part == "all" else (given.part,):
        _run(part, given)
    return 0


def _run(part: str, given: argparse.Namespace) -> None:
    if part == "bike":
        for case, report in bike.replays(given.data):
            print(f"== {case}\n{report}\n")
            scenes.keep(f"bike-{case.replace(' ', '-').replace(':', '').replace(';', '')}.txt", str(report), given.keep)
        return
    if part == "seasonal":
        lines = bike.synthetic(seeds=given.seeds)
        scenes.show(lines)
        scenes.keep("seasonal.json", lines, given.keep)
        return
    runs = {
        "desk": lambda: desk.desk(seeds=given.seeds),
        "banking": lambda: texts.banking(given.data, seeds=given.seeds, only=given.only),
        "clinc": lambda: texts.clinc(given.data, seeds=given.seeds, only=given.only),
        "adult": lambda: people.adult(given.data, seeds=given.seeds),
    }
    lines, told = runs[part]()
    scenes.keep(f"{part}.json", lines, given.keep)
    for case, text in told.items():
        scenes.keep(f"{part}-{case.replace(' ', '-').replace(',', '').replace('%', '')}.txt", text, given.keep)


if __name__ == "__main__":
    sys.exit(main())
