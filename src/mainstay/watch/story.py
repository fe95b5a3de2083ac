"""An incident in plain sentences: its title, and its story, most important first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta
from typing import Any

from mainstay.core.incidents import Finding, Harm
from mainstay.watch import estimate, findings, streams
from mainstay.watch.changes import Kind
from mainstay.watch.estimate import Estimate
from mainstay.watch.onset import Onset

WITHIN = 0.03
"""Half-width for which the needed labels are told."""
ERROR_WITHIN = 0.1
"""Half-width of a regression's mean error for which the needed labels are told, as a share of what it was."""
MOVED, FIELDS, SEGMENTS, WORDS, CHANGES = 8, 4, 4, 10, 4
"""Most of each that a story names."""


def title(
    harm: Harm, found: Sequence[Finding], estimated: Estimate | None, changed: Sequence[Mapping[str, Any]] = ()
) -> str:
    """Return what is wrong in one line; of refusals with the field that they are for, if `changed` names one."""
    if harm is Harm.QUALITY and estimated is not None and estimated.drop_shown and estimated.reference is not None:
        return (
            f"Answers are probably worse: estimated accuracy {estimated.value:.0%}, "
            f"on the reference rows it was {estimated.reference:.0%}"
        )
    same = [finding for finding in found if finding.harm is harm]
    named = same or found  # a surer model, say, moves its answers alone
    first = next((finding for finding in same if findings.is_broken(finding)), named[0] if named else None)
    text = _capital(first.text) if first else "Traffic left its reference"
    if first is not None and first.signal == streams.REFUSED:
        field = next((one["text"] for one in changed if one["kind"] == Kind.UPSTREAM_SCHEMA.value), "")
        text += f": {field}" if field else ""
    if harm is not Harm.INPUT or (first is not None and first.signal == streams.ERROR):
        return text
    what = "Inputs" if same or not found else "Answers"
    return f"{what} changed, {'no harm is estimated' if estimated else 'their harm is not known'}: {text}"


def story(
    harm: Harm,
    found: Sequence[Finding],
    facts: Mapping[str, Any],
    estimated: Estimate | None,
    *,
    onset: Onset,
    rows: int,
) -> tuple[str, ...]:
    """Return the story: since when, how bad, what moved, where, what else changed, what is not known, what to do."""
    lines = [began(onset, rows), *_quality(found, facts, estimated), *_impact(facts["impact"])]
    moved = [finding.text for finding in found if not finding.segment]
    if moved:
        lines.append("What moved: " + "; ".join(moved[:MOVED]) + ".")
    costly = [one for one in facts["fields"] if one["sure"]]
    if costly and harm is Harm.QUALITY:
        named = ", ".join(f"`{one['field']}` ({one['points'] * 100:.0f} points)" for one in costly[:FIELDS])
        lines.append(f"If it alone were as before, the estimate would gain: {named}.")
    hit = [item for item in facts["segments"] if item["shown"]]
    if hit and harm is Harm.QUALITY:
        named = ", ".join(
            f"{s['segment']} ({s['reference_accuracy']:.0%} → {s['estimated_accuracy']:.0%})" for s in hit[:SEGMENTS]
        )
        lines.append(f"Where (estimated accuracy): {named}.")
    lines += _causes(facts["causes"])
    if facts["worst_slice"] is not None and harm is Harm.QUALITY:
        lines.append(f"{_capital(facts['worst_slice']['text'])}.")
    for name, told in facts["words"].items():
        if told:
            lines.append(f"Words in `{name}` that came up: " + ", ".join(item["word"] for item in told[:WORDS]) + ".")
    if facts["season"] and harm not in (Harm.DATA_FAULT, Harm.OPERATIONS):
        lines.append(facts["season"])
    lines += [_changes(facts["changes"]), facts["not_known"], facts["recommendation"]]
    return tuple(line for line in lines if line)


def began(onset: Onset, rows: int) -> str:
    """Return since when it is so, and between which moments that lies."""
    text = f"It began about {onset.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if onset.high - onset.low > timedelta(seconds=1):
        low, high = onset.low.astimezone(UTC), onset.high.astimezone(UTC)
        same_day = low.date() == high.date() == onset.at.astimezone(UTC).date()
        pattern = "%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S"
        text += f" (between {low:{pattern}} and {high:{pattern}}, {onset.level:.0%})"
    if onset.from_the_beginning:
        text += ", and may have been so from the first request that was compared"
    return f"{text}; {rows} requests came since then."


