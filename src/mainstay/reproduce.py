"""`mainstay reproduce VERSION`: a version trained again from its lineage, and held beside the bundle that is there.

The snapshots are opened by id and verified, the code is that of the recorded commit (of now where git cannot give it),
and the same seed and settings train in a folder of their own; nothing of the project changes. Equal digests mean equal
bytes. Where a library is not deterministic, or another version of it is installed, the answers to the frozen test rows
must agree within a tolerance.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import decode_source
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.config import load as config
from mainstay.config.load import STATE_NAME, Loaded
from mainstay.core.errors import EnvironmentFault, Refused
from mainstay.core.ports import Progress, silent
from mainstay.models import environment, featured
from mainstay.models.bundle import Bundle
from mainstay.models.load import load
from mainstay.models.own import PICKLE
from mainstay.train import online as online_learning
from mainstay.train import run
from mainstay.train.fit import read_rows

if TYPE_CHECKING:
    from mainstay.core.releases import Release
    from mainstay.data.snapshot import Snapshot
    from mainstay.parts import Parts

TOLERANCE = 1e-6
"""Largest difference of a probability, or of a value relative to the largest one."""
CODE = ("*.py", "*.toml")
LEFT_OUT = frozenset({STATE_NAME, ".git", ".venv", "venv", "node_modules", "__pycache__", "build"})
STEPS = ("code", "train", "compare")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduced:
    """A version beside what came out again."""

    version: str
    digest: str
    again: str
    """Digest of what came out."""
    code: str
    """Where the code came from: `commit …` or `the project as it is now`."""
    same_code: bool
    """The code that trained has the digest that the lineage names."""
    files: tuple[str, ...]
    """Names of the bundle's files that differ."""
    rows: int
    """Test rows that both were asked about."""
    largest: float
    """Largest difference of an answer on them."""
    tolerance: float
    erased: Mapping[str, str]
    """What was erased of the snapshots since, as sentences; nothing: all rows are there."""
    shared: tuple[str, ...]
    """Files of shared features, outside the project, that are other ones now; the version's own were used."""
    environment: tuple[str, ...]
    """Packages whose version here is not the one that trained."""
    begun: str = ""
    """Of a version that was learned online: from which version's bundle it was gone through again, and how far."""

    @property
    def identical(self) -> bool:
        """Return whether every byte came out again."""
        return self.digest == self.again

    @property
    def holds(self) -> bool:
        """Return whether the version came out again, to the byte or in its answers."""
        return self.identical or (self.rows > 0 and self.largest <= self.tolerance)


def reproduce(
    parts: Parts, version: Release, *, tolerance: float = TOLERANCE, progress: Progress = silent
) -> Reproduced:
    """Train a version again and hold it beside its bundle.

    Raises Refused for a version that was not trained here, NotFound and Damaged where a snapshot or the bundle is gone
    or changed, and what training raises.
    """
    bundle = parts.open_bundle(version.digest, original=True)
    lineage: Mapping[str, Any] = bundle.json("lineage.json")
    if lineage.get("adopted"):
        raise Refused(
            f"{version.name} was adopted: it was trained elsewhere, and nothing here can train it again",
            remedy="Reproduce it where it was trained.",
        )
    taken = {name: parts.snapshots.open(str(lineage[name])) for name in ("train", "test")}
    recent = parts.snapshots.open(str(lineage["recent"])) if lineage.get("recent") else None
    erased = {name: told for name, one in taken.items() if (told := one.read().told)}
    with TemporaryDirectory(prefix="mainstay-reproduce-") as folder:
        root = Path(folder).joinpath(*"abcd", "project")  # deep enough for the paths of shared features
        progress(STEPS[0], 0, len(STEPS))
        code = _lay_out(parts, root, str(lineage.get("commit", "")))
        shared = _lay_shared(parts, bundle, root, Path(folder))
        loaded = config.load(root / parts.loaded.file.name, environ=parts.environ)
        _lend_state(parts.state, loaded)
        progress(STEPS[1], 1, len(STEPS))
        handed, begun = _gone_on(parts, loaded, lineage, taken["train"]) if lineage.get("online") else (None, "")
        trained = run.train_candidate(
            loaded,
            pipeline=str(lineage["pipeline"]),
            train=taken["train"],
            test=taken["test"],
            recent=recent,
            folder_bundles=Path(folder) / "state" / "bundles",
            commit=str(lineage.get("commit", "")),
            tuned=lineage.get("tuned"),
            handed=handed,
        )
        progress(STEPS[2], 2, len(STEPS))
        rows, largest = _compare(bundle, trained.bundle, loaded, taken["test"])
        found = Reproduced(
            version=version.name,
            digest=version.digest,
            again=trained.bundle.digest,
            code=code,
            same_code=trained.lineage["code"] == lineage["code"],
            files=_differing(bundle, trained.bundle),
            rows=rows,
            largest=largest,
            tolerance=tolerance,
            erased=erased,
            shared=shared,
            environment=tuple(environment.differences(bundle.read("environment.lock").decode().splitlines())),
            begun=begun,
        )
    progress(STEPS[2], len(STEPS), len(STEPS))
    return found


