"""All models that one process answers for: each project's worker, found by the name of the model."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainstay.core.errors import MainstayError, NotFound, NotReady
from mainstay.data.rules import nearest
from mainstay.serve import plan as plans
from mainstay.serve.live import ModelSlot
from mainstay.serve.metrics import Metrics
from mainstay.serve.plan import WorkerPlan
from mainstay.serve.worker import Worker

LATE_S = 2.0
"""How often a project that could not be taken in is tried again."""
MakeWorker = Callable[[WorkerPlan], Worker]
_log = logging.getLogger("mainstay.serve")


@dataclass(slots=True, kw_only=True)
class Late:
    """A project that this process could not take in: its journal is full or locked, its salt is not there."""

    plan: WorkerPlan
    why: str


class Hall:
    """The workers of one process, one for each project. The first one's plan says what holds for the process."""

    def __init__(self, workers: Sequence[Worker], *, late: Iterable[Late] = (), make: MakeWorker | None = None) -> None:
        """Take the workers; projects that are `late` are made by `make` as soon as that goes."""
        self.workers = tuple(workers)
        self.plan = workers[0].plan
        """What holds for the process: host, drain time, what belongs to no model."""
        self._late = {model: one for one in late for model in one.plan.models}
        self._make = make
        self._tries: asyncio.Task[None] | None = None
        self._by_model = {model: worker for worker in workers for model in worker.plan.models}
        names = {*self._by_model, *self._late}
        self._only = next(iter(names)) if len(names) == 1 else None

    @classmethod
    def of_plans(cls, plans_: Sequence[WorkerPlan], make: MakeWorker) -> Hall:
        """Return the workers of some plans; what one raises stops the process only when no other can answer."""
        workers, late = [], []
        for plan in plans_:
            try:
                workers.append(make(plan))
            except (MainstayError, OSError) as error:
                if len(plans_) == 1:
                    raise
                _log.error("%s cannot be taken in, it is tried again: %s", ", ".join(plan.models), error)
                late.append(Late(plan=plan, why=str(error)))
        if not workers:
            raise NotReady(f"No project can be taken in: {'; '.join(one.why for one in late)}")
        return cls(workers, late=late, make=make)

    @property
    def metrics(self) -> Metrics:
        """Return where the process counts what belongs to no model."""
        return self.workers[0].metrics

    @property
    def models(self) -> list[str]:
        """Return the names of all models, in order."""
        return sorted({*self._by_model, *self._late})

    @property
    def slots(self) -> dict[str, ModelSlot]:
        """Return the place of every model that was taken in, by name in order."""
        found = ((model, self._by_model[model].slots.get(model)) for model in sorted(self._by_model))
        return {model: slot for model, slot in found if slot is not None}

    @property
    def elsewhere(self) -> list[str]:
        """Return the models that answer elsewhere, of which only events and feedback are taken here."""
        return sorted(model for model, worker in self._by_model.items() if worker.plan.elsewhere)

    @property
    def late(self) -> dict[str, str]:
        """Return why a model was not taken in yet, by name."""
        return {model: late.why for model, late in self._late.items()}

    @property
    def ready(self) -> bool:
        """Return whether every model has a version that answers."""
        return not self._late and all(worker.ready for worker in self.workers)

    @property
    def serves(self) -> bool:
        """Return whether any model has a version that answers: one that has none must not take the others along."""
        answers = any(slot.live is not None for slot in self.slots.values())
        return not self.draining and (answers or bool(self.elsewhere))

    @property
    def draining(self) -> bool:
        """Return whether this process is about to end."""
        return any(worker.draining for worker in self.workers)

    def of(self, model: str) -> Worker:
        """Return the worker of a model; raises NotFound for a strange name, NotReady for one that is not taken in."""
        found = self._by_model.get(model)
        if found is not None:
            return found
        if model in self._late:
            raise NotReady(f"{model!r} cannot be served now: {self._late[model].why}")
        like = nearest(model, self.models)
        raise NotFound(
            f"There is no model {model[:100]!r} here; allowed: {', '.join(self.models)}",
            remedy=f"{f'Did you mean {like}? ' if like else ''}Ask GET /v1/models for the names.",
        )

    def max_body_kb(self, model: str) -> int:
        """Return how large a body for a model may be; for what is about no model of this server, the first one's."""
        found = self._by_model.get(model)
        return (self if found is None else found).plan.max_body_kb

    def crowded(self, model: str) -> bool:
        """Return whether a request for a model would wait too long now; of a path without a name, the first one's."""
        return self._by_model.get(model, self.workers[0]).pending.crowded

    def only_model(self) -> str:
        """Return the model that a path without a name means; raises NotFound where there are several."""
        if self._only is None:
            raise NotFound(
                f"This server has several models: {', '.join(self.models)}",
                remedy=f"Name one: /v1/models/{self.models[0]}/predict.",
            )
        return self._only

    async def start(self) -> None:
        """Start every worker, side by side; go on trying to take in who is late."""
        await asyncio.gather(*(worker.start() for worker in self.workers))
        if self._late and self._make is not None:
            self._tries = asyncio.get_running_loop().create_task(self._take_in_late(self._make), name="late")

    async def stop(self) -> None:
        """Let every worker finish what waits."""
        if self._tries is not None:
            self._tries.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._tries
        await asyncio.gather(*(worker.stop() for worker in self.workers))

    async def _take_in_late(self, make: MakeWorker) -> None:
        while self._late:
            for late in {id(one): one for one in self._late.values()}.values():
                await self._try(late, make)
            await asyncio.sleep(LATE_S)

    async def _try(self, late: Late, make: MakeWorker) -> None:
        try:
            worker = await asyncio.to_thread(make, late.plan)
            await worker.start()
        except (MainstayError, OSError) as error:
            late.why = str(error)
            with contextlib.suppress(OSError):
                plans.write_json(plans.state_path(Path(late.plan.run), late.plan.worker), _state_of(late))
            return
        self.workers = (*self.workers, worker)
        for model in late.plan.models:
            self._by_model[model] = worker
            del self._late[model]


def _state_of(late: Late) -> dict[str, Any]:
    """Return what is told of a project that was not taken in, in the place of its worker's own state."""
    nothing: dict[str, Any] = {"epoch": 0, "champion": None, "bundles": [], "failed": {}, "tried": {}}
    return {
        "v": 1,
        "worker": late.plan.worker,
        "pid": os.getpid(),
        "ready": False,
        "epoch": 0,
        "models": dict.fromkeys(late.plan.models, nothing),
        "failed": {"": late.why},
    }
