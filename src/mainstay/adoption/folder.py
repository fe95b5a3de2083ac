"""The project's folder: written whole under another name, then renamed; or not at all."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import msgspec
import polars as pl

from mainstay.config.write import project_toml
from mainstay.core.contracts import Contract
from mainstay.core.errors import EnvironmentFault
from mainstay.models import carried
from mainstay.models.inputs import Form, InputSpec
from mainstay.train.run import ADOPTED

TRAIN, TEST = "data/train.parquet", "data/test.parquet"
MODEL = '''"""How the model is built again: an unfitted clone of the estimator that was adopted."""

from pathlib import Path

from sklearn.base import clone

from mainstay.models import carried

ESTIMATOR = Path(__file__).parent / "adopted" / "estimator.pkl"


def build(params):
    """Return an unfitted estimator; `params` of the pipeline in mainstay.toml replace its own."""
    estimator = clone(carried.load(ESTIMATOR))  # refused unless this project's key signed it
    return estimator.set_params(**params) if params else estimator
'''
_NOTES = {
    "data": "Frozen: no model is ever fitted to the test rows.",
    "fields": "What a request may hold, as the rows suggested it.",
    "train": "`mainstay train` fits a clone of the adopted estimator, built in model.py.",
}
RETRAIN = """
# To train by itself when it is needed, add for example:
# [retrain]
# on = ["incident:quality", "rows:5000"]
"""


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside `folder` that becomes `folder` at the end, or is gone when anything went wrong.

    Raises EnvironmentFault when nothing can be written there.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise _fault(folder, error) from error
    try:
        try:
            yield temporary
            temporary.chmod(0o755)
            if folder.exists():
                folder.rmdir()  # it was empty when it was looked at
            temporary.rename(folder)
        except OSError as error:
            raise _fault(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write(
    root: Path,
    *,
    name: str,
    contract: Contract,
    train: pl.DataFrame,
    test: pl.DataFrame,
    unfitted: bytes,
    spec: InputSpec,
    labels: str,
    features: str | None,
    settings: Mapping[str, Any],
    notes: tuple[str, ...],
) -> None:
    """Write the files of a project that can be trained again into `root`, and sign what it carries."""
    (root / carried.FOLDER).mkdir()
    (root / "data").mkdir()
    train.write_parquet(root / TRAIN)
    test.write_parquet(root / TEST)
    estimator = root / carried.FOLDER / "estimator.pkl"
    estimator.write_bytes(unfitted)
    carried.sign(estimator)
    (root / "model.py").write_text(MODEL, encoding="utf-8")
    if features is not None:
        (root / "features.py").write_text(features, encoding="utf-8")
    (root / ".gitignore").write_text(".mainstay/\n", encoding="utf-8")
    text = project_toml(
        contract,
        name=name,
        train=TRAIN,
        test=TEST,
        pipelines={ADOPTED: pipeline_table(spec, labels)},
        settings=settings,
        title="\n".join([f"{name}: adopted from a notebook by mainstay.adopt.", *_wrapped(notes)]),
        notes=_NOTES,
    )
    more = "" if "retrain" in settings else RETRAIN
    (root / "mainstay.toml").write_text(text + more, encoding="utf-8")


def pipeline_table(spec: InputSpec, labels: str) -> dict[str, Any]:
    """Return [train.pipelines.NAME] for an estimator that gets its rows as `spec` says."""
    usual = InputSpec()
    table: dict[str, Any] = {"build": "model:build"}
    if spec.features is not None:
        table["features"] = f"features:{spec.features}"
        table["features_form"] = None if spec.features_form is Form.POLARS else spec.features_form.value
    table["input"] = spec.input
    table["form"] = None if spec.form is usual.form else spec.form.value
    table["takes"] = list(spec.takes) or None
    table["dtype"] = spec.dtype or None
    table["labels"] = None if labels == "text" else labels
    table["columns"] = {name: _column(msgspec.to_builtins(column)) for name, column in spec.columns.items()} or None
    return {key: value for key, value in table.items() if value is not None}


def _wrapped(notes: tuple[str, ...]) -> Iterator[str]:
    for note in notes:
        yield from textwrap.wrap(f"Note: {note}", 110)


def _column(told: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in told.items() if key == "dtype" or value}


def _fault(folder: Path, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        f"the project cannot be written to {folder}: {error.strerror or error}",
        remedy="Give this user the right to write there, or make room on the disk; nothing was left half-written.",
    )
