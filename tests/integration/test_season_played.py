"""The season's story in one process: a real handler, journal, store and loop; the clock alone is simulated.

The drill `season` plays with processes and over HTTP (`python bench/season.py`). Here the same story, users and
expectations are played by calls: what is left out is HTTP, the supervisor and MLflow.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from loop_kit import FakeRegistry, InlineRunner, fared
from mainstay import loop, wiring
from mainstay.core import errors
from mainstay.core.events import Event
from mainstay.drills import perform, season
from mainstay.drills import stage as stages
from mainstay.drills.records import HOUR, MINUTE, Drill, Leg, Report, Tally
from mainstay.journal.personal import Hasher, read_or_make_salt
from mainstay.journal.writer import SegmentWriter
from mainstay.models.runner.outside import NEVER, RunnerRules
from mainstay.models.runner.runner import Limits
from mainstay.project import Project
from mainstay.serve import measured, trial
from mainstay.serve.dedupe import Ids
from mainstay.serve.external import Ledger
from mainstay.serve.feedback import Book
from mainstay.serve.handle import Handler
from mainstay.serve.live import ModelSlot, side_loader
from mainstay.serve.log import Log
from mainstay.serve.metrics import Metrics
from mainstay.serve.pending import Job, Pending, Turn
from mainstay.serve.rows import MakeEvent
from mainstay.serve.shadow import Shadow
from mainstay.store import jobs, routes
from mainstay.testing.clock import FakeClock

pytestmark = pytest.mark.timeout(2_400)  # a busy machine gives it a twentieth of a core
AT_ONCE = 250


class PlayedClock(FakeClock):
    """Simulated time of day; how long a call takes is real."""

    def monotonic(self) -> float:
        return super().monotonic() + time.monotonic()


class StoredRoute:
    """The route file of a worker, kept in step with the store by reading it."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._route: Any = None

    def reopen(self) -> None:
        with self._project.parts.store.read() as tx:
            self._route = routes.current(tx, self._project.name)

    def read(self) -> Any:
        return self._route


