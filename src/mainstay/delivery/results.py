"""What other tools' tests of the data said: a validation result of Great Expectations, `run_results.json` of dbt.

A file that is absent, cut off, empty, of an unknown version, without a test in it, or older than the data is no pass.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mainstay.core.errors import MainstayError
from mainstay.core.verdicts import Check, Verdict, combine
from mainstay.data.source import paths_of

NAME = "data_tests"
QUESTION = "Do the tests of other tools, run on these data, pass?"
GREAT_EXPECTATIONS, DBT = "Great Expectations", "dbt"
DBT_SCHEMAS = ("v4", "v5", "v6")
"""Of run_results.json that are read: dbt 1.0 to 1.11."""
MOST_MB = 64
AHEAD = timedelta(hours=1)
"""A result may be so much of the future: clocks differ."""
SLACK = timedelta(seconds=2)
"""Times of files are that coarse."""
MOST_TOLD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one file says."""

    path: str
    tool: str = ""
    version: str = ""
    made_at: datetime | None = None
    tests: int = 0
    failed: tuple[str, ...] = ()
    unrun: tuple[str, ...] = ()
    """Tests that were skipped or are without an answer."""
    warned: tuple[str, ...] = ()
    unreadable: str = ""
    """Why the file proves nothing."""


def check(paths: Sequence[str], root: Path, *, newest_data: datetime | None, now: datetime) -> Check:
    """Judge the declared results; `newest_data` is when the youngest file of the data was last changed.

    Fails where a test failed; not enough where a file cannot be read, has no test, is older than the data, or a test
    was not run. Without declared results nothing is judged.
    """
    if not paths:
        why = "no results are named in [gate] results: nothing was asked"
        return Check(name=NAME, question=QUESTION, verdict=Verdict.NOT_ENOUGH, reason=why, applies=False)
    found = [read(path, root) for path in paths]
    judged = [_judge(one, newest_data, now) for one in found]
    verdict = combine(Check(name=NAME, question="", verdict=one, reason="") for one, _ in judged)
    numbers = {
        one.path: {
            "tool": one.tool,
            "version": one.version,
            "made_at": None if one.made_at is None else one.made_at.isoformat(),
            "tests": one.tests,
            "failed": list(one.failed),
            "not_run": list(one.unrun),
            "warned": list(one.warned),
            "verdict": said.value,
        }
        for one, (said, _) in zip(found, judged, strict=True)
    }
    told = [text for said, text in judged if said is verdict]
    return Check(name=NAME, question=QUESTION, verdict=verdict, reason="; ".join(told), numbers=numbers)


def _judge(one: Result, newest_data: datetime | None, now: datetime) -> tuple[Verdict, str]:
    name = f"{one.path} ({one.tool} {one.version})" if one.tool else one.path
    if one.failed:
        more = f" and {len(one.failed) - MOST_TOLD} more" if len(one.failed) > MOST_TOLD else ""
        return (
            Verdict.FAIL,
            f"{name}: {len(one.failed)} of {one.tests} tests failed: {', '.join(one.failed[:MOST_TOLD])}{more}",
        )
    if one.unreadable:
        return Verdict.NOT_ENOUGH, f"{name} proves nothing: {one.unreadable}"
    if one.made_at is None:
        return Verdict.NOT_ENOUGH, f"{name} does not say when it was made"
    if one.made_at > now + AHEAD:
        return Verdict.NOT_ENOUGH, f"{name} is of the future: {one.made_at:%Y-%m-%d %H:%M}"
    if newest_data is None:
        return Verdict.NOT_ENOUGH, f"{name}: when the data were changed is not known"
    if one.made_at + SLACK < newest_data:
        told = f"made {one.made_at:%Y-%m-%d %H:%M}, the data were changed {newest_data:%Y-%m-%d %H:%M}"
        return Verdict.NOT_ENOUGH, f"{name} is older than the data: {told}"
    if one.unrun:
        return Verdict.NOT_ENOUGH, f"{name}: {len(one.unrun)} tests were not run, {one.unrun[0]} among them"
    warned = f", {len(one.warned)} with a warning" if one.warned else ""
    return Verdict.PASS, f"{name}: {one.tests} tests passed{warned}"


def read(address: str, root: Path) -> Result:
    """Return what a file says, of a pattern the newest one; what cannot be read is told in `unreadable`."""
    try:
        paths = paths_of(address, root)
    except MainstayError as error:
        return Result(path=address, unreadable=error.message)
    found = [
        _read(path, address if len(paths) == 1 else str(path.relative_to(root) if path.is_relative_to(root) else path))
        for path in paths
    ]
    broken = next((one for one in found if one.made_at is None), None)
    # One that cannot be read might be the newest.
    return broken or max(found, key=lambda one: one.made_at or datetime.min.replace(tzinfo=UTC))


