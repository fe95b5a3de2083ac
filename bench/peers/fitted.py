"""The model that every service serves: a fitted pipeline in a file, with example requests."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("BENCH_MODEL", "."))


def pipeline() -> Any:
    """Return the fitted pipeline."""
    return pickle.loads((FOLDER / "model.pkl").read_bytes())  # noqa: S301 - our own bytes


def names() -> list[str]:
    """Return the names of the columns; one name, `text`, for texts."""
    found: list[str] = json.loads((FOLDER / "names.json").read_text())
    return found


def given(inputs: list[dict[str, Any]]) -> Any:
    """Return what the pipeline takes for rows."""
    if names() == ["text"]:
        return [row["text"] for row in inputs]
    import numpy as np

    return np.array([[row[name] for name in names()] for row in inputs])
