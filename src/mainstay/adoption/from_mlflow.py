"""`mainstay adopt URI`: a model that MLflow stored becomes a project that serves and watches it. Read top to bottom.

fetch → match the reference rows with the signature → open and check → write the project → hand over, judge, release.
"""

from __future__ import annotations

import os
import pickle
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import polars as pl

from mainstay.adoption import unlabelled
from mainstay.adoption.adopt import Adopted, adopt, delivered, gone_on_failure
from mainstay.adoption.folder import whole
from mainstay.adoption.foreign import Foreign, open_foreign
from mainstay.config import load as config
from mainstay.config.settings import NAME_PATTERN, SplitBy
from mainstay.config.write import project_toml
from mainstay.core import releases, verdicts
from mainstay.core.contracts import Contract, FieldType
from mainstay.core.errors import BadData, Problem, UsageError
from mainstay.core.ports import Progress, silent
from mainstay.data import gaps
from mainstay.data.cells import read_cells
from mainstay.data.infer import infer_contract
from mainstay.data.rules import nearest
from mainstay.data.source import read_frame
from mainstay.data.split import split_rows
from mainstay.models import pickles
from mainstay.models.inputs import Inputs, InputSpec
from mainstay.models.readings import label_text
from mainstay.project import Project
from mainstay.registry import flavors
from mainstay.registry.flavors import TEXT, TIME, Signature, Stored
from mainstay.train.run import Handed

if TYPE_CHECKING:
    from mainstay.project import Judged

STEPS = ("fetch the model", "read the reference rows", "open and check the model", "write the project", "judge it")
CHECK_ROWS = 3000
"""Reference rows on which the answers are held against MLflow's own."""
UNKNOWN_TARGET = "truth"
"""Name of the target where the reference rows have none: what feedback will tell."""
REFERENCE = "data/reference.parquet"
PANDAS_INDEX = "__index_level_"
"""What pandas calls an index that it wrote as a column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FromMlflow:
    """What became of a model that was adopted from MLflow."""

    uri: str
    stored_as: str
    """Its flavor."""
    folder: Path
    version: str
    stage: releases.Stage
    verdict: verdicts.Verdict
    checks: tuple[verdicts.Check, ...]
    metrics: Any
    """On the test part of the reference rows; empty where nothing is known."""
    reference_rows: int
    target: str | None
    classes: tuple[str, ...]
    can_retrain: bool
    notes: tuple[str, ...]
    bundle_mb: float
    seconds: float

    @property
    def answers(self) -> bool:
        """Return whether users are answered by it."""
        return self.stage in releases.LIVE


def adopt_from_mlflow(
    uri: str,
    *,
    reference: Path,
    target: str | None = None,
    name: str | None = None,
    folder: Path | None = None,
    tracking_uri: str | None = None,
    classes: Sequence[str] = (),
    key: str | None = None,
    time: str | None = None,
    progress: Progress = silent,
) -> FromMlflow:
    """Adopt the model at `uri`: models:/NAME/VERSION, models:/NAME@ALIAS, runs:/RUN/model, or a model's folder.

    `reference` are rows that the model was not fitted on; with `target`, the column of truth, half of them or more
    become the frozen test set, which calibrates the confidence too; without it they are the reference of the watch
    alone and nothing is known about accuracy. Writes a project into `folder` (`./NAME` by default), or nothing.
    """
    started = perf_counter()
    place = _place(uri, name, folder)
    with tempfile.TemporaryDirectory(prefix="mainstay-fetch-") as scratch:
        progress(STEPS[0], 0, len(STEPS))
        stored = flavors.fetch(uri, Path(scratch), tracking_uri=tracking_uri)
        progress(STEPS[1], 1, len(STEPS))
        rows = _reference(stored, reference, target=target, key=key, time=time)
        progress(STEPS[2], 2, len(STEPS))
        with flavors.code_of(stored):
            found = _opened(stored, rows, classes)
            project, version = _delivered(stored, rows, found, place, progress)
    progress(STEPS[4], len(STEPS), len(STEPS))
    return FromMlflow(
        uri=uri,
        stored_as=stored.library,
        folder=place.folder,
        version=version.name,
        stage=version.stage,
        verdict=version.verdict,
        checks=version.checks,
        metrics=version.metrics,
        reference_rows=rows.frame.height,
        target=target,
        classes=found.classes,
        can_retrain=bool(project.settings.train.pipelines),
        notes=(*flavors.differing(stored), *rows.notes, *found.notes, *version.notes),
        bundle_mb=_bundle_mb(project),
        seconds=perf_counter() - started,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    name: str
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Reference rows that fit the model's signature."""

    frame: pl.DataFrame
    """Key, time, the model's inputs in their order, and the target where it is known."""
    contract: Contract
    """Of the inputs; the task and the classes are not known yet."""
    target: str | None
    notes: tuple[str, ...]


