"""From findings to one incident: what is at stake, since when, where, which words tell, and what is not known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mainstay.config.settings import WatchSettings
from mainstay.core.incidents import Finding, Harm, Incident, Severity
from mainstay.core.profiles import Profile
from mainstay.stats.intervals import Floats
from mainstay.stats.words import telling_words
from mainstay.watch import estimate, findings, outlook, streams
from mainstay.watch.compare import Comparison, WatchState
from mainstay.watch.window import CONFIDENCE, LOW_TRUST

WITHIN = 0.03
"""Half-width for which the needed labels are told."""
ERROR_WITHIN = 0.1
"""Half-width of a regression's mean error for which the needed labels are told, as a share of what it was."""
RECENT_UNITS = 200
"""What "now" means for the estimated accuracy, in units of evidence."""
SEGMENT_UNITS = 10
"""Segments with fewer units since the start are not ranked."""
SEVERITIES: Mapping[Harm, Severity] = {
    Harm.DATA_FAULT: Severity.PAGE,
    Harm.QUALITY: Severity.PAGE,
    Harm.OPERATIONS: Severity.PAGE,
    Harm.REWARD: Severity.PAGE,
    Harm.SKEW: Severity.WATCH,
    Harm.OUTPUT: Severity.WATCH,
    Harm.INPUT: Severity.NOTE,
}
ADVICE: Mapping[Harm, str] = {
    Harm.QUALITY: "Label a random part of the requests since then; retraining on them is likely to help. Until then "
    "treat answers with low trust as suggestions.",
    Harm.DATA_FAULT: "Look upstream first: a field arrives empty, broken, or as the model never saw it. These requests "
    "are not learned from, for that would teach the fault. If their values are right, name `incident:data_fault` under "
    "[retrain] on, label some of them and retrain.",
    Harm.OPERATIONS: "Read the workers' log; roll back if it began with a release.",
    Harm.OUTPUT: "Check with a few labels whether the new mix of answers is right; the inputs may simply ask for it.",
    Harm.INPUT: "Nothing needs to be done now; label a few requests if these inputs matter to you.",
    Harm.REWARD: "Compare with what changed at that time.",
    Harm.SKEW: "Compare the feature code of training and serving.",
}
ADVICE_ELSEWHERE: Mapping[Harm, str] = {
    Harm.QUALITY: "Label a random part of the requests since then, and train the service's model on them. Until then "
    "treat its answers with doubt.",
    Harm.DATA_FAULT: "Look upstream first: a field arrives empty, broken, or as the service never saw it. If its "
    'values are right and here to stay, `mainstay learn --reason "…"` makes them the reference.',
    Harm.OPERATIONS: "Read the service's log; bring its last release back if it began with another.",
    Harm.OUTPUT: "Check with a few labels whether the new mix of answers is right; the inputs may simply ask for it. "
    'If the service got another model, `mainstay learn --reason "…"` makes its answers the reference.',
}
"""For a model that answers elsewhere: nothing is trained or rolled back here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What is known of the requests since the start, beside the evidence."""

    words: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Per text field: rows that hold the word."""
    examples: Sequence[str] = ()
    """Ids of the least certain answers."""
    gaps: Sequence[tuple[str, float]] = ()
    """Labelled answers since the start: key, confidence minus right."""
    correct: Sequence[bool] = ()
    elsewhere: bool = False
    """Whether a service of its own answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """An incident to be, and on how much it rests."""

    incident: Incident
    units: int
    """Units of evidence since the start."""


def diagnose(
    state: WatchState,
    comparison: Comparison,
    profile: Profile,
    settings: WatchSettings,
    *,
    window: Window,
    now: datetime,
    look: int = 1,
) -> Diagnosis:
    """Tell the findings as one incident; `look` counts the alarms of one incident, from 1.

    Harm, by rule: a broken field; a data fault or failures whose own stream passes the bar; else quality, when labels
    show it or confidence is among the findings and the estimated accuracy fell by at least `material.accuracy`; else a
    changed mix of answers; else a note about inputs.
    """
    start = comparison.assessment.start
    columns = findings.columns_since(state, start)
    found = findings.find(state, comparison, look=look)
    estimated = _estimate(profile, comparison, columns, _spread(state, comparison), segment=streams.ALL)
    harm = harm_of(found, estimated, comparison, settings)
    since = state.since[start] if 0 <= start < len(state.since) else now
    told = tell(
        state, comparison, profile, harm=harm, found=found, columns=columns, window=window, since=since, now=now
    )
    return Diagnosis(incident=told, units=_units(comparison, columns))


