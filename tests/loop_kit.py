"""A tiny shop on disk with two trained versions, users who write to it, and turns that can be killed at any commit."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, event, select

from mainstay import candidate, errands, loop, wiring
from mainstay.core.errors import EnvironmentFault, MainstayError
from mainstay.core.events import Arm, Event, Feedback, Kind, PairedAnswer
from mainstay.core.ports import Clock
from mainstay.core.releases import Release
from mainstay.core.trials import Measured, Round
from mainstay.core.verdicts import Check, Verdict
from mainstay.journal.writer import SegmentWriter
from mainstay.models import answers
from mainstay.models.load import LoadedModel
from mainstay.parts import Parts
from mainstay.registry.mlflow_registry import RunFacts
from mainstay.serve import measured, trial
from mainstay.store import releases
from mainstay.store.engine import Store
from mainstay.store.jobs import Job
from mainstay.store.tables import METADATA
from mainstay.testing.clock import FakeClock

MODEL = "shop"
TOML = """
mainstay = 1
[project]
name = "shop"
task = "binary"
[data]
train = "train.csv"
test = "test.csv"
key = "buyer"
[fields.text]
type = "text"
[fields.buyer]
type = "identifier"
role = "ignored"
pii = "hash"
[target]
field = "kind"
classes = ["tool", "fruit"]
[train]
pipeline = "words"
calibrate = "none"
timeout_s = 600
[train.pipelines]
words = { build = "model:build", input = "text", params = { C = 1.0 } }
other = { build = "model:build", input = "text", params = { C = 2.0 } }
third = { build = "model:build", input = "text", params = { C = 3.0 } }
[gate]
floors = { accuracy = 0.6 }
not_worse_by = { accuracy = 0.1 }
max_p99_ms = 5000
[serve]
port = 0
[watch]
block_min_rows = 20
skew_rows = 0
[retrain]
on = ["rows:60"]
pipelines = ["third"]
min_labels = 40
cooldown_hours = 0
[rollout]
steps = [50, 100]
shadow_min_units = 20
step_min_units = 10
probation_hours = 1
guards = { error_rate = 0.3, abstain_rate = 0.5, latency_p99_ratio = 100.0 }
[loop]
interval_s = 0.05
[[alerts]]
to = "log://"
"""
CODE = """
import time
from pathlib import Path

from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


def build(params):
    if (Path(__file__).parent / "slow").exists():
        time.sleep(600)
    return make_pipeline(CountVectorizer(), LogisticRegression(C=params["C"]))
