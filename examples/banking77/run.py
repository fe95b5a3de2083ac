"""Play the story on data that nobody here wrote: `python examples/banking77/run.py --data FOLDER [--exit]`.

FOLDER holds the published `train.csv` and `test.csv` (columns text, category); `--noise FOLDER` may hold lists of
misspellings and emoji. Everything is written to a copy of this folder under build/; the data stay where they are.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
from pathlib import Path

import mess
import polars as pl

from mainstay.drills import __main__ as drills

HERE = Path(__file__).parent
PUBLISHED = (
    "Banking77 is published by PolyAI-LDN as task-specific-datasets/banking_data (CC-BY-4.0); "
    "name its folder by --data or MAINSTAY_DATA."
)
PARTS = {"test": 1000, "quiet": 480, "feedback": 500, "messy": 600, "judged": 500}


def main() -> int:
    """Write the project's data, then play."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("MAINSTAY_DATA"))
    parser.add_argument("--noise", type=Path, default=None, help="default: the folder `noise` beside the data's")
    parser.add_argument("--exit", action="store_true")
    parser.add_argument("--patience", default="1", help="times the story's deadlines, on a slow machine")
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    if arguments.data is None or not (Path(arguments.data) / "train.csv").is_file():
        print(PUBLISHED, file=sys.stderr)
        return 2
    data = Path(arguments.data)
    project = write_project(data, arguments.noise or data.parent / "noise", Path("build/banking77"))
    options = ["--work", "build/demo/banking77", "--patience", arguments.patience]
    options += ["--exit"] if arguments.exit else []
    return drills.main([str(project), *options, *(["--json", str(arguments.json)] if arguments.json else [])])


def write_project(data: Path, noise: Path, project: Path) -> Path:
    """Copy this folder and write the split data beside it: frozen test, quiet users, messy users in three parts."""
    shutil.rmtree(project, ignore_errors=True)
    shutil.copytree(HERE, project, ignore=shutil.ignore_patterns("__pycache__"))
    (project / "data").mkdir()
    test = pl.read_csv(data / "test.csv").sample(fraction=1.0, shuffle=True, seed=7)
    train = pl.read_csv(data / "train.csv")
    train.join(test, on="text", how="anti").write_csv(project / "data" / "train.csv")
    misspelled = mess.read_misspellings(noise / "symspell_noisy_query_en_1000.txt")
    emoji = mess.read_emoji(noise / "gemoji_emoji.json")
    rng = random.Random(7)
    start = 0
    for name, rows in PARTS.items():
        part = test[start : start + rows]
        start += rows
        if name not in ("test", "quiet"):
            part = part.with_columns(pl.Series("text", [mess.messy(t, rng, misspelled, emoji) for t in part["text"]]))
        part.write_csv(project / "data" / f"{name}.csv")
    return project


if __name__ == "__main__":
    sys.exit(main())
