"""Explanations beside answering: one thread of their own, few at a time, each bounded; predictions never wait for them.

What is asked is each bundle's second copy: a compiled one may be read by several threads at once, as nothing in it
changes, one in a runner answers in the runner's second process. A model inside the worker that is not compiled is for
one caller at a time, which is shadow scoring: it is not explained here.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from msgspec import UNSET

from mainstay.core.contracts import Contract, Pii
from mainstay.core.errors import ContractViolation, NotFound, NotReady, Overloaded, Problem, UsageError
from mainstay.core.events import Arm, Event, Kind
from mainstay.journal.read import Journal
from mainstay.journal.recorded import recorded_inputs, require
from mainstay.journal.subjects import Subjects
from mainstay.journal.vault import Vault
from mainstay.models.explained.explain import Explainer
from mainstay.models.explained.records import Explanation
from mainstay.serve import wire
from mainstay.serve.live import Live, ModelSlot, Side
from mainstay.serve.metrics import Metrics

MOST_WAITING = 4
"""More calls than these under way or waiting give 503."""
_REMEDY = "Use `mainstay explain ID`, which opens the bundle by itself."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One row that is to be explained, by one bundle."""

    side: Side
    values: dict[str, Any]
    id: str | None = None
    hidden: frozenset[str] = frozenset()
    """Fields whose values are not told: they were encrypted in the record."""


class Explaining:
    """Explains rows, and recorded predictions, of one worker's models."""

    def __init__(
        self,
        *,
        slots: dict[str, ModelSlot],
        journal: Journal,
        subjects: Subjects,
        budget_s: float,
        metrics: Metrics,
    ) -> None:
        self._slots = slots
        self._journal = journal
        self._subjects = subjects
        self._budget_s = budget_s
        self._metrics = metrics
        self._explainers: dict[str, Explainer] = {}
        self._under_way = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="explain")

    async def answer(self, model: str, body: bytes) -> bytes:
        """Return the encoded response. Raises Overloaded when several calls are under way already."""
        slot = self._slots.get(model)
        live = slot.live if slot is not None else None
        if live is None:
            raise NotReady(f"No version of {model!r} is loaded that could be explained")
        request = wire.decode_explain(body)
        checked = _checked(live.champion, [] if request.instances is UNSET else request.instances)
        if self._under_way >= MOST_WAITING:
            self._metrics.count("explanations_turned_away_total", model=model)
            raise Overloaded(f"{self._under_way} calls for explanations are under way; at most {MOST_WAITING} may be")
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, self._work, model, live, request, checked
            )
        finally:
            self._under_way -= 1

    def stop(self) -> None:
        """Let the explanation under way end; nothing waits behind it."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _work(self, model: str, live: Live, request: wire.ExplainRequest, checked: list[dict[str, Any]]) -> bytes:
        if isinstance(request.id, str):
            asked = [self._recorded(model, live, request.id)]
        else:
            asked = [_Asked(side=live.champion, values=values) for values in checked]
        found = [self._explained(live, one, request) for one in asked]
        for one in found:
            self._metrics.count("explanations_total", model=model, method=one.explanation.method)
        return wire.encode(wire.ExplainResponse(model=model, explanations=found))

    def _explained(self, live: Live, asked: _Asked, request: wire.ExplainRequest) -> wire.Explained:
        made = self._explainer(live, asked.side).explain(
            asked.values, label=request.label, top=int(request.top), budget_s=self._budget_s
        )
        return wire.Explained(bundle=asked.side.name, id=asked.id, explanation=_without(made, asked.hidden))

    def _explainer(self, live: Live, side: Side) -> Explainer:
        loaded = side.twin  # the batch keeps its own
        if loaded.program is None and loaded.outside is None:
            raise UsageError(
                f"{side.name} is not compiled and runs inside the worker, where it is not explained", remedy=_REMEDY
            )
        digest = side.ref.digest
        if digest not in self._explainers:
            wanted = {one.ref.digest for one in _sides(live)} | {digest}
            self._explainers = {key: kept for key, kept in self._explainers.items() if key in wanted}
            self._explainers[digest] = Explainer(loaded)
        return self._explainers[digest]

    def _recorded(self, model: str, live: Live, id_: str) -> _Asked:
        event = self._journal.find(id_)
        if event is None or event.model != model or event.kind is not Kind.PREDICTION:
            raise NotFound(
                f"The journal of {model!r} holds no prediction {id_[:100]!r}",
                remedy='Send the id that the answer gave, or the row itself: {"instances": [{"inputs": {…}}]}.',
            )
        if event.served_arm is Arm.FALLBACK:
            raise UsageError(f"{id_!r} was answered by the declared fallback: there is no model's answer to explain")
        side = _side_of(live, event)
        contract = side.loaded.contract
        values, missing = recorded_inputs(event, contract, Vault(self._subjects, model))
        require(id_, missing, side.loaded.fields_taken)
        row = dict(side.check.check(values).values)
        return _Asked(side=side, values=row, id=id_, hidden=_encrypted(contract))


def _checked(champion: Side, instances: list[wire.Instance]) -> list[dict[str, Any]]:
    """Return the rows as the champion's contract has them; raise all that is wrong with them."""
    rows: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for number, one in enumerate(instances):
        found = champion.check.check(one.inputs)
        rows.append(dict(found.values))
        problems += [replace(problem, row=number) for problem in found.problems]
    if problems:
        raise ContractViolation(
            "An instance breaks the contract; none was explained",
            remedy="Correct the named fields and send the call again.",
            problems=problems,
        )
    return rows


def _sides(live: Live) -> list[Side]:
    every = (live.champion, live.challenger, live.shadow, live.previous)
    return [side for side in every if side is not None]


def _side_of(live: Live, event: Event) -> Side:
    found = next((side for side in _sides(live) if side.name == event.bundle), None)
    if found is None:
        raise NotFound(f"{event.bundle} answered {event.id!r} and is not loaded any more", remedy=_REMEDY)
    return found


def _encrypted(contract: Contract) -> frozenset[str]:
    return frozenset(field.name for field in contract.fields if field.pii is Pii.ENCRYPT)


def _without(made: Explanation, hidden: frozenset[str]) -> Explanation:
    """Return the explanation without values and words of some fields; what they add stays."""
    if not hidden:
        return made
    fields = [msgspec.structs.replace(one, value=None) if one.field in hidden else one for one in made.fields]
    words = [one for one in made.words if one.field not in hidden]
    untold = sum(one.contribution for one in made.words if one.field in hidden)
    return msgspec.structs.replace(made, fields=fields, words=words, other_words=made.other_words + untold)
