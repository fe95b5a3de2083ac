"""Write a version's build context: a folder from which `docker build` makes an image, without this machine."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mainstay
from mainstay.container import dockerfile, needs, packaged, tried, wheel
from mainstay.container.needs import Pin
from mainstay.container.packaged import Packaged
from mainstay.core.errors import EnvironmentFault, UsageError
from mainstay.core.ports import Progress, silent
from mainstay.core.releases import Release
from mainstay.models import answers, bundle
from mainstay.models.load import LoadedModel
from mainstay.models.plain import plain_row
from mainstay.parts import Parts

MOST_TRIALS = 5
"""How often a package that turns out to be missing is added before all that were loaded go in."""
STEPS = ("verifying the bundle", "tracing what it needs", "trying that alone", "writing the folder")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A build context that was written."""

    folder: Path
    name: str
    """`model@version`."""
    digest: str
    image: str
    """A name for the image."""
    base: str
    packages: tuple[Pin, ...]
    """What the image installs beside Mainstay."""
    left_out: tuple[str, ...]
    """Packages of the bundle's environment.lock that its answers do not need."""
    rows: int
    """Real rows that the packaged server answered as this machine does."""
    notes: tuple[str, ...]
    """What should be known and stopped nothing."""


def write_context(
    parts: Parts,
    release: Release,
    *,
    out: Path,
    rows: Sequence[Mapping[str, Any]] = (),
    own_wheel: Path | None = None,
    progress: Progress = silent,
) -> Context:
    """Write the context of a version to `out`, whole or not at all; an older one that stands there is replaced.

    `rows` are asked of the packaged server before anything is written; without any a made-up one is. `own_wheel` is the
    wheel of Mainstay to put in, else one is made of what is installed. Raises Damaged for a damaged bundle, UsageError
    for a folder that holds something else, EnvironmentFault when the packaged server does not answer as this one does.
    """
    out = out.absolute()  # the server that is tried starts elsewhere
    _refuse_other(out)
    if own_wheel is not None:
        wheel.check_wheel(own_wheel)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".package-", dir=out.parent))
    try:
        context = _write(parts, release, temporary, out=out, rows=rows, own_wheel=own_wheel, progress=progress)
        temporary.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        temporary.rename(out)
    except OSError as error:
        raise EnvironmentFault(f"the context cannot be written to {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return context


def _refuse_other(out: Path) -> None:
    """Refuse to replace what is no context of ours."""
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / "packaged" / packaged.NAME).exists()):
        raise UsageError(
            f"{out} holds something else than a packaged version; nothing was written",
            remedy="Name another folder with --out, or move it away.",
        )


def _write(
    parts: Parts,
    release: Release,
    folder: Path,
    *,
    out: Path,
    rows: Sequence[Mapping[str, Any]],
    own_wheel: Path | None,
    progress: Progress,
) -> Context:
    progress(STEPS[0], 0, len(STEPS))
    opened = bundle.open_bundle(parts.bundles / release.digest, release.digest)
    loaded = parts.open_model(release.digest)
    about = _about(release, opened)
    packaged.write_packaged(
        folder / "packaged", about, bundle=opened, contract=loaded.contract, settings=parts.settings
    )
    progress(STEPS[1], 1, len(STEPS))
    names, asked, notes = _chosen(parts, folder / "packaged", about, opened, loaded, rows, progress)
    progress(STEPS[3], 3, len(STEPS))
    pins = needs.pins(names, needs.known_hashes(needs.lock_files(parts.loaded.root)))
    _write_wheels(folder / "wheels", pins, own_wheel)
    pins = [pin for pin in pins if not wheel.installed_from_files(wheel.distribution(pin.name))]
    hashed, unhashed = [p for p in pins if p.hashes], [p for p in pins if not p.hashes]
    for name, some in ((dockerfile.HASHED, hashed), (dockerfile.UNHASHED, unhashed)):
        if some:
            (folder / name).write_text("".join(pin.line() + "\n" for pin in some), encoding="utf-8")
    text = dockerfile.dockerfile(about, hashed=bool(hashed), unhashed=bool(unhashed))
    (folder / "Dockerfile").write_text(text, encoding="utf-8")
    (folder / ".dockerignore").write_text(dockerfile.IGNORE, encoding="utf-8")
    if unhashed:
        listed = ", ".join(pin.name for pin in unhashed)
        notes.append(f"no lock here knows hashes of {listed}: pinned by version alone ({dockerfile.UNHASHED})")
    locked = {needs.canonical(line.partition("==")[0]) for line in opened.read("environment.lock").decode().split()}
    progress(STEPS[3], len(STEPS), len(STEPS))
    return Context(
        folder=out,
        name=release.name,
        digest=release.digest,
        image=dockerfile.image_name(about),
        base=f"python:{about.python}-slim",
        packages=tuple(pins),
        left_out=tuple(sorted(locked - set(names) - {"python"})),
        rows=asked,
        notes=tuple(notes),
    )


