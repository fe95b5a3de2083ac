"""The commands that only parse, call and print, over a project in a temporary folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mainstay.cli.main import app
from mainstay.starter import example


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def project(tmp_path: Path) -> str:
    example.write(tmp_path / "pumps")
    return str(tmp_path / "pumps")


def test_init_writes_a_project_and_says_what_comes_next(tmp_path: Path) -> None:
    result = run("init", str(tmp_path / "new"))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "mainstay up" in result.stdout
    assert (tmp_path / "new" / "example.json").exists()


def test_config_show_tells_value_and_origin(project: str) -> None:
    shown = json.loads(run("config", "show", "serve", "-C", project, "--json").stdout)
    assert shown["serve.port"] == {"value": 8080, "origin": "mainstay.toml"}
    assert shown["serve.workers"] == {"value": 1, "origin": "default"}
    assert all(key.startswith("serve.") for key in shown)


def test_config_show_knows_the_environment(project: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSTAY_SERVE__PORT", "9000")
    shown = json.loads(run("config", "show", "serve.port", "-C", project, "--json").stdout)
    assert shown == {"serve.port": {"value": 9000, "origin": "MAINSTAY_SERVE__PORT"}}


def test_config_show_prints_a_table_for_people(project: str) -> None:
    assert "serve.port" in run("config", "show", "serve", "-C", project).stdout


def test_a_folder_without_a_project_is_told_with_the_remedy(tmp_path: Path) -> None:
    result = run("status", "-C", str(tmp_path))
    assert result.exit_code == 2
    assert "there is no mainstay.toml" in result.stderr
    assert "mainstay init" in result.stderr


def test_every_problem_of_the_project_file_is_told_at_once(project: str) -> None:
    file = Path(project, "mainstay.toml")
    text = file.read_text().replace("port = 8080", "prot = 8080").replace('primary = "accuracy"', "primary = 3")
    file.write_text(text)
    result = run("check", "-C", project)
    assert result.exit_code == 2
    assert "did you mean 'port'" in result.stderr
    assert "evaluate.primary" in result.stderr


def test_feedback_wants_a_file_or_one_prediction(project: str) -> None:
    for wrong in ([], ["--id", "a"], ["--label", "fine"], ["x.csv", "--id", "a", "--label", "fine"]):
        assert run("feedback", "-C", project, *wrong).exit_code == 2


@pytest.mark.parametrize("version", ["0", "x", "pump-check@", "-1", "1.5"])
def test_what_is_no_version_is_refused(project: str, version: str) -> None:
    result = run("gate", "-C", project, "--", version)
    assert result.exit_code == 2
    assert "is no version" in result.stderr


@pytest.mark.parametrize("command", [["promote", "1"], ["rollback"]])
def test_who_answers_changes_for_a_reason_or_not_at_all(project: str, command: list[str]) -> None:
    result = run(*command, "-C", project, "--reason", "  ")
    assert result.exit_code == 2
    assert "the reason is empty" in result.stderr


def test_an_alert_address_that_leads_nowhere_is_told_before_an_alert_is_lost(project: str) -> None:
    file = Path(project, "mainstay.toml")
    file.write_text(file.read_text().replace('to = "log://"', 'to = "logs"'))
    result = run("check", "-C", project)
    assert result.exit_code == 2
    assert "alerts[0].to: the alert address" in result.stderr


def test_a_mistyped_file_is_told_with_the_one_beside_it(project: str) -> None:
    for command in ("feedback", "compare"):
        files = [f"{project}/data/trian.csv", f"{project}/data/test.csv"]
        result = run(command, *files[: 2 if command == "compare" else 1], *(["-C", project] * (command == "feedback")))
        assert f"Did you mean {project}/data/train.csv?" in result.stderr
