"""Where a drill plays: a fresh project, its real processes on a simulated clock, and users who come over HTTP."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec

from mainstay.config.clocks import CLOCK_VARIABLE, SharedClock
from mainstay.core import errors
from mainstay.core.ports import Clock
from mainstay.core.routes import position
from mainstay.drills.records import Asked, Drill, Phase, Tally, View
from mainstay.project import Project
from mainstay.serve import control
from mainstay.store import heartbeats, incidents, jobs, releases, routes

NEEDED_MB = 100
"""Free space for a drill's project, its journal and MLflow's tables (MB); the three drills use 10 to 20."""
READY_S = 600.0
"""Longest real time until training is done or a process answers."""
TURN_S = 120.0
"""Longest real time until the loop has taken a step's requests."""
STOP_S = 15.0
LOOK_S = 0.02
CLOCK_SEEN_S = 0.06
"""Real time after which every process has seen that the clock was moved."""
AT_ONCE = 8
"""Users who ask at the same time."""
LABELS_AT_ONCE = 500
LATELY = 150
"""Answers over which rewards of the newest requests are told."""
PROCESSES = ("serve", "loop")
NUDGE = timedelta(seconds=1)
Say = Callable[[str], None]


class Stage:
    """A running project and its users. Make it with `opened`."""

    def __init__(
        self, drill: Drill, root: Path, *, real: Clock, say: Say, settings: Mapping[str, str], processes: Sequence[str]
    ) -> None:
        self.drill, self.root, self.say, self.real = drill, root, say, real
        self.clock = SharedClock.create(root / "clock.json", base=drill.begins, rate=0.0)
        self.environ = environ_of(root, settings)
        self.project = Project.open(root, environ=self.environ)
        self.phases: dict[str, Tally] = {}
        self.notes: dict[str, Any] = {}
        self._wanted = tuple(processes)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        """Those that must not end by themselves."""
        self._begun: list[subprocess.Popen[bytes]] = []
        self._pool = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="user")
        self._client = httpx.Client(timeout=30.0, trust_env=False)
        self._asked = 0

    # processes

    def start(self) -> None:
        """Train the first version, start the processes, wait until they answer."""
        self.say("the first version is trained and judged")
        if "serve" in self._wanted:
            self._children["serve"] = self._spawn("serve")  # it needs no version to come up, and that takes a while
        trained = self.train("the first version")
        if trained["exit_code"] != errors.ExitCode.DONE:
            raise errors.DrillMissed("the gate did not pass the first version, so there is nothing to play with")
        for name in self._wanted:
            if name not in self._children:
                self._children[name] = self._spawn(name)
        self._wait(self._serves, READY_S, "the server to answer")
        self.say(f"{' and '.join(self._wanted)} run; the server answers at {self.address}")

    def stop(self) -> None:
        """End every process of the drill, by its id, and what it started; a second Ctrl-C makes short work of it."""
        try:
            self._pool.shutdown(wait=True, cancel_futures=True)
            for child in self._begun:
                if child.poll() is None:
                    child.send_signal(signal.SIGTERM)
            for child in self._begun:
                with suppress(subprocess.TimeoutExpired):
                    child.wait(STOP_S)
        finally:
            for child in self._begun:
                _kill(child)
            self._client.close()
            self.project.parts.close()

    def train(self, what: str, *, pipeline: str | None = None) -> dict[str, Any]:
        """Run `mainstay train`; return its document with `exit_code`. A refusal by the gate is an answer, no error."""
        argv = ["train", "--project", str(self.root), "--json", *(["--pipeline", pipeline] if pipeline else [])]
        log = self.root / "train.log"
        with log.open("ab") as stderr:
            child = self._begin(argv, stdout=subprocess.PIPE, stderr=stderr)
        try:
            output, _ = child.communicate(timeout=READY_S)
        except subprocess.TimeoutExpired as error:
            raise errors.DrillMissed(f"training {what} took longer than {READY_S:.0f} s") from error
        finally:
            _kill(child)
        if child.returncode not in (errors.ExitCode.DONE, errors.ExitCode.GATE_FAILED):
            raise _ended(f"training {what}", child.returncode, log)
        document: dict[str, Any] = msgspec.json.decode(output)
        return document | {"exit_code": child.returncode}

    def _spawn(self, name: str) -> subprocess.Popen[bytes]:
        with self._log(name).open("ab") as log:
            return self._begin([name, "--project", str(self.root)], stdout=log, stderr=subprocess.STDOUT)

    def _begin(self, arguments: Sequence[str], *, stdout: Any, stderr: Any) -> subprocess.Popen[bytes]:
        """Start `mainstay ARGUMENTS`, in a thread: a Ctrl-C between its birth and its name would leave it running."""

        def begin() -> subprocess.Popen[bytes]:
            child = subprocess.Popen(
                [sys.executable, "-m", "mainstay", *arguments],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
            self._begun.append(child)
            return child

        return self._pool.submit(begin).result()

    def _log(self, name: str) -> Path:
        return self.root / f"{name}.log"

    def look_after(self) -> None:
        """Raise when a process of the drill has ended by itself."""
        for name, child in self._children.items():
            if child.poll() is not None:
                raise _ended(f"`mainstay {name}`", child.returncode, self._log(name))

    def _wait(self, done: Callable[[], bool], seconds: float, what: str) -> None:
        until = self.real.monotonic() + seconds
        while not done():
            self.look_after()
            if self.real.monotonic() >= until:
                raise errors.DrillMissed(
                    f"waited {seconds:.0f} s for {what}", remedy=f"Run it with --keep DIR and read DIR's logs. {LOGS}"
                )
            self.real.sleep(LOOK_S)

    # users

    @property
    def address(self) -> str:
        """Return where the server listens."""
        return self.project.addresses()[0]

    def _serves(self) -> bool:
        if not self.project.ready():
            return False
        try:
            return self._client.get(f"{self.address}/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def ask(self, phase: Phase, users: Sequence[tuple[datetime, Asked]]) -> list[str]:
        """Let users ask, each by a request of its own; count the answers; return the ids, in order."""
        tally, url = self.phases[phase.name], f"{self.address}/v1/predict"
        first, self._asked = self._asked, self._asked + len(users)
        ids = [f"{phase.name.replace(' ', '-')}-{first + number}" for number in range(len(users))]
        bodies: list[dict[str, Any]] = [
            {"id": id_, "key": user.key, "time": at.isoformat(), "inputs": dict(user.inputs)}
            for id_, (at, user) in zip(ids, users, strict=True)
        ]
        earned, answered = [], 0
        told = self._answers(url, bodies)
        for id_, (_, user), (status, answer) in zip(ids, users, told, strict=True):
            count(tally, user, status, answer)
            answered += bool(answer)
            if answer.get("label") == user.truth and position(phase.reward, id_) < phase.reward_chance:
                earned.append(id_)
        if phase.reward:
            self.notes["rewards_lately"] = lately(self.notes.get("rewards_lately"), len(earned), answered)
            self._post([{"id": id_, "kind": "reward", "name": phase.reward, "value": 1} for id_ in earned], "rewards")
        return ids

    def _answers(self, url: str, bodies: Sequence[Mapping[str, Any]]) -> Iterable[tuple[int, dict[str, Any]]]:
        """Return status and answer of each request, in order."""
        return self._pool.map(lambda body: self._one(url, body), bodies)

    def _one(self, url: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        try:
            response = self._client.post(url, json={"instances": [body]})
            return response.status_code, response.json()["predictions"][0] if response.status_code == 200 else {}
        except httpx.HTTPError:
            return 0, {}

    def tell_truth(self, labels: Sequence[tuple[str, Any]]) -> int:
        """Post labels as feedback; return how many were taken."""
        name = self.project.settings.target.field
        return self._post(
            [{"id": id_, "kind": "label", "name": name, "value": truth} for id_, truth in labels], "labels"
        )

    def _post(self, items: Sequence[Mapping[str, Any]], what: str) -> int:
        taken = 0
        for start in range(0, len(items), LABELS_AT_ONCE):
            part = [
                {**item, "feedback_id": f"{item['kind'][0]}-{item['id']}", "at": self.clock.now().isoformat()}
                | {"by": "drill"}
                for item in items[start : start + LABELS_AT_ONCE]
            ]
            taken += sum(result["status"] != "refused" for result in self._taken(part, what))
        return taken

    def _taken(self, items: Sequence[Mapping[str, Any]], what: str) -> list[dict[str, Any]]:
        """Post one call's feedback; return what the server said of each."""
        try:
            response = self._client.post(f"{self.address}/v1/feedback", json={"items": items})
            response.raise_for_status()
        except httpx.HTTPError as error:
            self.look_after()
            raise errors.DrillMissed(f"the server did not take {what}: {error}", remedy=LOGS) from error
        results: list[dict[str, Any]] = response.json()["results"]
        return results

    # time

    def advance(self, step: timedelta) -> None:
        """Move the clock on and wait until every process has seen it."""
        self.clock.advance(seconds=step.total_seconds())
        self.real.sleep(CLOCK_SEEN_S)

    def settle(self) -> None:
        """Wait until the loop has taken all that was asked so far.

        Twice the clock goes on by a second and a sign of life of that second is waited for: the turn of the second one
        began after the first one ended, and so after the last request. Simulated time must not outrun what takes real
        time: a training under way is waited for, and every worker that is yet to follow the store's route.
        """
        if "loop" not in self._wanted:
            return
        for _ in range(2):
            self._turn()
        if self._busy():
            self.say("  a version is trained by the loop")
            self._wait(lambda: not self._busy(), READY_S, "the training to end")
            self._turn()
        self._wait(self._follows, TURN_S, "every worker to follow the route of the store")

    def _turn(self) -> None:
        self.clock.advance(seconds=NUDGE.total_seconds())
        now = self.clock.now()
        self._wait(lambda: self._beat() >= now, TURN_S, "the loop to take its turn")

    def _follows(self) -> bool:
        with self.project.parts.store.read() as tx:
            route = routes.current(tx, self.project.name)
        told = control.running(self.project.run_folder) or {}
        epochs = [int(worker["epoch"]) for worker in told.get("workers", ())]
        return route is None or (bool(epochs) and min(epochs) >= route.epoch)

    def _busy(self) -> bool:
        with self.project.parts.store.read() as tx:
            return bool(jobs.list_(tx, self.project.name, states=(jobs.JobState.RUNNING,), limit=1))

    def _beat(self) -> datetime:
        with self.project.parts.store.read() as tx:
            signs = {sign.name: sign for sign in heartbeats.all_(tx)}
        loop = signs.get("loop")
        if loop is None:
            return self.drill.begins - NUDGE
        failed = loop.detail.get("failed")
        if failed:
            told = "; ".join(f"{step}: {why}" for step, why in failed.items())
            raise errors.DrillMissed(f"a step of the loop failed: {told}", remedy=LOGS)
        return loop.at

    def view(self) -> View:
        """Return what is to be seen now."""
        self.look_after()
        name = self.project.name
        with self.project.parts.store.read() as tx:
            return View(
                at=self.clock.now(),
                incidents=incidents.list_(tx, name, limit=1_000)[::-1],
                releases=sorted(releases.all_of(tx, name), key=lambda release: release.version),
                jobs=jobs.list_(tx, name, limit=1_000),
                phases=dict(self.phases),
                notes=dict(self.notes),
                learned=lambda release: self.project.parts.snapshots.open(release.snapshot).frame(),
            )


LOGS = "serve.log, loop.log and train.log lie in the folder of --keep."


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End a process that is still there, and what it started."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    if child.stdout is not None:
        child.stdout.close()


def count(tally: Tally, user: Asked, status: int, answer: Mapping[str, Any]) -> None:
    """Add one answer to a phase's tally."""
    tally.requests += 1
    tally.statuses[status] = tally.statuses.get(status, 0) + 1
    if not answer:
        return
    tally.trust[answer["trust"]] = tally.trust.get(answer["trust"], 0) + 1
    tally.keys.setdefault(answer["bundle"], set()).add(user.key)
    if user.truth is not None:
        tally.judged += 1
        tally.right += answer["label"] == user.truth


def lately(known: tuple[int, int] | None, earned: int, answered: int) -> tuple[int, int]:
    """Return rewards and answers of the newest requests, a hundred or so."""
    before = known or (0, 0)
    held = (before[0] + earned, before[1] + answered)
    return held if held[1] <= LATELY else (earned, answered)


def environ_of(root: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """Return the processes' environment: none of the caller's own settings reaches a drill, only `settings`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAINSTAY_")}
    own = {f"MAINSTAY_{key.replace('.', '__').upper()}": value for key, value in settings.items()}
    return {**kept, **own, CLOCK_VARIABLE: str(root / "clock.json"), "PYTHONUNBUFFERED": "1"}


@contextmanager
def opened(
    drill: Drill,
    *,
    real: Clock,
    say: Say,
    keep: Path | None = None,
    settings: Mapping[str, str] | None = None,
    processes: Sequence[str] = PROCESSES,
) -> Iterator[Stage]:
    """Write the drill's project, start its processes, and stop and remove all at the end, whatever happens.

    Raises EnvironmentFault when there is no room, UsageError when `keep` holds something already.
    """
    root = _folder(keep)
    try:
        _make(drill, root)
        stage = Stage(drill, root, real=real, say=say, settings=settings or {}, processes=processes)
        try:
            stage.start()
            yield stage
        finally:
            stage.stop()
    except OSError as error:
        raise errors.EnvironmentFault(f"the drill cannot go on in {root}: {error}", remedy=ROOM) from error
    finally:
        if keep is None:
            shutil.rmtree(root, ignore_errors=True)


ROOM = "Make room, or name another folder: TMPDIR=DIR, or --keep DIR."


def _folder(keep: Path | None) -> Path:
    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise errors.UsageError(f"{keep} is there already and not an empty folder", remedy="Name another folder.")
    root = None
    try:
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
        root = keep.resolve() if keep is not None else Path(tempfile.mkdtemp(prefix="mainstay-drill-"))
        free_mb = shutil.disk_usage(root).free / 1e6
    except OSError as error:
        raise errors.EnvironmentFault(f"no folder for the drill's project can be made: {error}", remedy=ROOM) from error
    if free_mb < NEEDED_MB:
        if keep is None:
            root.rmdir()
        raise errors.EnvironmentFault(
            f"{free_mb:.0f} MB are free in {root.parent}; a drill needs {NEEDED_MB} MB", remedy=ROOM
        )
    return root


def _make(drill: Drill, root: Path) -> None:
    (root / "data").mkdir()
    drill.make(root)


def _ended(what: str, code: int, log: Path) -> errors.MainstayError:
    """Return the error of a process that ended: what it said of the machine or of a setting stays that; else a miss."""
    tail = log.read_bytes()[-1500:].decode("utf-8", "replace").strip()
    kinds: dict[int, type[errors.MainstayError]] = {
        errors.ExitCode.ENVIRONMENT: errors.EnvironmentFault,
        errors.ExitCode.USAGE: errors.UsageError,
    }
    said = f"{what} ended by itself with exit code {code}: {tail or 'it said nothing'}"
    return kinds.get(code, errors.DrillMissed)(said, remedy=LOGS)
