from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from mainstay.cli import document
from mainstay.cli.main import app

HEAVY = [
    "pandas",
    "sklearn",
    "mlflow",
    "polars",
    "numpy",
    "scipy",
    "sqlalchemy",
    "alembic",
    "fastapi",
    "uvicorn",
    "jinja2",
    "pydantic",
    "matplotlib",
    "pyarrow",
    "rich",
]
COMMANDS = [
    "init",
    "adopt",
    "check",
    "compare",
    "profile",
    "train",
    "retrain",
    "online",
    "pull",
    "review",
    "explore",
    "trust",
    "backtest",
    "backup",
    "restore",
    "gate",
    "golden",
    "up",
    "serve",
    "loop",
    "status",
    "quality",
    "incidents",
    "silence",
    "alerts",
    "cost",
    "promote",
    "rollback",
    "rollout",
    "package",
    "score",
    "feedback",
    "features",
    "load-test",
    "replay",
    "reproduce",
    "scorecard",
    "card",
    "explain",
    "erase",
    "export",
    "learn",
    "keys",
    "audit",
    "doctor",
    "config",
    "drill",
]
GROUPS = {
    "online": ("learn", "status"),
    "explore": ("estimate", "show"),
    "review": ("draw", "estimate", "label", "list", "skip", "undo", "unsure"),
    "alerts": ("export", "list", "test"),
    "config": ("show",),
    "drill": ("list", "run"),
    "golden": ("freeze", "show"),
    "incidents": ("ack", "list", "mark", "precision", "reopen", "resolve", "show"),
    "keys": ("add", "list", "new", "revoke", "rotate"),
    "rollout": ("abort", "history", "ledger", "pause", "plan", "promote", "resume", "show", "start"),
}
HELPS = dict(document.helps(typer.main.get_command(app), None, "mainstay"))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=600)


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys\nfrom mainstay.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"sys.stderr.write(' '.join(name for name in {HEAVY!r} if name in sys.modules))"
    )
    result = run("-c", code)
    assert "Keep a machine-learning model alive" in result.stdout
    assert result.stderr == ""


def test_the_module_can_be_run() -> None:
    result = run("-m", "mainstay", "--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("mainstay 0.")


def test_the_commands_are_the_expected_ones() -> None:
    inner = [f"mainstay {group} {name}" for group, names in GROUPS.items() for name in names]
    assert sorted(HELPS) == sorted(["mainstay", *(f"mainstay {name}" for name in COMMANDS), *inner])


@pytest.mark.parametrize("path", [path for path in HELPS if path != "mainstay"])
def test_every_command_teaches_with_an_example(path: str) -> None:
    assert "\n  Example:\n    mainstay" in HELPS[path]


@pytest.mark.parametrize("path", [path for path in HELPS if path.partition(" ")[2] not in ("", *GROUPS)])
def test_every_command_can_answer_in_json_and_show_a_traceback(path: str) -> None:
    assert "--json" in HELPS[path]
    assert "--debug" in HELPS[path]


def test_no_summary_in_the_list_of_commands_is_cut_off() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mainstay", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "80", "PYTHONPATH": str(Path(__file__).parents[3] / "src"), "PATH": ""},
    )
    assert "..." not in result.stdout.partition("Commands:")[2].partition("Start with")[0]
