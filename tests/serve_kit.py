"""A worker's inside without files, threads or sockets: what a request does can be asked step by step."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from mainstay.core.contracts import Contract
from mainstay.core.errors import JournalFull, MainstayError
from mainstay.core.events import Event, Kind
from mainstay.core.routes import BundleRef, Route
from mainstay.data.request_check import compile_request_check
from mainstay.journal.personal import Hasher, compile_journal_copy
from mainstay.serve.dedupe import Claims, Ids
from mainstay.serve.external import Ledger
from mainstay.serve.feedback import Book
from mainstay.serve.handle import Handler
from mainstay.serve.live import ModelSlot, Side
from mainstay.serve.log import Log
from mainstay.serve.metrics import Metrics
from mainstay.serve.pending import Job, Pending, Turn
from mainstay.serve.rows import MakeEvent
from mainstay.serve.shadow import Shadow
from mainstay.serve.shared_ids import SharedIds
from mainstay.testing.clock import FakeClock
from mainstay.testing.models import WordModel, make_loaded

CHAMPION = BundleRef(version=1, digest="c" * 64)
CHALLENGER = BundleRef(version=2, digest="d" * 64)
HASHER = Hasher("00" * 32)


def make_route(**changes: Any) -> Route:
    return replace(Route(model="weather", epoch=1, champion=CHAMPION), **changes)


def make_side(ref: BundleRef, model: Any = None, *, contract: Contract | None = None, **thresholds: Any) -> Side:
    loaded = make_loaded(model or WordModel(), contract=contract, **thresholds)
    return Side(
        ref=ref,
        name=f"weather@{ref.version}",
        loaded=loaded,
        twin=loaded,
        check=compile_request_check(loaded.contract),
        journal_copy=compile_journal_copy(loaded.contract, HASHER),
    )


class FakeRouteFile:
    """Holds a route."""

    def __init__(self, route: Route | None) -> None:
        self.route = route

    def read(self) -> Route | None:
        return self.route

    def reopen(self) -> None:
        pass


class FakeWriter:
    """Keeps events; is full when told so."""

    def __init__(self) -> None:
        self.next_seq = 1
        self.events: list[Event] = []
        self.full = False
        self._framed: list[Event] = []

    def frames(self, events: Sequence[Event]) -> bytes:
        self._framed = list(events)
        return b"".join(msgspec.msgpack.encode(event) for event in events)

    def write(self, frames: bytes, count: int) -> None:
        assert count == len(self._framed)
        self.next_seq += count
        if self.full:
            raise JournalFull("no room")
        self.events += self._framed

    def find(self, id_: str) -> Event | None:
        return next(
            (e for e in reversed(self.events) if e.id == id_ and e.kind in (Kind.PREDICTION, Kind.EXTERNAL)), None
        )

    def of(self, kind: Kind) -> list[Event]:
        return [event for event in self.events if event.kind is kind]


class Kit:
    """A handler over fakes."""

    def __init__(
        self,
        *sides: Side,
        route: Route | None = None,
        claims: Claims | None = None,
        share: Callable[[FakeClock, Metrics], SharedIds] | None = None,
        make_handler: Callable[..., Handler] = Handler,
    ) -> None:
        self.sides = {side.ref.digest: side for side in sides or (make_side(CHAMPION),)}
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.writer = FakeWriter()
        self.route_file = FakeRouteFile(route or make_route())
        self.slot = ModelSlot("weather", self.route_file, self._load, warm_up=False)  # type: ignore[arg-type]
        self.slot.load_missing()
        self.log = Log(self.writer, "w0", random=lambda count: b"\xab" * count)
        self.notes: list[MakeEvent] = []
        self.shadow = Shadow(worker="w0", clock=self.clock, metrics=self.metrics, hand_on=self.notes.append)
        self.back: list[Job] = []
        self.handler = make_handler(
            slots={"weather": self.slot},
            log_=self.log,
            ids=Ids(self.writer, alone=True, fresh=True),
            book=Book(self.writer, self.log),
            ledger=Ledger(self.writer, self.log),
            claims=claims,
            shadow_=self.shadow,
            hasher=HASHER,
            clock=self.clock,
            metrics=self.metrics,
            max_rows=5,
            put_back=lambda job, delay_s: self.back.append(job),
            shared=None if share is None else share(self.clock, self.metrics),
        )
        self.pending = Pending(
            self.handler, clock=self.clock, max_rows=100, deadline_s=1.0, on_hang=lambda digest: None
        )

    def _load(self, model: str, ref: BundleRef) -> Side:
        if ref.digest not in self.sides:
            raise MainstayError(f"no bundle {ref.digest[:4]}")
        return self.sides[ref.digest]

    def work(self, *jobs: Job) -> list[Any]:
        """Bring jobs through one batch; return what each came to, in order, `None` for those that wait."""
        group = self.handler.begin(jobs, Turn(self.pending))
        self.handler.write(group)
        done = self.handler.finish(group)
        found = dict(done.outcomes)
        for group in self.shadow_groups(done):
            self.shadow.score(group)
        return [found.get(job) for job in jobs]

    def shadow_groups(self, done: Any) -> list[Any]:
        groups: list[Any] = []
        offer, self.shadow.offer = self.shadow.offer, groups.extend  # type: ignore[method-assign]
        for act in done.afterwards:
            act()
        self.shadow.offer = offer  # type: ignore[method-assign]
        return groups

    def call(self, *instances: dict[str, Any], client: str = "10.0.0.1") -> Job:
        body = json.dumps({"instances": list(instances)}).encode()
        return self.handler.validate("weather", body, client=client)

    def predict(self, *instances: dict[str, Any], client: str = "10.0.0.1") -> list[dict[str, Any]]:
        """Answer instances; raise what the call came to."""
        [outcome] = self.work(self.call(*instances, client=client))
        if isinstance(outcome, BaseException):
            raise outcome
        return msgspec.json.decode(outcome)["predictions"]

    def feedback(self, *items: dict[str, Any]) -> list[dict[str, Any]]:
        body = json.dumps({"items": list(items)}).encode()
        [outcome] = self.work(self.handler.validate_feedback("weather", body))
        if isinstance(outcome, BaseException):
            raise outcome
        return msgspec.json.decode(outcome)["results"]

    def shadows(self) -> list[Event]:
        """Return the records that shadow scoring handed on."""
        return [make(1) for make in self.notes]


def one(text: str = "sun day", **more: Any) -> dict[str, Any]:
    """Return an instance."""
    inputs = {"text": text, **more.pop("inputs", {})}
    return {"inputs": inputs, **more}
