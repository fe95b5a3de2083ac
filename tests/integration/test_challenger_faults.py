"""What a challenger's faults come to in the real server while nobody judges it: no loop runs here."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from mainstay.core.events import Kind
from mainstay.core.routes import BundleRef
from mainstay.serve import control
from mainstay.testing.models import SoundModel, WordModel
from supervised_kit import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    if made.process is not None:
        made.stop()
    made.client.close()


def canary(server: Server, champion: BundleRef, challenger: BundleRef) -> None:
    """Let the challenger answer everybody, as long as somebody judges it."""
    lease = datetime.now(UTC) + timedelta(minutes=5)
    server.route(champion, challenger=challenger, share=1.0, salt="x", lease_until=lease)


def ask(server: Server, text: str, key: str) -> dict[str, Any]:
    answer = server.post("predict", {"instances": [{"id": key, "inputs": {"text": text, "station": key}}]})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["predictions"][0]
    return found


def test_a_challenger_that_answers_nan_is_asked_no_more_by_its_worker(server: Server) -> None:
    champion, challenger = server.bundle(1, SoundModel()), server.bundle(2, WordModel(certainty=0.7))
    canary(server, champion, challenger)
    server.start()
    assert ask(server, "sun", "first")["bundle"] == "weather@2"
    for number in range(6):
        answered = ask(server, "nothing but snow", f"n{number}")
        assert (answered["bundle"], answered["label"]) == ("weather@1", "cold")
    assert [ask(server, "sun", f"a{number}")["bundle"] for number in range(3)] == ["weather@1"] * 3
    reasons = {event.id: event.reason or "" for event in server.events(Kind.PREDICTION)}
    assert "tripped" not in reasons["n5"]
    assert reasons["a0"].startswith("challenger: tripped: ")
    assert "mainstay_challenger_trips_total" in httpx.get(f"{server.url}/metrics").text

    def told() -> bool:
        [worker] = control.ask(server.run, {"do": "status"})["workers"]
        return "6 of the latest 10" in worker["tripped"].get("weather", "")

    server.wait(told, 30)
    # Somebody decides again: it is asked again.
    canary(server, champion, challenger)
    server.wait_for_epoch()
    assert ask(server, "sun", "last")["bundle"] == "weather@2"


@pytest.mark.parametrize("fault", ["deleted", "truncated", "swapped"])
def test_workers_answer_on_with_a_challenger_whose_bundle_is_damaged_and_the_next_one_refuses_it(
    server: Server, fault: str
) -> None:
    champion, challenger = server.bundle(1), server.bundle(2, WordModel(certainty=0.7))
    canary(server, champion, challenger)
    server.start()
    assert ask(server, "sun", "first")["bundle"] == "weather@2"
    folder = server.folder / ".mainstay" / "bundles" / challenger.digest
    damage(folder, fault, other=server.folder / ".mainstay" / "bundles" / champion.digest)
    assert ask(server, "sun", "loaded")["bundle"] == "weather@2"
    server.kill_worker()
    server.wait(lambda: server.worker()["ready"], 30)
    assert ask(server, "sun", "anew")["bundle"] == "weather@1", "refused by its digest, and the champion answers"
    assert list(server.worker()["failed"]) == [challenger.digest]


def test_a_champion_that_is_put_back_answers_again_by_itself(server: Server) -> None:
    champion = server.bundle(1)
    server.route(champion)
    server.start()
    folder = server.folder / ".mainstay" / "bundles" / champion.digest
    saved = shutil.copytree(folder, server.folder / "saved")
    damage(folder, "truncated", other=folder)
    assert ask(server, "sun", "loaded")["bundle"] == "weather@1"
    server.kill_worker()
    server.wait(lambda: list(server.worker()["failed"]) == [champion.digest], 30)
    shutil.rmtree(folder)
    shutil.copytree(saved, folder)
    server.wait(lambda: server.worker()["ready"], 30)
    assert ask(server, "sun", "anew")["bundle"] == "weather@1"


def damage(folder: Path, fault: str, *, other: Path) -> None:
    model = folder / "model" / "model.pkl"
    if fault == "deleted":
        model.unlink()
    elif fault == "truncated":
        model.write_bytes(model.read_bytes()[:-1])
    else:
        model.write_bytes((other / "model" / "model.pkl").read_bytes())
