"""What `up` refuses and gives up on, over a project that only tells."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mainstay.core import errors
from mainstay.running import together


class Family:
    """Children that all live."""

    settled = False

    def tend(self) -> list[str]:
        return []


def project(**answers: Any) -> Any:
    told = {"ready": False, "load_failures": (), "server": None, "addresses": ("http://[::1]:1", "http://[::1]:1")}
    settings = SimpleNamespace(project=SimpleNamespace(name="m", elsewhere=False))
    return SimpleNamespace(
        settings=settings, run_folder=Path("run"), environ={}, **{k: lambda v=v: v for k, v in (told | answers).items()}
    )


def waiting(found: Any, monkeypatch: pytest.MonkeyPatch) -> together.Together:
    monkeypatch.setattr(together, "Family", lambda *_, **__: Family())
    return together.Together(found, pause=lambda _: None)


def waited(found: Any, monkeypatch: pytest.MonkeyPatch) -> errors.MainstayError:
    with pytest.raises(errors.EnvironmentFault) as caught:
        waiting(found, monkeypatch).wait_until_ready()
    return caught.value


def test_a_bundle_that_does_not_load_ends_the_start_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    error = waited(project(load_failures=("model.pkl has digest 1; 2 is expected",)), monkeypatch)
    assert (error.code, "model.pkl has digest 1" in error.message) == ("damaged", True)
    assert "mainstay train" in error.remedy


def test_a_server_that_stays_silent_is_told_with_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    error = waited(project(), monkeypatch)
    assert (error.code, "run/serve.log" in error.remedy) == ("not_ready", True)


def test_pages_that_stay_away_do_not_keep_an_answering_project_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "listens", lambda _: False)
    waiting(project(ready=True), monkeypatch).wait_until_ready()


def test_a_stop_ends_the_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting(project(), monkeypatch).wait_until_ready(stop=lambda: True)


def test_a_server_of_this_project_that_runs_is_refused_by_process_and_port() -> None:
    with pytest.raises(errors.EnvironmentFault, match="by process 41 on port 8080") as caught:
        together.refuse_what_is_taken(project(server={"pid": 41, "port": 8080}))
    assert "kill 41" in caught.value.remedy


def test_of_several_one_that_does_not_load_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "listens", lambda _: True)
    monkeypatch.setattr(together, "Family", lambda *_, **__: Family())
    broken, good = project(load_failures=("model.pkl has digest 1",)), project(ready=True)
    together.Together(broken, good, pause=lambda _: None).wait_until_ready()
    with pytest.raises(errors.Damaged):
        together.Together(broken, broken, pause=lambda _: None).wait_until_ready()


def test_beside_others_a_model_is_asked_by_its_name() -> None:
    alone, beside = (together.predict_url(project(), alone=alone) for alone in (True, False))
    assert (alone, beside) == ("http://[::1]:1/v1/predict", "http://[::1]:1/v1/models/m/predict")
