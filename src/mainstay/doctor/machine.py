"""This machine: Python, packages, SQLite, clock, limits."""

from __future__ import annotations

import importlib
import os
import platform
import resource
import sqlite3
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from mainstay.core.ports import Clock
from mainstay.doctor.records import Finding, fail, warn, well

OLDEST, NEWEST = (3, 11), (3, 13)
SYSTEMS = ("linux", "darwin")
IMPORTED = ("numpy", "pandas", "polars", "pyarrow", "scipy", "sklearn", "sqlalchemy", "msgspec", "fastapi", "mlflow")
"""What must not only be installed but load: these have compiled parts, or many parts."""
WAL_BUG = ((3, 7, 0), (3, 51, 2))
"""SQLite's WAL-reset bug (first and last version)."""
ENOUGH_FILES, LEAST_FILES = 1024, 256
LEAST_YEAR = 2025
STEP_S, SLACK_S = 0.05, 0.25


def python() -> Iterator[Finding]:
    """Look at the interpreter and the system."""
    version = sys.version_info[:2]
    seen = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    allowed = f"Python {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
    if not OLDEST <= version <= NEWEST:
        yield fail("python", f"{seen}; {allowed} is supported", f"Make an environment with {allowed}.")
    elif sys.platform not in SYSTEMS:
        yield warn("python", f"{seen}; only Linux and macOS are tested", "Use Linux or macOS, or a container.")
    else:
        yield well("python", seen)


def packages(distribution: str = "mainstay") -> Iterator[Finding]:
    """Look whether what Mainstay needs is installed in the versions that it knows, and loads."""
    try:
        wanted = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        yield warn("packages", f"{distribution} is not installed, only found on the path", "Install it: pip install .")
        return
    wrong = [text for line in wanted if (text := _unmet(line))]
    broken = [text for name in IMPORTED if (text := _unloadable(name))]
    if wrong:
        yield fail("packages", "; ".join(wrong), f"Run: pip install --upgrade {distribution}")
    if broken:
        yield fail("packages", "; ".join(broken), "Install these packages anew: pip install --force-reinstall NAME")
    if not wrong and not broken:
        yield well("packages", f"{len(wanted)} requirements are met; {', '.join(IMPORTED)} load")


def _unmet(line: str) -> str:
    """Return what is wrong with one requirement, or an empty text; those of extras that are absent are no fault."""
    from packaging.requirements import Requirement

    requirement = Requirement(line)
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        return ""
    try:
        found = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(found, prereleases=True):
        return ""
    return f"{requirement.name} is {found}; allowed: {requirement.specifier}"


def _unloadable(name: str) -> str:
    try:
        importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - edge: a package's own code runs
        return f"{name} does not load: {type(error).__name__}: {error}"
    return ""


def sqlite() -> Iterator[Finding]:
    """Look at the SQLite that Python has."""
    version = sqlite3.sqlite_version_info
    seen = f"SQLite {sqlite3.sqlite_version}"
    if WAL_BUG[0] <= version <= WAL_BUG[1]:
        seen += " has the WAL-reset bug; it does no harm here, as the store works without WAL"
    yield well("sqlite", seen)


def clock(ticking: Clock) -> Iterator[Finding]:
    """Look whether the clock is near the truth and runs as the monotonic one does."""
    now, steady = ticking.now(), ticking.monotonic()
    ticking.sleep(STEP_S)
    wall_s, steady_s = (ticking.now() - now).total_seconds(), ticking.monotonic() - steady
    rate = float(getattr(ticking, "rate", 1.0))
    seen = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if now.year < LEAST_YEAR:
        yield fail("clock", f"{seen}: the clock stands in the past", "Set the clock, and let NTP keep it.")
    elif abs(wall_s - steady_s * rate) > SLACK_S * max(1.0, rate):
        yield warn(
            "clock",
            f"{seen}: the wall clock moved {wall_s:+.2f} s while {steady_s:.2f} s passed",
            "Look what sets the clock; let NTP slew it instead of stepping it.",
        )
    else:
        yield well("clock", f"{seen}, in step with the monotonic clock")


def files() -> Iterator[Finding]:
    """Look how many files a process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    remedy = f"Raise it: ulimit -n {ENOUGH_FILES} (the hard limit is {hard if hard >= 0 else 'none'})."
    if 0 <= soft < LEAST_FILES:
        yield fail("open files", f"a process may open {soft} files", remedy)
    elif 0 <= soft < ENOUGH_FILES:
        yield warn("open files", f"a process may open {soft} files", remedy)
    else:
        yield well("open files", f"a process may open {soft if soft >= 0 else 'any number of'} files")


def memory(needed_mb: int | None) -> Iterator[Finding]:
    """Look whether there is the memory that a training may take."""
    free = free_memory_mb()
    if free is None:
        yield well("memory", "this system does not tell how much is free")
    elif needed_mb is not None and free < needed_mb:
        yield warn(
            "memory",
            f"{free} MB are free; a training may take {needed_mb} MB (train.memory_mb)",
            "Free memory, or lower train.memory_mb so that a training is stopped before the machine is.",
        )
    else:
        yield well("memory", f"{free} MB are free")


def free_memory_mb(meminfo: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return what can still be had, in MB, within the limit of a container; None where the system does not tell."""
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return None
    try:
        most = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
        return min(free, (int(most) - used) // 1_000_000) if most.isdigit() else free
    except (OSError, ValueError):
        return free


def cpus(workers: int | None) -> Iterator[Finding]:
    """Look whether there are as many processors as workers."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers is not None and workers > 2 * found:
        yield warn(
            "processors",
            f"{workers} workers share {found} processors",
            "Lower serve.workers: more workers than processors make every answer slower.",
        )
    else:
        yield well("processors", f"{found} processors" + (f" for {workers} workers" if workers is not None else ""))
