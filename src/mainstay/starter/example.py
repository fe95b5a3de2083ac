"""The project that `mainstay init` writes: four files of text and made-up measurements, the same on every machine."""

from __future__ import annotations

import csv
import json
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mainstay.core import errors

TEMPLATE = Path(__file__).parent / "template"
FILES = {
    "mainstay.toml": "mainstay.toml",
    "model.py": "model.py.template",
    "features.py": "features.py.template",
    ".gitignore": "gitignore.template",
}
"""File written -> file it is copied from. Code ends in .template so that nobody takes it for code of this package."""
EXAMPLE = {
    "instances": [
        {
            "inputs": {
                "temperature_c": 61.5,
                "vibration_mm_s": 7.2,
                "hours_since_service": 2900,
                "medium": "water",
                "pump_id": "P-0042",
            }
        }
    ]
}
"""A request: `curl … -d @example.json`."""
COLUMNS = ("temperature_c", "vibration_mm_s", "hours_since_service", "medium", "pump_id", "measured_at", "condition")
TRAIN_ROWS = 900
TEST_ROWS = 400
PUMPS = 240
START = datetime(2026, 1, 5, tzinfo=UTC)


def write(folder: Path) -> list[Path]:
    """Write the project into `folder` and return its files.

    A folder that holds any of them already is refused before anything is written.
    """
    wanted = [folder / name for name in (*FILES, "example.json", "data/train.csv", "data/test.csv")]
    there = [path for path in wanted if path.exists() and path.name != ".gitignore"]
    if there:
        raise errors.UsageError(
            f"{there[0]} is there already; nothing was written",
            remedy="Name another folder, or move the old files away.",
        )
    try:
        (folder / "data").mkdir(parents=True, exist_ok=True)
        for name, source in FILES.items():
            if not (folder / name).exists():
                (folder / name).write_text((TEMPLATE / source).read_text(encoding="utf-8"), encoding="utf-8")
        (folder / "example.json").write_text(json.dumps(EXAMPLE, indent=2) + "\n", encoding="utf-8")
        _write_rows(folder / "data" / "train.csv", rows(TRAIN_ROWS, seed=1, pumps=range(PUMPS)))
        _write_rows(folder / "data" / "test.csv", rows(TEST_ROWS, seed=2, pumps=range(PUMPS, PUMPS + 120)))
    except OSError as error:
        raise errors.EnvironmentFault(
            f"the project cannot be written to {folder}: {error.strerror}",
            remedy="Choose a folder where this user may write.",
        ) from error
    return wanted


def rows(count: int, *, seed: int, pumps: range) -> Iterator[dict[str, object]]:
    """Yield made-up measurements: a worn pump shakes and runs warm, and sometimes the sensor for hours is silent."""
    luck = random.Random(seed)
    at = START
    for _ in range(count):
        at += timedelta(minutes=luck.randint(5, 90))
        hours = int(luck.expovariate(1 / 1400))
        medium = luck.choices(("water", "oil", "brine"), weights=(6, 3, 1))[0]
        wear = hours / 900 + luck.gauss(0, 0.9) + (0.7 if medium == "brine" else 0.0) - 1.3
        worn = luck.random() < 1 / (1 + math.exp(-4 * wear))
        yield {
            "temperature_c": round(luck.gauss(58 if worn else 47, 7) + (8 if medium == "oil" else 0), 1),
            "vibration_mm_s": round(max(0.1, luck.gauss(6.4 if worn else 3.1, 1.3)), 2),
            "hours_since_service": "" if luck.random() < 0.06 else hours,
            "medium": medium,
            "pump_id": f"P-{luck.choice(pumps):04d}",
            "measured_at": at.isoformat().replace("+00:00", "Z"),
            "condition": "worn" if worn else "fine",
        }


def _write_rows(path: Path, lines: Iterator[dict[str, object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
