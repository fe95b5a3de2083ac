"""OpenTelemetry spans of the requests that callers trace: in their traces one span each, and one small trace per batch.

Mainstay begins no trace of its own accord. A request whose `traceparent` says that it is sampled gets a span of its own
in its caller's trace, from arrival to answer. The batch that answered it is told once, however many rows it had: a span
with `validate`, `predict` and `log` below it, linked with the requests' spans. Nothing here runs on a request's way but
a few looks at the clock: spans are made and sent in threads of their own, and where the collector is away, or there are
more than can be sent, they are dropped and counted.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any

from mainstay.core.errors import EnvironmentFault, MainstayError
from mainstay.core.ports import Clock
from mainstay.serve.handle import Group, Handler
from mainstay.serve.live import Live
from mainstay.serve.pending import Done, Job, Turn
from mainstay.serve.rows import Call
from mainstay.serve.wire import Instance

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

MOST_CONTEXTS = 8192
"""Requests under way whose callers trace them; more are answered as ever, and not traced."""
MOST_BATCHES = 256
"""Batches that wait to be made into spans; more are dropped."""
STOP_S = 2.0
_PARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)")
_SAMPLED = 1
_log = logging.getLogger("mainstay.serve")


@dataclass(slots=True, kw_only=True)
class Parent:
    """What a caller's `traceparent` said, and how long its request's check took."""

    span_id: str
    validate_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class _Batch:
    """One batch with traced requests, as it goes; monotonic seconds."""

    calls: Sequence[Call]
    parents: Sequence[Parent]
    rows: int
    jobs: int
    began: float
    predicted: float
    writing: float = 0.0
    written: float = 0.0
    ended: float = 0.0
    wall_ns: int = 0
    """The time at `ended`."""
    failed: Mapping[int, str] | None = None
    """By place among `calls`: the code of the error that it came to."""


def wanted(endpoint: str, environ: Mapping[str, str]) -> bool:
    """Return whether the setting or OpenTelemetry's own variables ask for spans."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    named = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return bool(endpoint) or any(environ.get(name) for name in named)


