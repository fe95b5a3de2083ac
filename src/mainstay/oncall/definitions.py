"""What a project alerts on in other tools: one table, from which Prometheus' rules and Grafana's panels are made.

The figures are the project's own: error budgets burn by the windows and thresholds of `stats.burn` and the objectives
of [serve.slo], as the loop judges them too. Names of metrics are those of `serve.metrics` and `oncall.gauges`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from mainstay.config.settings import Settings
from mainstay.stats import burn

PAGE, WATCH = "page", "watch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One alert: a measure's query beyond a value."""

    alert: str
    """Name of the alert."""
    holds: str
    """What follows the query, e.g. `> 0`."""
    line: float
    """Where the panel draws it."""
    severity: str
    lasts: str = "0m"
    """So long it must hold before it fires, in Prometheus' form."""
    also: str = ""
    """What must hold besides, in PromQL."""
    summary: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One thing that is drawn, and the alerts on it."""

    title: str
    query: str
    """PromQL, without a threshold."""
    legend: str
    """Grafana's form: `{{severity}}`."""
    unit: str = "short"
    """Grafana's name of it."""
    alerts: tuple[Threshold, ...] = ()


def measures(settings: Settings) -> list[Measure]:
    """Return everything that is drawn and alerted on for a project, most important first."""
    model, here = settings.project.name, not settings.project.elsewhere
    of = f"model={json.dumps(model)}"
    found = [*_incidents(model, of), *_watching(model, of)]
    if here:
        found += [*_budgets(settings, model, of), *_serving(model, of)]
    return [*found, *_alerting(model, of)]


def _incidents(model: str, of: str) -> list[Measure]:
    told = "{{ $value }} open incident(s). `mainstay incidents list` tells which; `… ack ID` says who."
    return [
        Measure(
            title="Open incidents that page",
            query=f'sum by (model, harm) (mainstay_incidents_open{{{of},severity="page"}})',
            legend="{{harm}}",
            alerts=(
                Threshold(
                    alert="MainstayIncidentPages",
                    holds="> 0",
                    line=1,
                    severity=PAGE,
                    summary=f"{model}: an incident does harm now ({{{{ $labels.harm }}}})",
                    description=told,
                ),
            ),
        ),
        Measure(
            title="Open incidents to look at",
            query=f'sum by (model, harm) (mainstay_incidents_open{{{of},severity="watch"}})',
            legend="{{harm}}",
            alerts=(
                Threshold(
                    alert="MainstayIncidentToLookAt",
                    holds="> 0",
                    line=1,
                    severity=WATCH,
                    summary=f"{model}: an incident is to be looked at today ({{{{ $labels.harm }}}})",
                    description=told,
                ),
            ),
        ),
    ]


def _watching(model: str, of: str) -> list[Measure]:
    return [
        Measure(
            title="Evidence that traffic left its reference (log; an incident from the bar on)",
            query=f'label_replace(mainstay_watch_log_evidence{{{of}}}, "is", "evidence", "", "") or '
            f'label_replace(mainstay_watch_log_bar{{{of}}}, "is", "bar", "", "")',
            legend="{{bundle}} {{is}}",
        ),
        Measure(
            title="Estimated accuracy, with its interval",
            query=f'label_replace(mainstay_estimated_accuracy{{{of}}}, "is", "estimated", "", "") or '
            f'label_replace(mainstay_estimated_accuracy_low{{{of}}}, "is", "low", "", "") or '
            f'label_replace(mainstay_estimated_accuracy_high{{{of}}}, "is", "high", "", "") or '
            f'label_replace(mainstay_reference_accuracy{{{of}}}, "is", "reference", "", "")',
            legend="{{bundle}} {{is}}",
            unit="percentunit",
        ),
        Measure(
            title="Since the loop's last turn",
            query=f"time() - mainstay_loop_last_turn_timestamp_seconds{{{of}}}",
            legend="{{model}}",
            unit="s",
            alerts=(
                Threshold(
                    alert="MainstayLoopSilent",
                    holds="> 120",
                    line=120,
                    severity=PAGE,
                    lasts="1m",
                    summary=f"{model}: the loop has not turned for {{{{ $value | humanizeDuration }}}}",
                    description="Nothing is judged meanwhile, traffic nor rollout. `mainstay loop` starts it.",
                ),
            ),
        ),
        Measure(
            title="Whether the store is told of at all",
            query=f"absent(mainstay_loop_last_turn_timestamp_seconds{{{of}}})",
            legend="absent",
            alerts=(
                Threshold(
                    alert="MainstayNotScraped",
                    holds="> 0",
                    line=1,
                    severity=WATCH,
                    lasts="5m",
                    summary=f"{model}: no number of its incidents arrives here",
                    description="The pages (`mainstay up`, /metrics on [web] port) or the loop do not run, or are not "
                    "scraped.",
                ),
            ),
        ),
    ]


