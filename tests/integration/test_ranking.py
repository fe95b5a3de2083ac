"""A ranking from data to answers: train → gate → serve → rank → feedback → watch → labels to train on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from mainstay.core.releases import Stage
from mainstay.core.verdicts import Verdict
from mainstay.data import prepare
from mainstay.project import Project
from mainstay.retrain import dataset
from mainstay.train import choose
from ranking_kit import rows, write_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = write_project(tmp_path_factory.mktemp("search"))
    return Project.open(folder, environ={**os.environ, "MLFLOW_TRACKING_URI": ""})


@pytest.fixture
def server(project: Project) -> Iterator[httpx.Client]:
    process = subprocess.Popen([sys.executable, "-m", "mainstay", "serve", "-C", str(project.file)])
    until = time.monotonic() + 120
    while not project.ready():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    with httpx.Client(base_url=project.addresses()[0], timeout=120) as client:
        yield client
    process.terminate()
    assert process.wait(120) == 0


def queries(count: int, seed: int) -> list[list[dict[str, Any]]]:
    """Return the candidates of new queries, with their grades."""
    frame = rows(count, seed=seed, first=1000 * seed)
    return [part.to_dicts() for _, part in frame.group_by("query_id", maintain_order=True)]


def instances(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"id": f"{row['query_id']}-{number}", "inputs": {name: value for name, value in row.items() if name != "grade"}}
        for number, row in enumerate(found)
    ]


def test_a_ranker_passes_the_gate_a_poor_one_does_not_and_each_is_judged_group_by_group(project: Project) -> None:
    first = project.train()
    assert first.passed
    assert set(first.metrics) == {"ndcg", "mrr", "map"}
    assert first.metrics["ndcg"]["low"] < first.metrics["ndcg"]["value"] <= first.metrics["ndcg"]["high"]
    again = project.status().answering
    assert again is not None
    assert again.runtime == "compiled"

    worse = project.train(pipeline="poor")
    checks = {check.name: check for check in worse.checks}
    assert (worse.stage, worse.verdict) == (Stage.REFUSED, Verdict.FAIL)
    assert {name for name, check in checks.items() if check.verdict is Verdict.FAIL and check.applies} == {
        "floors",
        "not_worse",
        "segments",
    }
    assert checks["not_worse"].numbers["ndcg"]["high"] < -0.1

    for pipeline in ("regressor", "classifier"):
        found = project.train(pipeline=pipeline, release=False)
        assert found.metrics["ndcg"]["value"] > 0.9


def test_candidates_are_ranked_within_their_group_labelled_watched_and_learned_from(
    project: Project, server: httpx.Client
) -> None:
    two = queries(2, seed=7)
    mixed = [one for pair in zip(*map(instances, two), strict=False) for one in pair]  # as they come, interleaved
    answer = server.post("/v1/predict", json={"instances": mixed})
    assert answer.status_code == 200
    for query in {one["inputs"]["query_id"] for one in mixed}:
        mine = [
            said
            for one, said in zip(mixed, answer.json()["predictions"], strict=True)
            if one["inputs"]["query_id"] == query
        ]
        assert sorted(said["rank"] for said in mine) == list(range(1, len(mine) + 1))
        best_first = sorted(mine, key=lambda said: said["rank"])
        assert [said["label"] for said in best_first] == sorted((said["label"] for said in mine), reverse=True)
    assert {said["confidence"] for said in answer.json()["predictions"]} == {None}
    places = [said["rank"] for said in answer.json()["predictions"]]
    records = [one["inputs"] for one in mixed]
    for returns in ("?returns=records", ""):
        told = server.post(f"/invocations{returns}", json={"dataframe_records": records}).json()["predictions"]
        assert [one["rank"] for one in told] == places if returns else isinstance(told[0], float)
    tensors = [
        {
            "name": name,
            "datatype": "BYTES" if isinstance(records[0][name], str) else "FP64",
            "shape": [len(records)],
            "data": [row[name] for row in records],
        }
        for name in records[0]
    ]
    body = {"inputs": tensors, "outputs": [{"name": "rank"}, {"name": "label"}]}
    inferred = server.post(f"/v2/models/{project.name}/infer", json=body).json()["outputs"]
    assert (inferred[0]["datatype"], inferred[0]["data"]) == ("INT64", places)
    lines = "".join(json.dumps(one) + "\n" for one in instances(queries(1, seed=9)[0]))
    each = server.post("/v1/predict", content=lines, headers={"content-type": "application/x-ndjson"}).text.splitlines()
    assert [sorted({"label", "rank"} & json.loads(line).keys()) for line in each] == [["label"]] * len(each)

    found = queries(12, seed=8)
    for query in found:
        assert server.post("/v1/predict", json={"instances": instances(query)}).status_code == 200
    items = [
        {"id": one["id"], "value": row["grade"]}
        for query in found
        for one, row in zip(instances(query), query, strict=True)
    ]
    told = server.post("/v1/feedback", json={"items": [*items, {"id": items[0]["id"], "value": -1}]}).json()["results"]
    assert [result["status"] for result in told] == ["stored"] * len(items) + ["refused"]
    assert "grade of 0 or more" in told[-1]["error"]
    click = {"id": items[0]["id"], "kind": "reward", "name": "click", "value": 1}
    assert server.post("/v1/feedback", json={"items": [click]}).json()["results"][0]["status"] == "stored"

    until = time.monotonic() + 120
    while project.status().traffic.rows < 60:
        report = project.turn()
        assert not report.failed
        assert time.monotonic() < until
    status = project.status()
    assert status.incidents == ()
    quality = status.quality
    assert quality.estimated is None
    assert quality.held_out is not None
    assert quality.real is not None
    assert 0.9 < quality.real.value <= 1.0
    assert quality.real.note.startswith("NDCG@5 of ")
    assert abs(quality.real.value - quality.held_out.value) < 0.1
    with project.parts.store.read() as tx:
        labelled = dataset.labelled_rows(tx, project.name, project.settings)
    assert labelled.height == len(items)
    assert labelled["query_id"].n_unique() == len(found)
    split = dataset.split(labelled, project.settings)
    assert not set(split.fit["query_id"]) & set(split.recent["query_id"])


def test_a_row_without_its_group_is_refused(project: Project, server: httpx.Client) -> None:
    [query] = queries(1, seed=9)
    bare = {name: value for name, value in instances(query)[0]["inputs"].items() if name != "query_id"}
    answer = server.post("/v1/predict", json={"instances": [{"inputs": bare}]})
    assert answer.status_code == 422
    assert answer.json()["error"]["problems"][0]["field"] == "query_id"


def test_of_several_pipelines_the_one_of_the_best_ndcg_by_whole_groups_is_chosen(project: Project) -> None:
    train = prepare.prepare(project.loaded, project.parts.snapshots, project.clock.now()).train
    chosen = choose.choose_pipeline(project.loaded, train, ["poor", "ranker"])
    assert (chosen.best, chosen.metric) == ("ranker", "ndcg")
