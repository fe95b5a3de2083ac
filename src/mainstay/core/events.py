"""What the journal holds: predictions, shadow answers, refusals, errors and feedback, each with its schema version."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

EVENT_VERSION = 1


class Kind(StrEnum):
    """What one journal record tells."""

    PREDICTION = "prediction"
    SHADOW = "shadow"
    """What another bundle would have answered; carries the id of the prediction it belongs to."""
    REFUSAL = "refusal"
    ERROR = "error"
    EXTERNAL = "external"
    """A prediction made elsewhere and told to us."""
    FEEDBACK = "feedback"


class Arm(StrEnum):
    """Which side of a route answered."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    PREVIOUS = "previous"
    FALLBACK = "fallback"
    """The declared fallback answer, from no model."""
    HOLDOUT = "holdout"
    """Kept from a new version on purpose: by its key for measurement, or by a segment that a ramp leaves out."""


class Trust(StrEnum):
    """How far an answer can be trusted."""

    OK = "ok"
    LOW = "low"
    ABSTAIN = "abstain"


class Caveat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reason to doubt an answer; a member of `warnings`."""

    code: str
    """Stable, e.g. `unseen_words`."""
    field: str
    value: Any = None
    text: str = ""
    """The reason as a sentence."""


class Explored(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an answer was given that could have been drawn at random. The event's own `label` is what the model said."""

    propensity: float
    """Chance with which the answer was given that was given, above 0 to 1."""
    propensities: dict[str, float] = {}
    """Of every answer that could have been given, in the order of the draw; of a ranking, of every place (from 1)."""
    share: float = 0.0
    """Chance that a draw is made at all."""
    drawn: bool = False
    """Whether it was made; it may have given the model's own answer."""
    label: Any = None
    """The answer that was given, where it is not the model's own."""
    how: str = ""
    """From what it was drawn: uniform, softmax, swap, shuffle, insert."""
    rank: int = 0
    """Of a ranking: the place on which the candidate was shown, from 1."""
    model_rank: int = 0
    """Of a ranking: the place that the model gave it."""
    group: str = ""
    """Of a ranking: what its candidates have in common, the id of the first."""
    of: int = 0
    """Of a ranking: how many candidates there were."""
    top: int = 0
    """Of a ranking: among how many first places candidates move."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One record of the journal, unique by (worker, seq); a prediction is unique by id too."""

    model: str
    worker: str
    """Which writer, e.g. `w0`."""
    seq: int
    """Position in that writer's record, from 1, never used twice; a failed write leaves a gap."""
    id: str
    kind: Kind
    occurred_at: datetime
    """Event time, aware UTC; the arrival time when the client gave none."""
    received_at: datetime
    """Arrival time, aware UTC."""
    v: int = EVENT_VERSION
    bundle: str = ""
    """`model@version` that answered."""
    assigned_arm: Arm | None = None
    """What the route chose."""
    served_arm: Arm | None = None
    """What answered in the end."""
    key_hash: str = ""
    """Salted hash of the unit of evidence (declared key, else client)."""
    unit: str = ""
    """Digest of key and inputs: the same request sent again has the same unit and counts as one piece of evidence."""
    inputs: dict[str, Any] = {}
    """As served, after the PII policy of each field."""
    label: Any = None
    """The answer: a class, or the value of a regression."""
    probabilities: dict[str, float] = {}
    confidence: float | None = None
    """Calibrated probability that the label is right, 0 to 1."""
    trust: Trust | None = None
    warnings: list[Caveat] = []
    latency_us: int = 0
    """From arrival to just before the record was made durable."""
    batch: int = 0
    """How many rows the model call had that answered it, its own included; 0: not known."""
    status: int = 200
    """HTTP status sent."""
    reason: str | None = None
    """Why it was refused, failed or fell back."""
    trace_id: str | None = None
    route_epoch: int = 0
    paired: PairedAnswer | None = None
    """On a SHADOW record: the answer that was served, so that the pair is complete in itself."""
    feedback: Feedback | None = None
    """On a FEEDBACK record."""
    explored: Explored | None = None
    """On a PREDICTION record of a model that explores."""

    @property
    def given(self) -> Any:
        """Return the answer that went out: what the model said, or what was drawn in its place."""
        return self.label if self.explored is None or self.explored.label is None else self.explored.label


class PairedAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer that was served beside a shadow answer."""

    bundle: str
    served_arm: Arm
    label: Any = None
    confidence: float | None = None
    trust: Trust | None = None
    latency_us: int = 0
    failed: bool = False
    drawn: bool = False
    """Whether what the user got was drawn at random: a reward of it says nothing of either version."""


FEEDBACK_AHEAD = timedelta(days=1)
"""Feedback may be so far ahead of this machine's clock; one that is further would win over all that come later."""


class Feedback(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One item of feedback. Of one id and name the maximum of (at, feedback_id) is valid, in whatever order."""

    id: str
    """The prediction it speaks of."""
    feedback_id: str
    kind: str
    """label or reward."""
    name: str
    """The target's name, or the reward's."""
    value: Any
    at: datetime
    by: str = ""
    supersedes: str | None = None


class FeedbackStatus(StrEnum):
    """What became of one item."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    WAITING = "waiting_for_prediction"
    REFUSED = "refused"