def tell(
    state: WatchState,
    comparison: Comparison,
    profile: Profile,
    *,
    harm: Harm,
    found: Sequence[Finding],
    columns: Floats,
    window: Window,
    since: datetime,
    now: datetime,
) -> Incident:
    """Return the incident that findings and counted `columns` since its start make."""
    estimated = _estimate(profile, comparison, columns, _spread(state, comparison), segment=streams.ALL)
    facts = _facts(state, comparison, profile, columns, window, estimated)
    if any(findings.is_broken(finding) for finding in found):
        facts["not_known"] = facts["not_known"].replace("is estimated, not measured", "is not measured")
    rows = int(columns[-1])
    units = _units(comparison, columns)
    facts |= {"recommendation": _advice(harm, estimated, elsewhere=window.elsewhere), "rows": rows, "units": units}
    facts |= {
        "outlook": outlook.of(state, comparison, profile),
        "season": outlook.season_note(profile, since, state.since[-1] if state.since else since),
    }
    story = _story(harm, found, facts, estimated, since=since, rows=rows)
    return Incident(
        model=state.model,
        bundle=state.bundle,
        harm=harm,
        severity=SEVERITIES[harm],
        opened_at=now,
        started_at=since,
        rows_to_detect=rows,
        title=_title(harm, found, estimated),
        story=story,
        findings=tuple(found),
        facts=facts,
    )


def lost_quality(
    state: WatchState,
    comparison: Comparison,
    profile: Profile,
    columns: Floats,
    found: Sequence[Finding],
    settings: WatchSettings,
) -> bool:
    """Return whether labels, or the estimated accuracy over `columns`, show a material loss."""
    estimated = _estimate(profile, comparison, columns, _spread(state, comparison), segment=streams.ALL)
    return _labels_show(found) or _estimate_shows(found, estimated, settings)


def _labels_show(found: Sequence[Finding]) -> bool:
    return any(f.signal in (streams.GAP, streams.ERROR) and f.harm is Harm.QUALITY for f in found)


def _estimate_shows(found: Sequence[Finding], estimated: estimate.Estimate | None, settings: WatchSettings) -> bool:
    """Return whether confidence fell for sure, and by enough; who looks often enough passes an interval by chance."""
    if estimated is None or not estimated.drop_shown or estimated.drop < settings.material.accuracy:
        return False
    return any(f.signal == CONFIDENCE and not f.segment for f in found)


def harm_of(
    found: Sequence[Finding], estimated: estimate.Estimate | None, comparison: Comparison, settings: WatchSettings
) -> Harm:
    """Return what is at stake, the cause before the effect."""
    bar = math.exp(min(comparison.log_bar, 690.0))
    alone = {finding.harm for finding in found if finding.evidence >= bar or findings.is_broken(finding)}
    for harm in (Harm.DATA_FAULT, Harm.OPERATIONS):
        if harm in alone:
            return harm
    if _labels_show(found) or _estimate_shows(found, estimated, settings):
        return Harm.QUALITY
    if any(finding.harm is Harm.OUTPUT for finding in found):
        return Harm.OUTPUT
    if any(finding.harm is Harm.DATA_FAULT for finding in found):
        return Harm.DATA_FAULT
    return Harm.INPUT


def _spread(state: WatchState, comparison: Comparison) -> float:
    """Return the design effect of keys that come again, for the confidence stream."""
    for item in comparison.plan.watched:
        if item.name == CONFIDENCE and item.segment == streams.ALL:
            return 1.0 + (state.history.repeats - 1.0) * item.stream.correlation
    return 1.0