def _about(release: Release, opened: bundle.Bundle) -> Packaged:
    lines = opened.read("environment.lock").decode().split()
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    python = next((line.partition("==")[2] for line in lines if line.startswith("python==")), here)
    lineage = {"snapshot": release.snapshot, "commit": release.commit, "pipeline": release.pipeline}
    return Packaged(
        model=release.model,
        version=release.version,
        digest=release.digest,
        mainstay=mainstay.__version__,
        python=python,
        lineage={key: value for key, value in lineage.items() if value},
    )


def _chosen(
    parts: Parts,
    folder: Path,
    about: Packaged,
    opened: bundle.Bundle,
    loaded: LoadedModel,
    rows: Sequence[Mapping[str, Any]],
    progress: Progress,
) -> tuple[frozenset[str], int, list[str]]:
    """Return the packages that suffice, how many rows were asked, and notes."""
    wanted = _expected(loaded, rows)
    traced = tried.try_packaged(
        folder, about.model, *wanted, python=tried.this_python(), environ=parts.environ, clock=parts.clock
    )
    if not traced.ok:
        raise _does_not_answer(about, traced)
    progress(STEPS[2], 2, len(STEPS))
    seen = needs.distributions_of(traced.modules)
    names = needs.smallest(opened)
    for _ in range(MOST_TRIALS):
        alone = _alone(parts, folder, about, wanted, names)
        if alone.ok:
            return names, len(wanted[0]), []
        lacks = needs.missed(alone.why, seen) - names
        if not lacks:
            break
        names |= needs.required(lacks)
    note = f"what it asks for by name did not suffice ({_last_line(alone.why)}); all packages that it loads go in"
    names = needs.required(seen | names)
    alone = _alone(parts, folder, about, wanted, names)
    if not alone.ok:
        raise _does_not_answer(about, alone)
    return names, len(wanted[0]), [note]


def _alone(
    parts: Parts,
    folder: Path,
    about: Packaged,
    wanted: tuple[Sequence[Mapping[str, Any]], Sequence[answers.Answer]],
    names: frozenset[str],
) -> tried.Tried:
    """Try the packaged version where only these packages are."""
    environ = {key: value for key, value in parts.environ.items() if not key.startswith("PYTHON")}
    with tempfile.TemporaryDirectory(prefix="mainstay-alone-", ignore_cleanup_errors=True) as name:
        python = tried.linked_environment(Path(name) / "env", names)
        return tried.try_packaged(folder, about.model, *wanted, python=python, environ=environ, clock=parts.clock)


def _expected(
    loaded: LoadedModel, rows: Sequence[Mapping[str, Any]]
) -> tuple[Sequence[Mapping[str, Any]], Sequence[answers.Answer]]:
    """Return rows to ask and what this process answers; of a model that takes no made-up row, none."""
    if rows:
        return rows, answers.answer(loaded, rows)
    made_up = [plain_row(loaded.contract)]
    try:
        return made_up, answers.answer(loaded, made_up)
    except Exception:  # noqa: BLE001 - the model is the project's own code, and a made-up row may be no valid one
        return [], []


def _write_wheels(folder: Path, pins: Sequence[Pin], own_wheel: Path | None) -> None:
    folder.mkdir()
    if own_wheel is not None:
        shutil.copy(own_wheel, folder)
    else:
        wheel.from_installed(wheel.OURSELVES, folder)
    for pin in pins:
        if wheel.installed_from_files(wheel.distribution(pin.name)):
            wheel.from_installed(pin.name, folder)
    for path in folder.iterdir():
        path.chmod(0o644)


def _does_not_answer(about: Packaged, outcome: tried.Tried) -> EnvironmentFault:
    return EnvironmentFault(
        f"{about.name} does not answer once packaged: {outcome.why}",
        remedy="Mend what the message names; `mainstay serve` may show more.",
    )


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:200]
