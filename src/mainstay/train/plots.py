"""Pictures of an evaluation, as PNG files."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mainstay.config.folders import make_private

INK, ACCENT, PALE = "#1f2933", "#2563a8", "#c7ccd1"
LARGEST_IN = 16.0
"""Side of the largest picture (inches): one that grew with 150 classes took 4 GB to draw."""


def save_plots(evaluation: Mapping[str, Any], classes: Sequence[str], folder: Path) -> list[Path]:
    """Write confusion.png and calibration.png into `folder`; regression has neither."""
    if "confusion" not in evaluation or not evaluation["rows"]:
        return []
    make_private(folder)
    return [
        _confusion(np.array(evaluation["confusion"]), classes, folder / "confusion.png"),
        _calibration(evaluation["calibration"], folder / "calibration.png"),
    ]


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _confusion(counts: np.ndarray[Any, Any], classes: Sequence[str], path: Path) -> Path:
    size = min(max(4.0, 0.55 * len(classes) + 1.8), LARGEST_IN)
    letters = min(10.0, 0.6 * 72.0 * size / max(len(classes), 1))
    figure, axes = _figure(size + 0.6, size)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="none")
    # Matplotlib takes what stands between two dollar signs for a formula, and fails on one that is none.
    names = [name.replace("$", r"\$") for name in classes]
    axes.set_xticks(range(len(classes)), names, rotation=40, ha="right", fontsize=letters)
    axes.set_yticks(range(len(classes)), names, fontsize=letters)
    axes.set_xlabel("answered")
    axes.set_ylabel("true")
    axes.set_title("Rows per true and answered class")
    if len(classes) <= 30:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] > 0.5 else INK
                axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    with warnings.catch_warnings():
        # A class name in a script that the font lacks is drawn as boxes; the picture is good for the rest.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(path)
    return path


def _calibration(bins: Sequence[Mapping[str, Any]], path: Path) -> Path:
    figure, axes = _figure(4.6, 4.2)
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1, label="as it should be")
    said = [found["confidence"] for found in bins]
    right = [found["right"] for found in bins]
    axes.plot(said, right, marker="o", color=ACCENT, label="this model")
    for x, y, found in zip(said, right, bins, strict=True):
        axes.annotate(str(found["rows"]), (x, y), textcoords="offset points", xytext=(5, -10), fontsize=7, color=INK)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("calibrated confidence (mean of a bin)")
    axes.set_ylabel("share of right answers")
    axes.set_title("Calibration on the test rows (numbers: rows)", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path)
    return path
