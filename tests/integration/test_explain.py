"""Explanations by a real server: a model in a runner, asked beside the one that answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from server_kit import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path)
    yield running
    running.stop()


def test_a_recorded_prediction_of_a_model_in_a_runner_is_explained_by_its_words(server: Server) -> None:
    row = {"text": "snow on a day", "place": "north"}
    (answer,) = server.predict(id="e-1", inputs=row).json()["predictions"]
    response = server.post("explain", {"id": "e-1"})
    assert response.status_code == 200, response.text
    (found,) = response.json()["explanations"]
    said = found["explanation"]
    assert (found["id"], found["bundle"], said["label"]) == ("e-1", answer["bundle"], answer["label"])
    assert (said["method"], said["exact"]) == ("permutation", False)
    by_word = {part["word"]: part["contribution"] for part in said["words"]}
    assert by_word == pytest.approx({"snow": 0.8, "on": 0.0, "a": 0.0, "day": 0.0}, abs=1e-9)
    assert said["base_value"] + 0.8 == pytest.approx(said["value"])
    assert server.predict(id="e-2", inputs=row).status_code == 200
