"""A bundle outside its worker: real runner processes, and all the ways in which a model can take one down."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from tests.integration.test_serving import SOURCES, Load, Server, body

from mainstay.core.errors import EnvironmentFault, ModelOutputInvalid, RunnerFailed
from mainstay.core.events import Kind
from mainstay.core.routes import BundleRef
from mainstay.models import load as loading
from mainstay.models.answers import answer
from mainstay.models.bundle import open_bundle
from mainstay.models.load import LoadedModel
from mainstay.models.runner.breaker import BreakerRules
from mainstay.models.runner.outside import RunnerRules, load_elsewhere, load_pair
from mainstay.models.runner.process import ModelRaised
from mainstay.models.runner.runner import Limits
from mainstay.testing.models import FaultyModel, LoadsBadly, WordModel, make_bundle

ENVIRON = os.environ | {"PYTHONPATH": str(SOURCES)}


def row(text: str = "snow day") -> dict[str, Any]:
    return {"text": text, "place": "north", "degrees": 1.5, "station": None}


@dataclass(slots=True)
class Runners:
    """Bundles in runners, ended with the test."""

    folder: Path
    ends: list[tuple[str, str]] = field(default_factory=list)
    made: list[LoadedModel] = field(default_factory=list)

    def of(
        self, model: Any, *, which: str = "always", python: str = "", lock: Sequence[str] = (), **limits: Any
    ) -> tuple[LoadedModel, LoadedModel]:
        rules = RunnerRules(
            which=which,
            python=python,
            limits=Limits(**({"deadline_s": 60.0, "memory_mb": 2000} | limits)),
            environ=ENVIRON,
            on_end=lambda _, seat, end: self.ends.append((seat, end.value)),
        )
        pair = load_pair(make_bundle(self.folder, model, environment=lock), "weather@1", rules)
        self.made.append(pair[0])
        return pair


@pytest.fixture
def runners(tmp_path: Path) -> Iterator[Runners]:
    made = Runners(tmp_path)
    yield made
    for loaded in made.made:
        if loaded.outside is not None:
            loaded.outside.stop()


def seats(loaded: LoadedModel) -> dict[str, Any]:
    assert loaded.outside is not None
    found: dict[str, Any] = loaded.outside.state()["seats"]
    return found


def wait(holds: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def both_ready(loaded: LoadedModel) -> bool:
    return all(seat["state"] == "ready" for seat in seats(loaded).values())


def lives(pid: int) -> bool:
    """Whether a process, or a thread of it, has not ended yet."""
    try:
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
        return threads > 1 or Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_runner_and_its_twin_answer_as_the_model_does_here_to_the_last_bit(runners: Runners, tmp_path: Path) -> None:
    loaded, twin = runners.of(WordModel(certainty=0.7))
    here = loading.load(make_bundle(tmp_path, WordModel(certainty=0.7)))
    rows = [row("sun"), row("snow"), row("🌨 snow"), row("")]
    for outside in (loaded, twin):
        assert outside.estimator is None
        assert np.array_equal(outside.predict(rows), here.predict(rows))
        assert answer(outside, rows) == answer(here, rows)
        assert outside.predict([]).shape == (0, 2)


def test_what_the_model_raises_comes_back_and_the_runner_lives_on(runners: Runners) -> None:
    loaded, _ = runners.of(WordModel())
    with pytest.raises(ModelRaised, match="ValueError: this text breaks the model"):
        answer(loaded, [row("poison")])
    with pytest.raises(ModelOutputInvalid, match="not finite"):
        answer(loaded, [row("nothing")])
    assert answer(loaded, [row()])[0].label == "cold"
    assert runners.ends == []


@pytest.mark.parametrize(
    ("text", "end", "said"),
    [
        ("exit", "crash", "exit code 3"),
        ("crash", "crash", "SIGSEGV"),
        ("shut", "crash", "under way"),
        ("scribble", "garbage", "what no runner says"),
        ("slow", "hang", "no answer within 2,000 ms"),
        ("eat", "memory", "MB; 300 are allowed"),
    ],
)
def test_a_model_that_takes_its_process_down_costs_the_rows_under_way_and_nothing_more(
    runners: Runners, text: str, end: str, said: str
) -> None:
    patience_s = 2.0 if text == "slow" else 60.0
    loaded, _ = runners.of(FaultyModel(slow_s=300.0), deadline_s=patience_s, memory_mb=300)
    wait(lambda: both_ready(loaded))
    second = seats(loaded)["beside"]["pid"]
    began = time.monotonic()
    with pytest.raises(RunnerFailed, match=said):
        answer(loaded, [row(text)])
    if text == "slow":
        assert 2.0 <= time.monotonic() - began < 200.0, "the deadline ends it, not the model's 300 s"
    assert seats(loaded)["answers"]["pid"] == second, "the second process takes the first one's place"
    assert answer(loaded, [row()])[0].label == "cold"
    assert runners.ends == [("answers", end)]
    wait(lambda: both_ready(loaded))


def test_what_a_model_prints_is_no_part_of_what_it_answers(runners: Runners) -> None:
    loaded, _ = runners.of(FaultyModel())
    assert answer(loaded, [row("chatter snow")])[0].label == "cold"
    assert runners.ends == []


def test_a_runner_that_was_killed_while_nothing_was_under_way_costs_no_row_at_all(runners: Runners) -> None:
    loaded, _ = runners.of(WordModel())
    wait(lambda: both_ready(loaded))
    first = seats(loaded)["answers"]["pid"]
    os.kill(first, signal.SIGKILL)
    wait(lambda: not lives(first))
    assert answer(loaded, [row()])[0].label == "cold"


def test_rows_scored_in_shadow_neither_wait_for_nor_harm_the_process_that_answers(runners: Runners) -> None:
    loaded, twin = runners.of(
        FaultyModel(slow_s=3.0), deadline_s=60.0, breaker=BreakerRules(failures=2, first_pause_s=60.0)
    )
    wait(lambda: both_ready(loaded))
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(answer, twin, [row("slow snow")])
        time.sleep(0.1)
        assert answer(loaded, [row()])[0].label == "cold"
        assert not beside.done()
        assert beside.result()[0].label == "cold"
    for _ in range(2):
        with pytest.raises(RunnerFailed):
            answer(twin, [row("exit")])
    with pytest.raises(RunnerFailed, match="left alone"):
        answer(twin, [row()])
    assert seats(loaded)["beside"]["circuit"] == "open"
    assert answer(loaded, [row()])[0].label == "cold"
    assert seats(loaded)["answers"]["circuit"] == "closed"


def test_one_that_ends_again_and_again_is_left_alone_for_a_while_and_then_tried(runners: Runners) -> None:
    loaded, _ = runners.of(FaultyModel(), breaker=BreakerRules(failures=3, first_pause_s=3.0))
    for _ in range(3):
        wait(lambda: seats(loaded)["answers"]["state"] == "ready")
        with pytest.raises(RunnerFailed):
            answer(loaded, [row("exit")])
    with pytest.raises(RunnerFailed, match=r"left alone for .* exit code 3"):
        answer(loaded, [row()])
    assert seats(loaded)["answers"]["circuit"] == "open"
    wait(lambda: seats(loaded)["answers"]["state"] == "ready")
    assert seats(loaded)["answers"]["circuit"] == "trial"
    assert answer(loaded, [row()])[0].label == "cold"


def test_a_bundle_that_ends_its_runner_while_loading_is_refused_with_what_happened(runners: Runners) -> None:
    with pytest.raises(EnvironmentFault, match=r"weather@1 does not load in its runner: it ended with exit code 7"):
        runners.of(LoadsBadly())
    assert runners.ends == [("answers", "crash")] * 3
    with pytest.raises(EnvironmentFault, match=r"it was not ready within 0\.5 s"):
        runners.of(LoadsBadly(slow_s=30.0), start_s=0.5)


def test_an_interpreter_that_lacks_mainstay_or_is_none_is_refused_with_the_remedy(
    runners: Runners, tmp_path: Path
) -> None:
    with pytest.raises(EnvironmentFault, match="cannot be started: No such file") as absent:
        runners.of(WordModel(), python=str(tmp_path / "none"), lock=["numpy==0.1"])
    assert "runner_python" in absent.value.remedy
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nunset PYTHONPATH; exec {sys.executable} -S "$@"\n', encoding="ascii")
    bare.chmod(0o755)
    with pytest.raises(EnvironmentFault, match="No module named 'mainstay'"):
        runners.of(WordModel(), python=str(bare), lock=["numpy==0.1"])


def test_numerical_libraries_hold_to_one_thread_in_a_runner_unless_told_otherwise(runners: Runners) -> None:
    loaded, _ = runners.of(WordModel())
    environ = Path(f"/proc/{seats(loaded)['answers']['pid']}/environ").read_bytes().decode().split("\0")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        assert f"{name}={ENVIRON.get(name, '1')}" in environ
    assert not [one for one in environ if one.startswith("MAINSTAY_")]


def test_a_worker_that_is_killed_leaves_no_runner_behind_also_in_the_middle_of_a_call(tmp_path: Path) -> None:
    make_bundle(tmp_path, FaultyModel(slow_s=60.0))
    [digest] = [path.name for path in tmp_path.iterdir()]
    script = f"""
        import os, sys, threading, time
        from pathlib import Path
        from mainstay.models.bundle import open_bundle
        from mainstay.models.runner.outside import RunnerRules, load_elsewhere, load_pair
        from mainstay.models.runner.runner import Limits
        rules = RunnerRules(which="always", limits=Limits(deadline_s=60, memory_mb=500), environ=os.environ)
        bundle = open_bundle(Path({str(tmp_path)!r}) / {digest!r}, {digest!r})
        loaded, twin = load_pair(bundle, "weather@1", rules)
        twin.outside.get_ready()
        row = {row("slow")!r}
        threading.Thread(target=loaded.predict, args=([row],), daemon=True).start()
        time.sleep(0.2)
        print(*[seat["pid"] for seat in loaded.outside.state()["seats"].values()], flush=True)
        time.sleep(60)
    """
    worker = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], env=ENVIRON, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    pids = [int(pid) for pid in worker.stdout.readline().split()]
    assert len(pids) == 2
    assert all(lives(pid) for pid in pids)
    worker.kill()
    worker.wait()
    worker.stdout.close()
    wait(lambda: not any(lives(pid) for pid in pids))


# in the real server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    if made.process is not None:
        made.stop()
    made.client.close()


def runner_pids(server: Server, name: str = "weather@1") -> list[int]:
    [one] = [found for found in server.worker()["models"]["weather"]["runners"] if found["bundle"] == name]
    return [seat["pid"] for seat in one["seats"].values() if seat["state"] == "ready"]


def test_a_runner_killed_under_load_costs_the_calls_under_way_an_error_of_their_own_and_nobody_else(
    server: Server,
) -> None:
    server.route(server.bundle(1))
    server.start()
    server.wait(lambda: len(runner_pids(server)) == 2)
    statuses: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=120) as client:
            while not stop.is_set():
                statuses.append(client.post(f"{server.url}/v1/predict", json=body("snow")).status_code)

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        for _ in range(3):
            server.wait(lambda: len(runner_pids(server)) == 2)
            before = len(statuses)
            os.kill(runner_pids(server)[0], signal.SIGKILL)
            server.wait(lambda before=before: len(statuses) > before + 100)  # type: ignore[misc]
            time.sleep(1.1)  # the state that names the process is told once a second
        stop.set()
        for one in asking:
            one.result()
    assert set(statuses) <= {200, 503}
    assert statuses.count(503) <= 3 * 4, "each kill may cost what was under way: one call of each client"
    assert len(statuses) > 300


def test_a_challengers_runner_that_dies_or_hangs_is_answered_for_by_the_champion(server: Server) -> None:
    champion = server.bundle(1)
    faulty = server.bundle(2, FaultyModel(slow_s=30.0))
    lease = datetime.now(UTC) + timedelta(minutes=5)
    server.route(champion, challenger=faulty, share=1.0, salt="x", lease_until=lease)
    server.start("deadline_ms=2000")

    def challenger_answers() -> bool:
        # While its runner starts anew its worker gives it up; whoever decides again has it asked again.
        server.route(champion, challenger=faulty, share=1.0, salt="x", lease_until=lease)
        server.wait_for_epoch()
        return bool(server.post("predict", body("sun")).json()["predictions"][0]["arm"] == "challenger")

    for text, why in (("exit snow", "exit code 3"), ("slow snow", "deadline")):
        server.wait(challenger_answers, 60)
        answered = server.post("predict", body(text, id=text)).json()["predictions"][0]
        assert (answered["arm"], answered["label"]) == ("champion", "cold")
        event = next(event for event in server.events(Kind.PREDICTION) if event.id == text)
        assert why in (event.reason or "")
    server.wait(challenger_answers, 60)


def test_a_champions_runner_that_is_lost_is_answered_for_by_the_fallback_and_told_in_state_and_metrics(
    server: Server,
) -> None:
    server.route(server.bundle(1, FaultyModel(), fallback_label="warm"))
    server.start()
    answered = server.post("predict", body("exit snow")).json()["predictions"][0]
    assert (answered["fallback"], answered["label"], answered["trust"]) == (True, "warm", "abstain")
    server.wait(lambda: server.post("predict", body("snow")).json()["predictions"][0]["label"] == "cold")

    def told() -> bool:
        [one] = server.worker()["models"]["weather"]["runners"]
        return bool(one["seats"]["answers"]["ends"] == {"crash": 1}) and len(runner_pids(server)) == 2

    server.wait(told)
    said = httpx.get(f"{server.url}/metrics").text
    assert (
        'mainstay_runner_ends_total{bundle="weather@1",model="weather",seat="answers",why="crash",worker="w0"} 1.0'
        in said
    )
    assert 'mainstay_runner_up{bundle="weather@1",model="weather",seat="answers",worker="w0"} 1.0' in said
    pids = runner_pids(server)
    assert server.stop() == 0
    assert not any(lives(pid) for pid in pids)


def test_a_rollback_does_not_wait_for_a_runner_to_start(server: Server) -> None:
    first, second = server.bundle(1), server.bundle(2, WordModel(certainty=0.7))
    server.route(second, previous=first)
    server.start()
    server.wait(lambda: len(runner_pids(server, "weather@1")) >= 1)
    with Load(server.url, clients=2) as load:
        load.wait_for(20)
        stood_by = set(runner_pids(server, "weather@1"))
        server.route(first, previous=second)
        server.wait(lambda: server.post("predict", body()).json()["predictions"][0]["bundle"] == "weather@1")
        assert stood_by <= set(runner_pids(server, "weather@1")), "the one that answers stood ready before"
        load.wait_for(40)


def test_the_worker_itself_imports_no_library_of_the_model(server: Server) -> None:
    server.route(server.bundle(1))
    server.start()
    server.post("predict", body())
    mapped = Path(f"/proc/{server.worker()['pid']}/maps").read_text(encoding="utf-8")
    assert "/numpy/" in mapped
    assert not [name for name in ("/sklearn/", "/scipy/", "/pandas/") if name in mapped]


# an environment of its own


def environment(folder: Path, version: str) -> tuple[Path, dict[str, str]]:
    """Make a library `weatherlib` of a version, and an interpreter that has it; return that and what it sees."""
    site = folder / f"weatherlib-{version}"
    (site / f"weatherlib-{version}.dist-info").mkdir(parents=True)
    (site / f"weatherlib-{version}.dist-info" / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: weatherlib\nVersion: {version}\n", encoding="utf-8"
    )
    share = f"0.{version[0]}"
    code = f"""
        import numpy as np
        class Model:
            classes_ = np.array(["cold", "warm"])
            def predict_proba(self, texts):
                return np.tile([{share}, 1 - {share}], (len(texts), 1))
    """
    (site / "weatherlib.py").write_text(textwrap.dedent(code), encoding="utf-8")
    python = site / "python"
    path = f"{site}{os.pathsep}{SOURCES}"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={path} exec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    return python, ENVIRON | {"PYTHONPATH": path}


def test_outside_serving_too_a_bundle_is_asked_in_the_environment_that_has_its_library(tmp_path: Path) -> None:
    python, environ = environment(tmp_path, "3.1")
    digest = made_there(python, environ, tmp_path / "bundles")
    limits = Limits(deadline_s=60.0, memory_mb=1000, spare=False)
    rules = RunnerRules(python=str(python), limits=limits, environ=ENVIRON)
    model = load_elsewhere(open_bundle(tmp_path / "bundles" / digest, digest), rules)
    assert model.outside is not None
    try:
        assert answer(model, [row()])[0].probabilities == {"warm": 0.7, "cold": 0.3}
        time.sleep(0.2)
        assert seats(model)["beside"]["state"] == "none"
    finally:
        model.outside.stop()
    same = make_bundle(tmp_path / "bundles", WordModel())
    assert load_elsewhere(same, rules).outside is None


def made_there(python: Path, environ: dict[str, str], folder: Path) -> str:
    """Write a bundle in that environment; return its digest."""
    script = (
        "import sys, weatherlib; from pathlib import Path; from mainstay.models import environment, pickles; "
        "from mainstay.testing.models import make_bundle; model = weatherlib.Model(); "
        "lock = environment.lock_lines(pickles.dump(model)); "
        "print(make_bundle(Path(sys.argv[1]), model, environment=lock).digest)"
    )
    found = subprocess.run(
        [str(python), "-c", script, str(folder)], env=environ, capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


def test_a_bundle_answers_from_the_environment_that_has_its_library_and_the_server_needs_none(
    server: Server, tmp_path: Path
) -> None:
    python, environ = environment(tmp_path, "3.1")
    other, _ = environment(tmp_path, "4.0")
    digest = made_there(python, environ, server.folder / ".mainstay" / "bundles")
    server.route(BundleRef(version=1, digest=digest))
    server.start(f"runner_python={python}")
    answered = server.post("predict", body()).json()["predictions"][0]
    assert answered["probabilities"] == {"warm": 0.7, "cold": 0.3}
    [told] = server.worker()["models"]["weather"]["runners"]
    assert (told["python"], told["differences"]) == (str(python), [])
    server.stop()
    server.start(f"runner_python={other}")
    answered = server.post("predict", body()).json()["predictions"][0]
    assert answered["probabilities"]["cold"] == 0.4, "the gate's trial in the real server is what finds this"
    [told] = server.worker()["models"]["weather"]["runners"]
    assert told["differences"] == ["weatherlib is 4.0 here, 3.1 in training"]
    server.stop()
    server.start(ready=False)
    server.wait(lambda: any(worker["failed"] for worker in server.told()["workers"]))
    [why] = server.told()["workers"][0]["failed"].values()
    assert "does not load in its runner" in why
    assert "No module named 'weatherlib'" in why
    assert "weatherlib 3.1 is not installed" in why
