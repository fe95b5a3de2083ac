"""The gate's report as JUnit XML and Markdown."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from mainstay.cli import ci
from mainstay.cli.main import app
from mainstay.core.errors import EnvironmentFault
from mainstay.core.releases import Stage
from mainstay.core.verdicts import Check, Verdict, combine
from mainstay.project import Judged, Project
from mainstay.starter import example

HOSTILE = "]]> <script>alert(1)</script> & \x00\x1b[31m \ud800 | `x` ![a](http://b) @team www.c.d\n## head"
ALLOWED = {
    "testsuites": {"name", "tests", "failures", "errors", "skipped"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped"},
    "properties": set(),
    "property": {"name", "value"},
    "testcase": {"classname", "name"},
    "skipped": {"message"},
    "failure": {"type", "message"},
    "system-out": set(),
}
"""Elements and attributes of the common JUnit schema that are used."""
INSIDE = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase"},
    "properties": {"property"},
    "testcase": {"skipped", "failure", "system-out"},
}


def check(name: str, verdict: Verdict, **more: Any) -> Check:
    return Check(**({"name": name, "question": f"Is {name}?", "verdict": verdict, "reason": f"why {name}"} | more))


def judged(*checks: Check, **metrics: Any) -> Judged:
    return Judged(name="pump@3", stage=Stage.GATED, verdict=combine(checks), checks=checks, metrics=metrics)


FULL = judged(
    check("good", Verdict.PASS, numbers={"accuracy": {"value": 0.9375, "floor": 0.8}, "rows": 400}),
    check("bad", Verdict.FAIL, numbers={"p99_ms": float("nan"), "many": [1.23456, 2]}),
    check("thin", Verdict.NOT_ENOUGH),
    check("absent", Verdict.PASS, applies=False),
    accuracy={"value": 0.9375, "low": 0.91, "high": 0.96},
    rows=400,
    broken={"value": None},
)


def parsed(result: Judged) -> ElementTree.Element:
    """Parse the report, and hold it against the elements of the common schema."""
    root = ElementTree.fromstring(ci.junit(result))
    for element in root.iter():
        assert set(element.attrib) <= ALLOWED[element.tag]
        assert {child.tag for child in element} <= INSIDE.get(element.tag, set())
    for suite in (root, *root.findall("testsuite")):
        cases = list(suite.iter("testcase"))
        counted = {"tests": len(cases), "errors": 0}
        counted["failures"] = sum(case.find("failure") is not None for case in cases)
        counted["skipped"] = sum(case.find("skipped") is not None for case in cases)
        assert {name: int(suite.attrib[name]) for name in counted} == counted
    return root


def test_one_case_for_each_check_with_its_outcome() -> None:
    cases = {case.attrib["name"]: case for case in parsed(FULL).iter("testcase")}
    outcomes = {name: case[0].tag for name, case in cases.items()}
    assert outcomes == {"good": "system-out", "bad": "failure", "thin": "failure", "absent": "skipped"}
    assert {case.attrib["classname"] for case in cases.values()} == {"mainstay.gate.pump"}


def test_missing_evidence_is_a_failure_of_its_own_type() -> None:
    types = [failure.attrib["type"] for failure in parsed(FULL).iter("failure")]
    assert types == ["gate_failed", "not_enough_evidence"]


def test_question_reason_and_figures_are_in_the_case() -> None:
    (good,) = [case for case in parsed(FULL).iter("testcase") if case.attrib["name"] == "good"]
    text = good[0].text or ""
    question, reason, figures = text.split("\n", 2)
    assert (question, reason) == ("Is good?", "why good")
    assert json.loads(figures) == {"accuracy": {"value": 0.9375, "floor": 0.8}, "rows": 400}


def test_metrics_are_properties_with_their_intervals() -> None:
    told = {p.attrib["name"]: p.attrib["value"] for p in parsed(FULL).iter("property")}
    assert told["metric.accuracy"] == "0.9375 (0.91 to 0.96)"
    assert (told["metric.rows"], told["metric.broken"]) == ("400", "–")
    assert (told["version"], told["verdict"]) == ("pump@3", "fail")


def test_hostile_text_stays_text_in_xml() -> None:
    result = judged(check(HOSTILE, Verdict.FAIL, reason=HOSTILE, question=HOSTILE, numbers={HOSTILE: HOSTILE}))
    (failure,) = parsed(result).iter("failure")
    assert "<script>alert(1)</script>" in failure.attrib["message"]
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]", ci.junit(result))
    ci.junit(result).encode("utf-8")


def test_hostile_text_stays_text_in_markdown() -> None:
    result = judged(check(HOSTILE, Verdict.FAIL, reason=HOSTILE, question=HOSTILE, numbers={HOSTILE: HOSTILE}))
    text = ci.markdown(result)
    text.encode("utf-8")
    (row,) = [line for line in text.splitlines() if "script" in line]
    assert "<" not in row
    assert "://" not in row
    assert "www." not in row
    assert "@" not in row
    assert len(re.findall(r"(?<!\\)\|", row)) == 6
    assert re.search(r"(?<!\\)[`!\[\]*_#]", row.replace("**fail**", "").replace("&#", "")) is None


def test_the_table_says_verdict_figures_and_reason_of_each_check() -> None:
    lines = ci.markdown(FULL).splitlines()
    assert lines[0] == "## Gate of pump&#64;3: **fail**"
    assert "| good | Is good? | pass | accuracy (value 0.9375, floor 0.8), rows 400 | why good |" in lines
    assert "| bad | Is bad? | **fail** | p99\\_ms nan, many \\[1.235, 2\\] | why bad |" in lines
    assert "| thin | Is thin? | **not enough evidence** |  | why thin |" in lines
    assert "| absent | Is absent? | – |  | why absent |" in lines
    assert "| accuracy | 0.9375 | 0.91 to 0.96 |" in lines
    assert "| broken | – | – |" in lines


def test_a_report_without_checks_is_no_pass() -> None:
    empty = judged()
    assert parsed(empty).attrib["tests"] == "0"
    assert ci.markdown(empty).startswith("## Gate of pump&#64;3: **not enough evidence**")


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    ci.write(tmp_path / "deep" / "gate.xml", "one")
    assert (tmp_path / "deep" / "gate.xml").read_text() == "one"
    with pytest.raises(EnvironmentFault, match="the report cannot be written to"):
        ci.write(tmp_path / "deep" / "gate.xml" / "below", "two")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["gate.xml"]
    with pytest.raises(EnvironmentFault, match="the report cannot be written to"):
        ci.append(tmp_path / "deep", "two")


# the command


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project whose store says what the gate found."""
    example.write(tmp_path / "pumps")
    monkeypatch.setattr(Project, "newest", lambda self: 3)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return tmp_path / "pumps"


