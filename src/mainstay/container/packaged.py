"""What a packaged version is on disk: one bundle, a small project file, and `packaged.json`, which names the digest."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from mainstay.config import write
from mainstay.config.load import FILE_NAME
from mainstay.config.settings import Settings
from mainstay.core.contracts import Contract
from mainstay.core.errors import Damaged, EnvironmentFault
from mainstay.models.bundle import Bundle, open_bundle

NAME = "packaged.json"
PACKAGED_VERSION = 1
PORT = 8080
"""Where every container listens, whatever the project does outside."""
TITLE = """\
A packaged version of {name}: how it is served. What it answers is in the bundle.
MAINSTAY_SERVE__WORKERS=2 and the like in the environment win over this file."""


class Packaged(msgspec.Struct, frozen=True, kw_only=True):
    """Which version a folder holds."""

    v: int = PACKAGED_VERSION
    model: str
    version: int
    digest: str
    """sha256 of the bundle's manifest, hex."""
    mainstay: str
    """Version of Mainstay that packaged it."""
    python: str
    """Major and minor version of the Python that trained it."""
    lineage: Mapping[str, str] = {}
    """Snapshot, commit, pipeline."""

    @property
    def name(self) -> str:
        """Return `model@version`."""
        return f"{self.model}@{self.version}"


def write_packaged(folder: Path, packaged: Packaged, *, bundle: Bundle, contract: Contract, settings: Settings) -> None:
    """Write the folder; readable by every user, as nobody knows under which one the container runs."""
    folder.mkdir()
    (folder / NAME).write_bytes(msgspec.json.format(msgspec.json.encode(packaged), indent=1) + b"\n")
    (folder / FILE_NAME).write_text(_project_file(packaged, contract, settings), encoding="utf-8")
    shutil.copytree(bundle.path, folder / "bundles" / bundle.digest)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def open_packaged(folder: Path) -> tuple[Packaged, Bundle]:
    """Return what the folder holds, every file of the bundle verified; raises Damaged naming what is wrong."""
    path = folder / NAME
    try:
        packaged = msgspec.json.decode(path.read_bytes(), type=Packaged)
    except OSError as error:
        raise EnvironmentFault(
            f"{folder} holds no packaged version: {path.name}: {error.strerror}",
            remedy="Name the folder `packaged` that `mainstay package` wrote.",
        ) from error
    except msgspec.MsgspecError as error:
        raise Damaged(f"{path} is not as it was written: {error}", remedy="Run `mainstay package` again.") from error
    if packaged.v != PACKAGED_VERSION:
        raise EnvironmentFault(
            f"{path} is of format {packaged.v}; this Mainstay reads format {PACKAGED_VERSION}",
            remedy="Package the version again with this Mainstay.",
        )
    try:
        return packaged, open_bundle(bundles(folder) / packaged.digest, packaged.digest)
    except Damaged as error:
        raise Damaged(
            f"{packaged.name} cannot be served: {error.message}", remedy="Run `mainstay package` and build again."
        ) from error


def bundles(folder: Path) -> Path:
    """Return the folder of bundles in a packaged version."""
    return folder / "bundles"


def _project_file(packaged: Packaged, contract: Contract, settings: Settings) -> str:
    """Return mainstay.toml: how to serve, and the contract. No data, no alerts, no store: they may hold secrets."""
    serve = settings.serve.model_dump(mode="json", exclude_unset=True) | {"host": "0.0.0.0", "port": PORT}  # noqa: S104
    serve.pop("runner_python", None)  # a path of this machine; the image has the bundle's packages itself
    more = {"data": {"train": None}, "serve": serve, "log": {"segment_mb": settings.log.segment_mb}}
    title = TITLE.format(name=packaged.name)
    return write.project_toml(contract, name=packaged.model, test=None, settings=more, title=title)
