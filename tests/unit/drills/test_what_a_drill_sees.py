"""A drill's own questions: each says no to what is not good enough, so that it can be missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from mainstay.core.incidents import Finding, Harm, Incident, Severity, State
from mainstay.core.releases import Release, Stage
from mainstay.drills import all_zeros, bad_candidate, notebook_trap
from mainstay.drills.records import Tally, View
from mainstay.store.jobs import Job, JobState

START = datetime(2026, 3, 2, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


def view(**more: Any) -> View:
    base: dict[str, Any] = {
        "at": START + 9 * HOUR,
        "incidents": (),
        "releases": (release(1, Stage.CERTIFIED),),
        "jobs": (),
        "phases": {},
        "notes": {},
        "learned": lambda _: pl.DataFrame({"pressure_bar": [20.0]}),
    }
    return View(**(base | more))


def release(version: int, stage: Stage, **more: Any) -> Release:
    base: dict[str, Any] = {"model": "m", "digest": str(version), "since": START, "created_at": START}
    return Release(version=version, stage=stage, **(base | more))


def incident(harm: Harm, signal: str = "pressure_bar", **more: Any) -> Incident:
    finding = Finding(
        signal=signal, harm=harm, since=START, before=20, now=0, shift=9, evidence=9, text=f"{signal} looks broken"
    )
    base: dict[str, Any] = {
        "id": 1,
        "model": "m",
        "bundle": "m@1",
        "severity": Severity.PAGE,
        "opened_at": START + 2 * HOUR,
        "started_at": START + HOUR,
        "title": finding.text,
        "findings": (finding,),
    }
    return Incident(harm=harm, **(base | more))


def tally(**more: Any) -> Tally:
    return Tally(**({"began": START + HOUR, "requests": 10, "statuses": {200: 10}} | more))


def zeros(*incidents: Incident, **more: Any) -> View:
    return view(incidents=incidents, phases={"quiet": tally(began=START), "broken": tally()}, **more)


# all-zeros


def test_the_page_must_be_about_broken_data_name_the_field_and_come_after_it_broke() -> None:
    good = incident(Harm.DATA_FAULT)
    assert all_zeros.detected(zeros(good)).holds
    assert not all_zeros.detected(zeros()).holds
    assert not all_zeros.detected(zeros(incident(Harm.INPUT))).holds
    assert not all_zeros.detected(zeros(incident(Harm.DATA_FAULT, "flow_c"))).holds
    assert not all_zeros.detected(zeros(replace(good, severity=Severity.NOTE))).holds
    assert not all_zeros.detected(zeros(replace(good, opened_at=START + timedelta(minutes=5)))).holds


def test_an_alarm_on_a_quiet_day_is_seen_and_one_about_the_fault_is_none() -> None:
    assert all_zeros.quiet(zeros(incident(Harm.DATA_FAULT))).holds
    early = incident(Harm.OUTPUT, opened_at=START + timedelta(minutes=5))
    assert not all_zeros.quiet(zeros(early)).holds
    assert not all_zeros.quiet(view(incidents=[early], phases={"quiet": tally(began=START)})).holds


def test_two_incidents_of_one_cause_are_one_too_many() -> None:
    assert all_zeros.one_page(zeros(incident(Harm.DATA_FAULT))).holds
    assert not all_zeros.one_page(zeros(incident(Harm.DATA_FAULT), incident(Harm.OUTPUT, id=2))).holds


def test_a_training_that_was_started_on_broken_rows_is_seen() -> None:
    job = Job(
        id=1,
        model="m",
        kind="train",
        dedupe="",
        state=JobState.QUEUED,
        due_at=START,
        attempts=0,
        created_at=START,
        updated_at=START,
    )
    assert all_zeros.not_retrained(zeros()).holds
    assert not all_zeros.not_retrained(zeros(jobs=[job])).holds


@pytest.mark.parametrize(("rows", "holds"), [([19.0, 21.0], True), ([19.0, 0.0], False)])
def test_one_zero_among_the_rows_that_were_learned_is_seen(rows: list[float], holds: bool) -> None:
    trained = [release(1, Stage.CERTIFIED), release(2, Stage.REFUSED)]
    seen = all_zeros.learned_whole(zeros(releases=trained, learned=lambda _: pl.DataFrame({"pressure_bar": rows})))
    assert seen.holds is holds
    assert not all_zeros.learned_whole(zeros()).holds, "no training is no proof"


@pytest.mark.parametrize("state", list(State))
def test_an_incident_is_over_when_it_is_mitigated_or_resolved(state: State) -> None:
    seen = all_zeros.closed(zeros(incident(Harm.DATA_FAULT, state=state)))
    assert seen.holds is (state in (State.MITIGATED, State.RESOLVED))
    assert not all_zeros.closed(zeros()).holds


def test_zeros_that_do_no_harm_or_are_refused_are_no_drill() -> None:
    harmless = {"quiet": tally(began=START, judged=100, right=95), "broken": tally(judged=100, right=90)}
    assert not all_zeros.harm_done(view(phases=harmless)).holds
    harmful = harmless | {"broken": tally(judged=100, right=40)}
    assert all_zeros.harm_done(view(phases=harmful)).holds
    refused = {"broken": tally(statuses={200: 9, 422: 1})}
    assert not all_zeros.zeros_answered(view(phases=refused)).holds


# notebook-trap


def trap(*incidents: Incident, **tenants: Any) -> View:
    return view(
        incidents=incidents, phases={"testers": tally(began=START, ended=START + HOUR), "tenants": tally(**tenants)}
    )


def test_only_an_alarm_about_answers_counts_as_noticing_the_trap() -> None:
    assert notebook_trap.detected(trap(incident(Harm.QUALITY))).holds
    assert notebook_trap.detected(trap(incident(Harm.OUTPUT, severity=Severity.WATCH))).holds
    assert not notebook_trap.detected(trap(incident(Harm.INPUT, severity=Severity.NOTE))).holds
    assert not notebook_trap.detected(trap()).holds


def test_the_incident_must_name_words_or_segments() -> None:
    word = {"words": {"message": [{"word": "pls"}]}, "segments": []}
    segment = {"segments": [{"segment": "channel=app", "shown": True}]}
    guess = {"segments": [{"segment": "channel=app", "shown": False}]}
    told = [
        notebook_trap.told_where(trap(incident(Harm.QUALITY, facts=facts))).holds for facts in (word, segment, guess)
    ]
    assert told == [True, True, False]


def test_advice_must_say_both_label_and_retrain() -> None:
    def advice(text: str) -> bool:
        return notebook_trap.advised(trap(incident(Harm.QUALITY, facts={"recommendation": text}))).holds

    assert [advice("Label some; retraining helps."), advice("Label some."), advice("")] == [True, False, False]


def test_low_trust_must_be_rare_before_and_usual_now() -> None:
    marked = {"low": 8, "ok": 2}
    assert notebook_trap.marked(trap(trust=marked)).holds
    assert not notebook_trap.marked(trap(trust={"low": 2, "ok": 8})).holds
    always = view(phases={"testers": tally(trust=marked), "tenants": tally(trust=marked)})
    assert not notebook_trap.marked(always).holds


@pytest.mark.parametrize(
    "others", [[release(2, Stage.REGISTERED)], [release(1, Stage.RETIRED), release(2, Stage.CERTIFIED)]]
)
def test_any_other_version_is_a_change(others: Sequence[Release]) -> None:
    assert notebook_trap.unchanged(trap()).holds
    first = [] if len(others) == 2 else [release(1, Stage.CERTIFIED)]
    assert not notebook_trap.unchanged(replace(trap(), releases=[*first, *others])).holds


# bad-candidate


def offered(stage: Stage, **phases: Tally) -> View:
    return view(
        releases=[release(1, Stage.CERTIFIED), release(3, stage, reason="errors")],
        notes={"fragile": {"version": "m@3"}},
        phases=phases,
    )


def test_the_gate_must_have_refused_with_its_own_exit_code_and_a_reason() -> None:
    def told(exit_code: int, failed: list[str]) -> bool:
        return bad_candidate.refused(view(notes={"broken": {"exit_code": exit_code, "failed": failed}})).holds

    assert [told(4, ["floors"]), told(0, ["floors"]), told(4, [])] == [True, False, False]
    assert not bad_candidate.refused(view()).holds


def test_a_candidate_that_stays_is_not_taken_back() -> None:
    assert [bad_candidate.stopped(offered(stage)).holds for stage in (Stage.ROLLED_BACK, Stage.CANARY, Stage.HELD)] == [
        True,
        False,
        False,
    ]
    assert not bad_candidate.stopped(view()).holds


@pytest.mark.parametrize(("met", "holds"), [(0, False), (3, True), (4, False)])
def test_some_users_must_have_met_it_and_not_too_many(met: int, holds: bool) -> None:
    users = {f"k{n}" for n in range(10)}
    dry = tally(keys={"m@1": users, "m@3": set(sorted(users)[:met])})
    seen = bad_candidate.few_exposed(offered(Stage.ROLLED_BACK, dry=dry))
    assert seen.holds is holds
    assert f"{met} of 10 users" in seen.text


def test_one_failed_request_is_seen_in_whatever_phase() -> None:
    assert bad_candidate.none_failed(offered(Stage.CANARY, refused=tally(), dry=tally())).holds
    assert not bad_candidate.none_failed(offered(Stage.CANARY, refused=tally(statuses={200: 9, 500: 1}))).holds


def test_the_champion_must_be_alone_in_answering_at_the_end() -> None:
    alone, both = tally(keys={"m@1": {"a"}}), tally(keys={"m@1": {"a"}, "m@3": {"b"}})
    assert bad_candidate.champion_answers(offered(Stage.ROLLED_BACK, after=alone)).holds
    assert not bad_candidate.champion_answers(offered(Stage.ROLLED_BACK, after=both)).holds
    assert not bad_candidate.champion_answers(offered(Stage.CANARY, after=alone)).holds