def _budgets(settings: Settings, model: str, of: str) -> list[Measure]:
    slo = settings.serve.slo
    found: list[Measure] = []
    if slo.availability is not None:
        promise = Promise(name="Availability", share=slo.availability, what="fail", bad=_failed, calls=_calls)
        found += [_burn(promise, rule, model, of) for rule in burn.RULES]
    if slo.latency_ms is not None:
        bound = f"{slo.latency_ms / 1000.0:g}"
        promise = Promise(
            name="Latency",
            share=slo.latency_share,
            what=f"take longer than {slo.latency_ms:g} ms",
            bad=lambda of, window: _slow(of, window, bound),
            calls=_answered,
        )
        found += [_burn(promise, rule, model, of) for rule in burn.RULES]
    if found:
        left = Threshold(
            alert="MainstayErrorBudgetSpent",
            holds="<= 0",
            line=0,
            severity=WATCH,
            lasts="5m",
            summary=f"{model}: the error budget of {{{{ $labels.objective }}}} is spent",
            description="`mainstay status` says what spent it.",
        )
        query = f"mainstay_error_budget_left{{{of}}}"
        title = "Error budget left"
        found.append(Measure(title=title, query=query, legend="{{objective}}", unit="percentunit", alerts=(left,)))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """An objective, and how its calls are counted in PromQL: of a selector and a window."""

    name: str
    share: float
    """Of good calls (0 to 1)."""
    what: str
    """What a bad call does."""
    bad: Callable[[str, str], str]
    calls: Callable[[str, str], str]


def _burn(promise: Promise, rule: burn.Rule, model: str, of: str) -> Measure:
    """Return one pair of windows: the long one says that it matters, the short one that it goes on."""
    long, short = _span(rule.long), _span(rule.short)
    least = burn.threshold(rule, promise.share)

    def rate(window: str) -> str:
        return f"{promise.bad(of, window)} / {promise.calls(of, window)} / {1.0 - promise.share:.10g}"

    return Measure(
        title=f"{promise.name}: how many times as fast as it may its budget burns, over {long}",
        query=rate(long),
        legend=f"over {long}",
        alerts=(
            Threshold(
                alert=f"Mainstay{promise.name}Burns{long}",
                holds=f"> {least:g}",
                line=least,
                severity=PAGE if rule.pages else WATCH,
                also=f"{rate(short)} > {least:g} and {promise.bad(of, long)} >= {burn.LEAST_BAD}",
                summary=f"{model}: too many calls {promise.what}",
                description="The error budget burns {{ $value | humanize }} times as fast as it lasts, over "
                f"{long} and {short}. `mainstay incidents list` tells what fails most.",
            ),
        ),
    )


def _sum(metric: str, of: str, window: str) -> str:
    return f"(sum(increase({metric}{{{of}}}[{window}])) or vector(0))"


def _failed(of: str, window: str) -> str:
    return _sum("mainstay_failed_calls_total", of, window)


def _calls(of: str, window: str) -> str:
    """Return the calls that count: those answered, and those that failed without an answer (not by the fallback)."""
    missed = _sum("mainstay_failed_calls_total", f'{of},code!="fallback"', window)
    return f"({_answered(of, window)} + {missed})"


