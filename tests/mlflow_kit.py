"""A small MLflow registry with models of several flavors, and rows that they were not fitted on."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

KINDS = np.array(["setosa", "versicolor", "virginica"])
PACKAGES = {"torch": "pip install torch==2.13.0", "tensorflow": "pip install tensorflow-cpu==2.21.0"}


def needs(module: str) -> pytest.MarkDecorator:
    """Skip a test where a library is absent, with the line that installs it."""
    absent = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(absent, reason=f"{module} is not installed: {PACKAGES[module]}")


def flowers() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (rows to fit, rows to hold out), each with the column `kind`."""
    from sklearn.datasets import load_iris

    features, codes = load_iris(return_X_y=True)
    frame = pd.DataFrame(features, columns=["sepal_length", "sepal_width", "petal_length", "petal_width"])
    frame["kind"] = KINDS[codes]
    frame = frame.sample(frac=1.0, random_state=3).reset_index(drop=True)
    return frame.iloc[:70].reset_index(drop=True), frame.iloc[70:].reset_index(drop=True)


def patients() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return (rows to fit, rows to hold out) of a regression, each with the column `progress`."""
    from sklearn.datasets import load_diabetes

    frame = load_diabetes(as_frame=True).frame.rename(columns={"target": "progress"})
    return frame.iloc[:250].reset_index(drop=True), frame.iloc[250:].reset_index(drop=True)


def codes_of(frame: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Return the kinds as numbers, as boosters and networks are fitted to."""
    return np.searchsorted(KINDS, frame.kind.to_numpy())


INPUTS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow's remarks out of the tests."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def addressed(address: str) -> Iterator[None]:
    """Make `address` MLflow's within the block, and leave no trace of it."""
    import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(address)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """A registry in a folder."""

    root: Path

    @property
    def address(self) -> str:
        """Return its tracking address."""
        return f"sqlite:///{self.root}/mlflow.db"

    def log(self, flavor: str, name: str, **given: Any) -> str:
        """Log and register a model; return the run's id."""
        import mlflow

        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        with quiet(), addressed(self.address):
            if mlflow.get_experiment_by_name("shelf") is None:
                mlflow.create_experiment("shelf", artifact_location=(self.root / "artifacts").as_uri())
            mlflow.set_experiment("shelf")
            with mlflow.start_run() as run:
                log_model: Callable[..., Any] = getattr(mlflow, flavor).log_model
                given.setdefault("pip_requirements", ["numpy"])
                log_model(name="model", registered_model_name=name, **given)
            return str(run.info.run_id)

    def alias(self, name: str, alias: str, version: str) -> None:
        """Give a version an alias."""
        from mlflow.tracking import MlflowClient

        MlflowClient(tracking_uri=self.address, registry_uri=self.address).set_registered_model_alias(
            name, alias, version
        )


def signature(frame: Any, output: Any) -> Any:
    """Return a signature, as people log one."""
    from mlflow.models import infer_signature

    with quiet():
        return infer_signature(frame, output)
