"""The definitions as a dashboard of Grafana."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from mainstay.config.settings import Settings
from mainstay.oncall import definitions
from mainstay.oncall.definitions import PAGE, Measure

SCHEMA_VERSION = 39
"""Of Grafana's dashboard format (10.3 and later read it, and migrate it upwards)."""
WIDTH, HEIGHT, COLUMNS = 12, 8, 2
"""Of a panel, in the dashboard's grid of 24 columns."""
SOURCE = {"type": "prometheus", "uid": "${source}"}
COLOURS = {PAGE: "red"}


def dashboard(settings: Settings) -> str:
    """Return the dashboard (JSON): a panel for each measure, with a line where its alert fires."""
    model = settings.project.name
    panels = [_panel(number, one) for number, one in enumerate(definitions.measures(settings))]
    document = {
        "uid": f"mainstay-{sha256(model.encode()).hexdigest()[:20]}",
        "title": f"Mainstay: {model}",
        "tags": ["mainstay"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "timezone": "utc",
        "time": {"from": "now-24h", "to": "now"},
        "refresh": "30s",
        "templating": {
            "list": [{"name": "source", "label": "Data source", "type": "datasource", "query": "prometheus"}]
        },
        "annotations": {"list": []},
        "panels": panels,
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _panel(number: int, one: Measure) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    steps += [{"color": COLOURS.get(alert.severity, "orange"), "value": alert.line} for alert in one.alerts]
    told = " ".join(f"{alert.alert}: {alert.description}" for alert in one.alerts)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": one.title,
        "description": told,
        "datasource": SOURCE,
        "gridPos": {
            "x": WIDTH * (number % COLUMNS),
            "y": HEIGHT * (number // COLUMNS),
            "w": WIDTH,
            "h": HEIGHT,
        },
        "fieldConfig": {
            "defaults": {
                "unit": one.unit,
                "thresholds": {"mode": "absolute", "steps": steps},
                "custom": {"thresholdsStyle": {"mode": "line" if one.alerts else "off"}},
            },
            "overrides": [],
        },
        "targets": [{"refId": "A", "datasource": SOURCE, "expr": one.query, "legendFormat": one.legend}],
    }
