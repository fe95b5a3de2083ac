"""Spans of what callers trace: one in their trace, one small trace for the batch, nothing for anybody else."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mainstay.core.errors import ContractViolation
from mainstay.serve.tracing import MOST_BATCHES, MOST_CONTEXTS, TracedHandler, Tracing, wanted
from serve_kit import CHAMPION, Kit, make_side

A, B, PARENT = "a" * 32, "b" * 32, "c" * 16


def header(trace: str, *, sampled: bool = True) -> bytes:
    return f"00-{trace}-{PARENT}-0{int(sampled)}".encode()


class Traced:
    """A worker's inside with spans kept in memory."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracings: list[Tracing] = []
        self.kit = Kit(make_side(CHAMPION), make_handler=self._make)

    def _make(self, **parts: Any) -> TracedHandler:
        self.tracing = Tracing(self.provider, parts["clock"])
        return TracedHandler(tracing=self.tracing, **parts)

    def batch(self, *requests: tuple[str, bytes | None]) -> list[Any]:
        """Answer requests (text, traceparent) in one batch; the disk takes two seconds."""
        handler, clock = self.kit.handler, self.kit.clock
        calls = []
        for text, given in requests:
            body = json.dumps({"instances": [{"inputs": {"text": text}}]}).encode()
            trace_id = self.tracing.trace_of(given)
            calls.append(handler.validate("weather", body, client="x", trace_id=trace_id))
            clock.advance(seconds=0.5)
        group = handler.begin(calls, self.kit.pending._turn)
        clock.advance(seconds=1.0)
        handler.write(group)
        clock.advance(seconds=2.0)
        done = handler.finish(group)
        return [outcome for _, outcome in done.outcomes]

    def spans(self) -> list[Any]:
        self.tracing.start()
        self.tracing.stop()
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def traced() -> Traced:
    return Traced()


def test_a_traced_request_has_a_span_in_its_callers_trace_and_the_batch_one_that_links_them(traced: Traced) -> None:
    traced.batch(("snow", header(A)), ("rain", None), ("hail", header(B)))
    spans = {}
    for span in traced.spans():
        spans.setdefault(span.name, []).append(span)
    assert sorted(spans) == ["batch", "log", "predict", "predict weather", "validate"]
    first, second = spans["predict weather"]
    assert f"{first.context.trace_id:032x}" == A
    assert f"{first.parent.span_id:016x}" == PARENT
    assert (first.end_time - first.start_time) / 1e9 == pytest.approx(4.5)
    assert (second.end_time - second.start_time) / 1e9 == pytest.approx(3.5)
    (batch,) = spans["batch"]
    assert batch.parent is None
    assert [link.context.span_id for link in batch.links] == [first.context.span_id, second.context.span_id]
    assert dict(batch.attributes) == {"mainstay.rows": 3, "mainstay.jobs": 3}
    for name in ("validate", "predict", "log"):
        assert spans[name][0].parent.span_id == batch.context.span_id
        assert batch.start_time <= spans[name][0].start_time <= spans[name][0].end_time <= batch.end_time


def test_what_nobody_traces_makes_no_span(traced: Traced) -> None:
    traced.batch(("snow", None), ("rain", header(A, sampled=False)), ("hail", b"nonsense"))
    assert traced.spans() == []


def test_a_request_that_failed_is_an_error_in_its_trace(traced: Traced) -> None:
    traced.batch(("poison", header(A)))
    (span,) = [span for span in traced.spans() if span.name == "predict weather"]
    assert span.attributes["error.type"] == "model_output_invalid"
    assert not span.status.is_ok


def test_a_refused_request_is_forgotten(traced: Traced) -> None:
    with pytest.raises(ContractViolation):
        traced.kit.handler.validate(
            "weather", b'{"instances":[{"inputs":{}}]}', client="x", trace_id=traced.tracing.trace_of(header(A))
        )
    assert traced.tracing.contexts == {}
    assert traced.spans() == []


def test_what_is_more_than_can_be_told_is_dropped_and_answered_all_the_same(traced: Traced) -> None:
    for number in range(MOST_BATCHES + 3):
        assert len(traced.batch(("snow", header(f"{number + 1:032x}")))) == 1
    assert traced.tracing.dropped == 3


def test_requests_that_never_come_to_a_batch_do_not_fill_the_memory(traced: Traced) -> None:
    for number in range(MOST_CONTEXTS + 10):
        traced.tracing.trace_of(header(f"{number + 1:032x}"))
    assert len(traced.tracing.contexts) == MOST_CONTEXTS
    traced.batch(("snow", None))
    assert len(traced.tracing.contexts) == MOST_CONTEXTS // 2


@pytest.mark.parametrize(
    ("endpoint", "environ", "expected"),
    [
        ("", {}, False),
        ("http://c:4318", {}, True),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ("http://c:4318", {"OTEL_SDK_DISABLED": "true"}, False),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_spans_are_made_where_the_setting_or_the_standards_variables_ask(
    endpoint: str, environ: dict[str, str], expected: bool
) -> None:
    assert wanted(endpoint, environ) is expected


def test_a_handler_without_tracing_is_the_plain_one() -> None:
    assert "tracing" not in partial(Kit, make_side(CHAMPION))().handler.__dict__
