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
    """Write confusion.png and calibration.png (regression has neither) stress.png and explained.png into `folder`."""
    if not evaluation.get("rows"):
        return []
    make_private(folder)
    plots = []
    if "confusion" in evaluation:
        plots += [
            _confusion(np.array(evaluation["confusion"]), classes, folder / "confusion.png"),
            _calibration(evaluation["calibration"], folder / "calibration.png"),
        ]
    if (evaluation.get("stress") or {}).get("kept"):
        plots.append(_stress(evaluation["stress"], folder / "stress.png"))
    if (evaluation.get("explained") or {}).get("fields"):
        plots.append(_explained(evaluation["explained"], folder / "explained.png"))
    return plots


MOST_BARS = 15


def _explained(report: Mapping[str, Any], path: Path) -> Path:
    """Draw what answers are made of: the fields, and beside them the leading words of all classes."""
    bars = [(str(one["field"]), float(one["weight"])) for one in report["fields"][:MOST_BARS]]
    words = [
        (f"{one['word']} ({name})", float(one["mean"]))
        for name, found in report["classes"].items()
        for one in found["words"]
    ]
    bars += sorted(words, key=lambda one: -one[1])[: MOST_BARS + 5]
    figure, axes = _figure(6.4, 0.26 * len(bars) + 1.2)
    places = range(len(bars))
    axes.barh(places, [value for _, value in bars], color=ACCENT)
    axes.set_yticks(places, [name.replace("$", r"\$") for name, _ in bars], fontsize=8)
    axes.invert_yaxis()
    axes.set_title(f"What answers are made of ({report['method']}, {report['rows']} test rows)", fontsize=10)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(path)
    return path


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


def _stress(report: Mapping[str, Any], path: Path) -> Path:
    """Draw what is kept of the metric over the strength, a small picture for each kind."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys(found["kind"] for found in report["kept"]))
    across = min(4, len(kinds))
    down = -(-len(kinds) // across)
    figure = Figure(figsize=(2.5 * across + 0.6, 2.1 * down + 0.7), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in grid[len(kinds) :]:
        axes.axis("off")
    for axes, kind in zip(grid, kinds, strict=False):
        found = [one for one in report["kept"] if one["kind"] == kind]
        known = [(0.0, 1.0), *((one["strength"], one["kept"]) for one in found if one["kept"] is not None)]
        axes.axhline(1.0, color=PALE, linewidth=1)
        axes.plot([x for x, _ in known], [y for _, y in known], marker="o", markersize=3, color=ACCENT)
        for one in found:
            if one["low"] is not None and one["high"] is not None:
                axes.plot([one["strength"]] * 2, [one["low"], one["high"]], color=ACCENT, linewidth=1)
        refused = max(one["refused"] for one in found)
        title = kind.replace("_", " ") + (f" ({refused:.0%} refused)" if refused else "")
        axes.set_title(title, fontsize=9, color=INK)
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(0, 1.15)
        axes.tick_params(labelsize=7)
    figure.supxlabel("strength", fontsize=9)
    figure.supylabel(f"share of {report['metric']} kept", fontsize=9)
    figure.savefig(path)
    return path