def _quality(found: Sequence[Finding], facts: Mapping[str, Any], estimated: Estimate | None) -> list[str]:
    lines = []
    broken = any(findings.is_broken(finding) for finding in found)
    if broken and (estimated is None or not estimated.drop_shown):
        lines.append(
            "With a broken field the accuracy cannot be estimated: the model may be sure of what it cannot know."
        )
    elif estimated is not None and estimated.reference is not None and estimated.low > estimated.reference:
        lines.append(
            f"The model is surer than it was: {estimated.value:.0%} of the answers would be right if that could be "
            f"believed; on the reference rows: {estimated.reference:.0%}. When inputs moved, that is no sign of it."
        )
    elif estimated is not None and estimated.reference is not None:
        lines.append(
            f"Estimated accuracy since then: {estimated.value:.0%} ({estimated.low:.0%} to {estimated.high:.0%}); "
            f"on the reference rows: {estimated.reference:.0%}. On unfamiliar inputs this estimate is usually too high."
        )
    error = facts["error"]
    if error is not None and error["n"]:
        lines.append(
            f"Mean distance of the answer from its label, on {error['n']} labels: {error['value']:.4g}; on the "
            f"reference rows: {error['reference']:.4g}."
        )
    measured = facts["measured"]
    if measured is not None:
        lines.append(
            f"Measured on {measured['n']} labels: {measured['value']:.0%} right "
            f"({measured['low']:.0%} to {measured['high']:.0%})."
        )
        lines.append(facts["uncovered"])
    return lines


def _impact(impact: Mapping[str, Any]) -> list[str]:
    lines = []
    if impact["points"]:
        basis = {"labels": "by the labels", "confidence": "by the model's confidence"}[impact["basis"]]
        lines.append(f"That is about {impact['wrong_per_1000']:.0f} wrong answers more in 1,000, {basis}.")
    if impact["affected_share"] >= 0.01:
        what = findings.describe(impact["affected_signal"])
        lines.append(f"At least {impact['affected_share']:.0%} of the requests are unlike before, by {what}.")
    return lines


def _causes(causes: Mapping[str, Any] | None) -> list[str]:
    """Return how a loss is shared out, where labels show one."""
    if causes is None or causes["change"] is None or causes["change"]["low"] <= 0.0:
        return []
    return list(causes["text"])


def _changes(found: Sequence[Mapping[str, Any]]) -> str:
    if not found:
        return "Nothing else that is recorded here changed then."
    named = [f"{one['kind']}: {one['text']}{_when(one['before_s'])}" for one in found[:CHANGES]]
    return "What else changed then: " + "; ".join(named) + "."


def _when(before_s: float | None) -> str:
    if before_s is None:
        return ""
    if abs(before_s) < 1.0:
        return ", at that moment"
    size = timedelta(seconds=round(abs(before_s)))
    return f", {size} before" if before_s > 0 else f", {size} after"


def not_known(measured: Estimate | None, needed: int, *, estimated: bool) -> str:
    """Return what cannot be known of right answers without labels, and how many random ones would tell."""
    points = f"±{WITHIN * 100:.0f} points"
    if measured is not None:
        return f"{measured.n} labels came since then; {needed} labels of random requests would tell within {points}."
    how = "is estimated, not measured" if estimated else "is not measured"
    return (
        f"How often answers are right {how}: no labels came since then. "
        f"Label {needed} random requests to know it within {points}."
    )


def error_not_known(error: Mapping[str, Any], needed: int) -> str:
    """Return the same of a regression."""
    came = f"{error['n']} labels came since then" if error["n"] else "no labels came since then"
    return (
        f"How far answers are from the truth is known from labels alone: {came}; {needed} labels of random requests "
        f"tell the mean distance within ±{ERROR_WITHIN:.0%} of what it was."
    )


def labels_needed(estimated: Estimate | None, error: Mapping[str, Any] | None) -> int:
    """Return how many labels of random requests would tell the quality within WITHIN, or ERROR_WITHIN."""
    if error is not None:
        return estimate.labels_for_mean(error["reference"], error["sd"], share=ERROR_WITHIN)
    return estimate.labels_needed(WITHIN, accuracy=estimated.value if estimated else 0.5)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
