"""The request's way: validate → route → predict → log. Read top to bottom.

`validate` runs in the event loop as a request arrives and refuses what breaks the contract. The rest runs for all
requests that waited, in three steps (pending.py says in which thread): `begin` recognises ids that were answered
before, answers the others (arms.py: route and predict) and makes their records; `write` is one group commit (log.py);
`finish` makes the answers. Only then do they go out, and only after that is anything scored in shadow.
No row's failure is another row's: what the challenger cannot answer the champion does, what the champion cannot the
declared fallback does, and where none is declared that one call fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from mainstay.core.calls import FALLBACK, LOAD_TEST
from mainstay.core.contracts import Contract
from mainstay.core.errors import (
    ContractViolation,
    MainstayError,
    ModelOutputInvalid,
    NotFound,
    NotReady,
    Overloaded,
    Problem,
    RunnerFailed,
)
from mainstay.core.events import Arm, Caveat, Event, Kind, Trust
from mainstay.core.ports import Clock
from mainstay.data.rules import Rule
from mainstay.journal.personal import Hasher, name_of
from mainstay.serve import explore, external, feedback, log, shadow, strict, wire
from mainstay.serve.arms import HANGS, RUNNER, Arms
from mainstay.serve.cache import Cache
from mainstay.serve.dedupe import Claims, Ids, check_same
from mainstay.serve.live import Live, ModelSlot
from mainstay.serve.metrics import Metrics
from mainstay.serve.pending import Abandoned, Done, Job, Turn
from mainstay.serve.rows import Call, Note, Row
from mainstay.serve.shared_ids import RETRY_S as RETRY_SHARED_S
from mainstay.serve.shared_ids import SharedIds
from mainstay.stats.ordering import ranks

RETRY_CLAIM_S = 0.003
CLAIM_PATIENCE_S = 10.0
REFUSAL_RECORDS = 20
"""Most refusal records of one call."""
IN_ITS_PLACE = frozenset({Arm.FALLBACK, Arm.PREVIOUS})
"""Who answers as the fallback where the champion could not."""
AT_ONCE_ROWS = 256
"""More rows than this are not computed in the event loop."""


@dataclass(slots=True, kw_only=True)
class Group:
    """One batch on its way: what `begin` made, what `write` found, what `finish` answers with."""

    calls: list[Call]
    tolds: list[feedback.Told]
    seen: list[external.Sightings]
    written: log.Group
    outcomes: dict[Job, Any]
    """What is settled already."""
    claimed: set[str]
    """Ids that are held against other workers until the records are on disk."""
    commit_s: float = 0.0
    failed: Mapping[Job, MainstayError] = field(default_factory=dict)
    """Whose records did not get to disk."""


class Handler:
    """What one worker does with requests."""

    def __init__(
        self,
        *,
        slots: Mapping[str, ModelSlot],
        log_: log.Log,
        ids: Ids,
        book: feedback.Book,
        ledger: external.Ledger,
        claims: Claims | None,
        shadow_: shadow.Shadow,
        hasher: Hasher,
        clock: Clock,
        metrics: Metrics,
        max_rows: int,
        put_back: Callable[[Job, float], None],
        cache_rows: int = 0,
        shared: SharedIds | None = None,
    ) -> None:
        self._slots = slots
        self._log = log_
        self._ids = ids
        self._book = book
        self._ledger = ledger
        self._claims = claims
        self._shadow = shadow_
        self._hasher = hasher
        self._clock = clock
        self._metrics = metrics
        self._max_rows = max_rows
        self._put_back = put_back
        self._arms = Arms(clock, metrics, Cache(cache_rows) if cache_rows else None)
        self._shared = shared
        self.elsewhere: frozenset[str] = frozenset()
        """Models that answer elsewhere: only events and feedback about them are taken."""
        self._lives: dict[str, Live] = {}
        """What answers in the batch that was last looked at: it is not to change between the look and the work."""

    def tripped(self) -> dict[str, str]:
        """Return why a challenger is asked no more in this worker, by model."""
        return self._arms.trips.raised()

    # validate: in the event loop, as the request arrives

    def validate(self, model: str, body: bytes, *, client: str, trace_id: str | None = None) -> Call:
        """Return the call with every instance checked, or raise all that is wrong with it."""
        arrived = self._clock.monotonic()
        live = self.live(model)
        request = wire.decode_predict(body, max_rows=self._max_rows)
        return self._call(
            live,
            request.instances,
            model=model,
            arrived=arrived,
            client=client,
            trace_id=trace_id,
            size=len(body),
        )

    def validate_instances(
        self, model: str, instances: Sequence[wire.Instance], *, client: str, trace_id: str | None = None, size: int = 0
    ) -> Call:
        """Return the call that another protocol asks for in `size` bytes; its outcome is the predictions themselves."""
        arrived = self._clock.monotonic()
        live = self.live(model)
        wire.limit(len(instances), self._max_rows)
        call = self._call(live, instances, model=model, arrived=arrived, client=client, trace_id=trace_id, size=size)
        call.plain = True
        return call

    def _call(
        self,
        live: Live,
        instances: Sequence[wire.Instance],
        *,
        model: str,
        arrived: float,
        client: str,
        trace_id: str | None,
        size: int = 0,
    ) -> Call:
        received_at = self._clock.now()
        rows: list[Row] = []
        problems = _ids_twice(instances)
        champion = live.champion
        at_least = ""
        for number, instance in enumerate(instances):
            if len(problems) >= strict.MAX_PROBLEMS:
                at_least = "At least "  # naming what is wrong takes its time, and no answer shows more
                break
            checked = champion.check.check(_shortened(instance.inputs, champion.declared))
            if checked.problems:
                problems += [_in_row(problem, number) for problem in checked.problems]
            else:
                rows.append(self._row(live, instance, checked.values, checked.caveats, client, received_at))
        if problems:
            bad = len({problem.row for problem in problems})
            raise ContractViolation(
                f"{at_least}{bad} of {len(instances)} instances break the contract; none was answered",
                remedy="Correct the named fields and send the call again.",
                problems=problems,
            )
        return Call(
            model=model,
            items=rows,
            rows=len(rows),
            size=size,
            received_at=received_at,
            arrived=arrived,
            trace_id=trace_id,
            names_ids=any(row.given_id is not None for row in rows),
        )

    def validate_feedback(
        self, model: str, body: bytes, *, trace_id: str | None = None, contract: Contract | None = None
    ) -> feedback.Told:
        """Return the feedback with every item checked by itself; raises only when the body as a whole is wrong.

        `contract`: where no version answers here, what its project declares.
        """
        arrived = self._clock.monotonic()
        contract = contract or self.live(model).champion.loaded.contract
        request = wire.decode_feedback(body, max_rows=self._max_rows)
        told = feedback.validate(request, contract, model=model, now=self._clock.now(), arrived=arrived)
        told.trace_id, told.size = trace_id, len(body)
        return told

    def live(self, model: str) -> Live:
        """Return what answers for a model; raises NotFound for a strange name, NotReady before the first version."""
        slot = self._slots.get(model)
        if slot is None and model in self.elsewhere:
            raise NotFound(
                f"{model!r} answers elsewhere: nothing is predicted here",
                remedy="Tell what it answered: POST /v1/events.",
            )
        if slot is None:
            raise NotFound(
                f"There is no model {model[:100]!r} here; allowed: {', '.join(sorted(self._slots))}",
                remedy="Ask GET /v1/models for the names.",
            )
        if slot.live is None:
            raise NotReady(f"No version of {model!r} is loaded yet")
        return slot.live

    def refusals(self, model: str, body: bytes, error: MainstayError, status: int) -> list[Note]:
        """Return the records of a refused call, one per bad instance: digest, reason and field names, no raw text."""
        now = self._clock.now()
        slot = self._slots.get(model)
        if slot is None:
            return []
        name = slot.live.champion.name if slot.live else ""
        contract = slot.live.champion.loaded.contract if slot.live else None
        digest = self._hasher.digest(body)
        fields: dict[int | None, dict[str, str]] = {}
        for problem in error.problems:
            rule = problem.what.value if isinstance(problem.what, Rule) else ""  # any other text may quote the sender
            fields.setdefault(problem.row, {})[name_of(problem, contract)] = rule

        def note(names: dict[str, str]) -> Note:
            def make(seq: int) -> Event:
                return Event(
                    model=model,
                    worker=self._log.worker,
                    seq=seq,
                    id=self._log.new_id(seq),
                    kind=Kind.REFUSAL,
                    occurred_at=now,
                    received_at=now,
                    bundle=name,
                    inputs={"digest": digest, "fields": sorted(names), "rules": names},
                    status=status,
                    reason=error.code,
                )

            return Note(make=make)

        return [note(names) for names in list(fields.values() or [{}])[:REFUSAL_RECORDS]]

    def _row(
        self,
        live: Live,
        instance: wire.Instance,
        values: dict[str, Any],
        caveats: Sequence[Caveat],
        client: str,
        received_at: datetime,
    ) -> Row:
        contract = live.champion.loaded.contract
        declared = values.get(contract.key) if contract.key else None
        given = instance.key if isinstance(instance.key, str) else client
        key_hash = self._hasher.key_hash(given if declared is None else str(declared))
        moment = values.get(contract.time) if contract.time else None
        if not isinstance(moment, datetime):
            moment = instance.time if isinstance(instance.time, datetime) else received_at
        return Row(
            given_id=instance.id if isinstance(instance.id, str) else None,
            inputs=instance.inputs,
            values=values,
            caveats=tuple(caveats),
            key_hash=key_hash,
            unit=self._hasher.unit(key_hash, values),
            occurred_at=moment,
        )

    # route → predict → log: for all that waited

    def at_once(self, jobs: Sequence[Job]) -> bool:
        """Return whether `begin` would only compute: compiled models, few rows, nothing to look up on disk."""
        rows = 0
        self._lives.clear()
        for job in jobs:
            if isinstance(job, feedback.Told | external.Sightings):
                return False
            if isinstance(job, Call):
                rows += job.rows
                if job.names_ids and (self._claims or self._shared or not self._ids.at_hand(_given(job))):
                    return False
                live = self._lives.get(job.model) or self._slots[job.model].refresh() or self.live(job.model)
                self._lives[job.model] = live
                if not live.at_once:
                    return False
        return rows <= AT_ONCE_ROWS

    def begin(self, jobs: Sequence[Job], turn: Turn) -> Group:
        """Bring a batch of calls, feedback and records as far as the disk."""
        claimed: set[str] = set()
        try:
            return self._begin(jobs, turn, claimed)
        except Abandoned:
            raise  # the thread that has the batch now gives them back
        except BaseException:
            self._give_back(claimed)
            if self._shared is not None:
                self._shared.give_back()
            raise

    def write(self, group: Group) -> None:
        """Bring the group's records to disk: the only step that waits for it."""
        began = self._clock.monotonic()
        group.failed = self._log.write(group.written)
        if self._shared is not None:
            self._shared.settle(group.calls, {**group.outcomes, **group.failed})
        group.commit_s = self._clock.monotonic() - began

    def finish(self, group: Group) -> Done:
        """Return what each job came to."""
        try:
            return self._finish(group)
        finally:
            self._give_back(group.claimed)

    def _begin(self, jobs: Sequence[Job], turn: Turn, claimed: set[str]) -> Group:
        outcomes: dict[Job, Any] = {}
        entries: list[log.Entry] = []
        calls = self._recognise([job for job in jobs if isinstance(job, Call)], claimed, outcomes)
        if self._shared is not None:
            calls, waiting = self._shared.recognise(calls, outcomes)
            for call in waiting:
                self._put_back(call, RETRY_SHARED_S)
        self._answer(calls, turn)
        for call in calls:
            self._enter(call, entries, outcomes)
        tolds = [job for job in jobs if isinstance(job, feedback.Told)]
        for told in tolds:
            self._book.enter(told, entries)
        seen = self._take_seen([job for job in jobs if isinstance(job, external.Sightings)], claimed, outcomes)
        for job in seen:
            self._ledger.enter(job, entries)
        entries += [(job, job.make) for job in jobs if isinstance(job, Note)]
        written = self._log.prepare(entries)
        return Group(calls=calls, tolds=tolds, seen=seen, written=written, outcomes=outcomes, claimed=claimed)

    def _finish(self, group: Group) -> Done:
        outcomes, failed = group.outcomes, group.failed
        outcomes.update(failed)
        for told in group.tolds:
            if told not in failed:
                self._book.note(told)
                outcomes[told] = wire.encode(wire.FeedbackResponse(results=told.results))
        for job in group.seen:
            if job not in failed:
                self._ledger.note(job)
                self._ids.note(job.stored())
                outcomes[job] = wire.encode(wire.EventsResponse(results=job.results))
        answered = [call for call in group.calls if call not in outcomes]
        for call in answered:
            outcomes[call] = self._response(call)
        self._ids.note((row.given_id, row.unit) for call in answered for row in call.items if row.given_id is not None)
        self._note(answered, group.tolds, failed, group.commit_s)
        groups = shadow.groups_of(answered, _fresh)
        afterwards = [lambda: self._shadow.offer(groups)] if groups else []
        return Done(outcomes=list(outcomes.items()), afterwards=afterwards)

    def _give_back(self, claimed: set[str]) -> None:
        if claimed and self._claims is not None:
            self._claims.give_back(claimed)

    def _recognise(self, calls: Sequence[Call], claimed: set[str], outcomes: dict[Job, Any]) -> list[Call]:
        """Find rows whose id was answered before; a call with a reused id fails, one that another worker has waits."""
        kept: list[Call] = []
        firsts: dict[str, Row] = {}
        for call in calls:
            named = {row.given_id: row for row in call.items if row.given_id is not None}
            if not named:
                kept.append(call)
                continue
            for row in call.items:
                row.before = row.first = None
            try:
                if not self._claim(call, named, claimed):
                    continue
                for id_, row in named.items():
                    first = firsts.get(id_)
                    if first is None:
                        row.before = self._ids.find(id_, row.unit)
                        continue
                    check_same(id_, first.unit, row.unit)
                    row.before, row.first = first.before, None if first.before else first
            except MainstayError as error:
                outcomes[call] = error
                continue
            firsts |= {id_: row for id_, row in named.items() if row.first is None}
            kept.append(call)
        return kept

    def _take_seen(
        self, jobs: Sequence[external.Sightings], claimed: set[str], outcomes: dict[Job, Any]
    ) -> list[external.Sightings]:
        """Return the events to keep now; those that share an id with some before them in this batch wait for these."""
        kept: list[external.Sightings] = []
        here: set[str] = set()
        for job in jobs:
            if not here.isdisjoint(job.ids):
                self._put_back(job, RETRY_CLAIM_S)
                continue
            try:
                if self._claim(job, job.ids, claimed):
                    kept.append(job)
                    here.update(job.ids)
            except MainstayError as error:
                outcomes[job] = error
        return kept

    def _claim(self, call: Call | external.Sightings, named: Iterable[str], claimed: set[str]) -> bool:
        """Take a call's ids for this worker, all or none; a call that must wait for another worker is queued again."""
        if self._claims is None:
            return True
        taken: list[str] = []
        for id_ in named:
            if id_ in claimed:
                continue
            if not self._claims.take(id_):
                self._claims.give_back(taken)
                if self._clock.monotonic() - call.arrived > CLAIM_PATIENCE_S:
                    raise Overloaded(f"The id {id_!r} is being answered by another worker")
                self._put_back(call, RETRY_CLAIM_S)
                return False
            taken.append(id_)
        claimed.update(taken)
        return True

    def _answer(self, calls: Sequence[Call], turn: Turn) -> None:
        """Take over a new route if there is one, then answer every row that needs an answer, per model in one batch."""
        now = self._clock.now()
        per_model: dict[str, list[Call]] = {}
        for call in calls:
            per_model.setdefault(call.model, []).append(call)
        for model, its in per_model.items():
            live = self._lives.get(model) or self._slots[model].refresh() or self.live(model)
            for call in its:
                call.live = live
            rows = [row for call in its for row in _fresh(call)]
            if rows:
                self._arms.answer(live, rows, turn, now)

    def _enter(self, call: Call, entries: list[log.Entry], outcomes: dict[Job, Any]) -> None:
        """Add a call's records to the group; a call with a row that nothing could answer fails as a whole."""
        latency_us = max(1, int((self._clock.monotonic() - call.arrived) * 1e6))
        fresh = _fresh(call)
        missing = [row for row in call.items if row.before is None and (row.first or row).answer is None]
        if not missing:
            live = call.live
            if live is not None and live.explorer is not None:
                entries += explore.entries(live.explorer, self._log, call, fresh, latency_us)
            else:
                entries += [(call, log.prediction(self._log, call, row, latency_us)) for row in fresh]
            return
        unanswered = missing[0].first or missing[0]
        why = unanswered.failures.get(Arm.CHAMPION, "unknown")
        error = _no_answer(call.model, why)
        outcomes[call] = error
        status = 503 if isinstance(error, Overloaded | RunnerFailed) else 500
        # Its own jobs: that a failure cannot be written down must not hide the failure.
        entries += [
            (Note(make=make), make) for make in (log.failure(self._log, call, r, latency_us, status) for r in fresh)
        ]

    def _response(self, call: Call) -> bytes | list[wire.Prediction] | MainstayError:
        predictions: list[wire.Prediction] = []
        explored = False
        for row in call.items:
            event = row.before or (row.first or row).event
            if event is None:
                return _no_answer(call.model, "the request with the same id got no answer")
            duplicate = row.before is not None or row.first is not None
            predictions.append(_prediction(event, duplicate=duplicate))
            if event.explored is not None:
                explored = True
                explore.show(predictions[-1], event, event.explored)
        if call.plain and len(predictions) == 1:
            return predictions  # a line answered for itself has no place among others
        if call.live is not None and (group := call.live.champion.loaded.contract.group) is not None:
            _rank(call, group, predictions)
            if explored:
                explore.show_places(call.items, group, predictions)
        if call.plain:
            return predictions
        return wire.encode(wire.PredictResponse(model=call.model, predictions=predictions))

    def _note(
        self,
        calls: Sequence[Call],
        tolds: Sequence[feedback.Told],
        failed: Mapping[Job, MainstayError],
        commit_s: float,
    ) -> None:
        """Count the batch."""
        counts: dict[tuple[str, str, str, str], int] = {}
        for call in calls:
            for row in call.items:
                if row.event is not None and row.side is not None and row.event.trust is not None:
                    key = (call.model, row.event.bundle, row.sent.served.value, row.event.trust.value)
                    counts[key] = counts.get(key, 0) + 1
        for (model, bundle, arm, trust), count in counts.items():
            self._metrics.count("predictions_total", count, model=model, bundle=bundle, arm=arm, trust=trust)
        if any(arm in IN_ITS_PLACE for _, _, arm, _ in counts):
            for call in calls:
                if any(row.served in IN_ITS_PLACE and Arm.CHAMPION in row.failures for row in call.items):
                    self._metrics.missed(call.model, FALLBACK, trace_id=call.trace_id)
        tests = [call for call in calls if call.trace_id is not None and call.trace_id.startswith(LOAD_TEST)]
        for told in tolds:
            for result in told.results:
                self._metrics.count("feedback_total", model=told.model, status=result.status.value)
        if failed:
            self._metrics.count("commit_failures_total")
        now = self._clock.monotonic()
        if tests:
            self._metrics.load_test(now - call.arrived for call in tests)
        self._metrics.batch((now - call.arrived for call in calls), sum(call.rows for call in calls), commit_s)