class Server:
    """What a worker does with a batch, by calls."""

    def __init__(self, project: Project, clock: PlayedClock) -> None:
        parts = project.parts
        self.model, self.writer = project.name, SegmentWriter(parts.journal.folder, "w0", durability="os", segment_mb=4)
        hasher, metrics = Hasher(read_or_make_salt(parts.state / "salt")), Metrics()
        runners = RunnerRules(which=NEVER, limits=Limits(deadline_s=60.0, memory_mb=4_000))
        load_side = side_loader(parts.bundles, hasher, runners=runners)
        self.slot = ModelSlot(self.model, StoredRoute(project), load_side, warm_up=False)  # type: ignore[arg-type]
        log = Log(self.writer, "w0")
        self._notes: list[MakeEvent] = []
        self._shadow = Shadow(worker="w0", clock=clock, metrics=metrics, hand_on=self._notes.append)
        self._handler = Handler(
            slots={self.model: self.slot},
            log_=log,
            ids=Ids(parts.journal, alone=True, fresh=True),
            book=Book(parts.journal, log),
            ledger=Ledger(parts.journal, log),
            claims=None,
            shadow_=self._shadow,
            hasher=hasher,
            clock=clock,
            metrics=metrics,
            max_rows=1_000,
            put_back=lambda *_: None,
        )
        self._turn = Turn(Pending(self._handler, clock=clock, max_rows=1_000, deadline_s=60.0, on_hang=lambda _: None))

    def predict(self, bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        call = self._handler.validate(self.model, json.dumps({"instances": bodies}).encode(), client="10.0.0.1")
        found: list[dict[str, Any]] = self._work(call)["predictions"]
        return found

    def feedback(self, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        told = self._handler.validate_feedback(self.model, json.dumps({"items": items}).encode())
        found: list[dict[str, Any]] = self._work(told)["results"]
        return found

    def _work(self, job: Job) -> Any:
        group = self._handler.begin([job], self._turn)
        self._handler.write(group)
        done = self._handler.finish(group)
        offered: list[Any] = []
        self._shadow.offer = offered.extend  # type: ignore[method-assign]
        for act in done.afterwards:
            act()
        for one in offered:
            self._shadow.score(one)
        if self._notes:
            first = self.writer.next_seq
            events: list[Event] = [make(first + number) for number, make in enumerate(self._notes)]
            self.writer.commit(events)
            self._notes.clear()
        (outcome,) = dict(done.outcomes).values()
        if isinstance(outcome, BaseException):
            raise outcome
        return json.loads(outcome)


class InProcess(stages.Stage):
    """The stage of a drill without processes."""

    def __init__(self, drill: Drill, root: Path) -> None:
        self.drill, self.root, self.said = drill, root, list[str]()
        self.say = self.said.append
        self.clock = PlayedClock(drill.begins)  # type: ignore[assignment]
        self.project = Project.open(root, environ={})
        vars(self.project)["parts"] = wiring.assemble(root, environ={}, clock=self.clock)
        self.phases: dict[str, Tally] = {}
        self.notes: dict[str, Any] = {}
        self._asked, self._wanted = 0, ("serve", "loop")
        parts = self.project.parts
        parts.registry = FakeRegistry()  # type: ignore[assignment]
        # Nobody pulls the plug here: the disk need not be waited for.
        event.listen(parts.store.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous = OFF"))
        self.runner = InlineRunner(lambda job: self.project.train(trigger=str(job.payload["trigger"]), by="loop").name)

    def serve(self) -> None:
        """Let the version that answers be asked."""
        self.server = Server(self.project, self.clock)  # type: ignore[arg-type]
        self.server.slot.load_missing()

    def close(self) -> None:
        self.server.writer.close()
        self.project.parts.close()

    address = "in this process"

    def look_after(self) -> None:
        pass

    def _answers(self, url: str, bodies: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
        for start in range(0, len(bodies), AT_ONCE):
            for answer in self.server.predict(bodies[start : start + AT_ONCE]):
                yield 200, answer

    def _taken(self, items: Sequence[Mapping[str, Any]], what: str) -> list[dict[str, Any]]:
        return self.server.feedback(items) if items else []

    def advance(self, step: Any) -> None:
        self.clock.advance(seconds=step.total_seconds())

    def settle(self) -> None:
        """Turn until the loop has taken all that was asked, and no training waits; then let the worker follow."""
        for _ in range(6):
            self.clock.advance(seconds=1.0)
            report = loop.turn(self.project.parts, self.runner)
            assert report.failed == {}
            self.server.slot.load_missing()
            with self.project.parts.store.read() as tx:
                waiting = jobs.list_(
                    tx, self.project.name, states=(jobs.JobState.QUEUED, jobs.JobState.RUNNING), limit=1
                )
            if not waiting:
                return
        raise errors.DrillMissed("the training does not end")


@pytest.fixture(scope="module")
def shelves(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the project with its first version; its clock stands where the drill begins."""
    folder = tmp_path_factory.mktemp("season") / "shelves"
    (folder / "data").mkdir(parents=True)
    season.make(folder)
    file = folder / "mainstay.toml"
    file.write_text(file.read_text() + "[stress]\nenabled = false\n")  # told, and no part of the story
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measured, "in_server", fared)
        patch.setattr(trial, "try_in_server", lambda *_, **__: fared().answers)
        stage = InProcess(season.DRILL, folder)
        assert stage.project.train(by="test").passed
        stage.project.parts.close()
        yield folder


def play(drill: Drill, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Report, InProcess]:
    """Play a drill in a project that has its first version; return what it showed."""
    stage = InProcess(drill, folder)
    stage.serve()

    @contextmanager
    def opened(*_: Any, **__: Any) -> Iterator[InProcess]:
        yield stage

    monkeypatch.setattr(stages, "opened", opened)
    return perform.run(drill, real=stage.clock, say=stage.say), stage


def test_a_season_that_changes_is_paged_learned_from_the_last_day_judged_and_rolled_out_by_itself(
    tmp_path: Path, shelves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, stage = play(season.story(), shutil.copytree(shelves, tmp_path / "shelves"), monkeypatch)
    told = "\n".join(stage.said)
    assert report.missed == [], told
    # Each thing in its order, and each once.
    at = {one.name: one.after_minutes or 0 for one in report.found}
    assert at["harm"] <= at["page"] <= at["training"] <= at["gate"] < at["canary"] < at["everybody"] <= at["recovery"]
    assert report.end["versions"] == {"shelves@1": "retired", "shelves@2": "probation"}, told
    pages = [one["harm"] for one in report.incidents if one["severity"] == "page"]
    assert "reward" in pages, told
    assert set(pages) <= {"reward", "quality"}, told  # labels tell the same soon afterwards
    view = stage.view()
    assert [job.kind for job in view.jobs] == ["train"]
    (new,) = [release for release in view.releases if release.version == 2]
    assert new.trigger.startswith("incident:")
    rows = view.learned(new)
    last_day = report.phases[1]["began"] - timedelta(days=1)
    lived = rows.filter(rows["_origin"] == "traffic")
    assert lived["_happened"].min() >= last_day
    assert len(lived) > 300
    # What people were shown: wanted by few before, by most afterwards.
    after = stage.phases[season.WINTER]
    assert min(len(keys) for keys in after.keys.values()) > 100
    stage.close()


def test_a_summer_that_goes_on_pages_nobody_and_trains_nothing(
    tmp_path: Path, shelves: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = season.story(changes=False)
    summer, on = story.phases
    # Three more hours: where there is a change, its page has come after two.
    short = replace(on, legs=(Leg(lasts=3 * HOUR, step=30 * MINUTE),), rate=lambda _: 600.0, over=None)
    calm = replace(story, phases=(summer, short), expectations=())
    report, stage = play(calm, shutil.copytree(shelves, tmp_path / "shelves"), monkeypatch)
    told = "\n".join(stage.said)
    assert report.end["versions"] == {"shelves@1": "certified"}, told
    assert [one for one in report.incidents if one["severity"] == "page"] == [], told
    assert stage.view().jobs == []
    assert report.phases[1]["accuracy"] > 0.8
    clicks = stage.notes["rewards_lately"]
    assert clicks[0] / clicks[1] > season.FLOOR
    stage.close()
