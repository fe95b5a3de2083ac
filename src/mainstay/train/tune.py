"""A search for parameters by Optuna: pruned fold by fold, kept in the state's folder, gone on with after a kill.

The study's name is a digest of all that decides what a try is worth: data, code, parameters, space, seed, metric,
folds. The same of all goes on with the same study; another of any begins another one. Each try draws from a generator
seeded by how many are finished, so that a search that was killed finds what one that was not would have found.
"""

from __future__ import annotations

import fcntl
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.config.folders import make_private
from mainstay.core.contracts import Contract
from mainstay.core.errors import EnvironmentFault, ProjectFileError
from mainstay.core.ports import Progress, silent
from mainstay.stats import resampled
from mainstay.train import scoring
from mainstay.train.calibrate import speaking_rows
from mainstay.train.choose import load
from mainstay.train.code import project_code
from mainstay.train.fit import Pipeline, Rows, classes_of, quiet, read_rows, unfitted
from mainstay.train.folds import left_out
from mainstay.train.paths import OF_ESTIMATOR
from mainstay.train.scoring import Scoring
from mainstay.train.space import Space, space_of
from mainstay.train.splits import Splits, comparison_splits, held_apart

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from mainstay.config.load import Loaded
    from mainstay.config.settings import TuneSettings
    from mainstay.data.snapshot import Snapshot

