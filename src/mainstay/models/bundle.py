"""What is released and rolled back as one: a content-addressed folder whose manifest holds the digest of every file."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import Any

import msgspec

from mainstay.config.folders import make_private
from mainstay.core.contracts import Contract
from mainstay.core.errors import Damaged, EnvironmentFault
from mainstay.core.profiles import Profile
from mainstay.models.calibration import Calibration
from mainstay.models.familiar import Familiar
from mainstay.models.inputs import InputSpec
from mainstay.models.thresholds import Thresholds

MANIFEST = "manifest.json"
PROGRAM = "runtime/program.msgpack"
"""The compiled form of the model, where there is one."""
FAMILIAR = "profile/familiar.json"
"""What training held; bundles of before it was kept have none."""
BACKGROUND = "runtime/background.msgpack"
"""What explanations of the compiled form compare a row with; bundles of before it was kept have none."""
BUNDLE_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleParts:
    """Everything a bundle holds, before it is written."""

    pickle: bytes
    """The fitted estimator, from `pickles.dump`."""
    contract: Contract
    profile: Profile
    classes: tuple[str, ...] = ()
    """In the order that answers have; empty for regression."""
    spec: InputSpec = field(default_factory=InputSpec)
    features_source: str | None = None
    """Text of features.py; needed when `spec.features` names a function."""
    calibration: Calibration = field(default_factory=Calibration)
    thresholds: Thresholds = field(default_factory=Thresholds)
    vocabulary: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Per text field: every word of its training rows."""
    familiar: Familiar | None = None
    """What training held; None: answers do not say when a row is unlike it."""
    environment: tuple[str, ...] = ()
    """`name==version`, from `environment.lock_lines`."""
    lineage: Mapping[str, Any] = field(default_factory=dict)
    """Snapshot ids, commit, pipeline, params, seed; JSON-ready, no times and no paths of the machine."""
    parity: Mapping[str, Any] = field(
        default_factory=lambda: {
            "runtime": "sklearn",
            "why": "the estimator itself answers; no compiled runtime was made",
        }
    )
    """Which runtime serves, and why."""
    background: bytes | None = None
    """What explanations compare a row with, for a compiled form."""
    program: bytes | None = None
    """The compiled form, where it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle on disk whose files were verified when it was opened."""

    path: Path
    digest: str
    """sha256 of manifest.json, hex."""
    files: Mapping[str, str]
    """Name to sha256, hex."""
    size_bytes: int

    def read(self, name: str) -> bytes:
        """Return one file's bytes, verified anew; raise Damaged when it changed or is not a part."""
        if name not in self.files:
            raise Damaged(f"Bundle {self.digest[:12]} has no file {name!r}; it holds {sorted(self.files)}")
        return _verified(self.path, name, self.files[name])

    def has(self, name: str) -> bool:
        """Return whether the bundle holds that file."""
        return name in self.files

    def json(self, name: str) -> Any:
        """Return one JSON file's content."""
        return json.loads(self.read(name))


def write_bundle(folder: Path, parts: BundleParts) -> Bundle:
    """Write `folder/<digest>/` at once or not at all; the same parts give the same digest and the same folder.

    A bundle that is there already is verified and kept; a damaged one of that digest is replaced. Raises
    EnvironmentFault when the disk does not take it.
    """
    return write_contents(folder, _contents(parts))