def _estimate(
    profile: Profile, comparison: Comparison, columns: Floats, spread: float, *, segment: str
) -> estimate.Estimate | None:
    where = comparison.plan.columns(CONFIDENCE, segment)
    if where is None:
        return None
    return estimate.from_confidence(profile, columns[where], spread=spread, segment=segment)


def estimate_now(state: WatchState, comparison: Comparison, profile: Profile) -> estimate.Estimate | None:
    """Return the estimated accuracy: since the change at an alarm, else over about the last RECENT_UNITS units."""
    start = comparison.assessment.start if comparison.alarm else _recent(state, comparison)
    columns = findings.columns_since(state, start)
    return _estimate(profile, comparison, columns, _spread(state, comparison), segment=streams.ALL)


def _recent(state: WatchState, comparison: Comparison) -> int:
    """Return the latest candidate start with RECENT_UNITS units since, or −1 for the beginning."""
    where = comparison.plan.columns(CONFIDENCE)
    if where is None:
        return -1
    since = state.history.totals[where.start] - state.history.prefix[:, where.start]
    enough = [i for i, n in enumerate(since.tolist()) if n >= RECENT_UNITS]
    return enough[-1] if enough else -1


def _units(comparison: Comparison, columns: Floats) -> int:
    where = comparison.plan.columns(streams.FAILED)
    return 0 if where is None else round(float(columns[where][1]))


def _facts(
    state: WatchState,
    comparison: Comparison,
    profile: Profile,
    columns: Floats,
    window: Window,
    estimated: estimate.Estimate | None,
) -> dict[str, Any]:
    where = comparison.plan.columns(CONFIDENCE)
    measured = estimate.from_labels(list(window.correct), reference=profile.accuracy)
    powered = None
    if where is not None and window.gaps:
        keys, gaps = [key for key, _ in window.gaps], [gap for _, gap in window.gaps]
        powered = estimate.prediction_powered(columns[where], gaps, keys, reference=profile.accuracy)
    error = _error(comparison, columns)
    needed = estimate.labels_needed(WITHIN, accuracy=estimated.value if estimated else 0.5)
    if error is not None:
        needed = estimate.labels_for_mean(error["reference"], error["sd"], share=ERROR_WITHIN)
    return {
        "estimate": estimated.as_dict() if estimated else None,
        "measured": measured.as_dict() if measured else None,
        "error": error,
        "prediction_powered": powered.as_dict() if powered else None,
        "low_trust": _low_trust(comparison, columns),
        "segments": _segments(state, comparison, profile, columns),
        "words": {
            name: [
                {"word": w.word, "now": w.now, "before": w.before, "z": round(w.z, 2)}
                for w in telling_words(counts, profile.words.get(name, {}))
            ]
            for name, counts in window.words.items()
        },
        "examples": list(window.examples),
        "unit": "key" if state.by_key else "request",
        "reference": {"source": profile.source, "rows": profile.rows, "keys": profile.keys},
        "labels_needed": {"within": WITHIN if error is None else ERROR_WITHIN, "labels": needed},
        "not_known": _not_known(measured, needed) if error is None else _error_not_known(error, needed),
    }


def _error(comparison: Comparison, columns: Floats) -> dict[str, Any] | None:
    """Return the distance of a regression's answers from their labels, then and now; None for other tasks."""
    for i, item in enumerate(comparison.plan.watched):
        if item.name == streams.ERROR and item.profile is not None:
            part = columns[comparison.plan.offsets[i] : comparison.plan.offsets[i + 1]]
            move = findings.level(item, part)
            value = None if move is None else move.now
            return {"n": round(float(part[0])), "value": value, "reference": item.profile.mean, "sd": item.profile.sd}
    return None


def _low_trust(comparison: Comparison, columns: Floats) -> dict[str, float] | None:
    for i, item in enumerate(comparison.plan.watched):
        if item.name == LOW_TRUST and item.segment == streams.ALL:
            move = findings.level(item, columns[comparison.plan.offsets[i] : comparison.plan.offsets[i + 1]])
            return None if move is None else {"before": move.before, "now": move.now}
    return None


