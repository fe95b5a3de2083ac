"""The numbers of `oncall.gauges` in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from mainstay.oncall.gauges import HELP, Gauge

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Gauges:
    """A collector over gauges."""

    def __init__(self, found: Sequence[Gauge]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        """Return every family, once."""
        for name, text in HELP.items():
            mine = [gauge for gauge in self._found if gauge.name == name]
            labels = [label for label, _ in mine[0].labels] if mine else ["model"]
            family = GaugeMetricFamily(f"mainstay_{name}", text, labels=labels)
            for gauge in mine:
                family.add_metric([value for _, value in gauge.labels], gauge.value)
            yield family


def render(found: Sequence[Gauge]) -> bytes:
    """Return the text format."""
    registry = CollectorRegistry()
    registry.register(_Gauges(found))
    return generate_latest(registry)