def _fresh(call: Call) -> list[Row]:
    """Return the rows that are answered now, for the first time."""
    return [row for row in call.items if row.before is None and row.first is None]


def _given(call: Call) -> list[str]:
    return [row.given_id for row in call.items if row.given_id is not None]


def _prediction(event: Event, *, duplicate: bool) -> wire.Prediction:
    return wire.Prediction(
        id=event.id,
        label=event.label,
        probabilities=event.probabilities,
        confidence=event.confidence,
        trust=event.trust or Trust.ABSTAIN,
        fallback=event.served_arm is Arm.FALLBACK or event.served_arm is Arm.PREVIOUS,
        warnings=event.warnings,
        bundle=event.bundle,
        arm=event.served_arm or Arm.CHAMPION,
        duplicate=duplicate,
    )


def _rank(call: Call, group: str, predictions: Sequence[wire.Prediction]) -> None:
    """Order the candidates of each group of a call by their scores; of equal scores the earlier one comes first.

    One without a score, where a person has to answer, comes last.
    """
    groups: dict[Any, list[wire.Prediction]] = {}
    for row, prediction in zip(call.items, predictions, strict=True):
        groups.setdefault(row.values.get(group), []).append(prediction)
    for candidates in groups.values():
        for prediction, rank in zip(
            candidates, ranks([-math.inf if one.label is None else float(one.label) for one in candidates]), strict=True
        ):
            prediction.rank = rank


