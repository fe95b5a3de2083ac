"""What a container starts, as far as it goes without a socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mainstay.container import health, run
from mainstay.container.packaged import Packaged
from mainstay.core.errors import EnvironmentFault, UsageError
from mainstay.core.routes import BundleRef, Route

ABOUT = Packaged(model="weather", version=4, digest="d" * 64, mainstay="0.1.0", python="3.11")
OTHER = BundleRef(version=3, digest="c" * 64)
SALT = "ab" * 32


def test_a_new_volume_gets_the_first_route() -> None:
    route = run.route_of(ABOUT, None)
    assert (route.epoch, route.champion.version, route.challenger) == (1, 4, None)


def test_a_start_with_the_same_version_changes_nothing() -> None:
    first = run.route_of(ABOUT, None)
    assert run.route_of(ABOUT, first) == first


@pytest.mark.parametrize(
    "before", [{"champion": OTHER}, {"champion": BundleRef(version=4, digest="d" * 64), "challenger": OTHER}]
)
def test_another_version_in_the_volume_gives_way_under_a_higher_epoch(before: dict[str, Any]) -> None:
    route = run.route_of(ABOUT, Route(model="weather", epoch=9, **before))
    assert (route.epoch, route.champion.version, route.challenger) == (10, 4, None)


def test_the_check_of_the_build_loads_the_version_and_answers_a_row(
    packaged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(["--check", str(packaged)], {}) == 0
    assert capsys.readouterr().out.startswith("weather@4 (")


def test_a_damaged_bundle_ends_with_code_6_and_a_sentence(packaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (model,) = packaged.rglob("model.pkl")
    model.write_bytes(b"another")
    state = packaged.parent / "state"
    assert run.main([str(packaged), str(state)], {}) == 6
    said = capsys.readouterr().err
    assert "Error: weather@4 cannot be served" in said
    assert "Remedy: " in said
    assert not state.exists(), "nothing is made before the bundle was verified"


def test_a_wrong_call_shows_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main([], {}) == 2
    assert "usage: python -m mainstay.container.run" in capsys.readouterr().err


def test_a_wrong_setting_in_the_environment_is_told(packaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main([str(packaged), str(packaged.parent / "state")], {"MAINSTAY_SERVE__WORKERS": "many"}) == 2
    assert "MAINSTAY_SERVE__WORKERS" in capsys.readouterr().err


def test_the_salt_of_the_environment_is_kept_in_the_volume(tmp_path: Path) -> None:
    run._take_salt(tmp_path / "salt", SALT)
    assert (tmp_path / "salt").read_text() == SALT
    run._take_salt(tmp_path / "salt", SALT)
    run._take_salt(tmp_path / "salt", "")


def test_another_salt_than_the_volumes_is_refused_and_not_shown(tmp_path: Path) -> None:
    run._take_salt(tmp_path / "salt", SALT)
    with pytest.raises(EnvironmentFault) as caught:
        run._take_salt(tmp_path / "salt", "cd" * 32)
    said = caught.value.message + caught.value.remedy
    assert "another salt" in said
    assert "cdcd" not in said
    assert "abab" not in said


@pytest.mark.parametrize("salt", ["short", "ab" * 31, "AB" * 32, "zz" * 32, "ab " * 32])
def test_a_salt_of_another_form_is_refused_and_not_shown(tmp_path: Path, salt: str) -> None:
    with pytest.raises(UsageError, match="64 hexadecimal digits") as caught:
        run._take_salt(tmp_path / "salt", salt)
    assert salt not in caught.value.message
    assert not (tmp_path / "salt").exists()


def test_a_file_in_the_place_of_the_state_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(EnvironmentFault, match="cannot be written by user"):
        run._make_usable(tmp_path / "state")


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"host": "0.0.0.0", "port": 1}'])
def test_the_health_check_fails_where_nothing_answers(
    tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    if content is not None:
        (tmp_path / "run" / "serve.json").write_text(content)
    assert health.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.startswith("not ready: ")


def test_a_container_whose_environment_asks_for_json_logs_as_json(
    packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(run.logs, "set_up", lambda kind, *, model: asked.append((str(kind), model)))
    (in_the_way := tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault):
        run.supervisor_of(packaged, in_the_way, {"MAINSTAY_LOG__FORMAT": "json"}, on_ready=lambda told: None)
    assert asked == [("json", "weather")]
