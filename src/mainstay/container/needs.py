"""Which packages an image needs to serve one bundle: traced from the real processes, then tried alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from mainstay.container import wheel
from mainstay.models import environment
from mainstay.models.bundle import PROGRAM, Bundle

SERVING = (
    "fastapi",
    "httptools",
    "jinja2",
    "msgspec",
    "numpy",
    "polars",
    "prometheus-client",
    "pydantic",
    "threadpoolctl",
    "uvicorn",
    "uvloop",
)
"""What the serving part of Mainstay imports itself; Polars seals the journal."""
_MISSING = re.compile(r"No module named '([A-Za-z0-9_.]+)'")
_HASH = re.compile(r"--hash=(sha256:[0-9a-f]{64})")
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One package of an image."""

    name: str
    version: str
    hashes: tuple[str, ...] = ()
    """`sha256:…` of its files, where a lock knows them."""

    def line(self) -> str:
        """Return the line of a requirements file."""
        return " \\\n    ".join([f"{self.name}=={self.version}", *(f"--hash={known}" for known in self.hashes)])


def canonical(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions_of(modules: Iterable[str]) -> frozenset[str]:
    """Return the installed packages (canonical names, without Mainstay) that hold these modules."""
    owners = metadata.packages_distributions()
    roots = {module.partition(".")[0] for module in modules}
    found = {canonical(owner) for root in roots for owner in owners.get(root, ())}
    return frozenset(found - {wheel.OURSELVES})


def smallest(bundle: Bundle) -> frozenset[str]:
    """Return what should do: what serving, the pickle and the feature code ask for by name, and what these require.

    A bundle's lock always names the usual libraries; here they count only where something asks for them.
    """
    return required({*SERVING, *_of_estimator(bundle), *distributions_of(_feature_imports(bundle))})


def _of_estimator(bundle: Bundle) -> frozenset[str]:
    """Return what the estimator asks for; nothing where a compiled form answers, as the pickle is then never read."""
    if bundle.has(PROGRAM):
        return frozenset()
    lock = bundle.read("environment.lock").decode().split()
    locked = {canonical(line.partition("==")[0]) for line in lock} - set(environment.ALWAYS) - {"python"}
    named = distributions_of(environment.modules_named(bundle.read("model/model.pkl")))
    return frozenset({*locked, *named, *_framework(bundle)})


def _framework(bundle: Bundle) -> tuple[str, ...]:
    """Return what brings rows into the form that the estimator gets."""
    spec = bundle.json("model/model.json")["spec"]
    if spec.get("input") is not None:
        return ()
    return ("pandas",) if spec.get("features") is None else ("pandas", "pyarrow")


def missed(said: str, traced: Collection[str]) -> frozenset[str]:
    """Return the traced packages whose modules a server that did not come up says it lacks."""
    return distributions_of(_MISSING.findall(said)) & frozenset(traced)


def required(names: Iterable[str]) -> frozenset[str]:
    """Return the packages with everything they require here, by their own metadata."""
    from packaging.requirements import Requirement

    found: set[str] = set()
    waiting = [(canonical(name), frozenset[str]()) for name in names]
    done: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in done:
            continue
        done.add((name, extras))
        found.add(name)
        for text in metadata.requires(name) or ():
            asked = Requirement(text)
            wanted = asked.marker is None or any(asked.marker.evaluate({"extra": one}) for one in ("", *extras))
            if wanted and _installed(asked.name):
                waiting.append((canonical(asked.name), frozenset(asked.extras)))
    return frozenset(found)


def pins(names: Iterable[str], hashes: Mapping[tuple[str, str], tuple[str, ...]]) -> list[Pin]:
    """Return the packages with the versions that are installed here."""
    versions = {name: metadata.version(name) for name in sorted(names)}
    return [Pin(name=name, version=seen, hashes=hashes.get((name, seen), ())) for name, seen in versions.items()]


def known_hashes(files: Sequence[Path]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the hashes that lock files hold, by canonical name and version; an unreadable file holds none."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for file in files:
        try:
            text = file.read_text(encoding="utf-8").replace("\\\n", " ")
        except (OSError, UnicodeDecodeError):
            continue
        for line in text.splitlines():
            pin, hashes = _PIN.match(line), tuple(_HASH.findall(line))
            if pin and hashes:
                found.setdefault((canonical(pin[1]), pin[2]), hashes)
    return found


def lock_files(project: Path) -> list[Path]:
    """Return where hashes may be had: the project's own locks, and Mainstay's where it runs from its repository."""
    own = wheel.own_folder()
    ours = sorted(own.parents[1].glob("requirements*.lock")) if own.parent.name == "src" else []
    return [*sorted(project.glob("requirements*.txt")), *sorted(project.glob("*.lock")), *ours]


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _feature_imports(bundle: Bundle) -> set[str]:
    """Return the modules that the bundle's feature code imports, also where it does so in a function."""
    if not bundle.has("features.py"):
        return set()
    tree = ast.parse(bundle.read("features.py").decode("utf-8", "surrogatepass"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found