def _no_answer(model: str, why: str) -> MainstayError:
    if why == HANGS:
        return Overloaded(f"{model!r} gave no answer within its deadline, and no fallback is declared")
    if why.startswith(RUNNER):
        return RunnerFailed(f"{model!r} could not answer, and no fallback is declared: {why.removeprefix(RUNNER)}")
    return ModelOutputInvalid(f"{model!r} could not answer, and no fallback is declared: {why}")


def _in_row(problem: Problem, number: int) -> Problem:
    return Problem(
        where=problem.where,
        what=problem.what,
        value=problem.value,
        allowed=problem.allowed,
        nearest=problem.nearest,
        row=number,
    )


def _shortened(inputs: dict[str, Any], declared: Sequence[str]) -> dict[str, Any]:
    """Return inputs with so many undeclared fields at most as an answer would name."""
    if len(inputs) <= len(declared) + strict.MAX_PROBLEMS:
        return inputs
    strange = (name for name, value in inputs.items() if value is not None and name not in declared)
    names = [*(name for name in declared if name in inputs), *islice(strange, strict.MAX_PROBLEMS)]
    return {name: inputs[name] for name in names}


def _ids_twice(instances: Sequence[wire.Instance]) -> list[Problem]:
    seen: set[str] = set()
    problems = []
    for number, instance in enumerate(instances):
        if isinstance(instance.id, str):
            if instance.id in seen:
                problems.append(Problem(where="id", what="stands twice in this call", value=instance.id, row=number))
            seen.add(instance.id)
    return problems
