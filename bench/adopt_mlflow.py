"""Adopt a model of each MLflow flavor that can be imported here: seconds, size, equality with MLflow's own prediction.

`.venv/bin/python bench/adopt_mlflow.py`; flavors whose library is absent are left out, with the line that installs it.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from mainstay.adoption.from_mlflow import adopt_from_mlflow
from mlflow_kit import INPUTS, KINDS, PACKAGES, Shelf, codes_of, flowers, quiet, signature

FIT, HELD = flowers()
ARRAY = FIT[INPUTS].to_numpy("float32")


def sklearn(shelf: Shelf, name: str) -> None:
    """Log a pipeline."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(FIT[INPUTS], FIT.kind)
    shelf.log("sklearn", name, sk_model=model, signature=signature(FIT[INPUTS], FIT.kind.to_numpy()))


def xgboost(shelf: Shelf, name: str) -> None:
    """Log a native Booster."""
    import xgboost as library

    given = {"objective": "multi:softprob", "num_class": 3, "max_depth": 3}
    model = library.train(given, library.DMatrix(FIT[INPUTS], label=codes_of(FIT)), 20)
    said = model.predict(library.DMatrix(FIT[INPUTS]))
    shelf.log("xgboost", name, xgb_model=model, signature=signature(FIT[INPUTS], said))


def lightgbm(shelf: Shelf, name: str) -> None:
    """Log a native Booster."""
    import lightgbm as library

    given = {"objective": "multiclass", "num_class": 3, "verbose": -1, "num_leaves": 7}
    model = library.train(given, library.Dataset(FIT[INPUTS], label=codes_of(FIT)), 20)
    shelf.log("lightgbm", name, lgb_model=model, signature=signature(FIT[INPUTS], model.predict(FIT[INPUTS])))


def pyfunc(shelf: Shelf, name: str) -> None:
    """Log a Python model that gives labels."""
    import mlflow

    class Rule(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
        """Tells kinds by the petal."""

        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def] # noqa: ARG002
            """Return labels."""
            return KINDS[np.searchsorted([2.5, 4.9], model_input["petal_length"].to_numpy())]

    shelf.log("pyfunc", name, python_model=Rule(), signature=signature(FIT[INPUTS], FIT.kind.to_numpy()))


def torch(shelf: Shelf, name: str) -> None:
    """Log a network in MLflow's default form."""
    import torch as library

    library.manual_seed(0)
    model = library.nn.Sequential(library.nn.Linear(4, 16), library.nn.ReLU(), library.nn.Linear(16, 3))
    wanted, given = library.tensor(codes_of(FIT)), library.tensor(ARRAY)
    steps = library.optim.Adam(model.parameters(), 0.03)
    for _ in range(200):
        steps.zero_grad()
        library.nn.functional.cross_entropy(model(given), wanted).backward()
        steps.step()
    said = signature(ARRAY[:5], model(given[:5]).detach().numpy())
    shelf.log("pytorch", name, pytorch_model=model.eval(), signature=said, input_example=ARRAY[:5])


def tensorflow(shelf: Shelf, name: str) -> None:
    """Log a Keras network."""
    import keras

    keras.utils.set_random_seed(0)
    layers = [keras.layers.Input((4,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3, "softmax")]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(0.03), "sparse_categorical_crossentropy")
    model.fit(ARRAY, codes_of(FIT), epochs=60, verbose=0)
    shelf.log("tensorflow", name, model=model, signature=signature(ARRAY, model.predict(ARRAY, verbose=0)))


def main() -> int:
    """Print one line for each flavor."""
    flavors: list[Callable[[Shelf, str], None]] = [sklearn, xgboost, lightgbm, pyfunc, torch, tensorflow]
    with tempfile.TemporaryDirectory() as folder:
        shelf = Shelf(root=Path(folder))
        HELD.to_parquet(shelf.root / "held.parquet")
        print(f"{'flavor':11} {'s':>6} {'kB':>6} {'p99 ms':>7}  accuracy, equality")
        for log in flavors:
            name = log.__name__
            if name in PACKAGES and importlib.util.find_spec(name) is None:
                print(f"{name:11} left out: {PACKAGES[name]}")
                continue
            with quiet():
                log(shelf, name)
                print(line(shelf, name), flush=True)
    return 0


def line(shelf: Shelf, name: str) -> str:
    """Adopt a logged model and return its line."""
    found: Any = adopt_from_mlflow(
        f"models:/{name}/1",
        reference=shelf.root / "held.parquet",
        target="kind",
        folder=shelf.root / "projects" / name,
        tracking_uri=shelf.address,
    )
    latency = next(check for check in found.checks if check.name == "latency")
    p99 = next(value for key, value in latency.numbers.items() if "99" in key and "max" not in key)
    equal = next(note for note in found.notes if "MLflow's own prediction" in note)
    accuracy = found.metrics["accuracy"]["value"]
    return f"{name:11} {found.seconds:6.1f} {found.bundle_mb * 1000:6.0f} {p99:7.1f}  {accuracy:.3f}, {equal}"


if __name__ == "__main__":
    sys.exit(main())
