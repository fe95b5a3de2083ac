"""Why a model gives a row its answer. `explain` is the one way in; see records.py for what it says.

A compiled linear model is explained exactly: what column j adds is w_j · (x_j − E x_j), which is its Shapley value when
columns are taken for independent (Štrumbelj, Kononenko 2014; linear SHAP of Lundberg, Lee 2017). A compiled forest is
explained exactly by path-dependent TreeSHAP (paths.py). For any other model permutations give an estimate with its
standard error, within the time (sampled.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.core.contracts import FieldType
from mainstay.core.errors import UsageError
from mainstay.models.compiled.heads import ForestHead, LinearHead
from mainstay.models.compiled.parts import Floats, Program, Row
from mainstay.models.explained import names, paths, sampled, scores
from mainstay.models.explained.background import Background, matrix_of
from mainstay.models.explained.names import Columns, columns_of
from mainstay.models.explained.plain_rows import usual_row
from mainstay.models.explained.records import Explanation, Part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mainstay.models.load import LoadedModel

TOP = 10
BUDGET_S = 0.2
SEED = 0
"""Of the permutations: the same row gets the same explanation while the time allows equally many."""


class Explainer:
    """Explains the answers of one model. What it lays out is kept, so later explanations are quicker.

    Compiled models may be asked from any thread; any other through `loaded`, which is for one caller at a time.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self._loaded = loaded
        self._lock = Lock()
        self._columns: Columns | None = None
        self._ways: list[paths.Ways] | None = None
        self._expected: Floats = np.zeros(0)
        self._why_not = ""

    def explain(
        self,
        row: Row,
        *,
        label: Any = None,
        top: int = TOP,
        budget_s: float = BUDGET_S,
        pairs: int = sampled.MOST_PAIRS,
    ) -> Explanation:
        """Explain a checked row: the answered class, or the class `label`.

        At most `top` fields and as many words are listed, the others summed up. `budget_s` and `pairs` of permutations
        bound estimates; exact methods take what they take (the first explanation of a forest lays out its ways). Raises
        UsageError for a class that the model does not know, and whatever the model raises for the row.
        """
        began = perf_counter()
        loaded = self._loaded
        with self._lock:
            said = loaded.predict([row])[0]
            number, shown = self._class(said, label)
            made = None
            program, background = loaded.program, loaded.background
            if program is not None:
                (own,) = loaded.program_rows([row])
                index = 0 if number is None else loaded.fitted.index(loaded.classes[number])
                if isinstance(program.head, LinearHead):
                    made = self._linear(program, program.head, background, own, index, top)
                elif isinstance(program.head, ForestHead) and background is not None and background.cover is not None:
                    made = self._forest(program, program.head, background.cover, background.rows, own, index, top)
            if made is None:
                made = self._sampled(row, number, top, budget_s, pairs)
        return Explanation(label=shown, took_ms=round(1000 * (perf_counter() - began), 3), **made)

    def _class(self, said: NDArray[np.float64], label: Any) -> tuple[int | None, Any]:
        classes = self._loaded.classes
        if not self._loaded.contract.task.is_classification:
            if label is not None:
                raise UsageError(f"the answer is a number; there is no class {label!r} to explain")
            return None, None
        if label is None:
            decision = self._loaded.thresholds.decision  # the label that is answered
            number = int(np.argmax(said) if decision is None else np.argmin(decision.expected(said[None, :])))
            return number, classes[number]
        known = self._loaded.fitted
        if label not in known:
            raise UsageError(f"the model was fitted to no class {label!r}", remedy=f"Classes are {', '.join(known)}.")
        return classes.index(label), label

    def _linear(
        self,
        program: Program,
        head: LinearHead,
        background: Background | None,
        row: Row,
        index: int,
        top: int,
    ) -> dict[str, Any]:
        score = scores.score_of(head.link, len(head.intercept), index)
        weights, columns = head.weights @ score.weights, self._known_columns(program)
        values = matrix_of(program, [row])[0]
        means = np.zeros(len(values)) if background is None or background.means is None else background.means
        against = "a row without words, of which every column is 0"
        if background is not None and background.means is not None:
            against = f"the mean of {background.rows} training rows"
        contributions = weights * (values - means)
        return _exact(
            columns,
            row,
            values,
            contributions,
            top,
            method="linear",
            unit=score.unit,
            base_value=float(score.of(head.intercept) + means @ weights),
            compared_with=against,
            value=float(score.of(head.intercept) + values @ weights),
        )

    def _forest(
        self, program: Program, head: ForestHead, cover: Floats, rows: int, row: Row, index: int, top: int
    ) -> dict[str, Any] | None:
        forest = head.forest
        if self._ways is None and not self._why_not:
            try:
                self._ways = paths.ways_of(forest, cover)
                self._expected = paths.expected(forest, cover)
            except paths.TooLarge:
                self._why_not = f"a forest of {forest.nodes} nodes is too large to be laid out"
        if self._ways is None:
            return None
        score = scores.score_of(head.link, len(forest.start), index)
        matrix = matrix_of(program, [row])
        found = np.zeros((matrix.shape[1], len(forest.start)))
        narrowed = forest.narrowed(matrix)[0]
        for ways in self._ways:
            ways.contributions(narrowed, found)
        return _exact(
            self._known_columns(program),
            row,
            matrix[0],
            found @ score.weights,
            top,
            method="tree_shap",
            unit=score.unit,
            base_value=float(score.of(self._expected)),
            compared_with=f"the ways that {rows} training rows took",
            value=float(score.of(forest.sums(matrix)[0])),
        )

    def _known_columns(self, program: Program) -> Columns:
        if self._columns is None:
            self._columns = columns_of(program)
        return self._columns

    def _sampled(self, row: Row, number: int | None, top: int, budget_s: float, pairs: int) -> dict[str, Any]:
        loaded = self._loaded
        taken = loaded.fields_taken
        texts = [f.name for f in loaded.contract.fields if f.name in taken and f.type is FieldType.TEXT]
        fields = [field.name for field in loaded.contract.fields if field.name in taken]

        def ask(rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
            said = loaded.predict(rows)
            return said if number is None else said[:, number]

        found = sampled.estimate(
            ask,
            row,
            usual_row(loaded.contract, loaded.profile),
            fields=fields,
            texts=texts,
            budget_s=budget_s,
            seed=SEED,
            most_pairs=pairs,
        )
        whole, others = names.largest(_sampled_fields(found, row, fields), top)
        words = [
            Part(field=p.field, word=p.word, contribution=float(c), standard_error=_finite(e))
            for p, c, e in zip(found.players, found.contributions, found.errors, strict=True)
            if p.word is not None
        ]
        listed, other_words = names.largest(words, top)
        why = f"; {self._why_not}" if self._why_not else ""
        return {
            "method": "permutation",
            "exact": False,
            "unit": "value" if number is None else "probability",
            "base_value": found.base,
            "compared_with": "a usual row without words",
            "value": found.value,
            "fields": whole,
            "others": others,
            "words": listed,
            "other_words": other_words,
            "absent_words": 0.0,
            "note": f"an estimate from {2 * found.pairs} permutations{why}",
        }


def _sampled_fields(found: sampled.Estimate, row: Row, fields: Sequence[str]) -> list[Part]:
    """Return what each field adds: of a text the sum of its words, with an error of its own."""
    parts = []
    for name in fields:
        mine = [number for number, player in enumerate(found.players) if player.field == name]
        sums = found.joint[:, mine].sum(axis=1)
        error = float(sampled.standard_error(sums[:, None])[0]) if mine else 0.0
        total = float(found.contributions[mine].sum())
        parts.append(Part(field=name, value=row.get(name), contribution=total, standard_error=_finite(error)))
    return parts


def _exact(columns: Columns, row: Row, values: Floats, contributions: Floats, top: int, **said: Any) -> dict[str, Any]:
    whole, others = names.largest(names.field_parts(columns, row, contributions), top)
    words, absent = names.word_parts(columns, values, contributions)
    listed, other_words = names.largest(words, top)
    return {
        "exact": True,
        "fields": whole,
        "others": others,
        "words": listed,
        "other_words": other_words,
        "absent_words": absent,
        **said,
    }


def _finite(error: float) -> float | None:
    return float(error) if isfinite(error) else None


def explain(
    loaded: LoadedModel, row: Row, *, label: Any = None, top: int = TOP, budget_s: float = BUDGET_S
) -> Explanation:
    """Explain one checked row; see `Explainer.explain`. Whoever explains many rows of a model keeps an Explainer."""
    return Explainer(loaded).explain(row, label=label, top=top, budget_s=budget_s)
