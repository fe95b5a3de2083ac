"""The workers' counts as Prometheus reads them; any worker answers for all of the host, each under its own label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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


_USED = {
    "rows_computed": ("rows", "Rows that a version computed: answered, and scored in shadow."),
    "cpu_seconds": ("cpu_s", "Processor time of a version: its part of its workers' and its runners'."),
    "memory_byte_seconds": ("memory_byte_s", "Memory of a version over time: its part of its workers' and runners'."),
    "gpu_seconds": ("gpu_s", "Time that a GPU was busy for a version."),
    "cost": ("cost", "What a version cost, by the prices of [cost], since the server began."),
}
Told = Sequence[tuple[str, Mapping[str, Any] | None]]
"""By model, what the supervisor told of it."""


class _Supervisor:
    """A collector over what the supervisor measures, and what it saw of the watch."""

    def __init__(self, used: Told, watch: Told) -> None:
        self._used = [(model, told) for model, told in used if told]
        self._watch = [(model, told) for model, told in watch if told]

    def collect(self) -> Iterable[Metric]:
        """Return every family, once."""
        for name, (key, text) in _USED.items():
            family = CounterMetricFamily(f"mainstay_{name}", text, labels=["model", "bundle"])
            for model, told in self._used:
                for bundle, held in told["bundles"].items():
                    family.add_metric([model, bundle], held[key])
            yield family
        turn = GaugeMetricFamily(
            "mainstay_watch_last_turn_timestamp_seconds",
            "When the loop last finished a turn: what it judges is as old as this.",
            labels=["model"],
        )
        up = GaugeMetricFamily(
            "mainstay_watch_up",
            "Whether the watch can be believed: its loop turns, and its last probe raised the alarm that it must "
            "raise and no other.",
            labels=["model"],
        )
        for model, told in self._watch:
            if told.get("turn_at") is not None:
                turn.add_metric([model], told["turn_at"])
            up.add_metric([model], float(bool(told.get("up"))))
        yield from (turn, up)


def render(states: Iterable[Mapping[str, Any]], *, used: Told = (), watch: Told = ()) -> bytes:
    """Return the text format over the states of some workers, and what their supervisor told of each model."""
    registry = CollectorRegistry()
    registry.register(_States(states))
    registry.register(_Supervisor(used, watch))
    return generate_latest(registry)
