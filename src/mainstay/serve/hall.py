"""All models that one process answers for: each project's worker, found by the name of the model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mainstay.core.errors import NotFound
from mainstay.serve.live import ModelSlot
from mainstay.serve.metrics import Metrics
from mainstay.serve.plan import WorkerPlan
from mainstay.serve.worker import Worker


class Hall:
    """The workers of one process, one for each project. The first one's plan says what holds for the process."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.workers = tuple(workers)
        self._by_model = {model: worker for worker in workers for model in worker.plan.models}
        self._only = next(iter(self._by_model)) if len(self._by_model) == 1 else None

    @property
    def plan(self) -> WorkerPlan:
        """Return what holds for the process: host, limits of a body."""
        return self.workers[0].plan

    @property
    def metrics(self) -> Metrics:
        """Return where the process counts what belongs to no model."""
        return self.workers[0].metrics

    @property
    def models(self) -> list[str]:
        """Return the names of all models, in order."""
        return sorted(self._by_model)

    @property
    def slots(self) -> dict[str, ModelSlot]:
        """Return every model's place, by name in order."""
        return {model: self._by_model[model].slots[model] for model in self.models}

    @property
    def ready(self) -> bool:
        """Return whether every model has a version that answers."""
        return all(worker.ready for worker in self.workers)

    @property
    def draining(self) -> bool:
        """Return whether this process is about to end."""
        return any(worker.draining for worker in self.workers)

    def of(self, model: str) -> Worker:
        """Return the worker of a model; raises NotFound for a strange name."""
        found = self._by_model.get(model)
        if found is None:
            raise NotFound(
                f"There is no model {model[:100]!r} here; allowed: {', '.join(self.models)}",
                remedy="Ask GET /v1/models for the names.",
            )
        return found

    def only_model(self) -> str:
        """Return the model that a path without a name means; raises NotFound where there are several."""
        if self._only is None:
            raise NotFound(
                f"This server has several models: {', '.join(self.models)}", remedy="Call /v1/models/MODEL/predict."
            )
        return self._only

    async def start(self) -> None:
        """Start every worker, side by side."""
        await asyncio.gather(*(worker.start() for worker in self.workers))

    async def stop(self) -> None:
        """Let every worker finish what waits."""
        await asyncio.gather(*(worker.stop() for worker in self.workers))
