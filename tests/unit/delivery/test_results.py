"""Files that Great Expectations 1.24 and dbt 1.11 wrote (tools/record_data_tests.py), and files that prove nothing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mainstay.core.verdicts import Check, Verdict
from mainstay.delivery.results import check, read

REAL = Path(__file__).parent / "results"
NOW = datetime(2027, 1, 1, tzinfo=UTC)
OLD = datetime(2020, 1, 1, tzinfo=UTC)
"""When the data were last changed: before any result."""


def asked(*paths: str, root: Path = REAL, data: datetime | None = OLD, now: datetime = NOW) -> Check:
    return check(paths, root, newest_data=data, now=now)


def written(folder: Path, change: Any, name: str = "gx_passes.json") -> Check:
    """Ask about a real file with something changed."""
    found = json.loads((REAL / name).read_text(encoding="utf-8"))
    change(found)
    (folder / "changed.json").write_text(json.dumps(found), encoding="utf-8")
    return asked("changed.json", root=folder)


@pytest.mark.parametrize("name", ["gx_passes", "gx_store", "dbt_passes", "dbt_warns"])
def test_what_passed_passes(name: str) -> None:
    found = asked(f"{name}.json")
    assert (found.verdict, found.applies) == (Verdict.PASS, True)
    assert found.numbers[f"{name}.json"]["tests"] >= 2


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gx_fails", "expect_column_values_to_be_between(months)"),
        ("gx_raises", "expect_column_values_to_not_be_null(no_such_column)"),
        ("dbt_fails", "months_are_few (fail)"),
        ("dbt_skips", "broken (error)"),
    ],
)
def test_what_failed_fails_and_is_named(name: str, told: str) -> None:
    found = asked(f"{name}.json")
    assert found.verdict is Verdict.FAIL
    assert told in found.reason


@pytest.mark.parametrize("name", ["gx_empty", "dbt_no_tests", "gx_describe"])
def test_files_without_a_test_or_of_another_kind_prove_nothing(name: str) -> None:
    assert asked(f"{name}.json").verdict is Verdict.NOT_ENOUGH


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "7", '"pass"', "{}", '{"success": true}', '{"success": true, "results": []}', "[" * 99_999],
)
def test_what_is_cut_off_or_no_result_proves_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text, encoding="utf-8")
    assert asked("x.json", root=tmp_path).verdict is Verdict.NOT_ENOUGH


def test_every_cut_of_a_real_file_proves_nothing(tmp_path: Path) -> None:
    for name in ("gx_passes.json", "dbt_passes.json"):
        text = (REAL / name).read_text(encoding="utf-8").rstrip()
        for end in range(0, len(text) - 1, 97):
            (tmp_path / "x.json").write_text(text[:end], encoding="utf-8")
            assert asked("x.json", root=tmp_path).verdict is Verdict.NOT_ENOUGH


def test_a_file_that_is_absent_proves_nothing() -> None:
    assert asked("none.json").verdict is Verdict.NOT_ENOUGH
    assert asked("no/*.json").verdict is Verdict.NOT_ENOUGH


def test_a_result_older_than_the_data_proves_nothing_and_a_failure_stays_one() -> None:
    made = read("gx_passes.json", REAL).made_at
    assert made is not None
    assert asked("gx_passes.json", data=made - timedelta(minutes=1)).verdict is Verdict.PASS
    stale = asked("gx_passes.json", data=made + timedelta(minutes=1))
    assert stale.verdict is Verdict.NOT_ENOUGH
    assert "older than the data" in stale.reason
    assert asked("gx_fails.json", data=made + timedelta(days=1)).verdict is Verdict.FAIL
    assert asked("gx_passes.json", data=None).verdict is Verdict.NOT_ENOUGH


def test_a_result_of_the_future_proves_nothing() -> None:
    made = read("dbt_passes.json", REAL).made_at
    assert made is not None
    assert asked("dbt_passes.json", now=made - timedelta(days=1)).verdict is Verdict.NOT_ENOUGH


def test_a_file_that_contradicts_itself_fails(tmp_path: Path) -> None:
    def one_failed(found: dict[str, Any]) -> None:
        found["results"][0]["success"] = False

    assert written(tmp_path, one_failed).verdict is Verdict.FAIL
    assert written(tmp_path, lambda found: found.update(success=False)).verdict is Verdict.FAIL
    assert written(tmp_path, lambda found: found.update(success="true")).verdict is Verdict.FAIL


@pytest.mark.parametrize("value", [None, "true", 1, "NaN"])
def test_an_expectation_without_an_answer_is_no_pass(tmp_path: Path, value: object) -> None:
    def unknown(found: dict[str, Any]) -> None:
        found["results"][0]["success"] = value

    assert written(tmp_path, unknown).verdict is Verdict.NOT_ENOUGH


@pytest.mark.parametrize("status", ["skipped", "", "no-op", "partial success", None])
def test_a_dbt_test_that_did_not_run_is_no_pass(tmp_path: Path, status: object) -> None:
    def unrun(found: dict[str, Any]) -> None:
        found["results"][0]["status"] = status

    assert written(tmp_path, unrun, "dbt_passes.json").verdict is Verdict.NOT_ENOUGH


@pytest.mark.parametrize("schema", ["run-results/v99.json", "run-results/v3.json", "manifest/v12.json", "x"])
def test_another_version_of_the_format_proves_nothing(tmp_path: Path, schema: str) -> None:
    def other(found: dict[str, Any]) -> None:
        found["metadata"]["dbt_schema_version"] = f"https://schemas.getdbt.com/dbt/{schema}"

    assert written(tmp_path, other, "dbt_passes.json").verdict is Verdict.NOT_ENOUGH


def test_a_result_without_a_time_proves_nothing(tmp_path: Path) -> None:
    assert written(tmp_path, lambda found: found.update(meta={})).verdict is Verdict.NOT_ENOUGH
    assert written(tmp_path, lambda found: found["metadata"].pop("generated_at"), "dbt_passes.json").verdict is (
        Verdict.NOT_ENOUGH
    )


@pytest.mark.parametrize(("loaded", "verdict"), [("20991127T204910.5Z", Verdict.NOT_ENOUGH), (None, Verdict.PASS)])
def test_a_batch_that_was_validated_by_itself_tells_when_it_was_loaded(
    tmp_path: Path, loaded: str | None, verdict: Verdict
) -> None:
    def batch_alone(found: dict[str, Any]) -> None:
        at = found["meta"]["validation_time"].replace("-", "").replace(":", "").removesuffix("+0000") + "Z"
        found["meta"] = {"batch_markers": {"ge_load_time": loaded or at}}

    assert written(tmp_path, batch_alone).verdict is verdict


def test_of_a_pattern_the_newest_counts_and_one_that_cannot_be_read_might_be_it(tmp_path: Path) -> None:
    for name, hour in (("a", 3), ("b", 9)):
        found = json.loads((REAL / f"gx_{'passes' if name == 'b' else 'fails'}.json").read_text(encoding="utf-8"))
        found["meta"]["run_id"] = {"run_time": f"2026-11-27T0{hour}:00:00+00:00"}
        found["meta"].pop("validation_time", None)
        (tmp_path / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")
    assert asked("*.json", root=tmp_path).verdict is Verdict.PASS
    (tmp_path / "c.json").write_text("{", encoding="utf-8")
    assert asked("*.json", root=tmp_path).verdict is Verdict.NOT_ENOUGH


def test_several_results_must_all_hold_and_none_declared_judges_nothing() -> None:
    assert asked("gx_passes.json", "dbt_passes.json").verdict is Verdict.PASS
    assert asked("gx_passes.json", "dbt_fails.json").verdict is Verdict.FAIL
    assert asked("gx_passes.json", "gx_empty.json").verdict is Verdict.NOT_ENOUGH
    nothing = asked()
    assert (nothing.verdict, nothing.applies) == (Verdict.NOT_ENOUGH, False)
