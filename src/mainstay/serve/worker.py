"""One worker, put together: slots, queue, journal, shadow, loader. `api` asks it; it knows no HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from mainstay.core.errors import MainstayError, Overloaded
from mainstay.core.ports import Clock
from mainstay.core.routes import BundleRef
from mainstay.journal.daily import Daily
from mainstay.journal.personal import Hasher, read_or_make_salt
from mainstay.journal.read import Journal
from mainstay.journal.subjects import FOLDER as SUBJECTS
from mainstay.journal.subjects import Subjects
from mainstay.journal.writer import SegmentWriter
from mainstay.models import own
from mainstay.models.bundle import Bundle
from mainstay.models.runner.outside import RunnerRules
from mainstay.models.runner.runner import Limits
from mainstay.serve import plan as plans
from mainstay.serve.dedupe import Claims, Ids
from mainstay.serve.explaining import Explaining
from mainstay.serve.explorer import Explorer
from mainstay.serve.external import Ledger
from mainstay.serve.feedback import Book
from mainstay.serve.handle import Handler
from mainstay.serve.live import LoadSide, ModelSlot, side_loader
from mainstay.serve.log import Log
from mainstay.serve.metrics import Metrics
from mainstay.serve.pending import Job, Pending
from mainstay.serve.plan import WorkerPlan
from mainstay.serve.route_file import RouteFile, route_path
from mainstay.serve.rows import MakeEvent, Note
from mainstay.serve.shadow import Shadow
from mainstay.serve.shared_ids import RedisPipes, SharedIds
from mainstay.serve.tracing import TracedHandler, Tracing

LOOK_S = 0.05
"""How often the loader looks at the route files."""
FIRST_LOAD_S = 20.0
"""So long a worker may load before it takes requests all the same, and says that it is not ready."""
TELL_S = 1.0
"""How often the state file is written when nothing changes."""


class Worker:
    """Everything between HTTP and the files. Make it, `start()` it in the event loop, `stop()` it."""

    def __init__(
        self, plan: WorkerPlan, *, clock: Clock, load_side: LoadSide | None = None, tracing: Tracing | None = None
    ) -> None:
        self.plan = plan
        self.clock = clock
        self.metrics = Metrics(plan.slow_ms / 1000 if plan.slow_ms else None)
        self.run = Path(plan.run)
        salt = read_or_make_salt(Path(plan.salt))
        self.hasher = hasher = Hasher(salt)
        self.subjects = Subjects(Path(plan.salt).with_name(SUBJECTS))
        runners = self._runner_rules()
        load_side = load_side or side_loader(
            Path(plan.bundles), hasher, self.subjects, runners=runners, permit=_permit_of(plan)
        )
        self.slots = {
            model: ModelSlot(
                model,
                RouteFile(route_path(self.run, model)),
                load_side,
                explorer=None if plan.explore is None else Explorer(plan.explore, model=model, salt=salt),
            )
            for model in plan.models
            if not plan.elsewhere
        }
        journal = Journal(Path(plan.journal))
        fresh = not journal.workers()
        self._writer = SegmentWriter(
            Path(plan.journal),
            plan.worker,
            durability=_durability(plan.durability),
            segment_mb=plan.segment_mb,
            before=self.subjects.sync,
        )
        self._daily = Daily(self._writer, clock)
        log = Log(self._writer, plan.worker)
        alone = plan.workers == 1
        self._claims = None if alone else Claims(self.run / "ids.lock")
        self._shadow = Shadow(worker=plan.worker, clock=clock, metrics=self.metrics, hand_on=self._hand_on)
        self._shared = None if not plan.ids else shared_ids(plan, salt=salt, clock=clock, metrics=self.metrics)
        make_handler = Handler if tracing is None else partial(TracedHandler, tracing=tracing)
        self.handler = make_handler(
            slots=self.slots,
            log_=log,
            ids=Ids(journal, alone=alone, fresh=fresh),
            book=Book(journal, log),
            ledger=Ledger(journal, log),
            claims=self._claims,
            shadow_=self._shadow,
            hasher=hasher,
            clock=clock,
            metrics=self.metrics,
            max_rows=plan.max_rows,
            put_back=self._put_back,
            cache_rows=plan.cache_rows,
            shared=self._shared,
        )
        self.handler.elsewhere = frozenset(plan.models if plan.elsewhere else ())
        self.pending = Pending(
            self.handler,
            clock=clock,
            max_rows=plan.max_waiting_rows,
            deadline_s=plan.deadline_ms / 1000,
            max_wait_s=plan.max_wait_ms / 1000,
            on_hang=self._note_hang,
        )
        self.explaining = Explaining(
            slots=self.slots,
            journal=journal,
            subjects=self.subjects,
            budget_s=plan.explain_ms / 1000,
            metrics=self.metrics,
        )
        self.draining = False
        self._stop = threading.Event()
        self._looked = threading.Event()
        self._loader = threading.Thread(target=self._load, name="loader", daemon=True)
        self._tried_out: dict[str, Any] = {}
        self._empty_mb: float | None = None

    # asked by HTTP, in the event loop

    def refuse(self, model: str, body: bytes, error: MainstayError, status: int, *, keep: bool = True) -> None:
        """Write down a refusal, without delaying it; under overload, or not to `keep`, it is only counted."""
        self.metrics.count("refusals_total", model=model, code=error.code)
        if not keep or isinstance(error, Overloaded) or self.pending.waiting_rows > self.plan.max_waiting_rows // 2:
            self.metrics.count("records_dropped_total")
            return
        for note in self.handler.refusals(model, body, error, status):
            self.pending.tell(note)

    @property
    def ready(self) -> bool:
        """Return whether every model has a version that answers."""
        return not self.draining and all(slot.live is not None for slot in self.slots.values())

    # life

    async def start(self) -> None:
        """Start the threads; return when the models that have a route were loaded, or failed, or took very long.

        So a worker that starts beside others, or in a dead one's place, takes no request that it must turn away.
        """
        self._writer.get_ready()
        self.pending.start()
        self._shadow.start()
        self._loader.start()
        if self._shared is not None:
            await asyncio.to_thread(self._shared.start)
        await asyncio.to_thread(self._looked.wait, FIRST_LOAD_S)

    async def stop(self) -> None:
        """Finish what waits, write it down, close the journal in order."""
        self.draining = True
        self._stop.set()
        await asyncio.to_thread(self._shadow.stop, self.plan.drain_s / 2)
        await self.pending.stop(self.plan.drain_s / 2)
        await asyncio.to_thread(self.explaining.stop)
        await asyncio.to_thread(self._loader.join, 2.0)
        for slot in self.slots.values():
            await asyncio.to_thread(slot.stop)
        self._writer.close()
        if self._claims is not None:
            self._claims.close()
        if self._shared is not None:
            self._shared.stop()
        self._tell()

    def _put_back(self, job: Job, delay_s: float) -> None:
        self.pending.put_back(job, delay_s)

    def _hand_on(self, make: MakeEvent) -> None:
        self.pending.tell(Note(make=make))

    def _runner_rules(self) -> RunnerRules:
        return RunnerRules(
            which=self.plan.runner,
            python=self.plan.runner_python,
            limits=Limits(deadline_s=self.plan.deadline_ms / 1000, memory_mb=self.plan.runner_memory_mb),
            environ=os.environ,
            on_end=lambda name, seat, end: self.metrics.count("runner_ends_total", bundle=name, seat=seat, why=end),
        )

    def _note_hang(self, digest: str) -> None:
        self.metrics.count("hangs_total", bundle=digest[:12])

    # the loader's thread

    def _load(self) -> None:
        told = 0.0
        self._empty_mb = plans.rss_mb()
        while not self._stop.wait(LOOK_S if told else 0.0):
            changed = False
            for slot in self.slots.values():
                # A route file or a bundle that cannot be read leaves what is loaded in force.
                with contextlib.suppress(OSError, MainstayError):
                    changed |= slot.load_missing()
                    changed |= self._try_out(slot)
            if changed:
                # What was loaded stays: the collector is not to look through it again and again between requests.
                gc.freeze()
            self._looked.set()
            self.subjects.refresh()  # an erased key leaves this process's memory too
            now = self.clock.monotonic()
            if changed or not told or now - told >= TELL_S:
                told = now or 1.0
                self._daily.look()
                self._tell()

    def _try_out(self, slot: ModelSlot) -> bool:
        asked = plans.read_json(plans.tryout_path(self.run, slot.model))
        if asked is None or asked == self._tried_out.get(slot.model):
            return False
        self._tried_out[slot.model] = asked
        slot.try_out(BundleRef(version=int(asked["version"]), digest=str(asked["digest"])), asked.get("token", ""))
        return True

    def _tell(self) -> None:
        with contextlib.suppress(OSError):  # a full disk must not stop the loader; the state is only told
            plans.tell_json(plans.state_path(self.run, self.plan.worker), self.state())

    def state(self) -> dict[str, Any]:
        """Return what the state file says."""
        self.metrics.bring("records_lost_total", self._writer.lost)
        models = {model: slot.state() for model, slot in self.slots.items()}
        return {
            "v": 1,
            "worker": self.plan.worker,
            "pid": os.getpid(),
            "at": self.clock.now().isoformat(),
            "ready": self.ready,
            "epoch": max((state["epoch"] for state in models.values()), default=0),
            "models": models,
            "bundles": [bundle for state in models.values() for bundle in state["bundles"]],
            "failed": {digest: why for state in models.values() for digest, why in state["failed"].items()},
            "tripped": self.handler.tripped(),
            **({} if self._shared is None else {"ids": self._shared.trouble or "ok"}),
            "rss_mb": plans.rss_mb(),
            "empty_mb": self._empty_mb,
            "cpu_s": round(time.process_time(), 3),
            "metrics": self.metrics.as_dict(),
        }


def shared_ids(plan: WorkerPlan, *, salt: str, clock: Clock, metrics: Metrics) -> SharedIds:
    """Return what keeps ids apart across hosts."""
    return SharedIds(
        RedisPipes(plan.ids, plan.models[0]),
        salt=salt,
        keep_s=plan.ids_keep_s,
        deadline_s=plan.deadline_ms / 1000,
        clock=clock,
        metrics=metrics,
    )


def _permit_of(plan: WorkerPlan) -> Callable[[Bundle], Bundle]:
    """Return what lets a bundle be loaded, or raises Refused."""
    signed = Path(plan.signed) if plan.signed else None
    return partial(own.permit, state=signed, pickles=plan.pickles, trusted=plan.trusted)


def _durability(name: str) -> Any:
    """Return the name; the writer refuses a strange one with the names it knows."""
    return name
