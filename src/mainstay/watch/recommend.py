"""What to do about an incident: one table of rules, the first that holds speaks.

| n | when | do |
|---|---|---|
| 1 | a release changed who answers then, or the version lost most by labels; and there is a way back | roll back |
| 2 | a field looks broken or stopped arriving, or requests break the contract | quarantine the data |
| 3 | requests fail, features differ between training and serving, a reward fell: nothing in the data mends it | look |
| 4 | labels show the loss, and most of it is wrong labels | look |
| 5 | labels show the loss, and there are enough to train on | retrain |
| 6 | labels show the loss, and there are too few to train on | collect labels |
| 7 | the loss is estimated, or the mix of answers moved, or nothing tells whether it harms | collect labels |
| 8 | inputs moved and no harm is estimated | nothing |

A release is no reason where a field came to arrive otherwise, nor where labels show that something else lost most and
that the version cost nothing. What labels say of causes is used only where its 95 % interval excludes nought.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mainstay.core.incidents import Harm
from mainstay.stats.attribution import Cause
from mainstay.watch.recall import Seen
from mainstay.watch.window import CONFIDENCE, Outcome

MOST_RANDOM = 200
"""Ids of a random sample that are named."""
LEAST_CERTAIN = 20


class Action(StrEnum):
    """What may be done."""

    ROLL_BACK = "roll_back"
    QUARANTINE = "quarantine"
    LOOK = "look"
    RETRAIN = "retrain"
    COLLECT_LABELS = "collect_labels"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What labels say of where a loss comes from."""

    cause: Cause | None = None
    """Of most of it, for sure; None: no cause is."""
    text: str = ""
    """... as a sentence."""
    version_cleared: bool = False
    """Whether the version has a part of its own, and nothing shows that it cost anything."""
    worst: str = ""
    """The slice that is surely worse than the rest, as a sentence; empty: none is."""


UNKNOWN = Loss()


