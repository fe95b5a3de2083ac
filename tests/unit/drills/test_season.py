"""The season's world by itself: what its model knows of either season, from which rows."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pandas as pd

from mainstay.drills import files, season
from mainstay.drills.records import Asked


def visits(summer: int, winter: int, seed: int) -> list[Asked]:
    return files.many(season.in_summer, summer, seed=seed) + files.many(season.in_winter, winter, seed=seed + 1)


def fitted(rows: list[Asked]) -> Any:
    made: dict[str, Any] = {}
    exec((files.MATERIAL / "season" / "model.py.template").read_text(), made)
    return made["build"]({}).fit(pd.DataFrame([row.inputs for row in rows]), [row.truth for row in rows])


def right(model: Any, rows: list[Asked]) -> float:
    said = model.predict(pd.DataFrame([row.inputs for row in rows]))
    return sum(a == row.truth for a, row in zip(said, rows, strict=True)) / len(rows)


def test_last_seasons_model_knows_nothing_of_the_new_one_and_the_last_days_labels_teach_it() -> None:
    summer, winter = visits(1000, 0, 11), visits(0, 1000, 21)
    before, after = fitted(visits(2000, 0, 1)), fitted(visits(450, 530, 3))
    assert right(before, summer) > 0.78
    assert right(before, winter) < 0.2
    assert right(after, winter) > 0.65


def test_other_seeds_are_other_visits_and_without_a_change_summer_goes_on(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        (tmp_path / name / "data").mkdir(parents=True)
        season.make(tmp_path / name, seed)
    one, two, three = ((tmp_path / name / "data" / "test.csv").read_bytes() for name in ("one", "two", "three"))
    assert one == two != three
    assert season.story(seed=1).seed != season.DRILL.seed
    calm = season.story(changes=False)
    assert [phase.user(random.Random(3)) for phase in calm.phases] == [season.in_summer(random.Random(3))] * 2
