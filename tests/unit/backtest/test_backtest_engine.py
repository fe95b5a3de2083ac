"""A history tells what the live watch told, and nothing of what came later; alerts are held against known events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from mainstay.backtest import engine, history, truth
from mainstay.backtest.engine import Feed, Played
from mainstay.backtest.entry import of_file
from mainstay.backtest.history import Roles
from mainstay.backtest.records import Known, Moment, Pace, Told, Verdict, What
from mainstay.config.settings import Settings
from mainstay.core.events import Event
from mainstay.core.incidents import Harm, Severity
from mainstay.store import incidents, states
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from mainstay.watch.turn import watch_turn

START = datetime(2025, 3, 3, tzinfo=UTC)
LIVE = Pace(every=None)


def frame(count: int = 1_500, *, shift_at: int | None = 1_000, seed: int = 4, seconds: float = 10.0) -> pl.DataFrame:
    """Three numbers, one of which moves by a σ at a row; a model that becomes unsure then; every fifth row labelled."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (count, 3))
    sure = rng.uniform(0.7, 0.99, count)
    if shift_at is not None:
        x[shift_at:, 0] += 1.0
        sure[shift_at:] -= 0.2
    right = rng.random(count) < sure
    said = rng.choice(["a", "b"], count)
    true = np.where(right, said, np.where(said == "a", "b", "a")).tolist()
    return pl.DataFrame(
        {
            "at": [START + timedelta(seconds=seconds) * n for n in range(count)],
            **{f"x{i}": x[:, i] for i in range(3)},
            "said": said,
            "sure": sure,
            "true": [one if n % 5 == 0 or n < count // 3 else None for n, one in enumerate(true)],
        }
    )


ROLES = Roles(time="at", prediction="said", probability="sure", label="true")


def read(rows: pl.DataFrame, **more: Any) -> history.History:
    return history.read(rows, ROLES, reference="33%", label_after=timedelta(minutes=20), **more)


def feed_of(found: history.History, settings: Settings | None = None) -> Feed:
    return Feed(
        model=history.MODEL,
        events=found.events(),
        labels=found.labels(),
        open_version=lambda _name: found.reference,
        settings=settings or Settings(),
        rows=found.rows,
    )


def live(found: history.History, *, every: timedelta) -> tuple[list[tuple[str, datetime]], dict[str, Any]]:
    """Do by hand what the loop does: turn after turn over what has come, on a store and a clock of its own."""
    clock = FakeClock(found.times[0])
    store = Store.open("sqlite://", clock=clock)
    events, labels = list(found.events()), list(found.labels())
    told: list[tuple[str, datetime]] = []
    from mainstay.store import feedback

    moment = found.times[0]
    while events:
        clock.jump(moment)
        arrived = [event for event in events if event.received_at <= moment]
        stated = [label for label in labels if label.at <= moment]
        events, labels = events[len(arrived) :], labels[len(stated) :]
        with store.begin() as tx:
            for label in stated:
                feedback.grade(tx, label)
            done = watch_turn(
                tx,
                model=history.MODEL,
                journal_events=arrived,
                loaded_model_provider=lambda _name: found.reference,
                settings=Settings(),
                clock=clock,
            )
        told += [(one.title, one.opened_at) for one in done.opened]
        moment += every
    with store.read() as tx:
        state = states.get(tx, f"watch:{history.MODEL}:{history.BUNDLE}")
        assert len(incidents.list_(tx, history.MODEL)) == len(told)
    store.close()
    assert state is not None
    return told, state[0]


@pytest.mark.parametrize(
    ("rows", "every"),
    [
        (frame(), timedelta(seconds=10)),  # blocks of 32 rows
        (frame(900, shift_at=600, seconds=75.0), timedelta(seconds=75)),  # blocks of ten minutes
    ],
)
def test_a_replay_tells_what_turn_after_turn_tells_at_the_same_moments(rows: pl.DataFrame, every: timedelta) -> None:
    found = read(rows)
    replayed = engine.play(feed_of(found), LIVE)
    told, state = live(found, every=every)
    assert [(one.title, one.opened_at) for one in replayed.told] == told
    assert told, "the change must be told for this to show anything"
    assert 0 <= replayed.blocks - state["number"] <= 1  # the last one waits for its ten minutes


def test_what_is_told_up_to_a_moment_does_not_depend_on_what_comes_later() -> None:
    rows = frame()
    whole = engine.play(feed_of(read(rows)), LIVE)
    shorter = read(rows, until=rows["at"][1_300])
    # The same reference, and no more than what had come.
    part = engine.play(feed_of(shorter), LIVE)
    cut = shorter.times[-1]
    assert [one.title for one in part.told if one.opened_at <= cut] == [
        one.title for one in whole.told if one.opened_at <= cut
    ]
    first = {point.at: point.log_evidence for point in whole.points}
    same = [point for point in part.points[:-1] if point.at in first]
    assert len(same) > 15
    assert all(point.log_evidence == first[point.at] for point in same)


def test_the_same_history_gives_the_same_answer_and_a_quiet_one_gives_none() -> None:
    rows = frame(shift_at=None)
    once, again = (engine.play(feed_of(read(rows)), LIVE) for _ in range(2))
    assert once.told == again.told == []
    assert once.points == again.points
    assert 200 <= once.labels <= 210


def test_fewer_looks_see_the_same_change_a_little_later() -> None:
    found = read(frame())
    exact = engine.play(feed_of(found), LIVE).told[0]
    coarse = engine.play(feed_of(found), Pace(every=timedelta(minutes=20))).told[0]
    assert coarse.harm == exact.harm
    assert timedelta(0) <= coarse.opened_at - exact.opened_at <= timedelta(minutes=40)
    assert coarse.opened_at.minute % 20 == 0


@pytest.mark.parametrize(
    ("rows", "span", "every"),
    [
        (1_400, timedelta(days=400), None),
        (40_000, timedelta(hours=10), None),
        (17_379, timedelta(days=731), timedelta(days=1)),
        (1_000_000, timedelta(days=30), timedelta(hours=1)),
        (1_000_000, timedelta(days=4_000), timedelta(days=7)),
    ],
)
def test_a_small_history_is_looked_at_as_live_and_a_long_one_about_a_thousand_times(
    rows: int, span: timedelta, every: timedelta | None
) -> None:
    assert engine.pace_of(rows, span, Settings()) == Pace(every=every)


def events_at(*seconds: float) -> Iterator[Event]:
    for number, second in enumerate(seconds):
        at = START + timedelta(seconds=second)
        yield Event(
            model="m", worker="w", seq=number + 1, id=str(number), kind="prediction", occurred_at=at, received_at=at
        )


def test_turns_as_live_come_when_a_block_is_whole_or_its_oldest_request_has_waited() -> None:
    seconds = (0, 1, 2, 3, 900, 901, 2000)
    made = list(engine._as_live(events_at(*seconds), least=3, patience=timedelta(minutes=10)))
    found = [((now - START).total_seconds(), len(taken)) for now, taken in made]
    assert found == [(2.0, 3), (603.0, 1), (1500.0, 2), (2000.0, 1)]


def test_coalesced_turns_come_at_multiples_of_their_length_and_when_much_has_come() -> None:
    seconds = (0, 5, 59, 61, 62, 63, 64, 300)
    made = list(engine._coalesced(events_at(*seconds), every=timedelta(minutes=1), most=3))
    found = [((now - START).total_seconds(), len(taken)) for now, taken in made]
    assert found == [(59.0, 3), (63.0, 3), (120.0, 1), (300.0, 1)]


# against what is known


def told(number: int, *moments: tuple[float, What, Severity], started: float) -> Told:
    made = tuple(Moment(at=at(hour), what=what, severity=sev, title=f"t{number}") for hour, what, sev in moments)
    return Told(
        number=number,
        bundle="m@1",
        opened_at=made[0].at,
        started_at=at(started),
        rows_to_detect=1,
        severity=made[-1].severity,
        harm=Harm.INPUT,
        title=f"t{number}",
        story=(),
        last_title=f"t{number}",
        last_story=(),
        findings=(),
        moments=made,
        ended_at=None,
    )


def at(hour: float) -> datetime:
    return START + timedelta(hours=hour)


def test_delay_precision_and_recall_are_those_counted_by_hand() -> None:
    note, page = Severity.NOTE, Severity.PAGE
    played = Played(
        start=at(0),
        end=at(100),
        told=[
            told(1, (5, What.OPENED, note), (22, What.LOUDER, page), started=4),
            told(2, (43, What.OPENED, page), (60, What.MORE, page), started=39.5),
            told(3, (90, What.OPENED, note), started=89),
        ],
        arrivals={"a": 200, "b": 390, "c": 580, "d": 700},
        turns=[(at(hour), 10 * hour) for hour in range(101)],
        rows=1_000,
    )
    known = [
        Known(name="a", start=at(20), end=at(30)),
        Known(name="b", start=at(39), end=at(42)),  # told after its end, of a start within it
        Known(name="c", start=at(58), end=at(65)),
        Known(name="d", start=at(70), end=at(80)),
    ]
    judged = truth.judge(played, known, least=note)
    verdicts = [one.verdict for one in judged.found]
    assert verdicts == [Verdict.TOLD, Verdict.TOLD, Verdict.WITHIN, Verdict.MISSED]
    assert [one.delay for one in judged.found[:3]] == [timedelta(hours=h) for h in (2, 4, 2)]
    assert [one.delay_rows for one in judged.found[:3]] == [20, 40, 20]
    score = judged.score
    assert (score.alerts, score.right, score.false, score.events, score.told) == (4, 2, 2, 4, 2)
    assert (score.precision, score.recall) == (0.5, 0.5)
    assert score.median_delay == timedelta(hours=3)
    assert score.days == pytest.approx((100 - 10 - 3 - 7 - 10) / 24)
    assert score.false_per_30_days == pytest.approx(30 * 2 / (70 / 24))
    assert [one.belongs_to for one in judged.told] == [("a",), ("b",), ()]
    loud = truth.judge(played, known, least=page).score
    assert (loud.alerts, loud.right, loud.precision) == (2, 2, 1.0)


def test_events_outside_of_the_replayed_time_are_no_misses() -> None:
    played = Played(start=at(0), end=at(10), told=[], rows=10)
    judged = truth.judge(played, [Known(name="later", start=at(20), end=None)], least=Severity.NOTE)
    assert judged.found == ()
    assert (judged.score.precision, judged.score.recall) == (None, None)


def test_a_report_names_the_change_scores_it_and_survives_as_data_text_and_page() -> None:
    rows = frame()
    change = Known(name="the <change>", start=rows["at"][1_000], end=None)
    report = of_file(
        rows,
        time="at",
        reference="33%",
        prediction="said",
        probability="sure",
        label="true",
        label_after=timedelta(minutes=20),
        known=[change],
    )
    assert report.score is not None
    assert (report.score.precision, report.score.recall) == (1.0, 1.0)
    found = report.known[0]
    assert found.delay_rows is not None
    assert found.delay_rows <= 200
    said = str(report)
    assert said.startswith("Mainstay would have told you ")
    assert "Recall: 1 of 1 known events were told (100 %)." in said
    data = report.as_dict()
    assert data["known"][0]["verdict"] == "told"
    assert data["score"]["recall"] == 1.0
    from mainstay.backtest import page

    html = page.document(report)
    assert "the &lt;change&gt;" in html
    assert "the <change>" not in html
    assert "http://" not in html.replace("http://www.w3.org/", "")
    assert "https://" not in html
    assert "<script" not in html


@pytest.mark.parametrize(("back_at", "over"), [(None, False), (6_000, True)])
def test_a_change_is_called_over_when_it_went_away_and_not_when_the_evidence_merely_began_anew(
    back_at: int | None, over: bool
) -> None:
    count, change = 7_000, 4_500
    x = np.random.default_rng(12).normal(0, 1, count)
    x[change:back_at] += 0.3
    moments = [START + timedelta(minutes=30) * n for n in range(count)]
    report = of_file(pl.DataFrame({"at": moments, "x": x}), time="at", reference="43%")
    (told,) = report.told
    ends = [moment.at for moment in told.moments if moment.what is What.OVER]
    assert bool(ends) == over
    assert back_at is None or ends[0] > moments[back_at]
