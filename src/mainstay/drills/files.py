"""Writes a drill's project: files of `material/` and rows made by its rules."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mainstay.drills.records import Asked

MATERIAL = Path(__file__).parent / "material"


def copy(name: str, folder: Path) -> None:
    """Copy a drill's project files; code ends in .template so that nobody takes it for code of this package."""
    for source in sorted((MATERIAL / name).iterdir()):
        if source.suffix in (".toml", ".template"):
            (folder / source.name.removesuffix(".template")).write_bytes(source.read_bytes())


def write(file: Path, users: Iterable[Asked], *, target: str) -> None:
    """Write requests with their truth as a CSV file."""
    rows: list[Mapping[str, Any]] = [{**user.inputs, target: user.truth} for user in users]
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def many(user: Callable[[random.Random], Asked], count: int, *, seed: int) -> list[Asked]:
    """Return `count` requests, the same for the same seed."""
    luck = random.Random(seed)
    return [user(luck) for _ in range(count)]
