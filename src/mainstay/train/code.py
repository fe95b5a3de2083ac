"""The project's own Python files: imported from its folder alone, without leaving a trace in the process."""

from __future__ import annotations

import ast
import difflib
import importlib
import linecache
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import decode_source, spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from mainstay.core.errors import MainstayError, ModelOutputInvalid, Problem, ProjectFileError
from mainstay.features.files import Catalogue, FeatureFile, catalogue

_CORRECT = "Correct the code; --debug shows the whole traceback."


class ProjectCode:
    """The modules of one project while they are imported."""

    def __init__(self, root: Path, paths: Sequence[str] = ()) -> None:
        self.root = root
        self.modules: dict[str, ModuleType] = {}
        self._paths = paths
        self._catalogue: Catalogue | None = None
        self._used: dict[str, FeatureFile] = {}

    def features(self, uses: Sequence[str], *, setting: str) -> dict[str, FeatureFile]:
        """Return the files of declared features, by name; they are part of the code from now on."""
        found = self.catalogue.of(uses, setting=setting)
        self._used |= found
        return found

    @property
    def catalogue(self) -> Catalogue:
        """Return all features that the project could use, its files run once."""
        if self._catalogue is None:
            with guarded("the features cannot be read"):
                self._catalogue = catalogue(self.root, self._paths)
        return self._catalogue

    def function(self, reference: str, *, setting: str) -> tuple[ModuleType, Callable[..., Any]]:
        """Return the module and the function that `module:name` names; `setting` is the key that names it."""
        module_name, separator, name = reference.partition(":")
        if not (separator and module_name and name):
            raise ProjectFileError(
                f"{setting} = {reference!r} names no function; 'module:function' is expected, e.g. 'model:build'"
            )
        module = self._import(module_name, setting)
        found = getattr(module, name, None)
        if not callable(found):
            raise self._no_function(module, name, setting)
        return module, found

    def source(self, module: ModuleType) -> str:
        """Return the text of a project module."""
        return decode_source(_file_of(self.root, module.__name__).read_bytes())

    def imports_of(self, module: ModuleType) -> list[str]:
        """Return the project's own modules that a project module imports, wherever in its text."""
        found: set[str] = set()
        for node in ast.walk(ast.parse(self.source(module))):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                found.add("." if node.level else str(node.module))
        return sorted(name for name in found if name == "." or self.owns(name))

    def owns(self, name: str) -> bool:
        """Return whether a module of that name is a file of the project."""
        top = name.partition(".")[0]
        return top not in sys.stdlib_module_names and _file_of(self.root, name).is_file()

    def digest(self) -> str:
        """Return the digest of every project file that was imported, and of every file whose features are used."""
        texts = [f"{name}\x1f{self.source(module)}" for name, module in sorted(self.modules.items())]
        texts += [f"{name}\x1f{file.text}" for name, file in sorted(self._used.items())]
        return sha256("\x1e".join(texts).encode("utf-8", "surrogatepass")).hexdigest()

    def hide_paths(self) -> list[ModuleType]:
        """Make the modules ready to be stored by value: their file names relative, marked with their code's digest."""
        digest = self.digest()
        for name, module in self.modules.items():
            module.__file__ = _shown(self.root, _file_of(self.root, name))
            module.__dict__["__mainstay_code__"] = digest
        return list(self.modules.values())

    def _import(self, name: str, setting: str) -> ModuleType:
        if not _file_of(self.root, name).is_file():
            raise ProjectFileError(
                f"{setting} names the module {name!r}, and {self.root.name}/{name.replace('.', '/')}.py does not exist",
                remedy=f"Create the file beside mainstay.toml, or correct {setting}.",
            )
        with guarded(f"{name}.py cannot be imported"):
            return importlib.import_module(name)

    def _no_function(self, module: ModuleType, name: str, setting: str) -> ProjectFileError:
        known = [
            key
            for key, value in vars(module).items()
            if callable(value) and not key.startswith("_") and getattr(value, "__module__", None) == module.__name__
        ]
        nearest = next(iter(difflib.get_close_matches(name, known, n=1)), None)
        problem = Problem(where=setting, what="no such function", value=name, allowed=known, nearest=nearest)
        hint = f"; did you mean {nearest!r}?" if nearest else ""
        return ProjectFileError(
            f"{module.__name__}.py has no function {name!r}{hint}",
            remedy=f"Correct {setting} in mainstay.toml, or define the function.",
            problems=(problem,),
        )


