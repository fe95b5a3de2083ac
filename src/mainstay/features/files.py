"""Where features stand: the files that [features] paths names, a folder that several projects share among them."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import decode_source
from pathlib import Path

from mainstay.core.errors import EnvironmentFault, Problem, ProjectFileError, shorten
from mainstay.core.features import Feature
from mainstay.data.rules import nearest
from mainstay.models import featured

USUAL = "features.py"
"""Looked for beside the project file where no path is named."""
SETTING = "features.paths"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFile:
    """One file that may declare features."""

    name: str
    """As the project names it: below its folder, or below a path that it declares (`../shared/money.py`)."""
    path: Path
    text: str
    shared: bool
    """It lies outside the project's folder."""

    @property
    def digest(self) -> str:
        """Return the sha256 of its text, hex."""
        return sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All features that a project could use."""

    files: tuple[FeatureFile, ...]
    features: Mapping[str, tuple[Feature, str]]
    """By name, each with the name of its file."""

    def of(self, uses: Sequence[str], *, setting: str) -> dict[str, FeatureFile]:
        """Return the files of the features `uses`, by name; raises ProjectFileError for a feature that there is not."""
        for name in uses:
            if name not in self.features:
                known = sorted(self.features)
                near = nearest(name, known)
                where = ", ".join(file.name for file in self.files) or "no file"
                raise ProjectFileError(
                    f"{setting} uses {name!r}, and no feature has that name in {where}"
                    + (f"; did you mean {near!r}?" if near else ""),
                    remedy=f"Declare it with @mainstay.feature, or name its file in [features] paths. Known: {known}.",
                    problems=(Problem(where=setting, what="no such feature", value=name, allowed=known, nearest=near),),
                )
        wanted = {self.features[name][1] for name in uses}
        return {file.name: file for file in self.files if file.name in wanted}


def catalogue(root: Path, paths: Sequence[str]) -> Catalogue:
    """Read and run every file that may declare features; files that declare none are none of the catalogue's features.

    Raises ProjectFileError for a path that is not there, a file that leans on another one, and a name with two
    definitions; whatever running a file raises.
    """
    files = tuple(read(root, paths))
    found = featured.declared({file.name: file.text for file in files})
    for file in files:
        if any(name == file.name for _, name in found.values()):
            _refuse_leaning(root, file)
    return Catalogue(files=files, features=found)


def read(root: Path, paths: Sequence[str]) -> Iterator[FeatureFile]:
    """Yield the files in order of path and name; without `paths`, features.py of the project where there is one."""
    seen: set[Path] = set()
    for declared in paths or ([USUAL] if (root / USUAL).is_file() else []):
        path = (root / Path(declared).expanduser()).absolute()
        if not path.exists():
            raise ProjectFileError(
                f"{SETTING} names {declared!r}, and there is no {Path(os.path.normpath(path))}",
                remedy="Correct the path; it is taken from the project's folder.",
            )
        inner = sorted(path.glob("*.py")) if path.is_dir() else [path]
        for one in inner:
            if one.resolve() not in seen:
                seen.add(one.resolve())
                name = f"{declared.rstrip('/')}/{one.name}" if path.is_dir() else declared
                yield _file(root, Path(name).as_posix(), one)


def _file(root: Path, name: str, path: Path) -> FeatureFile:
    try:
        text = decode_source(path.read_bytes())
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        raise EnvironmentFault(f"{path} cannot be read: {error}") from error
    return FeatureFile(name=name, path=path, text=text, shared=root.resolve() not in path.resolve().parents)


def _refuse_leaning(root: Path, file: FeatureFile) -> None:
    """Refuse a file that imports others beside it: they would not be there where the bundle answers."""
    leaned = [name for name in _imported(file) if _is_ours(name, (file.path.parent, root))]
    if leaned:
        raise ProjectFileError(
            f"{file.name} imports {', '.join(sorted(set(leaned)))}, a file of its own folder or the project; "
            "a file of features must stand alone",
            remedy="Features travel in the bundle file by file: move what it needs into it.",
        )


def _imported(file: FeatureFile) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." if node.level else str(node.module)


def _is_ours(name: str, folders: Sequence[Path]) -> bool:
    top = name.partition(".")[0]
    if name == ".":
        return True
    if top in sys.stdlib_module_names:
        return False
    return any((folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file() for folder in folders)


def refuse_inputs(feature: Feature, file: str, known: Sequence[str], *, setting: str) -> None:
    """Raise ProjectFileError where a feature has the name of a field, or is made of what is no field (`known`)."""
    if feature.name in known:
        raise ProjectFileError(
            f"{feature.name!r} is defined twice: as a feature in {file}:{feature.line}, and as a field",
            remedy="Give the feature another name (name=…).",
        )
    for name in feature.inputs:
        if name not in known:
            near = nearest(name, known)
            raise ProjectFileError(
                f"{setting} uses {feature.name}, which is made of {name!r}, and no field of that name is handed over"
                + (f"; did you mean {near!r}?" if near else ""),
                remedy=f"The parameters of {file}:{feature.line} are names of fields: {shorten(list(known), 200)}.",
            )