def _segments(state: WatchState, comparison: Comparison, profile: Profile, columns: Floats) -> list[dict[str, Any]]:
    """Return the segments with their estimated drop, the one that accounts for most of it first."""
    plan = comparison.plan
    whole = plan.columns(CONFIDENCE)
    total = float(columns[whole][0]) if whole is not None else 0.0
    spread = _spread(state, comparison)
    out = []
    for segment in dict.fromkeys(item.segment for item in plan.watched if item.segment):
        found = _estimate(profile, comparison, columns, spread, segment=segment)
        if found is None or found.n < SEGMENT_UNITS:
            continue
        out.append(
            {
                "segment": segment,
                "share": min(found.n / total, 1.0) if total > 0 else 0.0,
                "estimated_accuracy": found.value,
                "low": found.low,
                "high": found.high,
                "reference_accuracy": found.reference,
                "drop": found.drop,
                "units": found.n,
                "shown": found.drop_shown,
            }
        )
    return sorted(out, key=lambda item: -float(item["drop"]) * float(item["share"]))


def _not_known(measured: estimate.Estimate | None, needed: int) -> str:
    if measured is None:
        return (
            "How often answers are right is estimated, not measured: no labels came since then. "
            f"Label {needed} random requests to know it within ±{WITHIN * 100:.0f} points."
        )
    points = f"±{WITHIN * 100:.0f} points"
    return f"{measured.n} labels came since then; {needed} labels of random requests would tell within {points}."


def _error_not_known(error: Mapping[str, Any], needed: int) -> str:
    came = f"{error['n']} labels came since then" if error["n"] else "no labels came since then"
    return (
        f"How far answers are from the truth is known from labels alone: {came}; {needed} labels of random requests "
        f"tell the mean distance within ±{ERROR_WITHIN:.0%} of what it was."
    )


def _title(harm: Harm, found: Sequence[Finding], estimated: estimate.Estimate | None) -> str:
    if harm is Harm.QUALITY and estimated is not None and estimated.drop_shown and estimated.reference is not None:
        return (
            f"Answers are probably worse: estimated accuracy {estimated.value:.0%}, "
            f"on the reference rows it was {estimated.reference:.0%}"
        )
    same = [finding for finding in found if finding.harm is harm]
    first = next((finding for finding in same if findings.is_broken(finding)), same[0] if same else None)
    text = _capital(first.text) if first else "Traffic left its reference"
    if harm is not Harm.INPUT or (first is not None and first.signal == streams.ERROR):
        return text
    return f"Inputs changed, {'no harm is estimated' if estimated else 'their harm is not known'}: {text}"


def _story(
    harm: Harm,
    found: Sequence[Finding],
    facts: Mapping[str, Any],
    estimated: estimate.Estimate | None,
    *,
    since: datetime,
    rows: int,
) -> tuple[str, ...]:
    lines = [f"It began about {since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC; {rows} requests came since then."]
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
    moved = [finding.text for finding in found if not finding.segment]
    if moved:
        lines.append("What moved: " + "; ".join(moved[:8]) + ".")
    hit = [item for item in facts["segments"] if item["shown"]]
    if hit and harm is Harm.QUALITY:
        named = ", ".join(
            f"{s['segment']} ({s['reference_accuracy']:.0%} → {s['estimated_accuracy']:.0%})" for s in hit[:4]
        )
        lines.append(f"Where (estimated accuracy): {named}.")
    for name, told in facts["words"].items():
        if told:
            lines.append(f"Words in `{name}` that came up: " + ", ".join(item["word"] for item in told[:10]) + ".")
    if facts["season"] and harm not in (Harm.DATA_FAULT, Harm.OPERATIONS):
        lines.append(facts["season"])
    lines += [facts["not_known"], facts["recommendation"]]
    return tuple(lines)


def _advice(harm: Harm, estimated: estimate.Estimate | None, *, elsewhere: bool) -> str:
    if harm is Harm.INPUT and estimated is None:
        return "Label a few requests: without an estimate, only that tells whether these inputs do harm."
    return ADVICE_ELSEWHERE.get(harm, ADVICE[harm]) if elsewhere else ADVICE[harm]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