def _place(uri: str, name: str | None, folder: Path | None) -> _Place:
    """Return name and folder; nothing of a folder that holds files is touched."""
    name = name or (folder.name if folder is not None and re.fullmatch(NAME_PATTERN, folder.name) else _name_in(uri))
    if not re.fullmatch(NAME_PATTERN, name):
        raise UsageError(
            f"{name!r} is no name for a model; allowed: letters, digits, - and _, at most 63, beginning with a letter "
            "or digit",
            remedy="Give it one with --name.",
        )
    is_model = (Path(name) / "MLmodel").is_file() or Path(uri).expanduser().absolute() == Path(name).absolute()
    folder = (folder or Path(f"{name}-adopted" if is_model else name)).expanduser().absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already; nothing was written", remedy="Name another folder with --folder.")
    return _Place(name=name, folder=folder)


def _name_in(uri: str) -> str:
    if flavors.is_pickle(uri):
        uri = Path(uri).stem
    path = re.sub(r"^[a-z]+:/+", "", uri).strip("/")
    parts = [part for part in re.split(r"[/@]", path) if part]
    wanted = parts[0] if uri.startswith("models:") and parts else parts[-1] if parts else "model"
    return re.sub(r"[^A-Za-z0-9_-]+", "-", wanted).strip("-_")[:63] or "model"


def _reference(stored: Stored, path: Path, *, target: str | None, key: str | None, time: str | None) -> _Rows:
    """Read the reference rows, hold them against the signature and give each column the type that it names."""
    try:
        frame = read_frame(str(path.expanduser()), Path.cwd())
    except BadData as error:
        raise BadData(
            f"the reference rows cannot be read: {error.message}",
            remedy="Name a CSV, Parquet or NDJSON file with --reference that holds rows as the model gets them.",
            problems=error.problems,
        ) from error
    frame = frame.select(name for name in frame.columns if not name.startswith(PANDAS_INDEX))
    spelled = path.suffix.lower() == ".csv"
    if spelled:
        frame = gaps.opened(frame)
    for option, column in (("--target", target), ("--key", key), ("--time", time)):
        if column is not None and column not in frame.columns:
            near = nearest(column, frame.columns)
            hint = f"; did you mean {near!r}?" if near else ""
            raise UsageError(
                f"{option} {column!r} is no column of {path.name}; it has {frame.columns}{hint}",
                remedy=f"Name one of its columns with {option}.",
            )
    names, notes = _inputs(stored, frame, path, [one for one in (target, key, time) if one is not None])
    if target in names:
        raise UsageError(
            f"--target {target!r} is an input of the model; the truth is none",
            remedy="Name the column that holds what the model should have said, or leave --target out.",
        )
    types = {column.name: column.type for column in stored.signature.columns} if stored.signature else {}
    frame = _typed(frame, names, types, stored.signature, path)
    extra = [one for one in (key, time) if one is not None and one not in names]
    contract = infer_contract(
        frame.select([*extra, *names]),
        target=None,
        key=key if key in extra else None,
        time=time if time in extra else None,
        spelled=spelled,
    )
    contract = replace(contract, key=key, time=time)  # one that is an input too stays one
    if not contract.features:
        raise BadData(f"{path.name} has no column that the model takes", remedy="Name the right file with --reference.")
    kept = frame.select([*extra, *names, *([target] if target else [])])
    if spelled:
        kept = kept.with_columns(read_cells(field, kept.get_column(field.name)) for field in contract.fields)
    if target is not None:
        kept = kept.with_columns(_truth(kept.get_column(target), path, spelled=spelled))
    return _Rows(frame=kept, contract=contract, target=target, notes=tuple(notes))


