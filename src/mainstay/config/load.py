"""Reads mainstay.toml, the environment and the flags into settings, and tells everything that is wrong at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from mainstay.config import crosscheck, explain
from mainstay.config.found import Found
from mainstay.config.layers import DEFAULT, Layers, parse_toml
from mainstay.config.lines import find_lines, line_of
from mainstay.config.settings import RANKING_METRICS, REGRESSION_METRICS, SCHEMA_VERSION, Settings
from mainstay.config.tree import flatten
from mainstay.core.contracts import Contract, Field, Task
from mainstay.core.errors import Problem, ProjectFileError, UsageError

FILE_NAME = "mainstay.toml"
STATE_NAME = ".mainstay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A project's settings and where each came from."""

    settings: Settings
    origins: Mapping[str, str]
    """Dotted key -> `default`, `mainstay.toml`, the environment variable, or the flag."""
    root: Path
    """The project's folder, absolute."""
    file: Path
    contract: Contract

    @property
    def state(self) -> Path:
        """Return the folder of the project's state."""
        return self.root / STATE_NAME

    @property
    def values(self) -> dict[str, Any]:
        """Return every setting by dotted key, in the order of the table; the keys are those of `origins`."""
        return {_dotted(path): value for path, value in flatten(self.settings).items()}


def load(root_or_file: Path, *, environ: Mapping[str, str], flags: Mapping[str, Any] = MappingProxyType({})) -> Loaded:
    """Load a project: a flag wins over the environment, the environment over the file, the file over the default.

    `flags` has dotted keys (`serve.port`); None stands for a flag that was not given. Raises ProjectFileError with
    every problem of the file, the environment and the flags.
    """
    file = _file_of(root_or_file)
    text = _read(file)
    layers = _layers(text, file, environ, flags)
    lines = find_lines(text)
    settings, found = _validate(layers.document)
    found += _cross_checked(settings, layers.document, found)
    if settings is None or found:
        names = {layers.origin(path) for path, _ in found}
        in_file = bool(names & {DEFAULT, file.name})
        count = f"{len(found)} problem{'s' if len(found) > 1 else ''}"
        where = file.name if in_file else ", ".join(sorted(names))
        raise ProjectFileError(
            f"{where} has {count}",
            remedy="" if in_file else "Give it another value, or leave it out: the project file's value holds then.",
            problems=[_placed(path, problem, layers, lines, file.name) for path, problem in found],
        )
    origins = {_dotted(path): layers.origin(path) for path in flatten(settings)}
    return Loaded(settings=settings, origins=origins, root=file.parent, file=file, contract=contract_of(settings))


def settings_from(flags: Mapping[str, Any]) -> Settings:
    """Return the defaults with some settings (dotted keys) laid over them: for what needs no project.

    Raises ProjectFileError with everything that is wrong in them.
    """
    layers = Layers()
    layers.add_flags(flags)
    settings, found = _validate(layers.document)
    if settings is not None:
        named = {tuple(key.split(".")) for key in flags}
        found = [(path, problem) for path, problem in crosscheck.check_all(settings) if path in named]
    if settings is None or found:
        count = f"{len(found)} problem{'s' if len(found) > 1 else ''}"
        raise ProjectFileError(
            f"the settings given have {count}",
            remedy="docs/configuration.md lists what each may be.",
            problems=[problem for _, problem in found],
        )
    return settings


def contract_of(settings: Settings) -> Contract:
    """Return the contract that the settings declare."""
    fields = (
        Field(
            name=name,
            type=field.type,
            required=field.required,
            min=field.min,
            max=field.max,
            max_chars=field.max_chars,
            values=field.values,
            on_unknown=field.on_unknown,
            on_range=field.on_range,
            roles=field.role,
            bins=field.bins,
            pii=field.pii,
        )
        for name, field in settings.fields.items()
    )
    return Contract(
        task=settings.project.task,
        fields=tuple(fields),
        target=settings.target.field,
        classes=settings.target.classes,
        key=settings.data.key or settings.data.group,
        group=settings.data.group,
        time=settings.data.time,
    )


def _file_of(given: Path) -> Path:
    path = given.expanduser()
    return (path / FILE_NAME if path.is_dir() or not path.suffix else path).absolute()


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ProjectFileError(
            f"there is no {file.name} in {file.parent}",
            remedy="Go to the project's folder, name it with --project, or start a project with `mainstay init`.",
        ) from error
    except UnicodeDecodeError as error:
        raise ProjectFileError(
            f"{file} is not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}", remedy="Save it as UTF-8."
        ) from error
    except OSError as error:
        raise ProjectFileError(
            f"{file} cannot be read: {error.strerror}", remedy="Give this user the right to read it."
        ) from error


