"""`mainstay.adopt`: a fitted estimator of a notebook becomes a project that answers, is watched, can be trained again.

look at the estimator → read the rows → hold its answers, asked through the contract, against the notebook's own →
write the project → hand it over: bundle, gate, registry, real server, live. Nothing is written before it is known that
the model can be carried and answers the same.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.adoption import folder, river_kind, row_by_row
from mainstay.adoption.contract import Features
from mainstay.adoption.look import Looked, Roles, look
from mainstay.config import load as config
from mainstay.config.settings import NAME_PATTERN
from mainstay.core import releases
from mainstay.core.errors import Damaged, GateFailed, UsageError
from mainstay.core.ports import Progress, silent
from mainstay.data.frame_check import check_frame
from mainstay.models.load import LoadedModel
from mainstay.project import Judged, Project, judged
from mainstay.train.fit import quiet, read_rows

if TYPE_CHECKING:
    from mainstay.train.run import Handed

STEPS = ("look", "write", "judge")


class Adopted(Project):
    """The project of an adopted model, and what adopting it showed."""

    version: Judged
    notes: tuple[str, ...]
    """What should be known, as sentences."""
    difference: float
    """Largest difference between the released bundle's answers and the notebook's own, on `compared` rows."""
    compared: int
    seconds: float

    @property
    def folder(self) -> Path:
        """Return the project's folder."""
        return self.loaded.root

    def summary(self) -> str:
        """Return what became of the model, in lines for a person."""
        said = ", ".join(_metric(name, found) for name, found in self.version.metrics.items())
        version = self.version
        lines = [
            f"{version.name} is {version.stage.value}: {len(version.checks)} checks, {self.seconds:.1f} s",
            f"answers equal the notebook's own on {self.compared} rows (largest difference {self.difference:.1g})",
            f"measured: {said}",
            *(f"note: {note}" for note in self.notes),
            f"next: mainstay up --project {self.folder}",
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Return the name and where the project is."""
        return f"<Adopted {self.version.name}, {self.version.stage.value}, {self.folder}>"


def adopt(
    fitted: Any,
    X: Any,  # noqa: N803 - scikit-learn's name
    y: Any,
    *,
    name: str,
    holdout: tuple[Any, Any] | None = None,
    features: Features | None = None,
    folder: str | Path | None = None,
    key: str | None = None,
    time: str | None = None,
    segments: Sequence[str] = (),
    input: str | None = None,  # noqa: A002 - the project file's name for it
    settings: Mapping[str, Any] | None = None,
    say: Callable[[str], None] | None = print,
    progress: Progress = silent,
) -> Adopted:
    """Adopt a fitted scikit-learn-compatible estimator: version 1 is it, not fitted again, and answers at once.

    A model of River's (`learn_one`) is taken too; `X` are then the rows that it learned: dictionaries, texts, a frame.
    With settings={"retrain": {"online": True}} it goes on learning from labels.

    `X` and `y` are what it was fitted on: a pandas or Polars frame, a 2-d array (columns x0, x1, …) or texts (the field
    `text`), and classes or numbers. `holdout` are rows (X2, y2) that it never saw: they judge and calibrate it and are
    the reference of the watch; without them, clones speak for it. `features` takes and returns a frame, row by row, and
    gave the estimator its columns: then `X` is what users send. `input` names the one column of texts that the
    estimator takes. `key`, `time` and `segments` name columns that say whose row it is, when it came, and by what
    traffic is divided; the estimator need not see them. `settings` is more for mainstay.toml, as nested tables.

    Writes a project into `folder` (`./NAME`), or nothing. Raises UsageError, BadData or GateFailed with the remedy.
    """
    started = perf_counter()
    place = _place(name, folder)
    progress(STEPS[0], 0, len(STEPS))
    roles = Roles(key=key, time=time, segments=tuple(segments))
    if river_kind.is_learner(fitted):
        opened = row_by_row.opened(fitted, X, y, holdout, column=input, beside=roles.beside, made=features is not None)
        fitted, X, holdout = opened.estimator, opened.rows, opened.holdout  # noqa: N806 - scikit-learn's name
    looked = look(
        fitted,
        X,
        y,
        holdout,
        features=features,
        column=input,
        roles=roles,
    )
    progress(STEPS[1], 1, len(STEPS))
    project = _written(place, name, looked, settings or {})
    progress(STEPS[2], 2, len(STEPS))
    with gone_on_failure(project):
        version = delivered(project, looked.handed)
        project.difference = _difference(project, version, looked)
    project.version = version
    project.notes = (*looked.notes, *version.notes)
    project.compared = len(looked.own)
    project.seconds = perf_counter() - started
    progress(STEPS[-1], len(STEPS), len(STEPS))
    if say is not None:
        say(project.summary())
    return project


def _place(name: str, given: str | Path | None) -> Path:
    if not isinstance(name, str) or not re.fullmatch(NAME_PATTERN, name):
        raise UsageError(
            f"name = {name!r} is no name for a model; allowed: letters, digits, - and _, at most 63, beginning with a "
            "letter or digit",
            remedy='Give it another, for example name="pump-check".',
        )
    place = Path(given if given is not None else name).expanduser().absolute()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise UsageError(
            f"{place} is there already; nothing was written",
            remedy="Give another folder=, or move it away. A next version of an adopted model is made by "
            "`mainstay train` in its project.",
        )
    return place


def _written(place: Path, name: str, looked: Looked, settings: Mapping[str, Any]) -> Adopted:
    with folder.whole(place) as root:
        folder.write(
            root,
            name=name,
            contract=looked.contract,
            train=looked.train,
            test=looked.test,
            unfitted=looked.unfitted,
            spec=looked.spec,
            labels=looked.kind.labels,
            features=looked.code.text if looked.code else None,
            settings=settings,
            notes=looked.notes[:1],
        )
        config.load(root, environ=os.environ)
    return Adopted(config.load(place, environ=os.environ), environ=os.environ, flags={})


@contextmanager
def gone_on_failure(project: Project) -> Iterator[None]:
    """Take the folder away again when anything goes wrong: it was made by this call."""
    try:
        yield
    except BaseException:
        project.parts.close()
        shutil.rmtree(project.loaded.root, ignore_errors=True)
        raise


def delivered(project: Project, handed: Handed) -> Judged:
    """Hand a model over to a project, have it judged and go live; raise GateFailed when it may not."""
    # MLflow tells its own story on stderr (tables made); adopting tells one story, as the commands do.
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    from mainstay import candidate

    delivered = candidate.deliver_candidate(project.parts, handed=handed, trigger="adopted")
    report = delivered.gate_report
    found = judged(delivered.release, report.as_dict())
    if delivered.release.stage not in releases.LIVE:
        trial = (delivered.release.facts.get("trial") or {}).get("reason", "")
        why = report.why if not report.passed else f"the real server: {trial}"
        raise GateFailed(
            f"the model may not answer anybody: {why}",
            remedy="Mend the model; a limit that is too strict for it is loosened with "
            'settings={"gate": {"max_p99_ms": 500}}. Nothing was left behind.',
        )
    return Judged(
        name=found.name,
        stage=found.stage,
        verdict=found.verdict,
        checks=found.checks,
        metrics=found.metrics,
        notes=tuple(delivered.warnings),
    )


def _difference(project: Project, version: Judged, looked: Looked) -> float:
    """Ask the bundle as it was released (a compiled runtime may answer) about the rows that the notebook judged."""
    model = project.parts.open_version(version.name)
    if not isinstance(model, LoadedModel):
        raise Damaged(f"the bundle of {version.name} cannot be opened", remedy="Adopt the model again.")
    checked = check_frame(looked.contract, looked.judges, with_target=True).good
    with quiet():
        said = model.predict(read_rows(looked.contract, checked).values)
    return float(np.abs(said - looked.own).max())


def _metric(name: str, found: Mapping[str, Any]) -> str:
    value, low, high = (found.get(key) for key in ("value", "low", "high"))
    if value is None:
        return f"{name} unknown"
    return f"{name} {value:.4g}" + (f" ({low:.4g} to {high:.4g})" if low is not None and high is not None else "")
