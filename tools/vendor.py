"""Bring the scripts that the pages use from their npm packages into the source tree, each checked by its digest.

    python tools/vendor.py             # fetches with `npm pack`
    python tools/vendor.py --from DIR  # takes NAME-VERSION.tgz from a folder

The packages' minified files are taken as they are; beside them goes NOTICE.txt with name, version, licence and digest.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "src" / "mainstay" / "web" / "static" / "vendor"
TESTS = ROOT / "tests" / "acceptance" / "vendor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One npm package and what is taken from it."""

    name: str
    version: str
    licence: str
    sha256: str
    """Of the tarball."""
    files: Sequence[str]
    """Within the package."""
    text: str
    """The licence's file within the package, empty where it has none."""
    into: Path = PAGES


PACKAGES = (
    Package(
        name="htmx.org",
        version="2.0.11",
        licence="0BSD",
        sha256="165a2655073e9e6e55e307a7c74e8ebcdb76afb7701f9c16cfd106a13add408e",
        files=("dist/htmx.min.js",),
        text="LICENSE",
    ),
    Package(
        name="idiomorph",
        version="0.8.0",
        licence="0BSD",
        sha256="c2b48584153f0167b5c98cb815576338ccd82a97378e53fbf29d139dfd67207e",
        files=("dist/idiomorph-ext.min.js",),
        text="LICENSE",
    ),
    Package(
        name="uplot",
        version="1.6.32",
        licence="MIT",
        sha256="4b8a8191e425658e3ea8c8c1314b0fc679c861ee3a1af2b20c7b16ba50b5133d",
        files=("dist/uPlot.iife.min.js", "dist/uPlot.min.css"),
        text="LICENSE",
    ),
    Package(
        name="axe-core",
        version="4.14.1",
        licence="MPL-2.0",
        sha256="e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745",
        files=("axe.min.js",),
        text="LICENSE",
        into=TESTS,
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Bring all packages; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="folder", type=Path, help="a folder with NAME-VERSION.tgz")
    given = parser.parse_args(arguments)
    notices: dict[Path, list[str]] = {}
    for package in PACKAGES:
        content = tarball(package, given.folder)
        found = hashlib.sha256(content).hexdigest()
        if found != package.sha256:
            sys.stderr.write(f"{package.name} {package.version} has the digest {found}, not {package.sha256}\n")
            return 1
        notices.setdefault(package.into, []).append(bring(package, content))
    for folder, texts in notices.items():
        folder.joinpath("NOTICE.txt").write_text("\n".join(texts), "utf-8")
    return 0


def tarball(package: Package, folder: Path | None) -> bytes:
    """Return a package's tarball."""
    name = f"{package.name}-{package.version}.tgz"
    if folder is not None:
        return (folder / name).read_bytes()
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["npm", "pack", "--silent", f"{package.name}@{package.version}"], cwd=place, check=True)
        return (Path(place) / name).read_bytes()


def bring(package: Package, content: bytes) -> str:
    """Write a package's files; return its notice."""
    package.into.mkdir(parents=True, exist_ok=True)
    lines = [f"{package.name} {package.version} (npm), licence {package.licence}", f"tarball sha256 {package.sha256}"]
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:gz") as packed:
            for name in package.files:
                member = packed.extractfile(f"package/{name}")
                if member is None:
                    raise FileNotFoundError(name)
                data = member.read()
                package.into.joinpath(Path(name).name).write_bytes(data)
                lines.append(f"{Path(name).name} sha256 {hashlib.sha256(data).hexdigest()}")
            licence = packed.extractfile(f"package/{package.text}")
            if licence is not None:
                text = licence.read().decode("utf-8").strip()
                # A long licence goes beside the files, a short one into the notice.
                if len(text) > 4000:
                    package.into.joinpath(f"{package.name}-LICENSE.txt").write_text(text + "\n", "utf-8")
                    lines.append(f"licence text: {package.name}-LICENSE.txt")
                else:
                    lines += ["", text]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