@contextmanager
def project_code(root: Path, paths: Sequence[str] = ()) -> Iterator[ProjectCode]:
    """Give access to the Python files in `root`; modules of the same names that were imported before come back after.

    `paths` are those of [features], where declared features are looked for.

    Not thread-safe: one training at a time in a process.
    """
    code = ProjectCode(root.resolve(), paths)
    finder = _Finder(code)
    before = {name: module for name, module in sys.modules.items() if code.owns(name)}
    for name in before:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        yield code
    finally:
        sys.meta_path.remove(finder)
        for name in code.modules:
            sys.modules.pop(name, None)
        sys.modules.update(before)


@contextmanager
def guarded(what: str) -> Iterator[None]:
    """Turn whatever the project's code raises into a ProjectFileError that names its file and line."""
    try:
        yield
    except ModelOutputInvalid as error:
        # Its own remedy is for a model that answers already.
        remedy = _CORRECT if error.remedy == error.default_remedy else error.remedy
        raise ProjectFileError(f"{what}: {error.message}", remedy=remedy) from error
    except (MainstayError, MemoryError):
        raise
    except SyntaxError as error:
        raise ProjectFileError(
            f"{what}: {error.filename}:{error.lineno}: {error.msg}", remedy="Correct the line, then run again."
        ) from error
    except (Exception, SystemExit) as error:  # edge: the project's own code may raise anything
        raise ProjectFileError(
            f"{what}: {place(error)}{type(error).__name__}: {error}",
            remedy=_remedy(error),
        ) from error


def place(error: BaseException) -> str:
    """Return `file:line: ` of the last project line in the traceback, or nothing."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_project_line(f.filename)]
    return f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""


def _is_project_line(filename: str) -> bool:
    return not Path(filename).is_absolute() and not filename.startswith("<") and filename.endswith(".py")


def _remedy(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"Install {error.name!r} into this environment, or remove the import."
    return _CORRECT


class _Finder(MetaPathFinder):
    """Finds the project's modules before anything else of the same name, except the standard library's."""

    def __init__(self, code: ProjectCode) -> None:
        self._code = code

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the import system's signature
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if not self._code.owns(fullname):
            return None
        file = _file_of(self._code.root, fullname)
        return spec_from_loader(
            fullname, _Loader(self._code, file), origin=str(file), is_package=file.name == "__init__.py"
        )


class _Loader(InspectLoader):
    """Runs a project file under a name relative to the project, so that no path of this machine is in its code."""

    def __init__(self, code: ProjectCode, file: Path) -> None:
        self._code = code
        self._file = file
        self._shown = _shown(code.root, file)

    def is_package(self, fullname: str) -> bool:  # noqa: ARG002 - one loader per module
        return self._file.name == "__init__.py"

    def get_source(self, fullname: str) -> str:  # noqa: ARG002
        return decode_source(self._file.read_bytes())

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.get_source(fullname), self._shown, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = str(self._file)
        self._code.modules[module.__name__] = module
        source = self.get_source(module.__name__)
        linecache.cache[self._shown] = (len(source), None, source.splitlines(keepends=True), self._shown)
        exec(self.get_code(module.__name__), module.__dict__)  # noqa: S102 - the project's own code


def _file_of(root: Path, module: str) -> Path:
    path = root.joinpath(*module.split("."))
    package = path / "__init__.py"
    return package if package.is_file() else path.with_suffix(".py")


def _shown(root: Path, file: Path) -> str:
    return file.relative_to(root).as_posix()
