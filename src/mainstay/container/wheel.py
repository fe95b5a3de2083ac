"""A wheel made of the files of an installed package, so that an image can be built without the place they came from."""

from __future__ import annotations

import base64
import json
import zipfile
from hashlib import sha256
from importlib import metadata
from pathlib import Path

import mainstay
from mainstay.core.errors import EnvironmentFault, UsageError

OURSELVES = "mainstay"
WRITTEN = (1980, 1, 1, 0, 0, 0)
"""Time of every file in a wheel: the same files give the same bytes."""
LEFT_OUT = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_build.json", "uv_cache.json"})
"""What an installer wrote beside the package."""


def from_installed(name: str, folder: Path) -> Path:
    """Write the wheel of an installed package into `folder` and return its path.

    Mainstay's own files are taken from where they were imported, so that it works for one installed in place too.
    Raises EnvironmentFault for another package that is installed in place, or that is not installed.
    """
    found = distribution(name)
    files = _own_files() if name == OURSELVES else _recorded(found)
    info = f"{found.name.replace('-', '_')}-{found.version}.dist-info"
    files |= {f"{info}/{path.name}": path for path in _info_files(found)}
    target = folder / f"{found.name.replace('-', '_')}-{found.version}-{_tag(found)}.whl"
    record = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, path in sorted(files.items()):
            data = path.read_bytes()
            _put(archive, inside, data)
            digest = base64.urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{_quoted(inside)},sha256={digest},{len(data)}")
        _put(archive, f"{info}/RECORD", ("\n".join([*record, f"{info}/RECORD,,"]) + "\n").encode())
    return target


def check_wheel(path: Path) -> None:
    """Return if the file is a wheel of Mainstay that serves packaged versions; raises UsageError."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} is no wheel: {error}", remedy="Build one with `python -m build --wheel`.") from error
    if path.suffix != ".whl" or "mainstay/container/run.py" not in names:
        raise UsageError(
            f"{path} is no wheel of a Mainstay that serves packaged versions",
            remedy="Build one with `python -m build --wheel`, or leave --wheel out.",
        )


def distribution(name: str) -> metadata.Distribution:
    """Return an installed package; raises EnvironmentFault."""
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError as error:
        raise EnvironmentFault(
            f"{name} is not installed as a package here, so no wheel can be made of it",
            remedy="Install it with pip, or give its wheel with --wheel." if name == OURSELVES else "Install it.",
        ) from error


def installed_from_files(found: metadata.Distribution) -> bool:
    """Return whether a package came from a local folder or file: no index has it."""
    told = json.loads(found.read_text("direct_url.json") or "{}")
    return str(told.get("url", "")).startswith("file:")


def own_folder() -> Path:
    """Return the folder of Mainstay's own code."""
    return Path(mainstay.__file__).parent


def _own_files() -> dict[str, Path]:
    folder = own_folder()
    return {
        f"mainstay/{path.relative_to(folder).as_posix()}": path
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }


def _recorded(found: metadata.Distribution) -> dict[str, Path]:
    if json.loads(found.read_text("direct_url.json") or "{}").get("dir_info", {}).get("editable"):
        raise EnvironmentFault(
            f"{found.name} is installed in place (`pip install -e`), so its files cannot be told from others",
            remedy=f"Install {found.name} without -e, then package again.",
        )
    return {
        file.as_posix(): Path(str(found.locate_file(file)))
        for file in found.files or ()
        if ".." not in file.parts and "__pycache__" not in file.parts and not file.parts[0].endswith(".dist-info")
    }


def _info_files(found: metadata.Distribution) -> list[Path]:
    names = {file.name: file for file in found.files or () if file.parts[0].endswith(".dist-info")}
    kept = [name for name, file in names.items() if name not in LEFT_OUT and len(file.parts) == 2]
    return [Path(str(found.locate_file(names[name]))) for name in kept]


def _tag(found: metadata.Distribution) -> str:
    lines = (found.read_text("WHEEL") or "Tag: py3-none-any").splitlines()
    tags = [line.partition(":")[2].strip().split("-") for line in lines if line.startswith("Tag:")]
    return "-".join(".".join(dict.fromkeys(parts)) for parts in zip(*tags, strict=True))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if "," in name or '"' in name else name


def _put(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, WRITTEN)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)
