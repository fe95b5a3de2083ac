"""The limits that travel with a model: when its answer is of low trust, when it abstains, what answers in its place."""

from __future__ import annotations

from typing import Any

import msgspec

from mainstay.core.fallbacks import FallbackTo, OnAbstain, Rule, SegmentLimit
from mainstay.models.decision import Decision


class Thresholds(msgspec.Struct, frozen=True, kw_only=True):
    """Limits on one answer; None switches a limit off."""

    v: int = 1
    low_unseen_share: float | None = None
    """At this share of never-seen words, or more, trust is low (0 to 1)."""
    low_confidence: float | None = None
    """Below this calibrated confidence trust is low (0 to 1)."""
    low_unlike: bool = False
    """Whether trust is low for a row outside or far from the training data, or in a script or language that it did
    not hold."""
    abstain_confidence: float | None = None
    """Below this calibrated confidence the model abstains (0 to 1)."""
    abstain_in: tuple[SegmentLimit, ...] = ()
    """The same in single segments; the largest limit counts."""
    on_abstain: OnAbstain = OnAbstain.ANSWER
    fallback_to: FallbackTo | None = None
    """Who answers when no model can; None: the label, where there is one."""
    fallback_label: Any = None
    """The label that is answered when no model can; None: an error is answered instead."""
    fallback_rules: tuple[Rule, ...] = ()
    deadline_ms: float = 1000.0
    """A challenger slower than this is answered for by the champion."""
    decision: Decision | None = None
    """Which class is answered where the project declares what wrong answers cost; None: the most probable one."""
