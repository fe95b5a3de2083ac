"""The definitions as a rule file of Prometheus."""

from __future__ import annotations

import json

from mainstay.config.settings import Settings
from mainstay.oncall import definitions
from mainstay.oncall.definitions import Measure, Threshold

HEAD = """\
# Alert rules of the model {model}, made by `mainstay alerts export --prometheus`: make them anew after a change of
# [serve.slo], and check them with `promtool check rules`. Scrape /metrics of [serve] port (workers) and of [web] port
# (incidents, evidence, budgets).
"""


def rules(settings: Settings) -> str:
    """Return the rule file (YAML); every text is a JSON string, which YAML reads as it is."""
    name = settings.project.name
    lines = [
        HEAD.format(model=name).rstrip(),
        "groups:",
        f"  - name: {json.dumps(f'mainstay: {name}')}",
        "    rules:",
    ]
    for measure, alert in definitions.alerts_of(definitions.measures(settings)):
        lines += _rule(name, measure, alert)
    return "\n".join(lines) + "\n"


def expression(measure: Measure, alert: Threshold) -> str:
    """Return when the alert fires, in PromQL."""
    also = f" and {alert.also}" if alert.also else ""
    return f"{measure.query} {alert.holds}{also}"


def _rule(model: str, measure: Measure, alert: Threshold) -> list[str]:
    labels = {"severity": alert.severity, "model": model}
    annotations = {"summary": alert.summary, "description": alert.description}
    return [
        f"      - alert: {alert.alert}",
        f"        expr: {json.dumps(expression(measure, alert), ensure_ascii=False)}",
        f"        for: {alert.lasts}",
        "        labels:",
        *(f"          {name}: {json.dumps(text, ensure_ascii=False)}" for name, text in labels.items()),
        "        annotations:",
        *(f"          {name}: {json.dumps(text, ensure_ascii=False)}" for name, text in annotations.items()),
    ]
