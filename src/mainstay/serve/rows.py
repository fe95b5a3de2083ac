"""What is on its way through a worker: a call with its rows, and records that nobody waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mainstay.core.errors import MainstayError
from mainstay.core.events import Arm, Caveat, Event
from mainstay.serve.pending import Job

if TYPE_CHECKING:
    from mainstay.models.answers import Answer
    from mainstay.serve.live import Live, Side

MakeEvent = Callable[[int], Event]
"""Makes the event once its seq is known."""


@dataclass(slots=True, eq=False, kw_only=True)
class Row:
    """One instance; what comes after `occurred_at` is filled on the way."""

    given_id: str | None
    inputs: dict[str, Any]
    """As they came."""
    values: dict[str, Any]
    """Checked and normalised by the champion's contract."""
    caveats: tuple[Caveat, ...]
    key_hash: str
    unit: str
    occurred_at: datetime
    before: Event | None = None
    """The record of when this id was answered before."""
    first: Row | None = None
    """The row of the same batch that has the same id and is answered in its place."""
    assigned: Arm = Arm.CHAMPION
    served: Arm = Arm.CHAMPION
    side: Side | None = None
    answer: Answer | None = None
    call_us: int = 0
    """How long the model call took that answered it."""
    batch: int = 0
    """How many rows that call had."""
    failures: dict[Arm, str] = field(default_factory=dict)
    """Arm to why its bundle could not answer."""
    why: str | None = None
    """Why it is answered as it is, where that is no failure."""
    instead: Row | None = None
    """What the fallback says where the model abstained: that is sent and written down, the model's answer compared."""
    event: Event | None = None
    """Its record, when it has its seq."""

    @property
    def sent(self) -> Row:
        """Return the row whose answer goes out."""
        return self if self.instead is None else self.instead

    def done(self) -> tuple[Side, Answer]:
        """Return the bundle that answered and its answer."""
        if self.side is None or self.answer is None:
            raise MainstayError("A row was taken for answered that is not")
        return self.side, self.answer

    def restart(self, assigned: Arm) -> None:
        """Forget what an earlier, abandoned attempt filled in."""
        self.assigned = self.served = assigned
        self.side, self.answer, self.event, self.call_us, self.batch = None, None, None, 0, 0
        self.failures, self.why, self.instead = {}, None, None


@dataclass(slots=True, eq=False, kw_only=True)
class Call(Job):
    """One predict request."""

    model: str
    items: list[Row]
    received_at: datetime
    arrived: float
    """Monotonic seconds."""
    trace_id: str | None = None
    plain: bool = False
    """Whether its outcome is the predictions, for a protocol that writes them in its own way; else the encoded body."""
    names_ids: bool = False
    """Whether any row has an id of the caller's."""
    live: Live | None = None
    """What answers it; set in its batch."""

    def answered_by(self) -> Live:
        """Return what answers it, in its batch."""
        if self.live is None:
            raise MainstayError("A call was taken up before its route was known")
        return self.live


@dataclass(slots=True, eq=False, kw_only=True)
class Note(Job):
    """A record that nobody waits for: a refusal, a shadow answer."""

    make: MakeEvent
