"""Which packages a model needs, and whether they are the same here."""

from __future__ import annotations

import pickletools
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import metadata

ALWAYS = ("cloudpickle", "joblib", "numpy", "pandas", "polars", "scikit-learn", "scipy")
SHARED_BY = 3
"""A module name that more distributions share says nothing about which is needed (`google`)."""
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "pyyaml", "PIL": "pillow", "cv2": "opencv-python"}


def lock_lines(pickle: bytes = b"") -> tuple[str, ...]:
    """Return `name==version` for Python, the libraries that answers depend on, and those the pickle names, sorted."""
    names = {name for root in modules_named(pickle) for name in _distributions(root)} | set(ALWAYS)
    found = {name.lower().replace("_", "-"): version for name in names if (version := _version(name)) is not None}
    python = f"python=={sys.version_info.major}.{sys.version_info.minor}"
    return (*sorted(f"{name}=={version}" for name, version in found.items()), python)


def differences(lines: Iterable[str]) -> tuple[str, ...]:
    """Return one sentence per package that is absent here or has another version than in `lines`."""
    out = []
    for line in lines:
        name, _, wanted = line.partition("==")
        if not wanted:
            continue
        here = f"{sys.version_info.major}.{sys.version_info.minor}" if name == "python" else _version(name)
        if here is None:
            out.append(f"{name} {wanted} is not installed")
        elif here != wanted:
            out.append(f"{name} is {here} here, {wanted} in training")
    return tuple(out)


def pip_requirements(lines: Sequence[str]) -> list[str]:
    """Return the lines that pip installs: all but Python itself."""
    return [line for line in lines if line and not line.startswith("python==")]


def _distributions(root: str) -> list[str]:
    """Return what installs the top-level module `root`: xgboost may come from xgboost or xgboost-cpu."""
    name = _DISTRIBUTIONS.get(root, root)
    if _version(name) is not None:
        return [name]
    found = _installed().get(root, [])
    return sorted(set(found)) if len(found) <= SHARED_BY else []


@cache
def _installed() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def modules_named(pickle: bytes) -> set[str]:
    """Return the top-level modules, outside the standard library, that a pickle imports by name.

    STACK_GLOBAL takes module and name from the stack, put there as strings or fetched from the memo; a few pushes and
    the memo are therefore followed.
    """
    roots: set[str] = set()
    memo: list[str | None] = []
    pushed: list[str | None] = [None, None]
    for opcode, argument, _ in pickletools.genops(pickle) if pickle else ():
        if opcode.name == "MEMOIZE":
            memo.append(pushed[-1])
            continue
        if opcode.name == "STACK_GLOBAL" and (module := pushed[-2]):
            roots.add(module.partition(".")[0])
        fetched = memo[argument] if opcode.name in ("BINGET", "LONG_BINGET") and isinstance(argument, int) else None
        is_text = opcode.name in ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
        pushed = [pushed[-1], str(argument) if is_text else fetched]
    return {root for root in roots if root not in sys.stdlib_module_names}
