"""What was measured of a version, as parts of its card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mainstay.core.contracts import Contract, Role
from mainstay.core.releases import Release
from mainstay.modelcard.records import Part, Table
from mainstay.status.records import Status

MOST_CLASSES = 30


def quality(evaluation: Mapping[str, Any], recent: Mapping[str, Any] | None, status: Status, release: Release) -> Part:
    """Return metrics, baselines and classes on held-out rows, and what is known of traffic."""
    tables = [
        Table(head=("metric", "value", "95 % interval"), rows=_metrics(evaluation), caption="On the frozen test rows")
    ]
    if recent:
        tables.append(
            Table(head=("metric", "value", "95 % interval"), rows=_metrics(recent), caption="On labelled traffic")
        )
    found = evaluation.get("beats")
    if found:
        table = [
            (what, _number(found[name]["value"]), _signed(found[name]["gain"]), _interval(found[name], _signed))
            for name, what in (("trivial", "an answer that looks at nothing"), ("simple", "a simple linear model"))
        ]
        head = ("held against", found["metric"], "this version is better by", "one-sided 95 %")
        tables.append(Table(head=head, rows=table, caption="Baselines"))
    worth = (evaluation.get("importance") or {}).get("fields") or ()
    if worth:
        rested = [(str(one["field"]), _signed(one["worth"]), _interval(one, _signed)) for one in worth]
        head_of_worth = ("field", f"{evaluation['importance']['metric']} lost when it is shuffled", "one-sided 95 %")
        tables.append(Table(head=head_of_worth, rows=rested, caption="What it rests on"))
    tables += _made_of(evaluation.get("explained") or {})
    classes = evaluation.get("classes") or {}
    if classes:
        some = list(classes.items())[:MOST_CLASSES]
        tables.append(
            Table(
                head=("class", "rows", "recall", "precision"),
                rows=[(name, str(c["rows"]), _number(c["recall"]), _number(c["precision"])) for name, c in some],
                caption="By class"
                if len(classes) == len(some)
                else f"By class, the first {len(some)} of {len(classes)}",
            )
        )
    says = []
    if status.answering is not None and status.answering.version == release.version:
        quality = status.quality
        for what, one in (("estimated without labels", quality.estimated), ("on the labels that came", quality.real)):
            if one is not None:
                says.append(f"On traffic, {what}: {one.value:.3f}. {one.note}".strip())
        if quality.unknown:
            says.append(quality.unknown)
    return Part(title="Quality", says=says, tables=tables)


def _made_of(report: Mapping[str, Any]) -> list[Table]:
    """Return what answers are made of by SHAP values: fields, and the words of each class."""
    if not report.get("fields"):
        return []
    how = f"{report['method']}, {'exact' if report['exact'] else 'estimated'}, {report['rows']} test rows"
    fields = [(one["field"], _number(one["weight"]), f"{one['share']:.0%}") for one in report["fields"]]
    tables = [
        Table(head=("field", "mean contribution", "share"), rows=fields, caption=f"What answers are made of ({how})")
    ]
    words = [
        (name, str(one["rows"]), ", ".join(str(word["word"]) for word in one["words"]), one["unit"])
        for name, one in list(report["classes"].items())[:MOST_CLASSES]
        if one["words"]
    ]
    if words:
        head = ("class", "rows", "words that speak for it most", "in")
        tables.append(Table(head=head, rows=words, caption="What each class is made of"))
    return tables


def segments(evaluation: Mapping[str, Any]) -> Part:
    """Return quality per declared segment."""
    slices = evaluation.get("slices") or {}
    if not slices:
        return Part(title="Segments", says=["No segment is declared, or none has rows enough."])
    found = [(name, str(one["rows"]), _number(one["value"]), _interval(one, _number)) for name, one in slices.items()]
    return Part(title="Segments", tables=[Table(head=("segment", "rows", "value", "95 % interval"), rows=found)])


def stress(evaluation: Mapping[str, Any]) -> Part:
    """Return what is kept of the metric under stress."""
    report = evaluation.get("stress")
    if not report or not report["kept"]:
        return Part(title="Under stress", says=["It was not measured."])
    at = report["judged_at"]
    found = [
        (
            one["kind"],
            report["says"].get(one["kind"], ""),
            _number(one["kept"]),
            _interval(one, _number),
            f"{one['refused']:.0%}",
        )
        for one in report["kept"]
        if one["strength"] == at
    ]
    head = ("kind", "what happens", f"share of {report['metric']} kept", "one-sided 95 %", "refused")
    return Part(title="Under stress", tables=[Table(head=head, rows=found, caption=f"At a strength of {at:g}")])


def behaviour(evaluation: Mapping[str, Any]) -> Part | None:
    """Return how the behaviour tests went; None where none is declared."""
    tables = evaluation.get("behaviour")
    if not tables:
        return None
    found = [
        (one["kind"], one["name"], f"{one['right']} of {one['cases']}", f"{one['at_least']:.0%}") for one in tables
    ]
    return Part(title="Behaviour", tables=[Table(head=("", "what", "behaves", "at least"), rows=found)])


def fairness(contract: Contract, evaluation: Mapping[str, Any]) -> Part:
    """Return how protected groups fare."""
    report = evaluation.get("audit")
    if not report:
        protected = [f.name for f in contract.with_role(Role.PROTECTED)]
        why = "It was not measured." if protected else "No protected group is declared."
        return Part(title="Fairness", says=[why])
    if report["favourable"] is None:
        return Part(title="Fairness", says=["Which answer is favourable is not declared ([audit] favourable)."])
    tables = []
    head = ("group", "rows", "base rate", "selection rate", "true positives", "false positives", "accuracy")
    for name, found in report["protected"].items():
        told = [
            (
                group,
                str(one["rows"]),
                *(
                    _number(one[key])
                    for key in ("base_rate", "selection_rate", "true_positive_rate", "false_positive_rate")
                ),
                _number(one["accuracy"]),
            )
            for group, one in found["groups"].items()
        ]
        if told:
            tables.append(Table(head=head, rows=told, caption=name))
    proxies = [
        f"The other features tell {name} with an AUC of {one['auc']:.3f} (0.5: not at all)"
        + (f", by {one['carried_by'][0]['feature']} most of all." if one["carried_by"] else ".")
        for name, one in (evaluation.get("proxies") or {}).items()
        if one["auc"] is not None
    ]
    return Part(title="Fairness", says=[f"Favourable is {report['favourable']}."], lists=proxies, tables=tables)


def _metrics(evaluation: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    found = evaluation.get("metrics") or {}
    return [(name, _number(one["value"]), _interval(one, _number)) for name, one in found.items()]


def _interval(found: Mapping[str, Any], write: Any) -> str:
    low, high = found.get("low"), found.get("high")
    return "" if low is None or high is None else f"{write(low)} to {write(high)}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"


def _signed(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.3f}"
