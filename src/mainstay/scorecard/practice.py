"""The practitioners' checklist: what a team asks of a model in production; yes only with evidence."""

from __future__ import annotations

from mainstay.config.settings import Plan
from mainstay.scorecard.evidence import Known
from mainstay.scorecard.records import Practice


def check(known: Known) -> tuple[Practice, ...]:
    """Return every line, in order."""
    release, settings, status = known.release, known.settings, known.status
    evaluation = known.evaluation
    rows = int(evaluation.get("rows") or 0)
    stress, audit = evaluation.get("stress"), evaluation.get("audit")
    recent = known.facts.get("recent")
    audited = bool(audit and audit.get("favourable"))
    told = [name for name, yes in (("stress", bool(stress)), ("recent labelled traffic", bool(recent))) if yes]
    lines = (
        (
            "data versioned and validated",
            release is not None and bool(release.snapshot),
            f"snapshot {release.snapshot[:12]}" if release is not None else "no version, no snapshot",
        ),
        ("models versioned", bool(known.releases), f"{len(known.releases)} versions, by digest"),
        (
            "training reproducible",
            known.reproduced is not None,
            f"trained again on {known.reproduced:%Y-%m-%d}" if known.reproduced else "mainstay reproduce was never run",
        ),
        ("held-out test set", rows > 0, f"{rows} frozen rows"),
        (
            "production performance monitored",
            known.watched,
            "the watch turns and raises its known alarm" if known.watched else known.why_unwatched,
        ),
        (
            "degradation alerted",
            known.watched and bool(settings.alerts),
            f"{len(settings.alerts)} addresses in [[alerts]]"
            + ("" if known.watched else f"; the watch cannot be believed: {known.why_unwatched}"),
        ),
        (
            "predictions explainable",
            release is not None,
            "mainstay explain ID" if release is not None else "there is no version yet",
        ),
        (
            "rollback",
            status.answering is not None and bool(status.answering.previous),
            f"to {status.answering.previous}"
            if status.answering is not None and status.answering.previous
            else "there is no version before this one",
        ),
        ("realistic test distributions", bool(told), " and ".join(told) or "only the test rows as they are"),
        (
            "bias audits",
            audited,
            f"{len(audit['protected'])} groupings"
            if audited and audit
            else "no protected group with [audit] favourable",
        ),
        ("scheduled retraining", bool(settings.retrain.on), ", ".join(settings.retrain.on) or "[retrain] on is empty"),
        (
            "A/B testing",
            False,
            "plan `ab` is not built; versions are compared in shadow and in steps"
            if settings.rollout.plan is not Plan.ALL_AT_ONCE
            else "versions are not compared",
        ),
        (
            "documentation",
            release is not None and bool(settings.card.intended_use and settings.card.owner),
            "the model card says what it is for and who answers for it: mainstay card"
            if settings.card.intended_use and settings.card.owner
            else "[card] intended_use and owner are not declared",
        ),
    )
    return tuple(Practice(what=what, yes=yes, evidence=evidence) for what, yes, evidence in lines)
