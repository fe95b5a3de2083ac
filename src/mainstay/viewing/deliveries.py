"""What was asked of each delivery before anything was fitted to it: the reports that are kept beside the state."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mainstay.core import errors
from mainstay.delivery.entry import FOLDER, PAGE, REPORT

if TYPE_CHECKING:
    from mainstay.parts import Parts

MOST = 30
MOST_BYTES = 4_000_000
_NAME = re.compile(r"[0-9a-f]{1,64}")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One question and its answer."""

    name: str = ""
    question: str = ""
    verdict: str = ""
    reason: str = ""
    applies: bool = True
    numbers: dict[str, Any] = {}


class _Report(msgspec.Struct, frozen=True, kw_only=True):
    made_at: str = ""
    rows: dict[str, int | None] = {}
    snapshots: dict[str, str | None] = {}
    checks: list[Asked] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One delivery as it was looked at."""

    id: str
    """Beginning of its training snapshot's id."""
    at: datetime | None
    rows: Mapping[str, int]
    """train, test, last, broken."""
    snapshots: Mapping[str, str]
    checks: tuple[Asked, ...]
    page: str
    """Where the page with its plots lies, a path below the project's folder."""


def newest(parts: Parts) -> tuple[tuple[Delivered, ...], tuple[str, ...]]:
    """Return the newest reports, newest first, at most `MOST`; and a sentence on each that cannot be read."""
    folder = parts.loaded.state / FOLDER
    try:
        found = [(path.stat().st_mtime, path.parent.name) for path in folder.glob(f"*/{REPORT}")]
    except OSError:
        found = []
    told, damaged = [], []
    for _, name in sorted(found, reverse=True)[:MOST]:
        try:
            told.append(one(parts, name))
        except errors.MainstayError as error:
            damaged.append(error.message)
    return tuple(told), tuple(damaged)


def one(parts: Parts, id_: str) -> Delivered:
    """Return one report; NotFound where there is none, Damaged where it cannot be read."""
    path = parts.loaded.state / FOLDER / id_ / REPORT
    if not _NAME.fullmatch(id_) or not path.is_file():
        raise errors.NotFound(f"there is no report of a delivery {id_[:40]!r}", remedy="Choose one under Data.")
    try:
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
        report = msgspec.json.decode(text, type=_Report)
        at = datetime.fromisoformat(report.made_at) if report.made_at else None
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise errors.Damaged(
            f"the report of delivery {id_} cannot be read: {error}", remedy="mainstay check --data asks anew."
        ) from error
    return Delivered(
        id=id_,
        at=at,
        rows={name: rows for name, rows in report.rows.items() if rows is not None},
        snapshots={name: found for name, found in report.snapshots.items() if found},
        checks=tuple(report.checks),
        page=_shown(path.with_name(PAGE), parts.loaded.root),
    )


def _shown(page: Path, root: Path) -> str:
    if not page.is_file():
        return ""
    return str(page.relative_to(root) if page.is_relative_to(root) else page)
