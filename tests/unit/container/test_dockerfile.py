"""The text of the Dockerfile, and which version goes into it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from mainstay.container import choice, dockerfile
from mainstay.container.packaged import Packaged
from mainstay.core.errors import EnvironmentFault, GateFailed, NotReady, UsageError
from mainstay.core.releases import Release, Stage

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ABOUT = Packaged(
    model="Weather_Now-",
    version=4,
    digest="d" * 64,
    mainstay="0.1.0",
    python="3.12",
    lineage={"commit": "abc+", "pipeline": 'a "quoted" $HOME\nRUN evil'},
)


def release(version: int, stage: Stage = Stage.CERTIFIED, verdict: str | None = "pass") -> Release:
    facts: dict[str, Any] = {"gate": {"verdict": verdict}} if verdict else {}
    return Release(
        model="weather",
        version=version,
        digest="d" * 64,
        stage=stage,
        since=NOW,
        created_at=NOW,
        facts=facts,
        reason="why",
    )


def test_the_base_follows_the_python_that_trained_and_can_be_chosen() -> None:
    text = dockerfile.dockerfile(ABOUT, hashed=True, unhashed=False)
    assert "ARG BASE=python:3.12-slim\n" in text
    assert text.count("FROM ${BASE}") == 2


def test_it_serves_as_a_user_without_rights_from_a_volume_with_a_health_check() -> None:
    lines = dockerfile.dockerfile(ABOUT, hashed=True, unhashed=True).splitlines()
    assert "USER 10001:10001" in lines
    assert 'VOLUME ["/state"]' in lines
    assert "STOPSIGNAL SIGTERM" in lines
    entry = next(line for line in lines if line.startswith("ENTRYPOINT "))
    assert json.loads(entry.removeprefix("ENTRYPOINT "))[-2:] == ["/packaged", "/state"]
    assert any(line.startswith("HEALTHCHECK ") for line in lines)


def test_only_the_kinds_of_packages_that_there_are_get_installed() -> None:
    assert "--require-hashes" in dockerfile.dockerfile(ABOUT, hashed=True, unhashed=False)
    alone = dockerfile.dockerfile(ABOUT, hashed=False, unhashed=True)
    assert "--require-hashes" not in alone
    assert "-r /context/requirements-unhashed.txt" in alone


def test_no_text_of_the_lineage_becomes_an_instruction() -> None:
    lines = dockerfile.dockerfile(ABOUT, hashed=True, unhashed=True).splitlines()
    assert [line for line in lines if line.startswith("RUN evil")] == []
    (told,) = [line for line in lines if "mainstay.pipeline" in line]
    assert told.strip().rstrip("\\").strip() == r'mainstay.pipeline="a \"quoted\" \$HOME RUN evil"'


def test_the_images_name_is_one_that_registries_take() -> None:
    assert dockerfile.image_name(ABOUT) == "weather_now:4"


def test_the_version_that_answers_is_the_one_to_package() -> None:
    known = [release(1, Stage.RETIRED), release(2), release(3, Stage.REGISTERED)]
    assert choice.answering(known, "weather").version == 2
    assert choice.newest(known, "weather").version == 3


def test_a_model_without_a_version_that_answers_is_told() -> None:
    with pytest.raises(NotReady, match="weather has no version yet"):
        choice.answering([], "weather")
    with pytest.raises(NotReady, match="no version of weather answers yet"):
        choice.answering([release(1, Stage.REGISTERED)], "weather")


@pytest.mark.parametrize("verdict", ["fail", "not_enough", None])
def test_a_version_whose_gate_did_not_pass_needs_force(verdict: str | None) -> None:
    refused = release(1, Stage.REGISTERED, verdict)
    with pytest.raises(GateFailed, match=r"the gate did not pass weather@1: (fail|not_enough|never asked)"):
        choice.packable(refused, force=False)
    assert choice.packable(refused, force=True) is refused


def test_a_rolled_back_version_needs_force_and_a_quarantined_one_never_leaves() -> None:
    back = release(1, Stage.ROLLED_BACK)
    with pytest.raises(UsageError, match="weather@1 was rolled back: why"):
        choice.packable(back, force=False)
    assert choice.packable(back, force=True) is back
    with pytest.raises(EnvironmentFault, match="quarantine"):
        choice.packable(replace(back, stage=Stage.QUARANTINED), force=True)