def _answered(of: str, window: str) -> str:
    tests = _sum("mainstay_load_test_request_seconds_count", of, window)
    return f"({_sum('mainstay_request_seconds_count', of, window)} - {tests})"


def _slow(of: str, window: str, bound: str) -> str:
    quick = f'{of},le="{bound}"'
    quick_tests = _sum("mainstay_load_test_request_seconds_bucket", quick, window)
    in_time = f"({_sum('mainstay_request_seconds_bucket', quick, window)} - {quick_tests})"
    return f"({_answered(of, window)} - {in_time})"


def _span(window: timedelta) -> str:
    """Return a window in Prometheus' form: 5m, 1h, 3d."""
    seconds = int(window.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _serving(model: str, of: str) -> list[Measure]:
    return [
        Measure(
            title="Answered instances a second",
            query=f"sum by (bundle, arm) (rate(mainstay_predictions_total{{{of}}}[5m]))",
            legend="{{bundle}} {{arm}}",
            unit="reqps",
        ),
        Measure(
            title="Refused calls a second",
            query=f"sum by (code) (rate(mainstay_refusals_total{{{of}}}[5m]))",
            legend="{{code}}",
            unit="reqps",
        ),
        Measure(
            title="Latency, 99th percentile",
            query=f"histogram_quantile(0.99, sum by (le) (rate(mainstay_request_seconds_bucket{{{of}}}[5m])))",
            legend="p99",
            unit="s",
        ),
        Measure(
            title="Records that the disk did not take",
            query=f"sum(increase(mainstay_commit_failures_total{{{of}}}[10m]))",
            legend="group commits",
            alerts=(
                Threshold(
                    alert="MainstayDiskTakesNoRecords",
                    holds="> 0",
                    line=1,
                    severity=PAGE,
                    summary=f"{model}: predictions cannot be recorded, so they are not answered",
                    description="A full or broken disk under .mainstay/journal. `mainstay doctor` looks at it.",
                ),
            ),
        ),
        Measure(
            title="Runners that are left alone as they ended too often",
            query=f"sum by (bundle) (mainstay_runner_circuit_open{{{of}}})",
            legend="{{bundle}}",
            alerts=(
                Threshold(
                    alert="MainstayRunnerLeftAlone",
                    holds="> 0",
                    line=1,
                    severity=PAGE,
                    lasts="1m",
                    summary=f"{model}: the process of {{{{ $labels.bundle }}}} ended too often",
                    description="Its calls fail at once. `mainstay status` says why it ended.",
                ),
            ),
        ),
        Measure(
            title="Whether a server is told of at all",
            query=f"absent(mainstay_route_epoch{{{of}}})",
            legend="absent",
            alerts=(
                Threshold(
                    alert="MainstayServerNotScraped",
                    holds="> 0",
                    line=1,
                    severity=PAGE,
                    lasts="2m",
                    summary=f"{model}: no server of it is seen",
                    description="`mainstay serve` does not run, or /metrics on [serve] port is not scraped.",
                ),
            ),
        ),
    ]


def _alerting(model: str, of: str) -> list[Measure]:
    return [
        Measure(
            title="How long the oldest alert message waits to be taken",
            query=f"mainstay_alerts_oldest_waiting_seconds{{{of}}}",
            legend="{{model}}",
            unit="s",
            alerts=(
                Threshold(
                    alert="MainstayAlertsDoNotArrive",
                    holds="> 900",
                    line=900,
                    severity=WATCH,
                    summary=f"{model}: an alert message is not taken since {{{{ $value | humanizeDuration }}}}",
                    description="`mainstay alerts list` says why, `mainstay alerts test` tries every address.",
                ),
            ),
        ),
        Measure(title="Silenced incidents", query=f"mainstay_incidents_silenced{{{of}}}", legend="silenced"),
    ]


def alerts_of(found: Sequence[Measure]) -> list[tuple[Measure, Threshold]]:
    """Return every alert with what it is on."""
    return [(measure, one) for measure in found for one in measure.alerts]
