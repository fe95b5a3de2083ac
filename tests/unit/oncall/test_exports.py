"""Rules and dashboard: one definition, metrics that exist, figures that are the project's own, checked by promtool."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from mainstay.api.metrics import render as render_worker
from mainstay.config.settings import Settings
from mainstay.oncall import definitions, grafana, prometheus
from mainstay.oncall.gauges import HELP
from mainstay.serve.metrics import Metrics
from mainstay.stats import burn
from mainstay.web.metrics import render as render_web

SLO = {"availability": 0.999, "latency_ms": 100}
HERE = Settings.model_validate({"project": {"name": "o-dd_name"}, "serve": {"slo": SLO}})
ELSEWHERE = Settings.model_validate({"project": {"name": "shop", "answers": "elsewhere"}})
PROJECTS = pytest.mark.parametrize("settings", [HERE, ELSEWHERE], ids=["here", "elsewhere"])


def families() -> set[str]:
    """Return every name that Prometheus may find in our two /metrics."""
    state = {"worker": "w0", "metrics": Metrics(0.1).as_dict(), "rss_mb": 1.0, "models": {"m": {"epoch": 1}}}
    pages = render_worker([state]).decode() + render_web([]).decode()
    found = re.findall(r"^# TYPE (\w+) (\w+)", pages, re.MULTILINE)
    names = {name for name, _ in found}
    return names | {f"{n}_{end}" for n, kind in found if kind == "histogram" for end in ("bucket", "count", "sum")}


def promtool() -> str:
    found = shutil.which("promtool")
    if found is None and os.environ.get("CI"):
        pytest.fail("apt-get install prometheus")
    if found is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    return found


@PROJECTS
def test_every_metric_that_is_asked_for_exists(settings: Settings) -> None:
    known = families()
    queries = [m.query for m in definitions.measures(settings)]
    queries += [prometheus.expression(m, a) for m, a in definitions.alerts_of(definitions.measures(settings))]
    asked = {name for query in queries for name in re.findall(r"\bmainstay_\w+", query)}
    assert len(asked) > 5
    assert asked <= known
    assert {f"mainstay_{name}" for name in HELP} <= known


@PROJECTS
def test_promtool_finds_nothing_wrong(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(prometheus.rules(settings))
    done = subprocess.run([promtool(), "check", "rules", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    count = len(definitions.alerts_of(definitions.measures(settings)))
    assert f"SUCCESS: {count} rules found" in done.stdout


@PROJECTS
def test_rules_and_panels_are_made_of_the_same_definitions(settings: Settings) -> None:
    measures = definitions.measures(settings)
    rules = {rule["alert"]: rule for rule in yaml.safe_load(prometheus.rules(settings))["groups"][0]["rules"]}
    board = json.loads(grafana.dashboard(settings))
    assert [panel["title"] for panel in board["panels"]] == [measure.title for measure in measures]
    for panel, measure in zip(board["panels"], measures, strict=True):
        assert panel["targets"][0]["expr"] == measure.query
        drawn = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1:]]
        assert drawn == [alert.line for alert in measure.alerts]
        for alert in measure.alerts:
            assert rules[alert.alert]["expr"].startswith(measure.query)
            assert rules[alert.alert]["labels"] == {"severity": alert.severity, "model": settings.project.name}
    assert len(rules) == sum(len(measure.alerts) for measure in measures)


def test_burn_rules_have_the_windows_and_thresholds_by_which_the_loop_judges() -> None:
    rules = {rule["alert"]: rule for rule in yaml.safe_load(prometheus.rules(HERE))["groups"][0]["rules"]}
    for rule, long, short in zip(burn.RULES, ("1h", "6h", "3d"), ("5m", "30m", "6h"), strict=True):
        found = rules[f"MainstayAvailabilityBurns{long}"]
        assert f"[{long}]" in found["expr"]
        assert f"[{short}]" in found["expr"]
        assert found["expr"].count(f"> {burn.threshold(rule, 0.999):g}") == 2
        assert found["labels"]["severity"] == ("page" if rule.pages else "watch")
    assert 'le="0.1"' in rules["MainstayLatencyBurns1h"]["expr"]


def test_a_service_elsewhere_has_no_rules_about_a_server_of_ours() -> None:
    text = prometheus.rules(ELSEWHERE)
    assert "mainstay_request_seconds" not in text
    assert "mainstay_route_epoch" not in text


def test_the_dashboard_is_laid_out_without_overlap_and_names_its_source_once() -> None:
    board = json.loads(grafana.dashboard(HERE))
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]}
    assert len(places) == len(board["panels"])
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {"${source}"}
    assert [one["name"] for one in board["templating"]["list"]] == ["source"]
    assert len(board["uid"]) <= 40


RULE_TEST = """
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'mainstay_incidents_open{model="shop",severity="page",harm="quality"}'
        values: '0x4 1x10'
      - series: 'mainstay_incidents_open{model="other",severity="page",harm="quality"}'
        values: '1x15'
      - series: 'mainstay_loop_last_turn_timestamp_seconds{model="shop"}'
        values: '0 60 120 180 240 300 360x20'
      - series: 'mainstay_request_seconds_count{model="shop",worker="w0"}'
        values: '0+100x90'
      - series: 'mainstay_failed_calls_total{model="shop",worker="w0",code="defect"}'
        values: '0x29 0+60x60'
    alert_rule_test:
      - {eval_time: 3m, alertname: MainstayIncidentPages, exp_alerts: []}
      - eval_time: 6m
        alertname: MainstayIncidentPages
        exp_alerts:
          - exp_labels: {severity: page, model: shop, harm: quality}
            exp_annotations:
              summary: 'shop: an incident does harm now (quality)'
              description: '1 open incident(s). `mainstay incidents list` tells which; `… ack ID` says who.'
      - {eval_time: 7m, alertname: MainstayLoopSilent, exp_alerts: []}
      - {eval_time: 20m, alertname: MainstayAvailabilityBurns1h, exp_alerts: []}
    promql_expr_test:
      - expr: 'count(ALERTS{alertname="MainstayLoopSilent",alertstate="firing"})'
        eval_time: 12m
        exp_samples: [{labels: '{}', value: 1}]
      - expr: 'count(ALERTS{alertname="MainstayAvailabilityBurns1h",alertstate="firing"})'
        eval_time: 60m
        exp_samples: [{labels: '{}', value: 1}]
"""


def test_rules_fire_when_they_should_and_not_before_by_prometheus_own_unit_tests(tmp_path: Path) -> None:
    settings = Settings.model_validate({"project": {"name": "shop"}, "serve": {"slo": {"availability": 0.99}}})
    (tmp_path / "rules.yml").write_text(prometheus.rules(settings))
    (tmp_path / "test.yml").write_text(RULE_TEST)
    done = subprocess.run(
        [promtool(), "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "Unit Testing:  test.yml\n  SUCCESS\n\n")