def loss_of(causes: Mapping[str, Any] | None, worst: Mapping[str, Any] | None) -> Loss:
    """Return what attribution and worst slice, as an incident's facts hold them, say for sure."""
    mostly = (causes or {}).get("mostly")
    if mostly is None:
        return UNKNOWN
    surely = worst is not None and worst["measured"] and not worst["low"] <= worst["rest"] <= worst["high"]
    return Loss(
        cause=Cause(mostly["cause"]),
        text=mostly["text"],
        version_cleared=bool((causes or {}).get("version_cleared")),
        worst=f"Look first at the {worst['text'].partition(', on ')[0]}." if surely and worst is not None else "",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the rules look at."""

    harm: Harm
    broken: bool = False
    """Whether a field's own values look broken."""
    refused: bool = False
    """Whether requests are refused more often than before."""
    estimated: bool = False
    """Whether the accuracy can be estimated."""
    labels: int = 0
    """Labelled answers since the start."""
    labels_show: bool = False
    """Whether they show a loss."""
    labels_wanted: int = 150
    """So many are needed to train on ([retrain] min_labels)."""
    labels_needed: int = 0
    """Random ones that would tell the quality closely."""
    release: str = ""
    """The release that changed who answers about when it began, as a sentence; empty: none did."""
    way_back: str = ""
    """The version that the way back leads to, or empty."""
    elsewhere: bool = False
    """Whether a service of its own answers: nothing is trained or rolled back here."""
    loss: Loss = UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What to do, and why."""

    action: Action
    text: str
    """What to do, in a sentence or two."""
    reason: str
    """Why, in a sentence."""
    rule: int
    """Which row of the table spoke."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"action": self.action.value, "text": self.text, "reason": self.reason, "rule": self.rule}


Rule = tuple[int, Callable[[Situation], bool], Action]
RULES: Sequence[Rule] = (
    (1, lambda s: bool(s.way_back) and not s.elsewhere and _may_be_its_release(s), Action.ROLL_BACK),
    (2, lambda s: s.harm is Harm.DATA_FAULT or s.loss.cause is Cause.DATA_FAULT, Action.QUARANTINE),
    (3, lambda s: s.harm in (Harm.OPERATIONS, Harm.SKEW, Harm.REWARD), Action.LOOK),
    (4, lambda s: s.loss.cause is Cause.LABEL_NOISE, Action.LOOK),
    (5, lambda s: s.labels_show and s.labels >= s.labels_wanted, Action.RETRAIN),
    (6, lambda s: s.labels_show, Action.COLLECT_LABELS),
    (7, lambda s: s.harm in (Harm.QUALITY, Harm.OUTPUT) or not s.estimated, Action.COLLECT_LABELS),
    (8, lambda _: True, Action.NOTHING),
)


def _may_be_its_release(s: Situation) -> bool:
    """Return whether another version could have caused it: its contract refuses, but it empties no field."""
    if s.loss.cause is Cause.VERSION:
        return True
    if not s.release or (s.loss.cause is not None and s.loss.version_cleared):
        return False
    if s.harm is Harm.DATA_FAULT:
        return s.refused and not s.broken
    return s.harm is not Harm.INPUT


def recommend(situation: Situation) -> Recommendation:
    """Return what the first rule that holds says."""
    rule, _, action = next(rule for rule in RULES if rule[1](situation))
    return Recommendation(
        action=action, text=_text(rule, action, situation), reason=_reason(rule, situation), rule=rule
    )


def to_label(seen: Sequence[Seen], *, needed: int, seed: str) -> dict[str, Any]:
    """Return which requests to label: a simple random sample of those since the start, and the least certain ones.

    The sample alone speaks for all traffic; the least certain teach a model most and say nothing of how good it is.
    `seed` makes the same draw for the same requests.
    """
    answered = [one for one in seen if one.row.outcome is Outcome.ANSWERED]
    draw = random.Random(seed)
    sample = draw.sample(answered, min(needed, MOST_RANDOM, len(answered)))
    sure = [one for one in answered if isinstance(one.row.signals.get(CONFIDENCE), float)]
    unsure = sorted(sure, key=lambda one: float(one.row.signals[CONFIDENCE]))[:LEAST_CERTAIN]
    return {
        "needed": needed,
        "random": [one.event.id for one in sample],
        "least_certain": [one.event.id for one in unsure],
    }


def _text(rule: int, action: Action, s: Situation) -> str:
    ours, theirs = TEXTS[action], ELSEWHERE.get(action, {})
    found = {**ours, **theirs} if s.elsewhere else ours
    text = LABELS_FIRST if rule == 4 else found.get(s.harm, found[None])
    text = text.format(way_back=s.way_back, needed=s.labels_needed, more=max(s.labels_wanted - s.labels, 0))
    return " ".join(part for part in (s.loss.text, text, s.loss.worst) if part)


def _reason(rule: int, s: Situation) -> str:
    return {
        1: f"It began when {s.release}, and what came before it answered without this harm."
        if s.release
        else "On the same rows the version before is right more often.",
        2: "A field looks broken: without it nothing can be said of the answers."
        if s.broken or s.loss.cause is Cause.DATA_FAULT
        else "What arrives is not what was declared or known: a model that learns it learns the fault.",
        3: "Neither labels nor another training would mend it.",
        4: "Two people who label one row differ more often than before: a model that learns these labels learns that.",
        5: f"{s.labels} labels show the loss, and {s.labels_wanted} are enough to train on.",
        6: f"{s.labels} labels show the loss; {s.labels_wanted} are needed to train on.",
        7: "Whether answers are right is estimated, not measured: only labels tell."
        if s.harm in (Harm.QUALITY, Harm.OUTPUT)
        else "Without an estimate only labels tell whether these inputs do harm.",
        8: "The inputs moved, and the estimated accuracy did not.",
    }[rule]


LABELS_FIRST = "Look at how rows are labelled before anything is trained on them."
TEXTS: dict[Action, dict[Harm | None, str]] = {
    Action.ROLL_BACK: {
        None: 'Roll back to {way_back}: `mainstay rollback --reason "…"`. If the harm stays, it was not the release.'
    },
    Action.QUARANTINE: {
        None: "Look upstream first: a field arrives empty, broken, or as the model never saw it. These requests are "
        "not learned from, for that would teach the fault. If their values are right, name `incident:data_fault` under "
        "[retrain] on, label some of them and retrain."
    },
    Action.LOOK: {
        None: "Read the workers' log; roll back if it began with a release.",
        Harm.SKEW: "Compare the feature code of training and serving.",
        Harm.REWARD: "Compare with what changed at that time.",
    },
    Action.RETRAIN: {None: "Retrain on the labels since then: `mainstay train`."},
    Action.COLLECT_LABELS: {
        None: "Label a few requests: without an estimate, only that tells whether these inputs do harm.",
        Harm.QUALITY: "Label a random part of the requests since then; retraining on them is likely to help. Until "
        "then treat answers with low trust as suggestions.",
        Harm.OUTPUT: "Check with a few labels whether the new mix of answers is right; the inputs may simply ask for "
        "it.",
    },
    Action.NOTHING: {None: "Nothing needs to be done now; label a few requests if these inputs matter to you."},
}
ELSEWHERE: dict[Action, dict[Harm | None, str]] = {
    Action.QUARANTINE: {
        None: "Look upstream first: a field arrives empty, broken, or as the service never saw it. If its values are "
        'right and here to stay, `mainstay learn --reason "…"` makes them the reference.'
    },
    Action.LOOK: {
        None: "Read the service's log; bring its last release back if it began with another.",
        Harm.SKEW: "Compare the feature code of training and serving.",
        Harm.REWARD: "Compare with what changed at that time.",
    },
    Action.RETRAIN: {None: "Train the service's model on the labels since then."},
    Action.COLLECT_LABELS: {
        Harm.QUALITY: "Label a random part of the requests since then, and train the service's model on them. Until "
        "then treat its answers with doubt.",
        Harm.OUTPUT: "Check with a few labels whether the new mix of answers is right; the inputs may simply ask for "
        'it. If the service got another model, `mainstay learn --reason "…"` makes its answers the reference.',
    },
}
"""For a model that answers elsewhere: nothing is trained or rolled back here."""
