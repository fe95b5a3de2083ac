from __future__ import annotations

from pathlib import Path

import numpy as np

from mainstay.train.plots import save_plots


def evaluation(classes: int) -> dict:
    return {"rows": 5, "confusion": (np.eye(classes, dtype=int) * 5).tolist(), "calibration": []}


def pixels(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[16:24]
    return int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")


def test_the_picture_of_many_classes_is_no_larger_than_a_screen_can_show(tmp_path: Path) -> None:
    confusion, _ = save_plots(evaluation(150), [f"class {i}" for i in range(150)], tmp_path)
    assert max(pixels(confusion)) <= 2000


def test_class_names_may_hold_any_character(tmp_path: Path) -> None:
    names = ['it\'s "odd"', "$\\frac$", "日本 🎌", "a_b^c"]
    confusion, _ = save_plots(evaluation(4), names, tmp_path)
    assert confusion.stat().st_size > 0


def test_what_is_kept_under_stress_is_drawn_for_each_kind(tmp_path: Path) -> None:
    kept = [
        {"kind": kind, "strength": s, "kept": value, "low": low, "high": 1.0, "refused": 0.1}
        for kind in ("typos", "units", "swapped", "scale", "case")
        for s, value, low in ((0.1, 0.95, None), (0.3, 0.9, 0.8), (1.0, None, None))
    ]
    found = {"rows": 5, "stress": {"metric": "rmse", "kept": kept}}
    [stress] = save_plots(found, [], tmp_path)
    assert stress.name == "stress.png"
    assert pixels(stress)[0] > 1000
