"""What a command prints: the answer on stdout (text or one JSON document), everything else on stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstay.core import ports
from mainstay.core.showable import showable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

WIDTH_OF_FILES = 140
"""Width of tables where there is no terminal."""


def safe(text: object) -> str:
    """Return text that a terminal shows and does not obey."""
    return showable(str(text))


def plain(value: Any) -> Any:
    """Return `value` as JSON-ready data: records as objects, times as ISO 8601, NaN and infinities as null."""
    if isinstance(value, Enum):
        return plain(value.value)
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int, bool)):
        return value
    if isinstance(value, Path):
        return str(value)
    return str(value)


class Output:
    """Where one call of a command prints."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._stdout = sys.stdout
        self._documents = 0

    @contextmanager
    def guarded_stdout(self) -> Iterator[None]:
        """In JSON mode, send what others print to stderr: a project's code or a library may print anything."""
        if not self.as_json:
            yield
            return
        with redirect_stdout(sys.stderr):
            yield

    def document(self, value: Any) -> None:
        """Print the answer as JSON, in JSON mode only: one document, a second one is left out."""
        self._documents += 1
        if self.as_json and self._documents == 1:
            text = json.dumps(plain(value), ensure_ascii=False, indent=2)
            self._stdout.write(text.encode("utf-8", "replace").decode("utf-8") + "\n")
            self._stdout.flush()

    def say(self, *parts: RenderableType) -> None:
        """Print the answer for people, unless JSON was asked for; strings are shown as they are, never as markup."""
        if not self.as_json:
            self._print(self._console(stderr=False), parts)

    def note(self, *parts: RenderableType) -> None:
        """Print beside the answer: on stderr, in either mode."""
        self._print(self._console(stderr=True), parts)

    @contextmanager
    def progress(self) -> Iterator[ports.Progress]:
        """Yield a callback that shows how far long work is, on stderr: a bar on a terminal, else one line a step."""
        console = self._console(stderr=True)
        if not console.is_terminal:
            yield _line_for_each_step(lambda text: self._print(console, (text,)))
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("…", total=None)

            def report(step: str, done: int, total: int) -> None:
                bar.update(task, description=safe(step), completed=done, total=total or None)

            yield report

    @staticmethod
    def _console(*, stderr: bool) -> Console:
        from rich.console import Console

        on_terminal = (sys.stderr if stderr else sys.stdout).isatty()
        return Console(
            stderr=stderr,
            highlight=False,
            emoji=False,
            markup=False,
            soft_wrap=not on_terminal,
            width=None if on_terminal else WIDTH_OF_FILES,
        )

    @staticmethod
    def _print(console: Console, parts: tuple[RenderableType, ...]) -> None:
        for part in parts:
            console.print(safe(part) if isinstance(part, str) else part)


def _line_for_each_step(write: Callable[[str], None]) -> ports.Progress:
    last = ""

    def report(step: str, done: int, total: int) -> None:
        nonlocal last
        if step != last:
            last = step
            write(f"  {step}" + (f" ({done}/{total})" if total else ""))

    return report


def table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> RenderableType:
    """Return a quiet table; every cell is shown as it is."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=Text(title) if title else None, box=box.SIMPLE, title_justify="left", pad_edge=False)
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(safe(cell), style=STYLES.get(cell, "")) for cell in row))
    return grid


STYLES = {
    "pass": "green",
    "well": "green",
    "fail": "bold red",
    "unwell": "bold red",
    "page": "bold red",
    "not_enough": "yellow",
    "watch": "yellow",
    "unknown": "yellow",
}
"""Colour of a cell that holds a verdict; the word itself says the same."""
