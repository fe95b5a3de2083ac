"""From findings to one incident: what is at stake, since when, how much, where, and what shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mainstay.config.settings import WatchSettings
from mainstay.core.incidents import Finding, Harm, Incident
from mainstay.core.profiles import Profile
from mainstay.stats.intervals import Floats
from mainstay.stats.words import telling_words
from mainstay.watch import (
    changes,
    distances,
    estimate,
    examples,
    fields,
    findings,
    outlook,
    recommend,
    severity,
    shapes,
    story,
    streams,
)
from mainstay.watch.changes import Change
from mainstay.watch.compare import Comparison, WatchState
from mainstay.watch.onset import Onset
from mainstay.watch.recall import Recalled
from mainstay.watch.window import CONFIDENCE, LOW_TRUST

RECENT_UNITS = 200
"""What "now" means for the estimated accuracy, in units of evidence."""
SEGMENT_UNITS = 10
"""Segments with fewer units since the start are not ranked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What is known of the requests since the start, beside the evidence."""

    words: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Per text field: rows that hold the word."""
    gaps: Sequence[tuple[str, float]] = ()
    """Labelled answers since the start: key, confidence minus right."""
    wrong: Mapping[str, float] = field(default_factory=dict)
    """The same by id of the request."""
    correct: Sequence[bool] = ()
    recalled: Recalled = field(default_factory=Recalled)
    """Some of the requests themselves."""
    worst: Mapping[str, Any] | None = None
    """The worst slice that nobody declared (`watch.worst`)."""
    causes: Mapping[str, Any] | None = None
    """Why answers became worse, by their labels (`watch.quality_causes`); None: none came."""
    uncovered: str = ""
    """That labels seem to exist only for what the model chose, as a sentence (`stats.selective`), or empty."""
    changes: Sequence[Change] = ()
    """What else changed then."""
    way_back: str = ""
    """The version to which a rollback leads, if it did no such harm; else empty."""
    labels_wanted: int = 150
    """So many labels are needed to train on."""
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
    onset: Onset,
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
    told = tell(
        state,
        comparison,
        profile,
        settings,
        harm=harm,
        found=found,
        columns=columns,
        window=window,
        onset=onset,
        now=now,
    )
    return Diagnosis(incident=told, units=_units(comparison, columns))


def tell(
    state: WatchState,
    comparison: Comparison,
    profile: Profile,
    settings: WatchSettings,
    *,
    harm: Harm,
    found: Sequence[Finding],
    columns: Floats,
    window: Window,
    onset: Onset,
    now: datetime,
) -> Incident:
    """Return the incident that findings and counted `columns` since its start make."""
    estimated = _estimate(profile, comparison, columns, _spread(state, comparison), segment=streams.ALL)
    facts = _facts(state, comparison, profile, columns, window, estimated, found)
    size = severity.size_of(found, facts, comparison, columns)
    broken = any(findings.is_broken(finding) for finding in found)
    facts |= {
        "impact": size.as_dict(),
        "onset": onset.as_dict(),
        "changes": [change.as_dict(onset) for change in window.changes],
        "rows": int(columns[-1]),
        "units": _units(comparison, columns),
        "outlook": outlook.of(state, comparison, profile),
        "season": outlook.season_note(profile, onset.at, state.since[-1] if state.since else onset.at),
    }
    facts |= _advice(harm, found, facts, window, onset, bundle=state.bundle)
    return Incident(
        model=state.model,
        bundle=state.bundle,
        harm=harm,
        severity=severity.severity_of(harm, size, broken=broken, material=settings.material.accuracy),
        opened_at=now,
        started_at=onset.at,
        rows_to_detect=facts["rows"],
        title=story.title(harm, found, estimated, facts["changes"]),
        story=story.story(harm, found, facts, estimated, onset=onset, rows=facts["rows"]),
        findings=tuple(found),
        facts=facts,
    )


def _advice(
    harm: Harm, found: Sequence[Finding], facts: Mapping[str, Any], window: Window, onset: Onset, *, bundle: str
) -> dict[str, Any]:
    """Return what to do, as a sentence and with its reason, and which requests to label."""
    needed = int(facts["labels_needed"]["labels"])
    told = recommend.recommend(
        recommend.Situation(
            harm=harm,
            broken=any(findings.is_broken(finding) for finding in found),
            refused=any(finding.signal == streams.REFUSED for finding in found),
            estimated=facts["estimate"] is not None,
            labels=len(window.gaps),
            labels_show=_labels_show(found) or bool(facts["measured"] and facts["measured"]["drop_shown"]),
            labels_wanted=window.labels_wanted,
            labels_needed=needed,
            release=changes.release_then(facts["changes"], bundle),
            way_back=window.way_back,
            elsewhere=window.elsewhere,
            loss=recommend.loss_of(facts["causes"], facts["worst_slice"]),
        )
    )
    return {
        "recommendation": told.text,
        "action": told.as_dict(),
        "to_label": recommend.to_label(window.recalled.since, needed=needed, seed=onset.at.isoformat()),
    }


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
    found: Sequence[Finding],
) -> dict[str, Any]:
    where = comparison.plan.columns(CONFIDENCE)
    measured = None
    if window.correct:
        measured = estimate.from_labels(list(window.correct), [k for k, _ in window.gaps], reference=profile.accuracy)
    powered = None
    if where is not None and window.gaps:
        keys, gaps = [key for key, _ in window.gaps], [gap for _, gap in window.gaps]
        powered = estimate.prediction_powered(columns[where], gaps, keys, reference=profile.accuracy)
    error = _error(comparison, columns)
    needed = story.labels_needed(estimated, error)
    broken = any(findings.is_broken(finding) for finding in found)
    words = {name: telling_words(counts, profile.words.get(name, {})) for name, counts in window.words.items()}
    seen = window.recalled.since
    return {
        "estimate": estimated.as_dict() if estimated else None,
        "measured": measured.as_dict() if measured else None,
        "uncovered": window.uncovered,
        "error": error,
        "prediction_powered": powered.as_dict() if powered else None,
        "low_trust": _low_trust(comparison, columns),
        "segments": _segments(state, comparison, profile, columns),
        "fields": fields.ranked(found, seen, profile),
        "distances": distances.distances(found, seen, profile),
        "shapes": shapes.shapes(found, seen, profile),
        "causes": None if window.causes is None else dict(window.causes),
        "worst_slice": None if window.worst is None else dict(window.worst),
        "words": {
            name: [{"word": w.word, "now": w.now, "before": w.before, "z": round(w.z, 2)} for w in told]
            for name, told in words.items()
        },
        "examples": examples.examples(found, seen, profile, words=words, wrong=window.wrong),
        "unit": "key" if state.by_key else "request",
        "reference": {"source": profile.source, "rows": profile.rows, "keys": profile.keys},
        "labels_needed": {"within": story.WITHIN if error is None else story.ERROR_WITHIN, "labels": needed},
        "not_known": story.not_known(measured, needed, estimated=not broken)
        if error is None
        else story.error_not_known(error, needed),
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
