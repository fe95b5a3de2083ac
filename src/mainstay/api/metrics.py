"""The workers' counts as Prometheus reads them; any worker answers for all of the host, each under its own label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from mainstay.serve.metrics import HELP, OF_THE_PROCESS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_HISTOGRAMS = {
    "request_seconds": "From the arrival of a call to its group's commit.",
    "load_test_request_seconds": "The same of the calls that a load test made, which are among those.",
    "batch_rows": "Rows that were answered in one batch.",
    "commit_seconds": "How long a group commit took.",
}


class _States:
    """A collector over the workers' states."""

    def __init__(self, states: Iterable[Mapping[str, Any]]) -> None:
        self._states = list(states)

    def collect(self) -> Iterable[Metric]:
        """Return every family, once."""
        yield from self._counters()
        yield from self._histograms()
        yield from self._gauges()

    def _counters(self) -> Iterable[Metric]:
        for name, text in HELP.items():
            # A process counts for each of its models apart; only what is about no model has no such label.
            rows = [
                (
                    {"worker": state["worker"]} | ({} if name in OF_THE_PROCESS else _model(state)) | counter["labels"],
                    counter,
                )
                for state in self._states
                for counter in state["metrics"]["counters"]
                if counter["name"] == name
            ]
            labels = ["worker", *sorted({label for found, _ in rows for label in found} - {"worker"})]
            family = CounterMetricFamily(f"mainstay_{name}", text, labels=labels)
            for found, counter in rows:
                family.add_metric([found.get(label, "") for label in labels], counter["value"])
            yield family

    def _histograms(self) -> Iterable[Metric]:
        for name, text in _HISTOGRAMS.items():
            family = HistogramMetricFamily(f"mainstay_{name}", text, labels=["worker", "model"])
            for state in self._states:
                held = state["metrics"]["histograms"][name]
                bounds = [*(f"{bound:g}" for bound in held["bounds"]), "+Inf"]
                buckets = list(zip(bounds, accumulate(held["counts"]), strict=True))
                whose = [state["worker"], _model(state)["model"]]
                family.add_metric(whose, buckets=buckets, sum_value=held["sum"])
            yield family

    def _gauges(self) -> Iterable[Metric]:
        memory = GaugeMetricFamily("mainstay_worker_memory_bytes", "Memory of a worker in RAM.", labels=["worker"])
        epoch = GaugeMetricFamily(
            "mainstay_route_epoch", "Epoch of the route that a worker answers by.", labels=["worker", "model"]
        )
        for worker, rss_mb in {state["worker"]: state["rss_mb"] for state in self._states}.items():
            memory.add_metric([worker], rss_mb * 1e6)
        for state in self._states:
            for model, held in state["models"].items():
                epoch.add_metric([state["worker"], model], held["epoch"])
        yield memory
        yield epoch
        yield from self._runners()

    def _runners(self) -> Iterable[Metric]:
        labels = ["worker", "model", "bundle", "seat"]
        up = GaugeMetricFamily("mainstay_runner_up", "Whether a runner process can be asked.", labels=labels)
        left_alone = GaugeMetricFamily(
            "mainstay_runner_circuit_open", "Whether a runner is left alone because it ended too often.", labels=labels
        )
        memory = GaugeMetricFamily("mainstay_runner_memory_bytes", "Memory of a runner process.", labels=labels)
        for state in self._states:
            for model, held in state["models"].items():
                for runner in held.get("runners", ()):
                    for name, seat in runner["seats"].items():
                        whose = [state["worker"], model, runner["bundle"], name]
                        up.add_metric(whose, float(seat["state"] == "ready"))
                        left_alone.add_metric(whose, float(seat["circuit"] == "open"))
                        memory.add_metric(whose, seat["rss_mb"] * 1e6)
        yield from (up, left_alone, memory)


def _model(state: Mapping[str, Any]) -> dict[str, str]:
    """Return the label of the model that a state is about: each of a process's projects has a state of its own."""
    return {"model": next(iter(state["models"]))}


def render(states: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the text format over the states of some workers."""
    registry = CollectorRegistry()
    registry.register(_States(states))
    return generate_latest(registry)
