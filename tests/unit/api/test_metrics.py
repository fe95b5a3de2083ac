"""What Prometheus reads: well-formed, each family once, whatever the labels hold."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from mainstay.api import metrics
from mainstay.serve.metrics import HELP, Metrics

HOSTILE = 'a"b\\c\nd{e="f"} # x'


def state(worker: str, *, model: str = "weather") -> dict[str, Any]:
    counts = Metrics()
    for name in HELP:
        counts.count(name, 2, model=model)
    counts.batch([0.002, 7.0], 3, 0.001)
    counts.batch([], 0, 0.001)
    return {"worker": worker, "metrics": counts.as_dict(), "rss_mb": 12.5, "models": {model: {"epoch": 4}}}


def families(*states: dict[str, Any]) -> dict[str, Any]:
    found = list(text_string_to_metric_families(metrics.render(states).decode()))
    assert len({family.name for family in found}) == len(found)
    return {family.name: family for family in found}


def test_every_family_is_there_once_with_its_type_and_its_help() -> None:
    found = families(state("w0"), state("w1"))
    assert {f"mainstay_{name}".removesuffix("_total") for name in HELP} <= set(found)
    assert {family.type for family in found.values()} == {"counter", "histogram", "gauge"}
    assert all(family.documentation for family in found.values())
    assert [sample.value for sample in found["mainstay_worker_memory_bytes"].samples] == [12.5e6] * 2


def test_a_histogram_adds_up_and_batches_without_rows_are_not_in_it() -> None:
    samples = families(state("w0"))["mainstay_batch_rows"].samples
    buckets = [sample.value for sample in samples if sample.name.endswith("_bucket")]
    [count] = [sample.value for sample in samples if sample.name.endswith("_count")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == count == 1


def test_labels_with_any_sign_come_through() -> None:
    found = families(state("w0", model=HOSTILE))
    assert found["mainstay_predictions"].samples[0].labels["model"] == HOSTILE
    assert found["mainstay_route_epoch"].samples[0].labels == {"worker": "w0", "model": HOSTILE}


def test_a_process_of_several_models_counts_each_apart_and_its_memory_once() -> None:
    found = families(state("w0", model="east"), state("w0", model="west"))
    memory = [sample.labels for sample in found["mainstay_worker_memory_bytes"].samples]
    assert memory == [{"worker": "w0"}]
    commits = found["mainstay_commit_failures"].samples
    assert [sample.labels["model"] for sample in commits] == ["east", "west"]
    counts = [sample for sample in found["mainstay_request_seconds"].samples if sample.name.endswith("_count")]
    assert {sample.labels["model"] for sample in counts} == {"east", "west"}