"""
WORDS = {"fruit": ("apple", "pear", "plum", "jam", "ripe"), "tool": ("nail", "saw", "hammer", "steel", "blade")}
SLANG = ("yo", "dis", "ting", "iz", "brokn", "wtf", "lol", "plz")
HEARTBEATS = frozenset({"heartbeats"})


def write_project(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "mainstay.toml").write_text(TOML)
    (folder / "model.py").write_text(CODE)
    for name, seed, rows in (("train", 1, 240), ("test", 2, 120)):
        luck = random.Random(seed)
        lines = ["text,buyer,kind"]
        for number in range(rows):
            kind = luck.choice(sorted(WORDS))
            lines.append(f"{sentence(luck, kind)} {name}{number},{name}-{number},{kind}")
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")


def sentence(luck: random.Random, kind: str, *, noise: float = 0.1) -> str:
    meant = kind if luck.random() > noise else luck.choice(sorted(WORDS))
    return " ".join(luck.choices(WORDS[meant], k=4))


class FakeRegistry:
    """Stands for MLflow: keeps versions and aliases in memory, and can be away."""

    def __init__(self) -> None:
        self.away = False
        self.versions: list[tuple[int, str]] = []
        self.runs = 0
        self.pointed: dict[str, str] = {}

    def _ask(self) -> None:
        if self.away:
            raise EnvironmentFault("MLflow is away")

    def record(self, experiment: str, facts: RunFacts) -> str:
        self._ask()
        self.runs += 1
        return f"run of {facts.name}"

    def register(self, model: str, run_id: str, *, version: int, digest: str) -> str:
        self._ask()
        if (version, digest) not in self.versions:
            self.versions.append((version, digest))
        return str(self.versions.index((version, digest)) + 1)

    def experiment_of(self, run_id: str) -> str:
        self._ask()
        return "7"

    def number_of(self, model: str, *, version: int, digest: str) -> str | None:
        self._ask()
        return str(self.versions.index((version, digest)) + 1) if (version, digest) in self.versions else None

    def digest_of(self, model: str, version: int) -> str | None:
        self._ask()
        return next((digest for number, digest in self.versions if number == version), None)

    def set_alias(self, model: str, alias: str, version: str) -> None:
        self._ask()
        self.pointed[alias] = version

    def drop_alias(self, model: str, alias: str) -> None:
        self._ask()
        self.pointed.pop(alias, None)

    def aliases(self, model: str) -> dict[str, str]:
        self._ask()
        return dict(self.pointed)


def passed(*_: Any, **__: Any) -> Check:
    """Stand for the real server, which answers as it must."""
    return Check(name="real_server", question=trial.QUESTION, verdict=Verdict.PASS, reason="20 rows answered equally")


def fared(*_: Any, **__: Any) -> Measured:
    """Stand for the measurement of a version in a server of its own: it answers, at once."""
    return Measured(answers=passed(), rounds=[Round(answered_ms=[1.0] * 150, empty_ms=[0.5] * 50)], memory_mb=1.0)


class Killed(BaseException):
    """The process is dead."""


@dataclass
class Death:
    """Whether it came, and whether the commit at which it came had anything to write."""

    came: bool = False
    wrote: bool = False


class InlineRunner:
    """Does a job at once where it stands; by default its work is done by saying so."""

    def __init__(self, work: Callable[[Job], str] = lambda job: f"did {job.dedupe}") -> None:
        self.work = work
        self.begun: list[Job] = []
        self._ended: tuple[Job, str, str] | None = None

    def start(self, job: Job) -> None:
        self.begun.append(job)
        try:
            self._ended = (job, self.work(job), "")
        except MainstayError as error:
            self._ended = (job, "", f"{type(error).__name__}: {error}")

    def running(self) -> int | None:
        return None if self._ended is None else self._ended[0].id

    def ended(self) -> tuple[Job, str, str] | None:
        return self._ended

    def forget(self) -> None:
        self._ended = None

    def stop(self) -> None:
        pass


@dataclass
class Shop:
    """The project in a folder, its clock, and whoever writes to it."""

    folder: Path
    clock: Clock
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    luck: random.Random = field(default_factory=lambda: random.Random(5))
    said: list[Event] = field(default_factory=list)
    """Predictions so far."""
    models: dict[str, LoadedModel] = field(default_factory=dict)
    """Loaded once for all processes, as the tests are about other things."""
    _open: list[Parts] = field(default_factory=list)

    def parts(self) -> Parts:
        """Return the parts as a new process has them."""
        parts = wiring.assemble(self.folder, environ={}, clock=self.clock)
        parts.registry, parts._models = self.registry, self.models  # type: ignore[assignment]
        if not self._open:
            # Nobody pulls the plug here: the disk need not be waited for.
            event.listen(parts.store.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous = OFF"))
        else:
            # One engine for all: it has no state but the statements that it compiled.
            parts.store.close()
            parts.store = self._open[0].store
        self._open.append(parts)
        return parts

    @property
    def state(self) -> Path:
        return self.folder / ".mainstay"

    def copy(self, folder: Path, *, clock: Clock | None = None) -> Shop:
        """Return the same shop in another folder."""
        shutil.copytree(self.folder, folder)
        registry = FakeRegistry()
        registry.versions, registry.pointed = list(self.registry.versions), dict(self.registry.pointed)
        return Shop(
            folder=folder, clock=clock or self.clock, registry=registry, said=list(self.said), models=self.models
        )

    def close(self) -> None:
        for parts in self._open:
            parts.close()

    # what comes in

    def write(self, make: Callable[[int], Sequence[Event]], worker: str = "w0") -> list[Event]:
        """Append events to the journal; `make` is told the next seq."""
        with SegmentWriter(self.state / "journal", worker, durability="os", segment_mb=1) as out:
            events = list(make(out.next_seq))
            out.commit(events)
        return events

    def customers(self, count: int, *, slang: float = 0.0, version: int = 1, **more: Any) -> list[Event]:
        """Let `count` users ask; return the records of what they were answered."""
        rows, kinds = [], []
        for number in range(len(self.said), len(self.said) + count):
            kind = self.luck.choice(sorted(WORDS))
            text = sentence(self.luck, kind)
            if self.luck.random() < slang:
                text = " ".join(self.luck.choices(SLANG, k=5))
            rows.append({"text": text, "buyer": f"b{number}"})
            kinds.append(kind)
        told = answers.answer(self._model(version), rows)
        first = len(self.said)

        def make(seq: int) -> list[Event]:
            return [
                self._event(seq + n, first + n, bundle=f"{MODEL}@{version}", inputs=row, answer=answer, **more)
                for n, (row, answer) in enumerate(zip(rows, told, strict=True))
            ]

        events = self.write(make)
        self.said += events
        return events

    def refuse(self, count: int) -> None:
        """Let users send what the contract forbids."""
        self.write(
            lambda seq: [self._event(seq + n, 0, kind=Kind.REFUSAL, id=f"r{seq + n}", status=422) for n in range(count)]
        )

    def compare(self, events: Sequence[Event], *, version: int) -> list[Event]:
        """Let another version score what was answered, as shadow scoring does."""
        told = answers.answer(self._model(version), [event.inputs for event in events])

        def make(seq: int) -> list[Event]:
            return [
                msgspec.structs.replace(
                    event,
                    seq=seq + n,
                    kind=Kind.SHADOW,
                    bundle=f"{MODEL}@{version}",
                    label=answer.label,
                    confidence=answer.confidence,
                    trust=answer.trust,
                    paired=PairedAnswer(
                        bundle=event.bundle,
                        served_arm=event.served_arm or Arm.CHAMPION,
                        label=event.label,
                        confidence=event.confidence,
                        trust=event.trust,
                        latency_us=event.latency_us,
                    ),
                )
                for n, (event, answer) in enumerate(zip(events, told, strict=True))
            ]

        return self.write(make)

    def label(self, ids: Sequence[str], *, value: str = "", tag: str = "f") -> None:
        """Tell the truth of predictions: what was answered, unless another `value` is given."""
        now = self.clock.now()
        answered = {event.id: event.label for event in self.said}

        def make(seq: int) -> list[Event]:
            return [
                self._event(
                    seq + n,
                    0,
                    kind=Kind.FEEDBACK,
                    id=id_,
                    feedback=Feedback(
                        id=id_,
                        feedback_id=f"{tag}-{id_}",
                        kind="label",
                        name="kind",
                        value=value or answered.get(id_, "fruit"),
                        at=now,
                        by="anna",
                    ),
                )
                for n, id_ in enumerate(ids)
            ]

        self.write(make)

    def _event(self, seq: int, number: int, *, answer: answers.Answer | None = None, **more: Any) -> Event:
        at = self.clock.now() + timedelta(milliseconds=seq)
        base: dict[str, Any] = {
            "model": MODEL,
            "worker": "w0",
            "seq": seq,
            "id": f"p{number}",
            "kind": Kind.PREDICTION,
            "occurred_at": at,
            "received_at": at,
            "key_hash": f"k{number:06d}",
            "unit": f"u{number}",
            "latency_us": 3000,
        }
        if answer is not None:
            base |= {"assigned_arm": Arm.CHAMPION, "served_arm": Arm.CHAMPION, "label": answer.label}
            base |= {"confidence": answer.confidence, "trust": answer.trust, "probabilities": answer.probabilities}
        return Event(**(base | more))

    def _model(self, version: int) -> Any:
        if not self._open:
            self.parts()
        found = self._open[0].open_version(f"{MODEL}@{version}")
        assert found is not None
        return found

    # what is done

    def turns(self, count: int = 2, *, runner: errands.Runner | None = None) -> list[loop.TurnReport]:
        """Turn in a new process; every step must have done its work."""
        parts = self.parts()
        runner = runner or InlineRunner()
        reports = [loop.turn(parts, runner) for _ in range(count)]
        assert [report.failed for report in reports] == [{}] * count
        return reports

    def killed_turns(self, count: int, *, at: int, keep: bool) -> Death | None:
        """Turn in a process that dies at its `at`-th commit; return None when it came to its end before."""
        parts = self.parts()
        runner = InlineRunner()
        with dying_at_commit(parts.store, at, keep=keep) as death:
            for _ in range(count):
                loop.turn(parts, runner)
        return death if death.came else None

    def saved(self) -> bytes:
        """Return the store as it lies on disk."""
        return (self.state / "store.db").read_bytes()

    def restore(self, saved: bytes) -> None:
        """Put a store back; MLflow's aliases are told anew."""
        (self.state / "store.db").write_bytes(saved)

    def dump(self, *, without: Collection[str] = ()) -> dict[str, list[Any]]:
        parts = self.parts()
        with parts.store.read() as tx:
            return dump(tx, without=without)

    def releases(self) -> dict[int, Release]:
        parts = self.parts()
        with parts.store.read() as tx:
            return {release.version: release for release in releases.all_of(tx, MODEL)}

    def stages(self) -> dict[int, str]:
        return {version: release.stage.value for version, release in sorted(self.releases().items())}


