"""What a version's answers rest on, by SHAP values: each field, and the words of each class, and what changed.

Every row of a sample of the test rows is explained once, for the class that was answered (`models.explained`): exactly
for compiled linear models (Lundberg, Lee 2017) and forests (path-dependent TreeSHAP), else by a fixed number of
permutations. A field's weight is the mean of its contributions' sizes; a word speaks for the class of the rows that it
is in. Beside permutation importance this says what an answer is made of, not what would be lost without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

from mainstay.config.settings import Settings
from mainstay.core.contracts import Pii
from mainstay.core.verdicts import Check, Verdict
from mainstay.models.explained.explain import Explainer
from mainstay.models.explained.records import Explanation
from mainstay.models.load import LoadedModel
from mainstay.train.evaluate import sampled
from mainstay.train.fit import Rows, quiet

MOST_ROWS = 200
BUDGET_S = 30.0
"""A slow model is explained on fewer rows, the first ones of the sample, but on LEAST_ROWS."""
LEAST_ROWS = 10
PAIRS = 5
"""Pairs of permutations of an estimate."""
TOP = 50
"""Words of one row that are looked at."""
KEPT = 10
"""Words of a class that are kept."""
TOLD, CLASSES_TOLD = 3, 5
MOVED = 0.1
"""Of all weight: a field whose share moved by more is told."""
QUESTION = "What are the candidate's answers made of, and what changed?"


def measure(model: LoadedModel, rows: Rows, settings: Settings, *, budget_s: float = BUDGET_S) -> dict[str, Any]:
    """Return the report, JSON-ready.

    `method`, `exact`, `rows`; `fields`: {field, weight, share}, most first; `classes`: class (a regression's: `value`)
    -> {rows, unit, words: [{field, word, mean}], fields: [{field, mean}]}, each most first. Words of personal fields
    are left out. The same rows and seed give the same report, but that a slow model is explained on fewer rows.
    `why_not` where the model cannot be explained.
    """
    some = sampled(rows, MOST_ROWS, settings.project.seed)
    explainer = Explainer(model)
    found: list[Explanation] = []
    began = perf_counter()
    with quiet():
        for row in some.values:
            if len(found) >= LEAST_ROWS and perf_counter() - began > budget_s:
                break
            try:
                found.append(explainer.explain(row, top=TOP, budget_s=budget_s / LEAST_ROWS, pairs=PAIRS))
            except Exception as error:  # noqa: BLE001 - edge: the model is the user's code, and raising is an answer
                return {"rows": 0, "why_not": f"{type(error).__name__}: {error}"[:200]}
    if not found:
        return {"rows": 0, "why_not": "there is no test row"}
    open_ = {field.name for field in model.contract.fields if field.pii is Pii.KEEP}
    return {
        "method": found[0].method,
        "exact": all(one.exact for one in found),
        "rows": len(found),
        "fields": _fields(found),
        "classes": _classes(found, open_),
    }


def _fields(found: Sequence[Explanation]) -> list[dict[str, Any]]:
    sums: dict[str, float] = {}
    for one in found:
        for part in one.fields:
            sums[part.field] = sums.get(part.field, 0.0) + abs(part.contribution)
    total = sum(sums.values())
    told = [
        {"field": name, "weight": value / len(found), "share": value / total if total > 0 else 0.0}
        for name, value in sums.items()
    ]
    return sorted(told, key=lambda one: (-float(one["weight"]), str(one["field"])))


def _classes(found: Sequence[Explanation], open_: set[str]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name in dict.fromkeys(_class(one) for one in found):
        own = [one for one in found if _class(one) == name]
        words: dict[tuple[str, str], float] = {}
        fields: dict[str, float] = {}
        for one in own:
            for part in one.words:
                if part.word is not None and part.field in open_:
                    key = (part.field, part.word)
                    words[key] = words.get(key, 0.0) + part.contribution
            for part in one.fields:
                fields[part.field] = fields.get(part.field, 0.0) + part.contribution
        out[name] = {
            "rows": len(own),
            "unit": own[0].unit,
            "words": [
                {"field": field, "word": word, "mean": value / len(own)}
                for (field, word), value in sorted(words.items(), key=lambda one: (-one[1], one[0]))[:KEPT]
                if value > 0
            ],
            "fields": [
                {"field": field, "mean": value / len(own)}
                for field, value in sorted(fields.items(), key=lambda one: (-abs(one[1]), one[0]))[:KEPT]
            ],
        }
    return dict(sorted(out.items()))


def _class(one: Explanation) -> str:
    return "value" if one.label is None else str(one.label)


def changes(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Return what changed since another version, as clauses: fields whose share moved, each class's leading words."""
    was = {one["field"]: float(one["share"]) for one in before.get("fields", ())}
    is_ = {one["field"]: float(one["share"]) for one in now.get("fields", ())}
    moved = {name: is_.get(name, 0.0) - was.get(name, 0.0) for name in {*was, *is_}}
    told = [
        f"{name} bears {is_.get(name, 0.0):.0%} of the weight, before {was.get(name, 0.0):.0%}"
        for name in sorted(moved, key=lambda one: (-abs(moved[one]), one))
        if abs(moved[name]) > MOVED
    ]
    for name, found in now.get("classes", {}).items():
        old = before.get("classes", {}).get(name)
        if old is None:
            continue
        leading, led = _leading(found), _leading(old)
        new, gone = [w for w in leading if w not in led], [w for w in led if w not in leading]
        if new or gone:
            parts = [f"new {', '.join(new)}"] if new else []
            parts += [f"gone {', '.join(gone)}"] if gone else []
            told.append(f"{name}: {'; '.join(parts)}")
    return told


def _leading(found: Mapping[str, Any]) -> list[str]:
    return [str(one["word"]) for one in found["words"][:TOLD]]


def check(report: Mapping[str, Any] | None, before: Mapping[str, Any] | None) -> Check:
    """Report what answers are made of, beside the champion's; judges nothing."""
    changed: list[str] = []
    if report is None or report.get("why_not"):
        why = "it was not measured" if report is None else f"it cannot be explained: {report['why_not']}"
    else:
        some = ", ".join(f"{one['field']} ({one['share']:.0%})" for one in report["fields"][:TOLD])
        how = "exact" if report["exact"] else "estimated"
        why = f"weight ({report['method']}, {how}, {report['rows']} rows): {some}"
        leading = {name: _leading(one) for name, one in report["classes"].items()}
        by_class = [f"{name}: {', '.join(words)}" for name, words in leading.items() if words]
        why += f"; for {'; '.join(by_class[:CLASSES_TOLD])}" if by_class else ""
        if before is not None and not before.get("why_not"):
            changed = changes(report, before)
            some = "; ".join(changed[:CLASSES_TOLD])
            why += f". Beside the champion: {some or 'the same fields and words lead'}"
    return Check(
        name="explanations",
        question=QUESTION,
        verdict=Verdict.NOT_ENOUGH,
        reason=why,
        numbers={**(report or {}), "changed": changed},
        applies=False,
    )
