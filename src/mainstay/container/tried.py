"""A packaged version tried before it leaves: the real processes are started and asked real rows.

Once with everything that is installed here, to see what they import; once in an environment that holds the chosen
packages alone, made of links, to see that these suffice.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

from mainstay.container import wheel
from mainstay.core.ports import Clock
from mainstay.core.verdicts import Verdict
from mainstay.models.answers import Answer
from mainstay.serve import plan as plans
from mainstay.serve import trial

READY_S = 180.0
STOP_S = 20.0
IMPORTS = "PYTHONPROFILEIMPORTTIME"
"""Makes Python, and every process that it starts, write each module that it imports to stderr."""
_IMPORTED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)
_NOISE = re.compile(r"^import time:.*\n?", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """How a trial ended."""

    ok: bool
    why: str
    modules: frozenset[str]
    """What the processes imported."""


def try_packaged(
    packaged: Path,
    model: str,
    rows: Sequence[Mapping[str, Any]],
    expected: Sequence[Answer],
    *,
    python: Path,
    environ: Mapping[str, str],
    clock: Clock,
) -> Tried:
    """Start the server of a packaged version with an interpreter, ask `rows`, compare with `expected`, end it."""
    with tempfile.TemporaryDirectory(prefix="mainstay-package-", ignore_cleanup_errors=True) as name:
        state, said = Path(name) / "state", Path(name) / "said"
        own = {"MAINSTAY_SERVE__HOST": "127.0.0.1", "MAINSTAY_SERVE__PORT": "0", "MAINSTAY_SERVE__WORKERS": "1"}
        kept = {key: value for key, value in environ.items() if not key.startswith("MAINSTAY_")}
        with said.open("ab") as out:
            server = subprocess.Popen(
                [str(python), "-m", "mainstay.container.run", str(packaged), str(state)],
                cwd=name,
                env={**kept, **own, IMPORTS: "1"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
            try:
                port = _port(server, state, clock)
                outcome = trial.compare(trial.ask(port, model, rows) if rows else [], expected) if port else None
            finally:
                trial.end(server, patience_s=STOP_S)
        text = said.read_text(encoding="utf-8", errors="replace")
        said_otherwise = _NOISE.sub("", text).strip()[-1500:]
        why = f"the server did not come up: {said_otherwise}"
        if outcome is not None:
            why = outcome.reason if outcome.verdict is Verdict.PASS else f"{outcome.reason} {said_otherwise}"
        ok = outcome is not None and outcome.verdict is Verdict.PASS
        return Tried(ok=ok, why=why, modules=frozenset(_IMPORTED.findall(text)))


def linked_environment(folder: Path, names: Collection[str]) -> Path:
    """Make an environment that holds the named installed packages and Mainstay, as links; return its interpreter."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    shared = {top for top, owners in metadata.packages_distributions().items() if len(set(owners)) > 1}
    for name in sorted(names):
        found = metadata.distribution(name)
        for inside in _links(found, shared):
            target = site / inside
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(Path(str(found.locate_file(inside))).resolve())
    (site / wheel.OURSELVES).symlink_to(wheel.own_folder().resolve())
    return folder / "bin" / "python"


def _links(found: metadata.Distribution, shared: Collection[str]) -> set[PurePosixPath]:
    """Return what to link: whole folders, single files where several packages share the folder."""
    inside = [PurePosixPath(file) for file in found.files or () if ".." not in file.parts]
    return {file if file.parts[0] in shared else PurePosixPath(file.parts[0]) for file in inside}


def _port(server: subprocess.Popen[bytes], state: Path, clock: Clock) -> int:
    """Return the port once every worker has the model; 0 if the server ended or took too long."""
    deadline = clock.monotonic() + READY_S
    while clock.monotonic() < deadline and server.poll() is None:
        told = plans.read_json(state / "run" / "serve.json") or {}
        if told.get("ready"):
            return int(told["port"])
        try:
            server.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    return 0


def this_python() -> Path:
    """Return the interpreter that runs now."""
    return Path(sys.executable)
