"""A batch in a process that can be killed: `scoring_host.py FOLDER IN OUT PIECE_ROWS KILL_AT [KEY=VALUE…]`.

Before its KILL_AT-th step that a disk would see (a write, a sync, a rename, a removal) the process kills itself as
`kill -9` does; 0 lets it live. With KILL_AT `each` (`each second`, `each third`) one child after the other dies, at
the first step, the second, …, each from a clean state and followed by one that lives; one JSON line tells each.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mainstay import Project
from mainstay.core.errors import MainstayError
from mainstay.journal import writer
from mainstay.score import entry, pieces  # noqa: F401 - loaded before the children are made

LOADED = (
    "mainstay.wiring",
    "mainstay.store.releases",
    "pandas",
    "polars",
    "pyarrow.csv",
    "pyarrow.parquet",
    "sklearn.feature_extraction.text",
    "sklearn.linear_model",
    "sqlalchemy.dialects.sqlite",
)


def die_at(step: int) -> None:
    """Kill this process before its `step`-th step."""
    left = [step]

    def deadly(act: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return act(*given, **named)

        return wrapped

    for name in ("fsync", "pwrite", "replace", "rename", "unlink", "rmdir"):
        setattr(os, name, deadly(getattr(os, name)))
    writer._sync = deadly(writer._sync)


def work(folder: Path, source: str, out: str, more: dict[str, Any]) -> None:
    """Score, and print the report or the error."""
    try:
        report = Project.open(folder, environ={}).score(source, out, **more)
    except MainstayError as error:
        print(json.dumps({"error": error.message, "remedy": error.remedy, "code": int(error.exit_code)}), flush=True)
        sys.exit(int(error.exit_code))
    told = {"rows": report.rows, "counts": report.counts, "resumed_at": report.resumed_at}
    told |= {"journalled": report.journalled, "run": report.run, "rss_mb": most_memory_mb()}
    print(json.dumps(told), flush=True)


def most_memory_mb() -> float:
    """Return the most memory that this program had in RAM since it began."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1000 for line in status.splitlines() if line.startswith("VmHWM"))


def child(act: Callable[[], None]) -> int:
    """Do it in a child; return its wait status."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def each(folder: Path, source: str, out: str, more: dict[str, Any], *, stride: int) -> None:
    """Kill at every step there is, or at each `stride`-th."""
    for name in LOADED:  # once, before there are threads, and not anew in each child
        importlib.import_module(name)
    step = 0
    while True:
        step += stride
        for name in ("journal", "score"):
            shutil.rmtree(folder / ".mainstay" / name, ignore_errors=True)
        for path in [*Path(out).parent.glob(f"{Path(out).name}*"), *Path(out).parent.glob(f".{Path(out).name}*")]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

        def dying(at: int = step) -> None:
            die_at(at)
            with contextlib.redirect_stdout(io.StringIO()):
                work(folder, source, out, more)

        died = child(dying)
        if not os.WIFSIGNALED(died):
            return
        done_before = Path(out).exists()
        lived = child(lambda: work(folder, source, out, more)) == 0
        print(json.dumps({"step": step, "lived": lived, "done_before": done_before}), flush=True)
        yield_to_reader()


def yield_to_reader() -> None:
    """Wait for the word to go on."""
    sys.stdin.readline()


def main() -> None:
    folder, source, out, rows, kill = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]
    more: dict[str, Any] = {key: json.loads(value) for key, value in (pair.split("=", 1) for pair in sys.argv[6:])}
    pieces.PIECE_ROWS = rows
    if kill.startswith("each"):
        each(folder, source, out, more, stride={"each": 1, "each second": 2, "each third": 3}[kill])
        return
    if int(kill):
        die_at(int(kill))
    work(folder, source, out, more)


if __name__ == "__main__":
    main()
