"""Make the environment: a virtual environment with the locked, hashed packages and this project, editable.

Uses only the standard library. pip installs the build tools (uv among them), uv the rest; every package is checked
against the hashes of the lock files.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

BUILD_LOCK = Path(__file__).parents[1] / "requirements-build.lock"
ROOT = Path(__file__).parents[1]
FOR_TESTS = ("torch==2.13.0+cpu", "tensorflow-cpu==2.21.0")
"""What tests of adopted networks need and skip without; nobody who uses this project does, so it is in no lock. By pip:
uv does not look for builds of a local version. The builds for processors alone: others are several gigabytes."""


def main() -> int:
    """Make or refresh the environment; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, default=Path(".venv"))
    parser.add_argument("--lock", type=Path, required=True)
    arguments = parser.parse_args()
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        print(f"Mainstay needs Python 3.11, 3.12 or 3.13; this is {sys.version.split()[0]}.", file=sys.stderr)
        print("Install one of these and run: make PYTHON=python3.12 …", file=sys.stderr)
        return 6
    python = arguments.venv / "bin" / "python"
    if not python.exists():
        print(f"Making {arguments.venv} …", flush=True)
        venv.create(arguments.venv, with_pip=True)
    started = f"Installing {arguments.lock} ({hashlib.sha256(arguments.lock.read_bytes()).hexdigest()[:8]}) …"
    print(started, flush=True)
    failed = install(python, arguments.lock)
    if not failed and os.environ.get("CI") and "dev" in arguments.lock.name:
        install_for_tests(python)
    return failed


def install(python: Path, lock: Path) -> int:
    """Install the build tools by pip, the lock by uv, then the project itself without looking for anything more."""
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    uv = [str(python), "-m", "uv", "pip", "install", "-q", "--python", str(python)]
    steps = [
        [str(python), "-m", "pip", "install", "-q", "--require-hashes", "-r", str(BUILD_LOCK)],
        [*uv, "--compile-bytecode", "--require-hashes", "-r", str(lock)],
        [*uv, "--no-deps", "--no-build-isolation", "-e", str(ROOT)],
    ]
    for step in steps:
        if subprocess.run(step, env=environment, check=False).returncode:
            print("The installation failed at: " + " ".join(step[1:]), file=sys.stderr)
            print("Nothing else was changed; mend what it names and run the same command again.", file=sys.stderr)
            return 6
    return 0


def install_for_tests(python: Path) -> None:
    """Install what some tests skip without (45 s, 2.3 GB); where it cannot be had they skip, and say so."""
    for package in FOR_TESTS:
        print(f"Installing {package} …", flush=True)
        command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", package]
        if subprocess.run(command, check=False).returncode:
            print(f"{package} is not to be had here: the tests that need it are skipped.", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
