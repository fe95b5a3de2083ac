"""The model that every service serves: a fitted pipeline in a file, with example requests."""

from __future__ import annotations

import json
import os
import pickle
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("BENCH_MODEL", "."))


def pipeline() -> Any:
    """Return the fitted pipeline."""
    return pickle.loads((FOLDER / "model.pkl").read_bytes())  # noqa: S301 - our own bytes


def names() -> list[str]:
    """Return the names of the columns; one name, `text`, for texts."""
    return _names(FOLDER)


@cache
def _names(folder: Path) -> list[str]:
    found: list[str] = json.loads((folder / "names.json").read_text())
    return found


def given(inputs: list[dict[str, Any]]) -> Any:
    """Return what the pipeline takes for rows."""
    if names() == ["text"]:
        return [row["text"] for row in inputs]
    import numpy as np

    return np.array([[row[name] for name in names()] for row in inputs])


class Answers:
    """Label and probabilities for rows, as every service answers."""

    def __init__(self) -> None:
        self.model = pipeline()
        self.classes = [str(name) for name in self.model.classes_]

    def __call__(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answer rows in one call of the pipeline."""
        shares = self.model.predict_proba(given(rows))
        return [
            {"label": self.classes[best], "probabilities": dict(zip(self.classes, row, strict=True))}
            for best, row in zip(shares.argmax(axis=1).tolist(), shares.tolist(), strict=True)
        ]