def dump(tx: Connection, *, without: Collection[str] = ()) -> dict[str, list[Any]]:
    """Return every row of every table but heartbeats; `without` names tables and columns (`table.column`)."""
    out: dict[str, list[Any]] = {}
    for table in METADATA.sorted_tables:
        if table.name in HEARTBEATS or table.name in without:
            continue
        columns = [column for column in table.columns if f"{table.name}.{column.name}" not in without]
        order = list(table.primary_key.columns)
        out[table.name] = [dict(row._mapping) for row in tx.execute(select(*columns).order_by(*order))]
    # When the loop last looked how large the journal is, and at the clock: signs of life too.
    signs = ("journal:", "look:")
    out["states"] = [row for row in out.get("states", []) if not str(row.get("name", "")).startswith(signs)]
    for row in out["states"]:
        if str(row.get("name", "")).startswith("rollout:") and isinstance(row.get("value"), dict):
            row["value"] = {key: value for key, value in row["value"].items() if key != "at"}
    return out


@contextmanager
def dying_at_commit(store: Store, at: int, *, keep: bool) -> Iterator[Death]:
    """Let the process die at the `at`-th commit of its store, just after it (`keep`) or just before."""
    inner, count, death = store.begin, 0, Death()

    @contextmanager
    def begin() -> Iterator[Connection]:
        nonlocal count
        count += 1
        if count > at:
            raise Killed
        with inner() as tx:
            yield tx
            if count == at:
                death.came = True
                death.wrote = tx.exec_driver_sql("SELECT total_changes()").scalar_one() > 0
                if not keep:
                    raise Killed
        if count == at:
            raise Killed

    store.begin = begin  # type: ignore[method-assign]
    try:
        with suppress(Killed):
            yield death
    finally:
        del store.begin


def make_shop(folder: Path) -> Shop:
    """Return a shop whose version 1 answers; version 2 has passed its gate and waits for its rollout."""
    write_project(folder)
    shop = Shop(folder=folder, clock=FakeClock())
    parts = shop.parts()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measured, "in_server", fared)
        for pipeline in ("words", "other"):
            candidate.deliver_candidate(parts, pipeline=pipeline)
    assert shop.stages() == {1: "certified", 2: "gated"}
    return shop
