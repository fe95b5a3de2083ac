"""How long explanations take, by kind of model: `python bench/explanations.py DATA` (banking77 as published).

It measures and is no test: its figures stand in docs/trust.md.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.core.profiles import Profile
from mainstay.models.compiled.make import compile_model
from mainstay.models.explained.background import background_of
from mainstay.models.explained.explain import Explainer
from mainstay.models.inputs import Form, InputSpec
from mainstay.models.load import LoadedModel

Values = Sequence[Mapping[str, Any]]
NAMES = tuple(f"x{number}" for number in range(20))


def loaded(estimator: Any, contract: Contract, spec: InputSpec, rows: Values) -> LoadedModel:
    """Return a fitted estimator as a worker has it."""
    plain = {"contract": contract, "classes": contract.classes, "spec": spec}
    profile = Profile(source="none", rows=0, keys=0, signals=[])
    model = LoadedModel(estimator=estimator, profile=profile, **plain)
    made = compile_model(estimator, contract, spec, classes=model.fitted, original=model.original, rows=rows[:500])
    if made.program is None:
        return model
    return LoadedModel(
        estimator=None,
        profile=profile,
        program=made.program,
        background=background_of(made.program, rows),
        fitted=model.fitted,
        **plain,
    )


def tell(name: str, model: LoadedModel, rows: Values) -> None:
    """Print what the first and the later explanations take."""
    explainer = Explainer(model)
    began = perf_counter()
    first = explainer.explain(rows[0])
    first_ms = 1000 * (perf_counter() - began)
    took, used = [], process_time()
    for row in rows[1:51]:
        took.append(explainer.explain(row).took_ms)
    used = 1000 * (process_time() - used) / 50
    print(
        f"{name}: {first.method}, first {first_ms:.1f} ms, later p50 {median(took):.2f} ms, "
        f"longest of 50 {max(took):.1f} ms, processor {used:.2f} ms; {first.note}"
    )


def main(data: Path) -> None:
    """Measure."""
    with (data / "banking77" / "train.csv").open(encoding="utf-8") as file:
        lines = [(row["text"], row["category"]) for row in csv.DictReader(file)]
    texts, kinds = [text for text, _ in lines], [kind for _, kind in lines]
    classes = tuple(sorted(set(kinds)))
    told = Contract(
        task=Task.MULTICLASS, fields=(Field(name="text", type=FieldType.TEXT),), target="y", classes=classes
    )
    rows = [{"text": text} for text in texts]
    pipeline = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=200)).fit(texts, kinds)
    width = len(pipeline[0].vocabulary_)
    tell(f"linear, {width} words and pairs, 77 classes", loaded(pipeline, told, InputSpec(input="text"), rows), rows)

    rng = np.random.default_rng(0)
    x = rng.normal(size=(5000, 20))
    y = np.where(x[:, 0] * x[:, 1] + x[:, 2] > 0, "yes", "no")
    fields = tuple(Field(name=name, type=FieldType.NUMBER) for name in NAMES)
    table = Contract(task=Task.BINARY, fields=fields, target="y", classes=("no", "yes"))
    values = [dict(zip(NAMES, row, strict=True)) for row in x.tolist()]
    for name, estimator in (
        ("100 boosted trees of depth 3", GradientBoostingClassifier(random_state=0)),
        ("100 boosted trees of 31 leaves", HistGradientBoostingClassifier(random_state=0)),
        ("100 trees of depth 10", RandomForestClassifier(max_depth=10, random_state=0)),
        ("100 trees without a limit", RandomForestClassifier(random_state=0)),
        ("not compiled: nearest neighbours", KNeighborsClassifier()),
    ):
        model = loaded(estimator.fit(x, y), table, InputSpec(form=Form.ARRAY), values)
        tell(name, model, values)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