def _gone_on(parts: Parts, loaded: Loaded, lineage: Mapping[str, Any], train: Snapshot) -> tuple[run.Handed, str]:
    """Return what comes out when a chain is learned again, and from where that was done.

    From the version that it went on from; where that one's bundle is gone, from the one that the chain began with.
    Raises NotFound or Damaged where a bundle or a snapshot of the chain is gone or changed, naming it.
    """
    online = lineage["online"]
    chain, began = list(online["chain"]), int(online["began"])
    told, steps = online["from"], chain[began:]
    try:
        source = parts.open_bundle(str(told["digest"]), original=True)
    except (EnvironmentFault, Refused):
        told, steps = online["root"], chain
        source = parts.open_bundle(str(told["digest"]), original=True)
    model = load(source, original=True)
    rows = [read_rows(loaded.contract, parts.snapshots.open(str(one["rows"])).frame()) for one in steps]
    batches = [online_learning.Batch(rows=r, digest=str(one["digest"])) for r, one in zip(rows, steps, strict=True)]
    seed = int(model.lineage.get("seed", 0))
    taught = online_learning.replay(model, source.read(PICKLE), batches, seed=seed)
    if taught is None:
        raise Refused(f"{lineage['online']['from']['version']} was learned from by nothing: its chain is empty")
    since = sum(len(r) for r in rows[-(len(chain) - began) :])
    handed = online_learning.handed(taught, model, source, lineage, train, since=since)
    count = sum(len(r) for r in rows)
    return handed, f"from {told['version']}, {count} labels in {len(steps)} batches learned again"


def refuse_difference(found: Reproduced) -> None:
    """Raise EnvironmentFault where a version did not come out again, with what is known of why."""
    if found.holds:
        return
    whys = []
    if not found.same_code:
        whys.append(f"the code is another one ({found.code})")
    whys += [f"of {name} {told}" for name, told in found.erased.items()]
    whys += list(found.environment)
    raise EnvironmentFault(
        f"{found.version} does not come out again: answers to {found.rows} test rows differ by up to "
        f"{found.largest:.3g}, {found.tolerance:g} is allowed",
        remedy="Known differences: " + "; ".join(whys) + "."
        if whys
        else "Code, data and packages are the same: the training is not deterministic. Seed what is random, or allow a "
        "--tolerance.",
    )


def _lay_out(parts: Parts, root: Path, commit: str) -> str:
    """Put the project's code into `root`: of the commit that trained, else as it is now; return where it came from."""
    project = parts.loaded.root
    if commit and not commit.endswith("+") and _from_git(project, commit, root):
        return f"commit {commit[:12]}"
    for pattern in CODE:
        for file in project.rglob(pattern):
            relative = file.relative_to(project)
            if LEFT_OUT.isdisjoint(relative.parts) and file.is_file():
                (root / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, root / relative)
    return "the project as it is now"


def _lay_shared(parts: Parts, bundle: Bundle, root: Path, inside: Path) -> tuple[str, ...]:
    """Put the shared features of a bundle where its project file looks for them; return those that are other now."""
    changed = []
    sources = featured.sources_of(bundle.read("features.py").decode()) if bundle.has("features.py") else {}
    for name, text in sources.items():
        target = Path(os.path.normpath(root / name))
        if root in target.parents or inside not in target.parents:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode("utf-8", "surrogatepass"))
        now = parts.loaded.root / name
        if not now.is_file() or decode_source(now.read_bytes()) != text:
            changed.append(name)
    return tuple(sorted(changed))


def _from_git(project: Path, commit: str, root: Path) -> bool:
    """Write the project's folder as it was at a commit; return whether git could."""
    try:
        prefix = _git(project, "rev-parse", "--show-prefix").decode().strip()
        archive = _git(project, "archive", "--format=tar", f"{commit}:{prefix}" if prefix else commit)
    except (OSError, subprocess.SubprocessError):
        return False
    root.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as held:
        held.extractall(root, filter="data")
    return True


def _git(folder: Path, *asked: str) -> bytes:
    done = subprocess.run(["git", "-C", str(folder), *asked], capture_output=True, timeout=60, check=True)
    return done.stdout


def _lend_state(state: Path, loaded: Loaded) -> None:
    """Let the copy read the project's snapshots and keys; what it writes stays its own."""
    loaded.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in ("snapshots", "subjects"):
        if (state / name).exists() and not (loaded.state / name).exists():
            (loaded.state / name).symlink_to(state / name, target_is_directory=True)


def _compare(then: Bundle, now: Bundle, loaded: Loaded, test: Any) -> tuple[int, float]:
    """Return how many test rows both answered, and by how much their answers differ at most."""
    rows: Sequence[Mapping[str, Any]] = read_rows(loaded.contract, test.frame()).values
    if then.digest == now.digest or not rows:
        return len(rows), 0.0
    before, after = load(then).predict(rows), load(now).predict(rows)
    if before.shape != after.shape:
        return len(rows), float("inf")
    scale = max(1.0, float(np.abs(before).max(initial=0.0))) if before.ndim == 1 else 1.0
    return len(rows), float(np.abs(before - after).max(initial=0.0)) / scale


def _differing(then: Bundle, now: Bundle) -> tuple[str, ...]:
    return tuple(sorted(n for n in {*then.files, *now.files} if then.files.get(n) != now.files.get(n)))