def _read(path: Path, name: str) -> Result:
    try:
        if path.stat().st_size > MOST_MB * 1_000_000:
            return Result(path=name, unreadable=f"it is larger than {MOST_MB} MB")
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        return Result(path=name, unreadable=error.strerror or str(error))
    except (ValueError, RecursionError):
        return Result(path=name, unreadable="it is no JSON, or cut off")
    try:
        return _parsed(data, name)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        return Result(path=name, unreadable=f"it is not as its format says: {type(error).__name__} {error}"[:200])


def _parsed(data: Any, name: str) -> Result:
    if not isinstance(data, Mapping):
        return Result(path=name, unreadable="it is neither of Great Expectations nor of dbt")
    schema = data.get("metadata", {}).get("dbt_schema_version", "") if isinstance(data.get("metadata"), Mapping) else ""
    if schema:
        return _dbt(data, str(schema), name)
    if {"success", "results", "meta"} <= set(data):
        return _expectations(data, name)
    return Result(path=name, unreadable="it is neither of Great Expectations nor of dbt")


def _dbt(data: Mapping[str, Any], schema: str, name: str) -> Result:
    """Read run_results.json (https://schemas.getdbt.com/dbt/run-results/v6.json); only tests count, and any error."""
    kind, version = schema.rstrip("/").split("/")[-2:]
    version = version.partition(".")[0]
    if kind != "run-results" or version not in DBT_SCHEMAS:
        return Result(path=name, tool=DBT, unreadable=f"its schema is {schema}; run-results {DBT_SCHEMAS} are read")
    made = _moment(data["metadata"]["generated_at"])
    tests, failed, unrun, warned = 0, [], [], []
    for one in data["results"]:
        told, status = str(one["unique_id"]), str(one["status"])
        is_test = told.startswith(("test.", "unit_test."))
        tests += is_test
        if status in ("fail", "error", "runtime error"):
            failed.append(f"{_short(told)} ({status})")
        elif is_test and status == "warn":
            warned.append(_short(told))
        elif is_test and status != "pass":
            unrun.append(f"{_short(told)} ({status})")
    return Result(
        path=name,
        tool=DBT,
        version=str(data["metadata"].get("dbt_version", "")),
        made_at=made,
        tests=tests,
        failed=tuple(failed),
        unrun=tuple(unrun),
        warned=tuple(warned),
        unreadable="" if tests else "no test was run in it (dbt test, dbt build)",
    )


def _short(unique_id: str) -> str:
    parts = unique_id.split(".")
    return parts[2] if len(parts) > 2 else unique_id


def _expectations(data: Mapping[str, Any], name: str) -> Result:
    """Read a validation result of Great Expectations (0.18, 1.x) as its validations store keeps it."""
    meta = data["meta"] or {}
    failed, unrun = [], []
    for one in data["results"]:
        told = _expectation(one.get("expectation_config") or {})
        if one["success"] is False:
            failed.append(told)
        elif one["success"] is not True:
            unrun.append(told)
    if data["success"] is not True and not failed:
        failed.append("the suite")
    return Result(
        path=name,
        tool=GREAT_EXPECTATIONS,
        version=str(meta.get("great_expectations_version", "")),
        made_at=_made(meta),
        tests=len(data["results"]),
        failed=tuple(failed),
        unrun=tuple(unrun),
        unreadable="" if data["results"] else "no expectation was evaluated in it",
    )


def _made(meta: Mapping[str, Any]) -> datetime | None:
    """Return when a suite was run: when its batch was validated, else the run's own time, else when it was loaded.

    The last is all that `batch.validate(suite)` tells, which needs no validation definition.
    """
    run, markers = meta.get("run_id"), meta.get("batch_markers")
    told = meta.get("validation_time") or (run.get("run_time") if isinstance(run, Mapping) else None)
    told = told or (markers.get("ge_load_time") if isinstance(markers, Mapping) else None)
    return None if told is None else _moment(told)


def _moment(text: Any) -> datetime:
    spelled = str(text)
    if len(spelled) >= 16 and spelled[8] == "T" and spelled[:8].isdecimal():  # 20240131T101112.123456Z
        spelled = f"{spelled[:4]}-{spelled[4:6]}-{spelled[6:11]}:{spelled[11:13]}:{spelled[13:]}"
    moment = datetime.fromisoformat(spelled)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _expectation(config: Mapping[str, Any]) -> str:
    kind = str(config.get("type") or config.get("expectation_type") or "an expectation")
    column = (config.get("kwargs") or {}).get("column")
    return f"{kind}({column})" if column else kind
