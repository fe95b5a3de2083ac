"""A made-up room: a model whose pages show the statuses of `status_examples`, and that writes down what is done."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import status_examples as examples
from mainstay.core.contracts import Contract, Field, FieldType, Task
from mainstay.core.events import Arm as EventArm
from mainstay.core.events import Caveat, Event, Feedback, Kind
from mainstay.core.incidents import Finding, Harm, State
from mainstay.core.releases import Release, Stage
from mainstay.core.verdicts import Check
from mainstay.modelcard.records import ModelCard, Part
from mainstay.modelcard.records import Table as CardTable
from mainstay.models.compared import Difference
from mainstay.models.explained.records import Explanation
from mainstay.models.explained.records import Part as WhyPart
from mainstay.oncall.gauges import Gauge
from mainstay.oncall.incidents import Listed, Precision, Shown
from mainstay.project import Setting
from mainstay.release.trail import Point
from mainstay.replay import Feature, Fed, Replayed
from mainstay.review.estimates import Estimate as Labelled
from mainstay.review.queue import Open, Queue
from mainstay.scorecard.records import Practice, Scorecard, Scored, Section
from mainstay.serve.keys import Key
from mainstay.stats.offpolicy import Weighted
from mainstay.status.records import Status
from mainstay.store.audit import Entry
from mainstay.store.incidents import IncidentEvent
from mainstay.store.jobs import Job, JobState
from mainstay.store.marks import Mark
from mainstay.store.pairs import Pair
from mainstay.store.pulled import Letter
from mainstay.store.pulled import State as PullState
from mainstay.store.release_events import ReleaseEvent
from mainstay.store.reviews import MarkKind
from mainstay.viewing.axis import Axis, Heat
from mainstay.viewing.axis import Mark as TimeMark
from mainstay.viewing.datasets import Data, Held, Source
from mainstay.viewing.deliveries import Asked as Question
from mainstay.viewing.deliveries import Delivered
from mainstay.viewing.load import Load
from mainstay.viewing.plots import Line, Plot
from mainstay.viewing.predictions import Asked, Found, One, Row
from mainstay.viewing.rollout import Arm, Need, Way
from mainstay.viewing.spans import divide
from mainstay.viewing.versions import Compared, Version
from mainstay.watch.quality_records import Line as Quality
from mainstay.watch.quality_records import QualityReport, Value, Window
from mainstay.web.drilling import Drill, Played

NOW = examples.NOW


@dataclass(slots=True, kw_only=True)
class FakeRoom:
    """A room of records; `text` stands in every free text."""

    read: Callable[[], Status] = examples.unwell
    text: str = ""
    name: str = "pump-check"
    beat: str = "1"
    looks: int = 0
    """How often the feed asked for the pulse."""
    done: list[tuple[Any, ...]] = field(default_factory=list)

    def now(self) -> datetime:
        return NOW

    def pulse(self) -> str:
        self.looks += 1
        return self.beat

    def wait_for_the_feed(self) -> None:
        """Wait until the feed has looked: what changes from now on is told."""
        until = time.monotonic() + 120
        while not self.looks:
            assert time.monotonic() < until, "no page listens"
            time.sleep(0.02)

    def status(self) -> Status:
        return replace(self.read(), model=self.name)

    def told(self) -> tuple[Status, Load]:
        status = self.status()
        lively = Load(rows=12_345, calls=900, bad=9, p50_s=0.0025, p99_s=0.025)
        return status, lively if status.answering is not None else Load()

    def gauges(self) -> Sequence[Gauge]:
        return []

    def axis(self, begin: datetime | None, end: datetime | None) -> Axis:
        return axis(self.name, begin or NOW - timedelta(days=7), end or NOW, self.text)

    def incidents(self, *, all_: bool) -> Sequence[Listed]:
        found = examples.unwell(self.text)
        both = (*found.incidents, *(replace(i, state=State.RESOLVED) for i in found.recent_incidents if all_))
        return [
            Listed(
                incident=incident,
                monitor="message.unseen",
                mark=mark(incident.id, self.text) if incident.id == 17 else None,
                silenced_until=NOW if incident.id == 15 else None,
            )
            for incident in both
        ]

    def precision(self) -> Sequence[Precision]:
        return [
            Precision(monitor="message.unseen", incidents=3, marked=2, useful=1, value=0.5, low=0.09, high=0.91),
            Precision(monitor="all", incidents=3, marked=0, useful=0, value=None, low=0.0, high=1.0),
        ]

    def incident(self, number: int) -> Shown:
        return shown(self.text)

    def move_incident(self, number: int, to: State, *, by: str, note: str) -> object:
        return self.done.append(("move", number, to, by, note))

    def note_incident(self, number: int, *, by: str, note: str) -> None:
        self.done.append(("note", number, by, note))

    def mark_incident(self, number: int, *, useful: bool, by: str, note: str) -> object:
        return self.done.append(("mark", number, useful, by, note))

    def rollout(self, checks: Sequence[Check], champion: str) -> Way:
        return way(self.text, champion)

    def history(self) -> Sequence[ReleaseEvent]:
        return events(self.text)

    def version(self, number: int) -> Version:
        return Version(release=made(number, self.text), events=events(self.text), parent=made(max(1, number - 1)))

    def compared(self, one: int, other: int) -> Compared:
        return Compared(one=made(one, self.text), other=made(other, self.text, accuracy=0.91))

    def scorecard(self) -> Scorecard:
        return scorecard(self.text)

    def card(self, number: int) -> ModelCard:
        table = CardTable(head=["Field", "Rows"], rows=[[f"medium{self.text}", "400"]], caption="Fields")
        parts = [
            Part(
                title=f"Use{self.text}",
                says=[f"For pumps{self.text}"],
                lists=[f"not for valves{self.text}"],
                tables=[table],
            )
        ]
        return ModelCard(name=f"pump-check@{number}", summary=f"A classifier{self.text}", parts=parts)

    def mlflow(self) -> str:
        return "https://mlflow.example"

    def evidence(self) -> str:
        return f"0123abcd{self.text}"

    def hold(self, *, reason: str, by: str) -> object:
        return self.done.append(("hold", reason, by))

    def resume(self, *, reason: str, by: str, evidence: str) -> object:
        return self.done.append(("resume", reason, by, evidence))

    def promote(self, version: int, *, reason: str, by: str, evidence: str) -> object:
        return self.done.append(("promote", version, reason, by))

    def abort(self, *, reason: str, by: str) -> object:
        return self.done.append(("abort", reason, by))

    def rollback(self, *, reason: str, by: str, to: int | None = None) -> object:
        return self.done.append(("rollback", to, reason, by))

    def search(self, asked: Asked) -> Found:
        row = Row(
            id=f"r-1{self.text}",
            kind="prediction",
            at=NOW,
            bundle="pump-check@3",
            arm="champion",
            label=f'"fine{self.text}"',
            confidence=0.9,
            trust="ok",
            status=200,
            reason="",
            inputs=f'{{"medium": "brine{self.text}"}}',
        )
        refused = replace(row, kind="refusal", label="", confidence=None, trust="", reason=f"no medium{self.text}")
        return Found(asked=asked, cut=True, rows=(row, refused), more=False)

    def prediction(self, id_: str) -> One:
        return prediction(self.text)

    def features(self, id_: str) -> Fed:
        return fed(self.text)

    def explain(self, id_: str) -> Explanation:
        return explanation(self.text)

    def replay(self, id_: str) -> Replayed:
        return replayed(self.text)

    def review(self, *, by: str, first: str) -> Queue:
        ids = [id_ for id_ in (f"r-1{self.text}", "r-2", "r-3") if ("label", id_) not in {d[:2] for d in self.done}]
        ids.sort(key=lambda id_: (id_ != first, ("review_mark", id_) in {d[:2] for d in self.done}))
        return Queue(open=tuple(waiting(id_, self.text) for id_ in ids[:1]), waiting=len(ids), skipped=1)

    def review_estimate(self) -> Labelled:
        return labelled(self.text)

    def review_draw(self, count: int, *, by: str) -> object:
        return self.done.append(("review_draw", count, by))

    def review_mark(self, id_: str, kind: MarkKind, *, by: str) -> None:
        self.done.append(("review_mark", id_, kind, by))

    def review_undo(self, id_: str, *, by: str) -> object:
        self.done = [one for one in self.done if one[1] != id_]
        return self.done.append(("review_undo", id_, by))

    def label(self, id_: str, label: str, *, by: str) -> None:
        self.done.append(("label", id_, label, by))

    def contract(self) -> Contract:
        return CONTRACT

    def data(self) -> Data:
        job = Job(
            id=1,
            model=self.name,
            kind="retrain",
            dedupe=f"incident:17{self.text}",
            state=JobState.FAILED,
            due_at=NOW,
            attempts=3,
            created_at=NOW,
            updated_at=NOW,
            error=f"no rows{self.text}",
        )
        held = Held(id="ab" * 32, rows=900, at=NOW, lineage={"file": f"train.csv{self.text}"}, versions=(1, 2))
        letter = Letter(
            n=7, source=f"crm{self.text}", raw=f'{{"medium": 3{self.text}}}', reason=f"no medium{self.text}", at=NOW,
            state="open",
        )  # fmt: skip
        state = PullState(mark="2026-03-08", failed=f"no answer{self.text}", at=NOW)
        return Data(
            snapshots=(held,),
            damaged=(f"cd is damaged{self.text}",),
            waiting=(label(self.text),),
            deliveries=(delivered(self.text),),
            sources=(
                Source(name=f"crm{self.text}", state=state, letters=12, declared=True),
                Source(name="old", state=PullState(held="30 of 40 cannot be used", at=NOW), letters=0, declared=False),
                Source(name="new", state=PullState(), letters=0, declared=True),
            ),
            letters=(letter,),
            jobs=(job,),
        )

    def delivery(self, id_: str) -> Delivered:
        return delivered(self.text)

    def replay_letters(self, source: str, *, by: str) -> object:
        return self.done.append(("replay_letters", source, by))

    def quality(self, since: datetime) -> QualityReport:
        return quality(self.text)

    @property
    def file(self) -> str:
        return f"/p/mainstay.toml{self.text}"

    def config(self) -> Sequence[Setting]:
        secret = {"to": f"slack://hook.example/T00/SECRET{self.text}"}
        return [
            Setting(key="web.port", value=8081, origin="default"),
            Setting(key="alerts", value=[secret], origin="mainstay.toml"),
            Setting(key="project.name", value=f"pump{self.text}", origin="mainstay.toml"),
        ]

    def keys(self) -> Sequence[Key]:
        return [
            Key(name="shop", hash="0" * 64, scopes=["predict"], rate=5.0, created_at=NOW, expires_at=NOW),
            Key(name="old", hash="1" * 64, scopes=["read"], created_at=NOW, revoked_at=NOW),
        ]

    def audit(self) -> tuple[Sequence[Entry], Sequence[str]]:
        entry = Entry(
            n=1,
            at=NOW,
            who=f"ada{self.text}",
            what="promote",
            subject="pump-check@3",
            detail={"why": self.text},
        )
        return [entry], ["audit entry 1 was changed after it was written"] if self.text else []

    def drills(self) -> tuple[Sequence[Drill], Sequence[Played]]:
        drill = Drill(
            name="all-zeros", title=f"Zeros{self.text}", question="Seen?", expectations=(f"a page{self.text} (by 1 h)",)
        )
        line = {"kind": "detect", "text": f"a page{self.text}", "deadline": "1 h", "seen": "none", "held": False}
        ended = Played(name="all-zeros", is_running=False, lines=(f"began{self.text}",), report={"found": [line]})
        return [drill], [replace(ended, is_running=bool(self.text))]

    def start_drill(self, name: str, *, by: str) -> None:
        self.done.append(("drill", name, by))


CONTRACT = Contract(
    task=Task.BINARY,
    target="state",
    classes=("fine", "worn"),
    fields=(
        Field(name="medium", type=FieldType.CATEGORY, values=("oil", "water")),
        Field(name="hours_since_service", type=FieldType.NUMBER, min=0.0, max=2000.0, required=False),
    ),
)


def waiting(id_: str, text: str = "") -> Open:
    return Open(
        id=id_,
        reason="disagreement",
        chance=0.2,
        answered=f"fine{text}",
        confidence=0.9,
        occurred_at=NOW,
        inputs={"medium": f"brine{text}", "hours_since_service": 3.5},
        said=(("ada", f"worn{text}"), ("ben", "fine")),
        unsure=(f"cleo{text}",),
    )


def labelled(text: str = "") -> Labelled:
    return Labelled(
        version="",
        picked=50,
        labelled=12,
        weighted=Weighted(value=0.9, low=0.8, high=1.02, rows=12, keys=12, effective=9.0, clipped=0),
        plain=0.75,
        assisted=(0.92, 0.86, 0.97),
        disagreed=1,
        unsure=2,
        between=(0.6, 0.98),
        selective=f"Labels may exist only for what the model chose: nobody labelled an answer worn{text}.",
    )


def label(text: str = "") -> Feedback:
    return Feedback(
        id=f"r-9{text}", feedback_id="f", kind="label", name="state", value=f"worn{text}", at=NOW, by=f"ada{text}"
    )


def prediction(text: str = "") -> One:
    event = Event(
        model="pump-check",
        worker="w0",
        seq=7,
        id=f"r-1{text}",
        kind=Kind.PREDICTION,
        occurred_at=NOW,
        received_at=NOW,
        bundle="pump-check@3",
        served_arm=EventArm.CHAMPION,
        inputs={"medium": f"brine{text}", "hours_since_service": 3.5},
        label=f"fine{text}",
        probabilities={f"fine{text}": 0.9, "worn": 0.1},
        confidence=0.9,
        warnings=[Caveat(code="unseen_words", field="message", text=f"brine is new{text}")],
        latency_us=1800,
        trace_id="ab",
    )
    return One(event=event, shadow=event, feedback=(label(text),))


def fed(text: str = "") -> Fed:
    return Fed(
        bundle="pump-check@3",
        code=False,
        features=(
            Feature(name="medium", value=f"brine{text}", made_of="medium", note="sent as 'Brine'"),
            Feature(name="hours_since_service", value=None, made_of="hours_since_service", note="missing"),
        ),
        withheld=("owner",),
        missing={f"serial{text}": "only its hash was kept"},
    )


def explanation(text: str = "") -> Explanation:
    parts = [
        WhyPart(field="medium", value=f"brine{text}", contribution=1.2, standard_error=0.1),
        WhyPart(field="message", word=f"leak{text}", contribution=-0.4),
    ]
    return Explanation(
        method="tree_shap",
        exact=True,
        label=f"fine{text}",
        unit="log-odds",
        base_value=0.1,
        compared_with="the average",
        value=1.3,
        fields=parts[:1],
        others=0.2,
        words=parts[1:],
        other_words=0.0,
        absent_words=0.1,
        note=f"a note{text}",
        took_ms=1.0,
    )


def replayed(text: str = "") -> Replayed:
    return Replayed(
        id=f"r-1{text}",
        bundle="pump-check@3",
        digest="0" * 64,
        runtime="compiled",
        batch=1,
        same=False,
        equal_bytes=False,
        largest=0.1,
        differences=(Difference(what="label", then=f"fine{text}", now="worn"),),
        missing={},
        environment=(),
        original=None,
    )


def made(number: int, text: str = "", *, accuracy: float = 0.9375) -> Release:
    """Return a version with everything recorded."""
    checks = [
        {
            "name": "accuracy",
            "question": f"Is it good?{text}",
            "verdict": "pass",
            "reason": f"0.94{text}",
            "numbers": {},
        },
        {"name": "latency", "question": "Is it fast?", "verdict": "not_enough", "reason": "few", "applies": False},
    ]
    return Release(
        model="pump-check",
        version=number,
        digest=f"{number:064x}",
        stage=Stage.RETIRED if number != 4 else Stage.CANARY,
        since=NOW,
        created_at=NOW - timedelta(days=3),
        pipeline=f"forest{text}",
        snapshot="ab" * 32,
        reason=f"pump-check took over{text}",
        trigger=f"incident:17{text}",
        facts={
            "metrics": {"accuracy": {"value": accuracy, "low": accuracy - 0.03, "high": accuracy + 0.02}},
            "evaluation": {"slices": {f"medium=oil{text}": {"rows": 120, "accuracy": {"value": 0.95}}}},
            "gate": {"verdict": "pass", "checks": checks},
            "runtime": {"runtime": "compiled", "why": f"a forest{text}"},
            "mlflow": {"run": "f00d", "experiment": "3", "version": "2"},
            "choice": f"forest was best{text}",
        },
    )


def events(text: str = "") -> tuple[ReleaseEvent, ...]:
    return tuple(
        ReleaseEvent(
            model="pump-check",
            seq=seq,
            version=4,
            at=NOW - timedelta(minutes=30 - seq),
            from_stage=before,
            to_stage=to,
            step=0,
            by=f"loop{text}",
            reason=f"guards pass{text}",
            previous_hash="",
        )
        for seq, before, to in ((9, "shadow", "canary"), (8, "", "registered"))
    )


def way(text: str = "", champion: str = "pump-check@3") -> Way:
    arms = [
        Arm(
            name=name,
            answered=300,
            failed=1,
            doubted=9,
            confidence=0.91,
            p50_us=1800.0,
            p99_us=9000.0,
            labelled=labelled,
            right=right,
        )
        for name, labelled, right in (("champion", 90, 80), ("challenger", 0, 0))
    ]
    pair = Pair(
        model="pump-check",
        version=4,
        unit="u",
        id=f"r-1{text}",
        key_hash="k",
        arm=EventArm.CHAMPION,
        occurred_at=NOW,
        champion_label=f"fine{text}",
        challenger_label="worn",
        challenger_failed=True,
        label=f"worn{text}",
    )
    return Way(
        release=made(4, text),
        champion=champion,
        plan="canary",
        steps=(0.05, 0.25, 1.0),
        pairs=412,
        compared=412,
        per_hour=130.0,
        champion_arm=arms[0],
        challenger_arm=arms[1],
        different=(pair,),
        needs=(Need(guard="accuracy", units=900, due=timedelta(hours=7)),),
        trail=trail(text),
        events=events(text),
    )


def trail(text: str = "") -> tuple[Point, ...]:
    """Return how the evidence of two guards narrowed over a day."""
    found = []
    for i in range(1, 49):
        half = 0.6 / math.sqrt(10 * i)
        accuracy = (-0.01 - half, -0.01, -0.01 + half, -0.02, 10.0 * i)
        errors = (0.0, 0.002, min(1.0, 5.0 / (10 * i)), 0.01, 10.0 * i)
        times = (1.0, 2.0, None if i < 9 else 2.0 + 9.0 / i, 4.5, 10.0 * i)
        lines = {"accuracy": accuracy, "error_rate": errors, f"latency p99{text}": times}
        found.append(Point(at=NOW - timedelta(minutes=30 * (48 - i)), step=i // 25, lines=lines))
    return tuple(found)


def delivered(text: str = "") -> Delivered:
    return Delivered(
        id="ab" * 8,
        at=NOW,
        rows={"train": 900, "test": 200, "broken": 3},
        snapshots={"train": "ab" * 32},
        checks=(
            Question(name="missing", question="Is it whole?", verdict="fail", reason=f"medium is missing in 4 %{text}"),
            Question(name="leaks", question="Does a field tell the truth?", verdict="pass", reason="none does"),
            Question(name="drift", question="Is it as before?", verdict="not_enough", reason="first", applies=False),
        ),
        page=f".mainstay/deliveries/{text}abab/report.html",
    )


def quality(text: str = "") -> QualityReport:
    line = Quality(
        metric="accuracy", estimated=Value(value=0.93, low=0.9, high=0.96), few_labels=None,
        measured=Value(value=0.91, low=None, high=None),
    )  # fmt: skip
    window = Window(
        name=f"2026-03-08{text}",
        begin=NOW,
        rows=900,
        labels=40,
        lines=(line,),
        overlap=0.9,
        warnings=(f"inputs are unlike{text}",),
    )
    return QualityReport(
        model="pump-check",
        version="pump-check@3",
        every="day",
        since=None,
        complete=False,
        metrics=("accuracy",),
        held_out={"accuracy": 0.94},
        windows=(window,),
        segments=(replace(window, name=f"medium=oil{text}"),),
        whole=replace(window, name="all"),
        assumption="A score means what it meant.",
        unknown=f"Label 200{text}.",
        labels_needed=200,
    )


def mark(number: int, text: str = "") -> Mark:
    return Mark(
        incident=number, model="pump-check", monitor="message.unseen", useful=True, by=f"ada{text}", note="", at=NOW
    )


def axis(model: str, begin: datetime, end: datetime, text: str = "") -> Axis:
    """Return a week in which accuracy falls at its end."""
    span = divide(begin, end, most=120)
    n = span.parts
    wave = [0.93 - (0.14 if i > 0.8 * n else 0.0) + 0.01 * math.sin(i / 3) for i in range(n)]
    known = tuple(None if i % 17 == 0 else round(v, 4) for i, v in enumerate(wave))
    lines = (
        Line(
            name="estimated",
            values=known,
            low=tuple(None if v is None else round(v - 0.03, 4) for v in known),
            high=tuple(None if v is None else round(v + 0.03, 4) for v in known),
        ),
        Line(name="on labels", values=tuple(v if i % 5 == 0 else None for i, v in enumerate(known))),
    )
    shares = tuple(0.3 + 0.1 * math.sin(i / 5) for i in range(n))
    return Axis(
        model=model,
        span=span,
        plots=(
            Plot(id="quality", title="Accuracy", unit="share", kind="lines", lines=lines, note="Estimated and known."),
            Plot(
                id="answers",
                title="Answers",
                unit="share",
                kind="stack",
                lines=(
                    Line(name=f"pump{text}", values=shares),
                    Line(name="valve", values=tuple(1 - v for v in shares)),
                ),
            ),
            Plot(
                id="traffic",
                title="Answers seen by the watch",
                unit="count",
                kind="bars",
                lines=(Line(name="pump-check@3", values=tuple(float(40 + i % 24) for i in range(n))),),
            ),
            Plot(
                id="latency",
                title="Latency",
                unit="seconds",
                kind="lines",
                lines=(Line(name="p99", values=tuple(0.01 + 0.002 * (i % 7) for i in range(n))),),
            ),
        ),
        heat=Heat(
            names=(f"hours_since_service{text}", "medium.missing", "message.unseen"),
            rows=tuple(
                tuple(round((1.8 if i > 0.8 * n and k else 0.2) * math.sin(i / 9 + k), 2) for i in range(n))
                for k in range(3)
            ),
        ),
        marks=(
            TimeMark(
                kind="release", at=NOW - timedelta(days=3), until=None, text=f"canary{text}", tone="good", number=3
            ),
            TimeMark(
                kind="incident", at=NOW - timedelta(hours=5), until=None, text=f"worse{text}", tone="bad", number=17
            ),
            TimeMark(
                kind="incident",
                at=NOW - timedelta(days=2),
                until=NOW - timedelta(days=1),
                text="missing",
                tone="open",
                number=12,
            ),
        ),
        rows=9000,
        blocks=300,
        read=150,
    )


def shown(text: str = "") -> Shown:
    """Return an incident where every part of its page has something to say."""
    incident = examples.unwell(text).incidents[0]
    facts = dict(incident.facts) | {
        "rows": 212,
        "reference": {"source": "test", "rows": 400, "keys": 400},
        "words": {"message": [{"word": f"brine{text}", "now": 60, "before": 4, "z": 7.1}]},
        "segments": [
            {
                "segment": f"medium=brine{text}",
                "share": 0.34,
                "estimated_accuracy": 0.61,
                "low": 0.55,
                "high": 0.67,
                "reference_accuracy": 0.94,
                "drop": 0.33,
                "units": 72,
                "shown": True,
            }
        ],
        "fields": [
            {"field": "medium", "signal": "medium", "nats": 31.2, "points": 0.12, "error": 0.02, "sure": True},
            {"field": "message", "signal": "message.unseen", "nats": 4.0, "points": None, "error": None, "sure": False},
        ],
        "worst_slice": {"conditions": [f"hours_since_service > 900{text}"], "mean": 0.5, "rest": 0.9, "rows": 31},
        "distances": [{"signal": "medium", "rows": 212, "psi": 0.41, "ks": None}],
        "shapes": [
            {
                "signal": "medium",
                "segment": "",
                "rows": 212,
                "values": [f"brine{text}", "oil", "water"],
                "before": [40, 180, 170, 10],
                "now": [72, 70, 66, 4],
            },
            {
                "signal": "hours_since_service",
                "segment": f"medium=brine{text}",
                "rows": 72,
                "edges": [60.0, 90.0, 120.0, 150.0, 180.0, 412.5],
                "before": [4, 9, 14, 9, 3, 1, 0],
                "now": [11, 25, 20, 9, 3, 1, 3],
                "above_all": True,
            },
            {
                "signal": "answer.confidence",
                "segment": "",
                "rows": 212,
                "edges": [0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95],
                "before": [4, 6, 8, 10, 16, 26, 40, 70, 100, 120],
                "now": [20, 22, 24, 22, 20, 18, 20, 22, 24, 20],
            },
        ],
        "examples": [
            {"id": f"r-1{text}", "at": NOW.isoformat(), "score": 4.0, "shows": [f"medium 'brine'{text}"]},
            {"id": "r-2", "at": NOW.isoformat(), "score": 3.0, "shows": []},
        ],
        "changes": [{"kind": "release", "text": f"pump-check@3 went live{text}", "at": None, "before_s": None}],
    }
    findings = (
        Finding(
            signal="medium",
            segment="",
            harm=Harm.QUALITY,
            since=incident.started_at,
            before=0.1,
            now=0.34,
            shift=0.24,
            evidence=1e9,
            text=f"medium = brine is 34 % of the requests, 10 % before{text}",
        ),
        Finding(
            signal="hours_since_service",
            segment="medium=brine",
            harm=Harm.INPUT,
            since=incident.started_at,
            before=120.0,
            now=96.0,
            shift=0.4,
            evidence=9.0,
            text="hours_since_service fell by 0.4 standard deviations",
        ),
    )
    changes = (
        IncidentEvent(
            incident=17, at=incident.opened_at, from_state="", to_state="open", by="watch", note=incident.title
        ),
        IncidentEvent(incident=17, at=NOW, from_state="open", to_state="open", by="ada", note=f"looked at it{text}"),
    )
    return Shown(
        incident=replace(incident, facts=facts, findings=findings),
        monitor="medium",
        changes=changes,
        mark=mark(17, text),
        silences=(),
        inputs={f"r-1{text}": {"medium": f"brine{text}", "hours_since_service": 3.5}},
    )


def scorecard(text: str = "") -> Scorecard:
    """Return a card of two tests and two practices."""
    tests = (
        Scored(
            section=Section.DATA, number=1, test="A schema", score=1.0, evidence=f"all 9{text}", link="docs/gate.md"
        ),
        Scored(
            section=Section.MODEL,
            number=5,
            test="A simpler model",
            score=0.5,
            evidence=f"not shown{text}",
            link="docs/gate.md",
            expires=NOW + timedelta(days=60),
        ),
    )
    practices = (
        Practice(what="rollback", yes=True, evidence=f"to pump-check@1{text}"),
        Practice(what="bias audits", yes=False, evidence=f"no group{text}"),
    )
    return Scorecard(model="pump-check", version="pump-check@2", at=NOW, tests=tests, practices=practices)