def provider_of(endpoint: str, service: str, environ: Mapping[str, str]) -> TracerProvider:
    """Return what sends spans by OTLP over HTTP; what `OTEL_…` variables say holds where no setting does.

    Raises EnvironmentFault where the packages are missing.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise EnvironmentFault(
            "[telemetry] asks for spans, and OpenTelemetry's packages are not installed",
            remedy="pip install 'mainstay[telemetry]'",
        ) from error
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None)
    name = {} if environ.get("OTEL_SERVICE_NAME") else {"service.name": service}
    provider = TracerProvider(resource=Resource.create(name), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


class Tracing:
    """The spans of one worker process. Make it, `start()` it, `stop()` it."""

    def __init__(self, provider: TracerProvider, clock: Clock) -> None:
        self.clock = clock
        self.contexts: dict[str, Parent] = {}
        """Traced requests under way, by trace id."""
        self.dropped = 0
        """Batches that were not made into spans because too many waited."""
        self._provider = provider
        self._tracer = provider.get_tracer("mainstay")
        self._batches: Queue[_Batch | None] = Queue(MOST_BATCHES)
        self._thread = threading.Thread(target=self._make, name="spans", daemon=True)

    def start(self) -> None:
        """Begin to make spans of what is told."""
        self._thread.start()

    def stop(self) -> None:
        """Send what waits, and give up after a short while: a collector that is away holds nobody up."""
        try:
            self._batches.put(None, timeout=STOP_S)
        except Full:
            return
        self._thread.join(STOP_S)
        sending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        sending.start()
        sending.join(STOP_S)

    def trace_of(self, header: bytes | None) -> str | None:
        """Return the trace id of a `traceparent` header, None where it is none; remember a sampled one."""
        found = None if header is None else _PARENT.match(header)
        if found is None:
            return None
        trace_id = found[2].decode()
        if int(found[4], 16) & _SAMPLED and len(self.contexts) < MOST_CONTEXTS:
            self.contexts[trace_id] = Parent(span_id=found[3].decode())
        return trace_id

    def tell(self, batch: _Batch) -> None:
        """Hand a batch on; drops it when too many wait."""
        try:
            self._batches.put_nowait(batch)
        except Full:
            self.dropped += 1

    def forget_lost(self) -> None:
        """Forget requests that were refused, or whose caller went away: they never come to a batch."""
        while len(self.contexts) > MOST_CONTEXTS // 2:
            self.contexts.pop(next(iter(self.contexts)), None)

    # the spans' own thread

    def _make(self) -> None:
        while True:
            try:
                batch = self._batches.get(timeout=60.0)
            except Empty:
                continue
            if batch is None:
                return
            try:
                self._spans(batch)
            except Exception:  # noqa: BLE001 - edge: one batch's spans; its answers went out long ago
                _log.exception("spans could not be made")

    def _spans(self, batch: _Batch) -> None:
        from opentelemetry import trace
        from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

        def at(moment: float) -> int:
            return batch.wall_ns - int((batch.ended - moment) * 1e9)

        links: list[Link] = []
        for place, (call, parent) in enumerate(zip(batch.calls, batch.parents, strict=True)):
            context = SpanContext(
                trace_id=int(call.trace_id or "0", 16),
                span_id=int(parent.span_id, 16),
                is_remote=True,
                trace_flags=TraceFlags(_SAMPLED),
            )
            span = self._tracer.start_span(
                f"predict {call.model}",
                context=trace.set_span_in_context(trace.NonRecordingSpan(context)),
                kind=SpanKind.SERVER,
                start_time=at(call.arrived),
                attributes={"mainstay.model": call.model, "mainstay.rows": call.rows},
            )
            code = (batch.failed or {}).get(place)
            if code is not None:
                span.set_attribute("error.type", code)
                span.set_status(Status(StatusCode.ERROR))
            span.end(at(batch.ended))
            links.append(Link(span.get_span_context()))
        self._batch(batch, links, at)

    def _batch(self, batch: _Batch, links: Sequence[Any], at: Any) -> None:
        from opentelemetry import trace
        from opentelemetry.context import Context

        first = min(call.arrived for call in batch.calls)
        whole = self._tracer.start_span(
            "batch",
            context=Context(),
            links=links,
            start_time=at(first),
            attributes={"mainstay.rows": batch.rows, "mainstay.jobs": batch.jobs},
        )
        inside = trace.set_span_in_context(whole)
        checked = sum(parent.validate_s for parent in batch.parents)
        for name, start, end in (
            ("validate", first, first + checked),  # the sum over the traced calls, as if one after the other
            ("predict", batch.began, batch.predicted),
            ("log", batch.writing, batch.written),
        ):
            self._tracer.start_span(name, context=inside, start_time=at(start)).end(at(end))
        whole.end(at(batch.ended))


class TracedHandler(Handler):
    """A handler that looks at the clock around its steps, for batches with traced requests."""

    def __init__(self, *, tracing: Tracing, **parts: Any) -> None:
        super().__init__(**parts)
        self._tracing = tracing
        self._traced: dict[int, _Batch] = {}

    def _call(self, live: Live, instances: Sequence[Instance], **about: Any) -> Call:
        parent = self._tracing.contexts.get(about["trace_id"]) if about["trace_id"] is not None else None
        if parent is None:
            return super()._call(live, instances, **about)
        try:
            return super()._call(live, instances, **about)
        except MainstayError:
            self._tracing.contexts.pop(about["trace_id"], None)
            raise
        finally:
            parent.validate_s = self._clock.monotonic() - about["arrived"]

    def begin(self, jobs: Sequence[Job], turn: Turn) -> Group:
        """Begin a batch, and note how long that took where a caller traces a request of it."""
        began = self._clock.monotonic()
        group = super().begin(jobs, turn)
        contexts = self._tracing.contexts
        if contexts:
            here = {id(call) for call in group.calls} | {id(job) for job in group.outcomes}  # not what was put back
            traced = [
                (job, parent)
                for job in jobs
                if isinstance(job, Call)
                and id(job) in here
                and (parent := contexts.pop(job.trace_id or "", None)) is not None
            ]
            if traced:
                self._traced[id(group)] = _Batch(
                    calls=[call for call, _ in traced],
                    parents=[parent for _, parent in traced],
                    rows=sum(job.rows for job in jobs),
                    jobs=len(jobs),
                    began=began,
                    predicted=self._clock.monotonic(),
                )
            self._tracing.forget_lost()
        return group

    def write(self, group: Group) -> None:
        """Write a batch, and note how long that took."""
        batch = self._traced.get(id(group))
        if batch is None:
            super().write(group)
            return
        batch.writing = self._clock.monotonic()
        try:
            super().write(group)
        except BaseException:
            self._traced.pop(id(group), None)
            raise
        batch.written = self._clock.monotonic()

    def finish(self, group: Group) -> Done:
        """Finish a batch, and hand on what is known of it."""
        batch = self._traced.pop(id(group), None)
        done = super().finish(group)
        if batch is not None:
            outcomes = {id(job): outcome for job, outcome in done.outcomes}
            came = [outcomes.get(id(call)) for call in batch.calls]
            batch.failed = {place: one.code for place, one in enumerate(came) if isinstance(one, MainstayError)}
            batch.ended, batch.wall_ns = self._clock.monotonic(), self._clock.time_ns()
            self._tracing.tell(batch)
        return done