def _layers(text: str, file: Path, environ: Mapping[str, str], flags: Mapping[str, Any]) -> Layers:
    try:
        document = parse_toml(text, file.name)
    except UsageError as error:
        raise ProjectFileError(error.message, remedy="Correct the line and run `mainstay check`.") from error
    _check_version(document, file)
    layers = Layers()
    layers.add_file(document, file.name)
    layers.add_environment(environ)
    layers.add_flags(flags)
    _set_task_defaults(layers)
    return layers


def _check_version(document: Mapping[str, Any], file: Path) -> None:
    version = document.get("mainstay")
    if version is None:
        raise ProjectFileError(
            f"{file.name} does not say which schema it follows",
            remedy=f"Begin the file with `mainstay = {SCHEMA_VERSION}`.",
        )
    if version is True or version != SCHEMA_VERSION:
        raise ProjectFileError(
            f"{file.name} follows schema {version!r}; this program reads schema {SCHEMA_VERSION}",
            remedy=f"Use the Mainstay that wrote it, or bring the file to `mainstay = {SCHEMA_VERSION}`.",
        )


def _set_task_defaults(layers: Layers) -> None:
    """Give a regression and a ranking their own defaults; they stay of origin `default`."""
    project = layers.document.get("project")
    task = project.get("task") if isinstance(project, Mapping) else None
    if task not in (Task.REGRESSION, Task.RANKING):
        return
    ranks = task == Task.RANKING
    layers.add_default(("evaluate", "primary"), "ndcg" if ranks else "rmse")
    layers.add_default(("evaluate", "metrics"), list(RANKING_METRICS if ranks else REGRESSION_METRICS))
    layers.add_default(("gate", "not_worse_by"), {"ndcg": 0.02} if ranks else {})
    layers.add_default(("gate", "segment_not_worse_by"), {"ndcg": 0.10} if ranks else {})
    for drawn in ("test", "golden"):
        layers.add_default(("data", drawn, "by"), "key" if ranks else "row")


def _validate(document: Mapping[str, Any]) -> tuple[Settings | None, list[Found]]:
    dates = list(_dates(document, ()))
    if dates:
        return None, dates
    try:
        # By way of JSON, so that lists and names of choices are read strictly: no "8080" for 8080, no true for 1.
        return Settings.model_validate_json(json.dumps(document, default=str), strict=True), []
    except ValidationError as error:
        return None, explain.problems_of(error, document)


def _cross_checked(settings: Settings | None, document: Mapping[str, Any], found: list[Found]) -> list[Found]:
    """Check settings against each other, also when some are wrong by themselves: those are left out."""
    wrong = [path for path, _ in found]
    if settings is None:
        # What depends on the task cannot be judged while the task is unknown.
        if ("project", "task") in wrong:
            return []
        settings, _ = _validate(_without(document, wrong, ()))
    if settings is None:
        return []
    return [
        (path, problem)
        for path, problem in crosscheck.check_all(settings)
        if not any(path[: len(one)] == one or one[: len(path)] == path for one in wrong)
    ]


def _without(value: Any, wrong: list[tuple[str, ...]], path: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping):
        return {k: _without(v, wrong, (*path, k)) for k, v in value.items() if (*path, k) not in wrong}
    if isinstance(value, list):
        items = [(str(i), item) for i, item in enumerate(value)]
        return [_without(v, wrong, (*path, i)) for i, v in items if (*path, i) not in wrong]
    return value


def _dates(value: Any, path: tuple[str, ...]) -> list[Found]:
    if isinstance(value, datetime | date | time):
        return [
            (
                path,
                Problem(
                    where=_dotted(path), what="is a date; no setting is one", value=str(value), allowed="a quoted text"
                ),
            )
        ]
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, item in items for found in _dates(item, (*path, str(key)))]


def _placed(
    path: tuple[str, ...], problem: Problem, layers: Layers, lines: dict[tuple[str, ...], int], name: str
) -> Problem:
    """Say where a person finds the key: the variable, the flag, or file and line."""
    origin = layers.origin(path)
    if origin not in (DEFAULT, name):
        where = f"{origin} ({problem.where})"
    else:
        line = line_of(lines, path)
        where = f"{name} line {line}, {problem.where}" if line else f"{name}, {problem.where}"
    return Problem(
        where=where, what=problem.what, value=problem.value, allowed=problem.allowed, nearest=problem.nearest
    )


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(path)