DATABASE, LOCK = "tuning.db", "tuning.lock"
OTHER_FOLDS = 7919
"""Added to the seed: candidates are compared on other folds than a search looked at."""
STARTUP = 8
"""Tries at random before the sampler learns from them."""
PRUNE_AFTER = 4
"""Finished tries before one is given up early."""
KEPT = "kept"
"""The attribute of a finished try: its parameters, values fold by fold, seconds, and why it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One set of parameters."""

    number: int
    params: Mapping[str, Any]
    value: float | None
    """Mean over the folds; None where it was given up or failed."""
    folds: tuple[float, ...]
    """Values fold by fold, as far as it came."""
    state: str
    """`complete`, `pruned` or `failed`."""
    seconds: float
    why: str = ""
    """Of a failed one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What a search found."""

    pipeline: str
    metric: str
    study: str
    best: Mapping[str, Any]
    """Parameters by path; empty where the declared ones were no worse than any that were tried."""
    value: float
    """Of the best try, or the declared parameters."""
    declared: float
    """Of the declared parameters."""
    gain: float
    """How much better the best try is than the declared parameters (more is better), with a 95 % interval."""
    low: float
    high: float
    tries: tuple[Try, ...]
    known: int
    """Tries that were finished before this training: the search went on with them."""

    def counted(self, state: str) -> int:
        """Return how many tries ended so."""
        return sum(one.state == state for one in self.tries)

    @property
    def told(self) -> str:
        """Return what was found as one sentence."""
        done, early, failed = self.counted("complete"), self.counted("pruned"), self.counted("failed")
        count = f"{len(self.tries)} tries" + (f", {self.known} of them from before" if self.known else "")
        ended = ", ".join([f"{early} given up early", *([f"{failed} failed"] if failed else [])])
        if not self.best:
            return (
                f"search of {self.pipeline}: {count} ({ended}); none of {done} is better than the declared parameters "
                f"({self.metric} {self.declared:.4f})"
            )
        found = ", ".join(f"{path} = {value!r}" for path, value in self.best.items())
        known = math.isfinite(self.low) and math.isfinite(self.high)
        bounds = f" ({self.low:+.4f} to {self.high:+.4f})" if known else ""
        tie = "; that is no more than the folds' own noise" if not self.low > 0 else ""
        return (
            f"search of {self.pipeline}: {count} ({ended}); {found} with {self.metric} {self.value:.4f}, "
            f"{self.gain:+.4f}{bounds} to the declared parameters{tie}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the search JSON-ready, without its single tries."""
        return {
            "told": self.told,
            "metric": self.metric,
            "study": self.study,
            "best": dict(self.best),
            "value": self.value,
            "declared": self.declared,
            "gain": self.gain,
            "low": self.low if math.isfinite(self.low) else None,
            "high": self.high if math.isfinite(self.high) else None,
            "finished": len(self.tries),
            "pruned": self.counted("pruned"),
            "failed": self.counted("failed"),
            "known": self.known,
            "seconds": sum(one.seconds for one in self.tries),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What every try is measured on."""

    pipeline: Pipeline
    rows: Rows
    splits: Splits
    by: Scoring
    index: np.ndarray[tuple[int], np.dtype[np.int64]]
    """Rows that decide."""

    def folds(self, tuned: Mapping[str, Any]) -> Iterator[float]:
        """Yield the metric fold by fold."""
        pipeline = replace(self.pipeline, tuned=tuned)
        for split in self.splits.parts:
            places = np.flatnonzero(np.isin(split.held, self.index))
            if not len(places):
                continue
            inside, outside = self.rows.take(split.fit), self.rows.take(split.held)
            output = left_out(pipeline, self.by.contract, inside, outside, self.by.classes)
            calibration = self.by.calibrated(output, outside) if self.by.metric == "ece" else None
            yield self.by.of(output[places], outside.take(places), calibration)


def search(
    loaded: Loaded, train: Snapshot, name: str, *, most_seconds: float | None = None, progress: Progress = silent
) -> Search:
    """Search for parameters of a pipeline, or go on with a search that was interrupted.

    `most_seconds` bounds it beside [train.tune]. Raises EnvironmentFault without Optuna, or while another training
    searches; ProjectFileError where the declared parameters cannot be fitted.
    """
    _require_optuna()
    settings, contract = loaded.settings, loaded.contract
    rows, _ = held_apart(settings, contract, read_rows(contract, train.frame()))
    classes = classes_of(contract, rows.truth)
    with project_code(loaded.root, settings.features.paths) as code:
        pipeline = load(code, loaded, name)
        space = space_of(code, name, settings.train.pipelines[name])
        if space is None:
            raise ProjectFileError(f"Pipeline {name!r} declares nothing to search over")
        _require_known(pipeline, contract, settings.train.pipelines[name].tune)
        by = scoring.scoring(contract, settings, classes)
        ground = _Ground(
            pipeline=pipeline,
            rows=rows,
            splits=comparison_splits(settings, contract, rows, seed=settings.project.seed + OTHER_FOLDS),
            by=by,
            index=speaking_rows(rows)[0],
        )
        title = f"{name}-{_digest(loaded, train, name, code.digest(), by.metric)}"
        make_private(loaded.state)
        with _alone(loaded.state / LOCK), quiet():
            return _run(loaded, ground, space, title, most_seconds, progress)


def _run(
    loaded: Loaded, ground: _Ground, space: Space, title: str, most_seconds: float | None, progress: Progress
) -> Search:
    budget, name = loaded.settings.train.tune, ground.pipeline.name
    study = _open(loaded.state / DATABASE, title, ground.by.sign, prune=budget.prune)
    declared = study.user_attrs.get("declared")
    if declared is None:
        progress(f"tune {name}: the declared parameters", 0, budget.trials)
        declared = list(ground.folds({}))
        study.set_user_attr("declared", declared)
    known = len(_finished(study))
    while not _spent(study, budget, most_seconds):
        done = _finished(study)
        best = _best(done, ground.by.sign)
        told = f", best {ground.by.metric} {best.value:.4f}" if best is not None and best.value is not None else ""
        progress(f"tune {name} {len(done) + 1} of {budget.trials}{told}", len(done), budget.trials)
        _try(study, ground, space, len(done), seed=loaded.settings.project.seed)
    return _found(study, ground, declared, known)


def _try(study: Study, ground: _Ground, space: Space, done: int, *, seed: int) -> None:
    """Ask for parameters and measure them, fold by fold; what the project's code raises fails this try alone."""
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    study.sampler = TPESampler(seed=(seed * 1_000_003 + done) % 2**32, n_startup_trials=STARTUP)
    trial = study.ask()
    params = space(trial)
    folds: list[float] = []
    began, why, state = perf_counter(), "", TrialState.COMPLETE
    try:
        for number, value in enumerate(ground.folds(params)):
            folds.append(value)
            trial.report(float(np.mean(folds)), number)
            if number + 1 < len(ground.splits.parts) and trial.should_prune():
                state = TrialState.PRUNED
                break
    except ProjectFileError as error:
        state, why = TrialState.FAIL, error.message
    if state is TrialState.COMPLETE and not math.isfinite(float(np.mean(folds))):
        state, why = TrialState.FAIL, f"{ground.by.metric} is not finite"
    seconds = perf_counter() - began
    kept = {"params": params, "folds": folds, "seconds": seconds, "why": why, "state": state.name}
    trial.set_user_attr(KEPT, kept)  # one write, when all is known: a try that a kill ended has none
    _tell(study, trial.number, kept)


def _tell(study: Study, number: int, kept: Mapping[str, Any] | None) -> None:
    """End a try as it is known to have ended; as failed where nothing of it was kept."""
    from optuna.trial import TrialState

    state = TrialState.FAIL if kept is None else TrialState[kept["state"]]
    value = float(np.mean(kept["folds"])) if kept is not None and state is TrialState.COMPLETE else None
    study.tell(number, value, state=state)


def _open(path: Path, title: str, sign: float, *, prune: bool) -> Study:
    """Open the study; a try that was under way when its training was killed is taken out."""
    import optuna
    from optuna.pruners import MedianPruner, NopPruner
    from optuna.storages import RDBStorage
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = MedianPruner(n_startup_trials=PRUNE_AFTER, n_warmup_steps=1) if prune else NopPruner()
    try:
        path.touch(mode=0o600, exist_ok=True)
        study = optuna.create_study(
            storage=RDBStorage(f"sqlite:///{path}"),
            study_name=title,
            direction="maximize" if sign > 0 else "minimize",
            pruner=pruner,
            load_if_exists=True,
        )
    except Exception as error:  # edge: a database of another version, a full disk
        raise EnvironmentFault(
            f"the searches in {path.name} cannot be opened: {type(error).__name__}: {error}",
            remedy=f"Make room, or delete {path.name} in the state's folder: searches then begin anew.",
        ) from error
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        _tell(study, trial.number, trial.user_attrs.get(KEPT))
    return study


def _finished(study: Study) -> list[Try]:
    """Return the tries that ended by themselves, in order; those that a kill ended have no say."""
    return [one for trial in study.get_trials(deepcopy=False) if (one := _as_try(trial)) is not None]


def _as_try(trial: FrozenTrial) -> Try | None:
    from optuna.trial import TrialState

    states = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
    kept = trial.user_attrs.get(KEPT)
    if trial.state not in states or kept is None:
        return None
    return Try(
        number=trial.number,
        params=kept["params"],
        value=trial.value if trial.state is TrialState.COMPLETE else None,
        folds=tuple(kept["folds"]),
        state=states[trial.state],
        seconds=float(kept["seconds"]),
        why=str(kept["why"]),
    )


def _best(tries: list[Try], sign: float) -> Try | None:
    done = [one for one in tries if one.value is not None]
    return max(done, key=lambda one: (sign * (one.value or 0.0), -one.number)) if done else None


def _spent(study: Study, budget: TuneSettings, most_seconds: float | None) -> bool:
    done = _finished(study)
    limits = [limit for limit in (budget.seconds, most_seconds) if limit is not None]
    return len(done) >= budget.trials or any(sum(one.seconds for one in done) >= limit for limit in limits)


def _found(study: Study, ground: _Ground, declared: list[float], known: int) -> Search:
    tries, sign = _finished(study), ground.by.sign
    best = _best(tries, sign)
    mean = float(np.mean(declared))
    gain = resampled.Difference(mean=0.0, error=math.nan, low=-math.inf, high=math.inf)
    if best is not None:
        difference = sign * (np.array(best.folds) - np.array(declared))
        gain = resampled.corrected(difference, test_to_train=ground.splits.test_to_train)
    better = best is not None and gain.mean > 0
    return Search(
        pipeline=ground.pipeline.name,
        metric=ground.by.metric,
        study=study.study_name,
        best=dict(best.params) if best is not None and better else {},
        value=float(best.value) if best is not None and best.value is not None and better else mean,
        declared=mean,
        gain=gain.mean,
        low=gain.low,
        high=gain.high,
        tries=tuple(tries),
        known=known,
    )


def _digest(loaded: Loaded, train: Snapshot, name: str, code: str, metric: str) -> str:
    """Return what names a study: everything that decides what a try is worth."""
    settings = loaded.settings
    content = {
        "data": train.id,
        "code": code,
        "pipeline": settings.train.pipelines[name].model_dump(mode="json"),
        "seed": settings.project.seed,
        "metric": metric,
        "prune": settings.train.tune.prune,
        "at": settings.evaluate.at,
        "folds": settings.data.model_dump(mode="json", include={"folds", "test", "key", "time", "group"}),
        "train": settings.train.model_dump(
            mode="json", include={"half_life_days", "class_weight", "calibrate", "calibrate_share"}
        ),
        "decide": settings.decide.model_dump(mode="json"),
    }
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one training search at a time; the lock goes with its process."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise EnvironmentFault(
                "another training of this project searches for parameters",
                remedy="Wait until it is done; its tries are kept, and this one goes on with them.",
            ) from error
        yield


def _require_known(pipeline: Pipeline, contract: Contract, space: Mapping[str, Any]) -> None:
    """Refuse names that the estimator does not have: every try would fail."""
    asked = [path for path in space if OF_ESTIMATOR in path]
    if not asked:
        return
    estimator = unfitted(pipeline, contract)
    known = list(estimator.get_params()) if hasattr(estimator, "get_params") else []
    for path in asked:
        if path not in known:
            near = next(iter(get_close_matches(path, known, n=1)), None)
            hint = f"; did you mean {near!r}?" if near else ""
            raise ProjectFileError(
                f"train.pipelines.{pipeline.name}.tune names {path!r}, and the estimator has no such parameter{hint}",
                remedy="Name one of its get_params(), or a parameter that build() takes.",
            )


def _require_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise EnvironmentFault(
            "a pipeline declares what to search over, and Optuna is not installed",
            remedy="pip install 'mainstay[tuning]', or leave `tune` out of [train.pipelines].",
        ) from error
