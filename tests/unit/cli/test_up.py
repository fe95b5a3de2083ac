"""What `up` refuses and gives up on, over a project that only tells."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mainstay.cli import up
from mainstay.cli.output import Output
from mainstay.core import errors


class Family:
    """Children that all live."""

    settled = False

    def tend(self) -> list[str]:
        return []


class Patience:
    """A stop that never comes and waits for nothing."""

    asked = False

    def wait(self, seconds: float) -> bool:
        return False


def project(**answers: Any) -> Any:
    told = {"ready": False, "load_failures": (), "server": None} | answers
    return SimpleNamespace(name="m", run_folder=Path("run"), **{k: lambda v=v: v for k, v in told.items()})


def waited(found: Any) -> errors.MainstayError:
    with pytest.raises(errors.EnvironmentFault) as caught:
        up.wait_until_ready(found, Family(), Patience(), Output(as_json=False))  # type: ignore[arg-type]
    return caught.value


def test_a_bundle_that_does_not_load_ends_the_start_with_its_reason() -> None:
    error = waited(project(load_failures=("model.pkl has digest 1; 2 is expected",)))
    assert (error.code, "model.pkl has digest 1" in error.message) == ("damaged", True)
    assert "mainstay train" in error.remedy


def test_a_server_that_stays_silent_is_told_with_its_log() -> None:
    error = waited(project())
    assert (error.code, "run/serve.log" in error.remedy) == ("not_ready", True)


def test_a_server_of_this_project_that_runs_is_refused_by_process_and_port() -> None:
    with pytest.raises(errors.EnvironmentFault, match="by process 41 on port 8080") as caught:
        up.refuse_what_is_taken(project(server={"pid": 41, "port": 8080}))
    assert "kill 41" in caught.value.remedy