@pytest.mark.parametrize(
    ("checks", "code"),
    [
        ((check("good", Verdict.PASS),), 0),
        ((check("good", Verdict.PASS), check("bad", Verdict.FAIL), check("thin", Verdict.NOT_ENOUGH)), 4),
        ((check("good", Verdict.PASS), check("thin", Verdict.NOT_ENOUGH)), 5),
    ],
)
def test_the_exit_code_tells_failed_from_not_enough_and_both_reports_are_written(
    project: Path, monkeypatch: pytest.MonkeyPatch, checks: tuple[Check, ...], code: int
) -> None:
    asked = []
    monkeypatch.setattr(Project, "gate", lambda self, number, again: asked.append(number) or judged(*checks))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project / "summary.md"))
    (project / "summary.md").write_text("before\n")
    result = run("gate", "--ci", "-C", str(project))
    assert (result.exit_code, asked) == (code, [3])
    assert (project / "build" / "gate.xml").read_text() == ci.junit(judged(*checks))
    assert (project / "build" / "gate.md").read_text() == ci.markdown(judged(*checks))
    assert (project / "summary.md").read_text() == "before\n" + ci.markdown(judged(*checks)) + "\n"


def test_a_file_that_is_named_is_written_alone(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Project, "gate", lambda self, number, again: FULL)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project / "summary.md"))
    assert run("gate", "3", "--junit", str(tmp_path / "out.xml"), "-C", str(project)).exit_code == 4
    assert (tmp_path / "out.xml").exists()
    assert not (project / "build").exists()
    assert not (project / "summary.md").exists()


def test_without_ci_nothing_is_written(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Project, "gate", lambda self, number, again: FULL)
    assert run("gate", "-C", str(project)).exit_code == 4
    assert not (project / "build").exists()


@pytest.mark.parametrize("command", [["gate", "--ci"], ["package"], ["package", "--newest"]])
def test_a_project_without_a_version_is_told_what_to_do(tmp_path: Path, command: list[str]) -> None:
    example.write(tmp_path / "pumps")
    result = run(*command, "-C", str(tmp_path / "pumps"))
    assert result.exit_code == 6
    assert "pump-check has no version yet" in result.stderr
    assert "mainstay train" in result.stderr


def test_newest_and_a_version_together_are_refused(project: Path) -> None:
    result = run("package", "3", "--newest", "-C", str(project))
    assert (result.exit_code, "were given" in result.stderr) == (2, True)


def test_a_ci_server_that_is_not_known_is_refused(tmp_path: Path) -> None:
    result = run("init", str(tmp_path / "new"), "--ci", "travis")
    assert result.exit_code == 2
    assert not (tmp_path / "new").exists()