def _inputs(stored: Stored, frame: pl.DataFrame, path: Path, others: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the model's inputs in its own order; raise BadData for a file of another schema."""
    free = [name for name in frame.columns if name not in others]
    signature = stored.signature
    if signature is None:
        return free, [f"the model has no signature: the columns {', '.join(free)} were taken for its inputs, in order"]
    if not signature.columns:
        if signature.width is not None and signature.width != len(free):
            raise BadData(
                f"the model takes {signature.width} columns without names, and {path.name} has {len(free)} beside the "
                f"target: {free}",
                remedy="Leave other columns out of the file, or name the truth with --target.",
            )
        return free, [f"the model takes columns without names: {', '.join(free)}, in the file's order"]
    missing = [column for column in signature.columns if column.required and column.name not in frame.columns]
    if missing:
        raise BadData(
            f"{path.name} is not of the model's schema: {len(missing)} of {len(signature.columns)} inputs are absent",
            remedy="Give rows as the model gets them: every input of its signature, under its name.",
            problems=[
                Problem(
                    where=column.name,
                    what=f"is an input of the model ({column.type}) and no column of the file",
                    nearest=nearest(column.name, free),
                )
                for column in missing
            ],
        )
    names = [column.name for column in signature.columns if column.name in frame.columns]
    spare = [name for name in free if name not in names]
    notes = [f"{', '.join(spare)}: no input of the model, left out"] if spare else []
    if spare and len(others) == 0:
        notes.append(f"if {spare[-1]} is the truth, adopt again with --target {spare[-1]}: then accuracy is known")
    return names, notes


def _typed(
    frame: pl.DataFrame, names: Sequence[str], types: dict[str, str], signature: Signature | None, path: Path
) -> pl.DataFrame:
    """Give each input the type of the signature, so that the contract allows what the model does."""
    of_all = signature.type if signature is not None and signature.is_array else ""
    problems, columns = [], []
    for name in names:
        kind = types.get(name, of_all)
        cells = frame.get_column(name)
        try:
            columns.append(_cast(cells, kind))
        except (pl.exceptions.PolarsError, ValueError) as error:
            what = f"is {kind} in the model's signature"
            first = str(error).partition("\n")[0]
            problems.append(Problem(where=name, what=f"{what}; {first}"[:200], value=_odd_value(cells, kind)))
    if problems:
        raise BadData(
            f"{path.name} is not of the model's schema: another type in {len(problems)} of {len(names)} inputs",
            remedy="Give rows with the types of the model's signature.",
            problems=problems,
        )
    return frame.with_columns(columns)


def _cast(cells: pl.Series, kind: str) -> pl.Series:
    if not kind:
        return cells
    if kind == TEXT:
        if cells.dtype.is_numeric() or cells.dtype == pl.Boolean or cells.dtype.is_temporal():
            raise ValueError(f"the file holds {cells.dtype}")
        return cells.cast(pl.String)
    if kind == TIME:
        if cells.dtype == pl.String:
            return cells.str.to_datetime(time_zone="UTC", strict=True)
        if not cells.dtype.is_temporal():
            raise ValueError(f"the file holds {cells.dtype}")
        return cells
    if kind == "bool":
        if cells.dtype == pl.String:
            return cells.replace_strict(
                {"true": True, "false": False, "True": True, "False": False, "1": True, "0": False}
            )
        return cells.cast(pl.Boolean)
    if cells.dtype == pl.Boolean or cells.dtype.is_temporal():
        raise ValueError(f"the file holds {cells.dtype}")
    if kind.startswith(("int", "uint")):
        whole = cells.cast(pl.Float64, strict=True)
        if (whole.drop_nulls() != whole.drop_nulls().round()).any():
            raise ValueError("the file holds numbers that are not whole")
        return whole.cast(pl.Int64)
    return cells.cast(pl.Float64, strict=True).fill_nan(None)


def _odd_value(cells: pl.Series, kind: str) -> Any:
    if cells.dtype == pl.String and kind not in (TEXT, TIME, "bool"):
        odd = cells.filter(cells.is_not_null() & cells.cast(pl.Float64, strict=False).is_null())
        return odd[0] if len(odd) else None
    known = cells.drop_nulls()
    return known[0] if len(known) else None


def _truth(cells: pl.Series, path: Path, *, spelled: bool) -> pl.Series:
    empty = cells.null_count()
    if empty:
        raise BadData(
            f"the target {cells.name!r} is empty in {empty} of {len(cells)} rows of {path.name}",
            remedy="Leave these rows out, or fill in their truth.",
        )
    if spelled:
        number = cells.cast(pl.Float64, strict=False)
        return cells if number.null_count() else _whole(number)
    return _whole(cells) if cells.dtype.is_float() else cells


def _whole(cells: pl.Series) -> pl.Series:
    """Return whole numbers as integers: 0.0 and 1.0 are classes as 0 and 1 are."""
    return cells.cast(pl.Int64) if (cells == cells.round()).all() else cells


def _opened(stored: Stored, rows: _Rows, classes: Sequence[str]) -> Foreign:
    """Open the model and check it on rows as serving will hand them over."""
    some = rows.frame.head(CHECK_ROWS)
    values = some.select(field.name for field in rows.contract.features).to_dicts()
    frame = Inputs(rows.contract, InputSpec(), None).build(values)
    truth = some.get_column(rows.target).to_list() if rows.target else None
    return open_foreign(stored, frame, truth=truth, classes=classes)


def _delivered(
    stored: Stored, rows: _Rows, found: Foreign, place: _Place, progress: Progress
) -> tuple[Project, Judged]:
    """Write the project, hand the model over and have it judged."""
    why = "" if found.can_be_fitted else f"a {stored.library} model is not fitted again here"
    if found.can_be_fitted and rows.target is not None:
        progress(STEPS[3], 3, len(STEPS))
        try:
            adopted = _with_a_pipeline(rows, found, place)
        except UsageError as error:  # it cannot be cloned, or not carried unfitted
            why = f"it cannot be fitted again here: {error.message}"
        else:
            return adopted, replace(adopted.version, notes=adopted.notes)
    carried = pickles.dump(found.estimator, own_modules=found.own_modules)
    progress(STEPS[3], 3, len(STEPS))
    contract = replace(
        rows.contract, task=found.task, classes=found.classes, target=rows.target or _free_name(rows.frame)
    )
    with whole(place.folder) as root:
        _write_project(stored, rows, contract, place.name, root)
        config.load(root, environ=os.environ)
    project = Project.open(place.folder)
    progress(STEPS[4], 4, len(STEPS))
    with gone_on_failure(project):
        version = _as_it_is(stored, rows, found, carried, project)
    return project, replace(version, notes=(*([why] if why else []), *version.notes))


def _with_a_pipeline(rows: _Rows, found: Foreign, place: _Place) -> Adopted:
    """Adopt an estimator as from a notebook: half of the rows can fit its clones, the other half judges it."""
    target = str(rows.target)
    told = replace(rows.contract, task=found.task, classes=found.classes, target=target)
    by = SplitBy.KEY if told.key else SplitBy.STRATUM if found.task.is_classification else SplitBy.ROW
    parts = split_rows(told, rows.frame, by=by, share=0.5, seed=0)
    (x, y), unseen = ((part.drop(target).to_pandas(), part.get_column(target).to_pandas()) for part in parts)
    return adopt(
        found.estimator,
        x,
        y,
        name=place.name,
        folder=place.folder,
        holdout=unseen,
        key=rows.contract.key,
        time=rows.contract.time,
        input=found.input,
        say=None,
    )


def _as_it_is(stored: Stored, rows: _Rows, found: Foreign, carried: bytes, project: Project) -> Judged:
    """Hand over a model that is not fitted again; with truth it goes live or raises GateFailed."""
    estimator = pickle.loads(carried)  # noqa: S301 - our own bytes, just made
    packages = flavors.lock_lines(stored)
    spec = InputSpec(input=found.input)
    if rows.target is None:
        return unlabelled.deliver(
            project, rows.frame, estimator=estimator, pickled=carried, spec=spec, packages=packages
        )
    return delivered(project, Handed(estimator=estimator, pickle=carried, spec=spec, packages=packages))


def _write_project(stored: Stored, rows: _Rows, contract: Contract, name: str, root: Path) -> None:
    frame = rows.frame
    if rows.target is not None and contract.task.is_classification:
        names = [label_text(value) for value in frame.get_column(rows.target).to_list()]
        frame = frame.with_columns(pl.Series(rows.target, names, dtype=pl.String))
    has_text = any(field.type is FieldType.TEXT for field in contract.features)
    test = {"share": 0.5 if has_text else 0.8, "by": "stratum" if contract.task.is_classification else "row"}
    text = project_toml(
        contract,
        name=name,
        train=REFERENCE,
        test=test,
        settings={"train": {"enabled": False}},
        title=f"{name}: adopted from {stored.uri} ({stored.library}); it is served and watched, not trained here.",
        notes={"data": _about_data(rows)},
    )
    (root / "data").mkdir()
    frame.write_parquet(root / REFERENCE)
    (root / "mainstay.toml").write_text(text, encoding="utf-8")
    (root / ".gitignore").write_text(".mainstay/\n", encoding="utf-8")


def _about_data(rows: _Rows) -> str:
    if rows.target is None:
        return "The reference rows of the watch. They have no truth: accuracy is not known until feedback tells it."
    return (
        "Reference rows that the model was not fitted on. The test part judges it, calibrates its confidence and is\n"
        "what traffic is compared with; the words of the rest are the known words of text fields."
    )


def _free_name(frame: pl.DataFrame) -> str:
    name = UNKNOWN_TARGET
    while name in frame.columns:
        name += "_"
    return name


def _bundle_mb(project: Project) -> float:
    files = [path for path in project.parts.bundles.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files) / 1e6
