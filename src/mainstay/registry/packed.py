"""A whole MLflow model folder as bytes inside a pickle: any flavor, its artifacts and its code, without a store.

Loading it needs MLflow's library and the flavor's own, and no server, registry or address.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
import sys
import tempfile
import warnings
import weakref
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.core.errors import BadData, Damaged, EnvironmentFault
from mainstay.models.wrapped import Layout

if TYPE_CHECKING:
    import pandas as pd

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The same folder gives the same bytes, whenever it was fetched."""
_LEFT_OUT = ("input_example.json", "serving_input_example.json", "registered_model_meta")
"""What answers never depend on: examples, and where the folder came from."""
MOST_MB = 4000
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "TF_CPP_MIN_LOG_LEVEL": "3"}
_SWAP = RLock()
"""Held while one model's own modules stand in the table of imported ones."""


class PackedModel:
    """A model of MLflow's pyfunc interface that travels with its folder; unpacked and loaded where it is unpickled."""

    __slots__ = ("__weakref__", "_folder", "_model", "_modules", "archive", "layout")

    def __init__(self, archive: bytes, layout: Layout) -> None:
        self.archive = archive
        self.layout = layout
        self._unpack()

    def __call__(self, frame: pd.DataFrame) -> Any:
        """Return what MLflow's own `predict` does."""
        with quiet_mlflow(), self._own_code():
            return self._model.predict(self.layout.given(frame))

    def __getstate__(self) -> dict[str, Any]:
        """Return what is stored: the archive and the layout."""
        return {"archive": self.archive, "layout": self.layout}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpack and load, so that what is missing here is told when the bundle loads and not at the first request."""
        self.archive, self.layout = state["archive"], state["layout"]
        self._unpack()

    def _unpack(self) -> None:
        # The folder stays as long as the model: MLflow's models may read their artifacts when they are asked.
        self._modules: dict[str, ModuleType] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="mainstay-model-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        unpack(self.archive, self._folder)
        os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
        with quiet_mlflow(), self._own_code():
            self._model = self._open(str(self._folder))

    def _open(self, folder: str) -> Any:
        import mlflow.pyfunc

        return mlflow.pyfunc.load_model(folder, suppress_warnings=True)

    @contextmanager
    def _own_code(self) -> Iterator[None]:
        """Give the model the modules of its own folder: another version's may have the same names."""
        code = self._folder / "code"
        if not code.is_dir():
            yield
            return
        names = {path.name.removesuffix(".py") for path in code.iterdir()}
        with _SWAP:
            path, others = list(sys.path), _taken(names)
            sys.modules.update(self._modules)
            sys.path.insert(0, str(code))
            try:
                yield
            finally:
                self._modules = _taken(names)
                sys.modules.update(others)
                sys.path[:] = path


def pack(folder: Path) -> bytes:
    """Return a model folder as one archive; raises BadData beyond 4 GB."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    kept = [path for path in files if path.name not in _LEFT_OUT and "__pycache__" not in path.parts]
    size = sum(path.stat().st_size for path in kept)
    if size > MOST_MB * 1_000_000:
        raise BadData(f"the model's folder holds {size / 1e6:.0f} MB; at most {MOST_MB} MB can travel in a bundle")
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for path in kept:
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
            archive.writestr(entry, path.read_bytes())
    return memory.getvalue()


def unpack(archive: bytes, folder: Path) -> None:
    """Write an archive's files below `folder`; raises Damaged for a path that leads out of it."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            for name in opened.namelist():
                if not (folder / name).resolve().is_relative_to(folder.resolve()):
                    raise Damaged(f"the packed model holds the path {name!r}, which leads out of its folder")
            opened.extractall(folder)
    except zipfile.BadZipFile as error:
        raise Damaged(f"the packed model cannot be read: {error}") from error
    except OSError as error:
        raise EnvironmentFault(
            f"the packed model cannot be unpacked to {folder}: {error.strerror or error}",
            remedy="Make room there, or name another folder with the environment variable TMPDIR.",
        ) from error


def _taken(names: set[str]) -> dict[str, ModuleType]:
    """Take the modules of these names, and those below them, out of the table of imported ones."""
    found = [name for name in sys.modules if name.partition(".")[0] in names]
    return {name: sys.modules.pop(name) for name in found}


@contextmanager
def quiet_mlflow() -> Iterator[None]:
    """Keep MLflow's remarks (versions compared, telemetry) off the screen of whoever only wants an answer."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "tensorflow")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class PackedKeras(PackedModel):
    """A Keras model that travels with its folder; asked directly, as its own `predict` costs tens of milliseconds."""

    __slots__ = ()

    def __call__(self, frame: pd.DataFrame) -> Any:
        """Return what the network does for an array of the rows, in evaluation mode."""
        return np.asarray(self._model(self.layout.given(frame), training=False))

    def _open(self, folder: str) -> Any:
        import mlflow.tensorflow

        return mlflow.tensorflow.load_model(folder)
