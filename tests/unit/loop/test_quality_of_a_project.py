"""A project's quality as the command tells it: trained bundle, journal, loop and labels, all real."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from loop_kit import MODEL, Shop
from mainstay.cli.main import app
from mainstay.core.errors import NotFound
from mainstay.project import Project


@pytest.fixture
def busy(shop: Shop) -> Shop:
    """Return the shop after 200 answers, of which 60 were labelled and one in six of these was wrong."""
    asked = shop.customers(200)
    shop.turns(1)
    for number, event in enumerate(asked[:60]):
        other = "tool" if event.label == "fruit" else "fruit"
        shop.label([event.id], value=other if number % 6 == 0 else str(event.label))
    shop.turns(2)
    return shop


def test_the_three_ways_stand_side_by_side_for_the_version_that_answers(busy: Shop) -> None:
    found = Project.open(busy.folder, environ={}).quality()
    assert found.version == f"{MODEL}@1"
    assert found.whole.labels == 60
    assert found.whole.rows >= 180
    accuracy = found.whole.lines[0]
    assert accuracy.metric == "accuracy"
    for value in (accuracy.estimated, accuracy.few_labels, accuracy.measured):
        assert value is not None
        assert value.low is not None
        assert value.high is not None
        assert value.low <= value.value <= value.high
    assert accuracy.measured is not None
    assert accuracy.measured.value == pytest.approx(50 / 60)
    assert found.held_out["accuracy"] > 0.6
    with pytest.raises(NotFound):
        Project.open(busy.folder, environ={}).quality(version=9)


def test_the_command_prints_and_tells_json(busy: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(busy.folder)
    shown = CliRunner().invoke(app, ["quality", "--metric", "balanced_accuracy", "--metric", "accuracy"])
    assert shown.exit_code == 0, shown.output
    assert "balanced_accuracy" in shown.output
    assert "Not known: 60 labels came" in " ".join(shown.output.split())
    told = CliRunner().invoke(app, ["quality", "--json"])
    document = json.loads(told.output)
    assert document["whole"]["lines"][0]["measured"]["value"] == pytest.approx(50 / 60)
    wrong = CliRunner().invoke(app, ["quality", "--metric", "acuracy"])
    assert wrong.exit_code == 2
