"""Runs, versions and aliases in MLflow, from where its own tools can load what Mainstay trained."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstay.config.folders import make_private
from mainstay.core.errors import EnvironmentFault, MainstayError
from mainstay.models import environment, pyfunc

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

MODEL_ARTIFACT = "model"
DIGEST_TAG, VERSION_TAG = "mainstay.digest", "mainstay.version"
PARENT_TAG = "mlflow.parentRunId"
"""By which MLflow nests runs."""
_ADDRESS = "MLFLOW_TRACKING_URI"
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
_BRIEF = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
"""MLflow would ask a server that is away for many minutes, and the loop with it."""
_SQLITE = "sqlite:///"
_REMEDY = "Check [registry] url and its database or server; training and serving go on without it."
DATABASE_TRIES = 3
"""For the same reason: MLflow's own 10 take 100 seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildRun:
    """What is recorded below a training: a candidate that was compared, a try of a search."""

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    """Numbers only; NaN and infinity are left out."""
    steps: Mapping[str, Sequence[float]]
    """Metric -> its value fold by fold."""
    tags: Mapping[str, str]
    status: str = "FINISHED"
    """As MLflow names it: FINISHED, KILLED (given up early), FAILED."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What is recorded of one training."""

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    """Numbers only; NaN and infinity are left out."""
    tags: Mapping[str, str]
    bundle: Path
    """Folder of the bundle."""
    bundle_pip: Sequence[str] = ()
    """Lines of environment.lock; explicit, as MLflow would otherwise guess for seconds. Python's own is left out."""
    plots: Sequence[Path] = ()
    children: Sequence[ChildRun] = ()
    """Recorded as runs nested in this one."""


class Registry:
    """One MLflow tracking and registry address. Opens nothing until it is used; for one thread."""

    def __init__(self, url: str, artifacts: Path) -> None:
        self.url = url
        self.artifacts = artifacts
        self._client: MlflowClient | None = None

    def record(self, experiment: str, facts: RunFacts) -> str:
        """Record a training as a run with the bundle as its model; return the run's id."""
        with edge("record the run", self.url):
            import mlflow

            client = self._open()
            where = self._experiment(client, experiment)
            run = client.create_run(where, run_name=facts.name, tags=dict(facts.tags))
            run_id: str = run.info.run_id
            status = "FAILED"
            try:
                self._log(client, run_id, facts)
                self._log_model(mlflow, run_id, facts)
                for child in facts.children:
                    self._log_child(client, where, run_id, child)
                status = "FINISHED"
            finally:
                client.set_terminated(run_id, status=status)
        return run_id

    def register(self, model: str, run_id: str, *, version: int, digest: str) -> str:
        """Register the run's model as the next version of `model`; return MLflow's number of it.

        The same digest registered again returns the version that it has.
        """
        with edge("register the version", self.url):
            from mlflow.exceptions import MlflowException

            client = self._open()
            try:
                client.create_registered_model(model, description="Trained and released by Mainstay.")
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            known = _number(client, model, version=version, digest=digest)
            if known is not None:
                return known
            source = self._model_uri(client, run_id)
            tags = {DIGEST_TAG: digest, VERSION_TAG: str(version)}
            made = client.create_model_version(model, source, run_id, tags=tags, await_creation_for=0)
            return str(made.version)

    def experiment_of(self, run_id: str) -> str:
        """Return the id of the experiment that a run belongs to: MLflow's pages are found by both."""
        with edge("look up the run", self.url):
            return str(self._open().get_run(run_id).info.experiment_id)

    def number_of(self, model: str, *, version: int, digest: str) -> str | None:
        """Return MLflow's number of a version that was registered with that digest, or None."""
        with edge("look up the version", self.url):
            return _number(self._open(), model, version=version, digest=digest)

    def digest_of(self, model: str, version: int) -> str | None:
        """Return the digest in the tag of MLflow's version, "" without a tag, None where it has no such version."""
        with edge("look up the version", self.url):
            for known in self._open().search_model_versions(f"name = '{model}'"):
                if known.tags.get(VERSION_TAG) == str(version):
                    return str(known.tags.get(DIGEST_TAG, ""))
            return None

    def set_alias(self, model: str, alias: str, version: str) -> None:
        """Point an alias (champion, challenger) at a version of MLflow's."""
        with edge(f"set the alias {alias!r}", self.url):
            self._open().set_registered_model_alias(model, alias, version)

    def drop_alias(self, model: str, alias: str) -> None:
        """Remove an alias; one that is not there is no error."""
        with edge(f"remove the alias {alias!r}", self.url):
            self._open().delete_registered_model_alias(model, alias)

    def aliases(self, model: str) -> dict[str, str]:
        """Return alias to MLflow version; none for a model that is not registered."""
        with edge("read the aliases", self.url):
            from mlflow.exceptions import MlflowException

            try:
                found = self._open().get_registered_model(model).aliases
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return {}
            return {str(name): str(version) for name, version in found.items()}

    def ui_command(self, *, port: int = 5000) -> str:
        """Return the command that opens MLflow's own pages on this registry, on this machine only."""
        argv = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", self.url]
        argv += ["--artifacts-destination", str(self.artifacts), "--host", "127.0.0.1", "--port", str(port)]
        return f"MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false DO_NOT_TRACK=true {shlex.join(argv)}"

    def _open(self) -> MlflowClient:
        if self._client is None:
            from mlflow.store.db import utils
            from mlflow.tracking import MlflowClient

            utils.MAX_RETRY_COUNT = DATABASE_TRIES
            _make_private_file(self.url)
            self._client = MlflowClient(tracking_uri=self.url, registry_uri=self.url)
        return self._client

    def _experiment(self, client: MlflowClient, name: str) -> str:
        known = client.get_experiment_by_name(name)
        if known is not None:
            return str(known.experiment_id)
        make_private(self.artifacts)
        return str(client.create_experiment(name, artifact_location=self.artifacts.resolve().as_uri()))

    def _log(self, client: MlflowClient, run_id: str, facts: RunFacts) -> None:
        from mlflow.entities import Metric, Param

        params = [Param(name, str(value)[:6000]) for name, value in facts.params.items()]
        metrics = [Metric(name, float(v), 0, 0) for name, v in facts.metrics.items() if _is_finite(v)]
        client.log_batch(run_id, params=params, metrics=metrics)
        for plot in facts.plots:
            client.log_artifact(run_id, str(plot), "plots")

    def _log_child(self, client: MlflowClient, experiment: str, parent: str, child: ChildRun) -> None:
        from mlflow.entities import Metric, Param

        run = client.create_run(experiment, run_name=child.name, tags={**child.tags, PARENT_TAG: parent})
        once = [Metric(name, float(v), 0, 0) for name, v in child.metrics.items() if _is_finite(v)]
        steps = [
            Metric(name, float(v), 0, step)
            for name, values in child.steps.items()
            for step, v in enumerate(values)
            if _is_finite(v)
        ]
        params = [Param(name, str(value)[:6000]) for name, value in child.params.items()]
        client.log_batch(run.info.run_id, params=params, metrics=[*once, *steps])
        client.set_terminated(run.info.run_id, status=child.status)

    def _log_model(self, mlflow: Any, run_id: str, facts: RunFacts) -> None:
        """Log the bundle as a model of the pyfunc flavor, in the run that exists."""
        # Nested: a notebook may be inside a run of its own, which goes on afterwards.
        with _no_experiment(), mlflow.start_run(run_id=run_id, nested=True, log_system_metrics=False):
            mlflow.pyfunc.log_model(
                name=MODEL_ARTIFACT,
                loader_module=pyfunc.__name__,
                data_path=str(facts.bundle),
                pip_requirements=environment.pip_requirements(facts.bundle_pip) or ["cloudpickle"],
            )

    def _model_uri(self, client: MlflowClient, run_id: str) -> str:
        outputs = client.get_run(run_id).outputs
        made = list(outputs.model_outputs) if outputs is not None else []
        if not made:
            raise EnvironmentFault(f"MLflow run {run_id} has no model", remedy="Train again; this run did not finish.")
        return f"models:/{made[-1].model_id}"


