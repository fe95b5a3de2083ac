"""A small model under watch: requests of calm people, and of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from sqlalchemy import Connection

from mainstay.config.settings import Settings
from mainstay.core.contracts import Contract, Field, FieldType, Pii, Policy, Role, Task
from mainstay.core.events import Arm, Event, Kind, Trust
from mainstay.core.profiles import Profile
from mainstay.models.answers import Answer
from mainstay.models.profiles import build_profile
from mainstay.models.signals import RowSignals
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from mainstay.watch.turn import TurnResult, watch_turn

KNOWN = (
    "the",
    "box",
    "came",
    "late",
    "and",
    "green",
    "paint",
    "was",
    "on",
    "lid",
    "but",
    "all",
    "parts",
    "work",
    "well",
    "so",
    "thank",
    "you",
    "very",
    "much",
)
NEW = ("yo", "dis", "ting", "iz", "brokn", "wtf", "lol", "plz", "fixx")

CONTRACT = Contract(
    task=Task.MULTICLASS,
    target="queue",
    classes=("a", "b", "c"),
    key="account",
    fields=(
        Field(name="note", type=FieldType.TEXT),
        Field(name="region", type=FieldType.CATEGORY, values=("north", "south"), roles=(Role.SEGMENT,)),
        Field(name="size", type=FieldType.NUMBER, required=False, on_range=Policy.FLAG),
        Field(name="account", type=FieldType.IDENTIFIER, roles=(Role.IGNORED,), pii=Pii.HASH),
    ),
)


@dataclass(kw_only=True)
class People:
    """How a group of users writes, and how sure the model is of them."""

    new_words: float = 0.0
    confidence: float = 0.9
    missing_size: float = 0.02
    size: float = 10.0
    labels: tuple[float, float, float] = (0.5, 0.3, 0.2)


CALM = People()
OTHERS = People(new_words=0.5, confidence=0.7, labels=(0.2, 0.2, 0.6))


def rows_of(people: People, n: int, rng: np.random.Generator) -> tuple[list[dict], list[Answer]]:
    """Return n rows and the model's answers to them."""
    rows, answers = [], []
    for _ in range(n):
        words = [str(rng.choice(NEW if rng.random() < people.new_words else KNOWN)) for _ in range(8)]
        size = None if rng.random() < people.missing_size else float(rng.normal(people.size, 3.0))
        rows.append({"note": " ".join(words), "region": str(rng.choice(["north", "south"])), "size": size})
        confidence = float(np.clip(rng.normal(people.confidence, 0.08), 0.05, 0.99))
        trust = Trust.LOW if confidence < 0.6 else Trust.OK
        label = str(rng.choice(["a", "b", "c"], p=people.labels))
        answers.append(Answer(label=label, confidence=confidence, trust=trust))
    return rows, answers


@dataclass(kw_only=True)
class Reference:
    """What the watch needs of a bundle."""

    contract: Contract
    profile: Profile
    signals: RowSignals


def reference_of(rows: int = 240, *, people: People = CALM, seed: int = 0, contract: Contract = CONTRACT) -> Reference:
    """Return a bundle's reference over held-out rows of calm people, right as often as they were sure."""
    rng = np.random.default_rng(seed)
    vocabulary = {"note": frozenset(KNOWN)}
    given, answers = rows_of(people, rows, rng)
    truth = [a.label if rng.random() < (a.confidence or 0) else "none" for a in answers]
    profile = build_profile(contract, given, answers, truth, None, source="test", vocabulary=vocabulary)
    return Reference(contract=contract, profile=profile, signals=RowSignals(contract, vocabulary))


@dataclass(kw_only=True)
class Desk:
    """A store, a clock and a journal in memory; feeds requests to the watch as the loop would."""

    store: Store
    clock: FakeClock
    reference: Reference
    settings: Settings = field(default_factory=Settings)
    events: list[Event] = field(default_factory=list)
    bundle: str = "m@1"
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(42))

    def make(self, people: People, n: int, *, users: int = 10_000, gap_s: float = 0.01) -> list[Event]:
        """Append n requests of those people to the journal."""
        rows, answers = rows_of(people, n, self.rng)
        return [self._append(row, answer, users, gap_s) for row, answer in zip(rows, answers, strict=True)]

    def _append(self, row: dict, answer: Answer, users: int, gap_s: float) -> Event:
        self.clock.advance(seconds=gap_s)
        seq = len(self.events) + 1
        event = Event(
            model="m",
            worker="w0",
            seq=seq,
            id=f"e{seq}",
            kind=Kind.PREDICTION,
            occurred_at=self.clock.now(),
            received_at=self.clock.now(),
            bundle=self.bundle,
            served_arm=Arm.CHAMPION,
            key_hash=f"{self.rng.integers(users):012d}",
            unit=f"u{seq}",
            inputs=row,
            label=answer.label,
            confidence=answer.confidence,
            trust=answer.trust,
        )
        self.events.append(event)
        return event

    def refuse(self, n: int, *, users: int = 10_000) -> None:
        """Append n refused requests."""
        for _ in range(n):
            self.clock.advance(seconds=0.01)
            seq = len(self.events) + 1
            self.events.append(
                Event(
                    model="m",
                    worker="w0",
                    seq=seq,
                    id=f"e{seq}",
                    kind=Kind.REFUSAL,
                    occurred_at=self.clock.now(),
                    received_at=self.clock.now(),
                    key_hash=f"{self.rng.integers(users):012d}",
                    unit=f"u{seq}",
                    status=422,
                )
            )

    def turn(self, events: Sequence[Event] | None = None) -> TurnResult:
        """Do one turn over the events given, or all of them."""
        with self.store.begin() as tx:
            return self.turn_in(tx, events)

    def turn_in(self, tx: Connection, events: Sequence[Event] | None = None) -> TurnResult:
        """Do one turn in a transaction."""
        return watch_turn(
            tx,
            model="m",
            journal_events=self.events if events is None else events,
            loaded_model_provider=lambda _name: self.reference,
            settings=self.settings,
            clock=self.clock,
            recent=lambda place, limit: [e for e in self.events if e.seq <= place.get(e.worker, 0)][-limit:],
        )

    def feed(self, people: People, n: int, *, step: int = 20, users: int = 10_000) -> list[TurnResult]:
        """Append n requests and do a turn after each `step` of them."""
        return [self.turn(self.make(people, min(step, n - done), users=users)) for done in range(0, n, step)]

    def wait(self, **parts: float) -> None:
        """Let time pass."""
        self.clock.advance(**parts)


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock that stands."""
    return FakeClock()


@pytest.fixture
def desk(clock: FakeClock) -> Desk:
    """Return a watched model with a reference of 240 rows."""
    return Desk(store=Store.open("sqlite://", clock=clock), clock=clock, reference=reference_of())


@pytest.fixture
def make_reference() -> Callable[..., Reference]:
    """Return the maker of references."""
    return reference_of


@pytest.fixture
def calm() -> People:
    """Return users like those of the reference."""
    return CALM


@pytest.fixture
def others() -> People:
    """Return users whom the model never met."""
    return OTHERS


@pytest.fixture
def people() -> type[People]:
    """Return the maker of user groups."""
    return People