def write_contents(folder: Path, contents: Mapping[str, bytes]) -> Bundle:
    """Write files, by name in order, as a bundle; see `write_bundle`."""
    manifest = _json(
        {"v": BUNDLE_VERSION, "files": {name: sha256(data).hexdigest() for name, data in contents.items()}}
    )
    digest = sha256(manifest).hexdigest()
    target = folder / digest
    try:
        make_private(folder)
        if target.exists():
            kept = _keep_or_drop(target, digest)
            if kept is not None:
                return kept
        temporary = Path(mkdtemp(prefix=".new-", dir=folder))
        try:
            _write_files(temporary, {**contents, MANIFEST: manifest})
            _move(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        _sync_folder(folder)
    except OSError as error:
        raise EnvironmentFault(
            f"The bundle could not be written to {folder}: {error.strerror or error}",
            remedy="Make room or give write permission there, then train again.",
        ) from error
    return open_bundle(target, digest)


def open_bundle(path: Path, expected_digest: str) -> Bundle:
    """Open a bundle after verifying its manifest and every file in it; raise Damaged naming the file that is wrong."""
    try:
        manifest = (path / MANIFEST).read_bytes()
    except OSError as error:
        raise Damaged(f"Bundle {expected_digest[:12]} cannot be read: its {MANIFEST}: {error.strerror}") from error
    seen = sha256(manifest).hexdigest()
    if seen != expected_digest:
        raise Damaged(
            f"{path.parent.name}/{path.name}/{MANIFEST} has digest {seen[:12]}…; {expected_digest[:12]}… is expected"
        )
    content = json.loads(manifest)
    if content.get("v") != BUNDLE_VERSION:
        raise EnvironmentFault(
            f"Bundle {seen[:12]} is of format {content.get('v')!r}; this Mainstay reads format {BUNDLE_VERSION}",
            remedy="Use the Mainstay version that wrote it, or train again.",
        )
    files: dict[str, str] = content["files"]
    if strange := sorted(name for name in files if not _is_inside(name)):
        raise Damaged(f"Bundle {seen[:12]} names a file that leads out of it: {strange[0][:200]!r}")
    size = len(manifest) + sum(len(_verified(path, name, digest)) for name, digest in files.items())
    return Bundle(path=path, digest=seen, files=files, size_bytes=size)


def _contents(parts: BundleParts) -> dict[str, bytes]:
    model = {
        "v": BUNDLE_VERSION,
        "kind": "sklearn",
        "classes": list(parts.classes),
        "spec": msgspec.to_builtins(parts.spec),
    }
    contents = {
        "model/model.pkl": parts.pickle,
        "model/model.json": _json(model),
        "model/vocabulary.json": _json({name: sorted(known) for name, known in parts.vocabulary.items()}),
        "contract.json": _json(msgspec.to_builtins(parts.contract)),
        "calibration.json": _json(_told(parts.calibration, "probabilities")),
        "thresholds.json": _json(_told(parts.thresholds, "decision")),
        "profile/profile.json": _json(msgspec.to_builtins(parts.profile)),
        "environment.lock": ("\n".join(parts.environment) + "\n").encode(),
        "lineage.json": _json(parts.lineage),
        "parity.json": _json(parts.parity),
    }
    if parts.familiar is not None:
        contents[FAMILIAR] = _json(msgspec.to_builtins(parts.familiar))
    if parts.program is not None:
        contents[PROGRAM] = parts.program
    if parts.background is not None:
        contents[BACKGROUND] = parts.background
    if parts.features_source is not None:
        contents["features.py"] = parts.features_source.encode("utf-8", "surrogatepass")
    return dict(sorted(contents.items()))


def _told(part: Any, *later: str) -> dict[str, Any]:
    """Return a part JSON-ready, without fields that came `later` and are None: the bytes are those of before."""
    found: dict[str, Any] = msgspec.to_builtins(part)
    return {name: value for name, value in found.items() if name not in later or value is not None}


def _json(value: Any) -> bytes:
    """Return canonical JSON: sorted keys, one space of indent, a final newline."""
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode()


def _is_inside(name: str) -> bool:
    """Return whether a file's name stays within its bundle, wherever that is copied to."""
    place = PurePosixPath(name)
    return bool(place.parts) and not place.is_absolute() and ".." not in place.parts


def _verified(path: Path, name: str, digest: str) -> bytes:
    shown = f"{path.parent.name}/{path.name}/{name}"  # readiness tells it to everybody: no path of this machine
    try:
        data = (path / name).read_bytes()
    except OSError as error:
        raise Damaged(f"{shown} cannot be read: {error.strerror}") from error
    seen = sha256(data).hexdigest()
    if seen != digest:
        raise Damaged(f"{shown} has digest {seen[:12]}…; {digest[:12]}… is expected")
    return data


def _keep_or_drop(target: Path, digest: str) -> Bundle | None:
    try:
        return open_bundle(target, digest)
    except Damaged:
        shutil.rmtree(target)
        return None


def _write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    for name, data in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    for inner in {(folder / name).parent for name in contents}:
        _sync_folder(inner)


def _move(temporary: Path, target: Path) -> None:
    try:
        temporary.rename(target)
    except OSError:
        if not target.is_dir():  # else another process wrote the same bundle first; it is verified by the caller
            raise


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