def _number(client: MlflowClient, model: str, *, version: int, digest: str) -> str | None:
    for known in client.search_model_versions(f"name = '{model}'"):
        if known.tags.get(DIGEST_TAG) == digest and known.tags.get(VERSION_TAG) == str(version):
            return str(known.version)
    return None


def _make_private_file(url: str) -> None:
    """Make a database that is a file, and not there yet, before MLflow makes it one that everybody may read."""
    path = Path(url.removeprefix(_SQLITE))
    if url.startswith(_SQLITE) and path.parent.is_dir():
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and float(value) not in (float("inf"), float("-inf")) and value == value


@contextmanager
def edge(what: str, url: str, *, remedy: str = _REMEDY) -> Iterator[None]:
    """Keep MLflow quiet, without telemetry and at `url`, and turn whatever it raises into an EnvironmentFault."""
    os.environ.update({name: value for name, value in (_QUIET | _BRIEF).items() if name not in os.environ})
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # before MLflow is imported: in a notebook tqdm warns of what it misses
            with _addressed(url):
                yield
    except MainstayError:
        raise
    except Exception as error:  # edge: MLflow raises its own, SQL, HTTP and file errors
        raise EnvironmentFault(
            f"MLflow could not {what}: {type(error).__name__}: {str(error).partition(chr(10))[0][:300]}",
            remedy=remedy,
        ) from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _no_experiment() -> Iterator[None]:
    """Forget for the block which experiment the process chose (`mlflow.set_experiment` in a notebook).

    MLflow refuses to go on with a run of another experiment, and has no public way to choose none.
    """
    from mlflow.tracking import fluent

    chosen = fluent._active_experiment_id
    fluent._active_experiment_id = None
    try:
        yield
    finally:
        fluent._active_experiment_id = chosen


@contextmanager
def _addressed(url: str) -> Iterator[None]:
    """Make `url` MLflow's address for the block.

    Parts of MLflow ask the process's default instead of the client they were given; without this they create a database
    in the working folder.
    """
    import mlflow

    before = os.environ.get(_ADDRESS)
    mlflow.set_tracking_uri(url)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type] # forgets the address; the annotation is too narrow
        if before is not None:
            os.environ[_ADDRESS] = before
