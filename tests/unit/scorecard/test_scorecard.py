"""The scorecard gives points for evidence alone, and takes them back when it is too old or fails."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mainstay.config.settings import AlertSettings, RolloutSettings, Settings, WatchSettings
from mainstay.core.contracts import Field, FieldType, Pii, Role
from mainstay.core.releases import Release, Stage
from mainstay.scorecard import make, ml_test_score
from mainstay.scorecard.evidence import HOLDS, Known
from mainstay.scorecard.records import Scorecard, Scored, Section
from mainstay.status.records import Answering, Estimate, Health, Quality, Status, Summary, Watching
from mainstay.testing.models import make_contract

AT = datetime(2026, 6, 1, tzinfo=UTC)
CHECKS = [
    "contract_and_signature",
    "finite_output",
    "row_independence",
    "floors",
    "segments",
    "behaviour_tests",
    "fairness",
    "latency",
    "size",
]


def checked(name: str, verdict: str = "pass", *, applies: bool = True) -> dict[str, Any]:
    return {"name": name, "verdict": verdict, "reason": f"because of {name}", "applies": applies}


def release(**facts: Any) -> Release:
    given = {
        "gate": {"verdict": "pass", "checks": [checked(name) for name in CHECKS]},
        "trial": {"verdict": "pass", "reason": "20 rows answered equally"},
        "evaluation": {
            "rows": 240,
            "slices": {"a": {}},
            "beats": {"metric": "accuracy", "simple": {"value": 0.8, "gain": 0.1, "low": 0.05, "high": 0.15}},
            "audit": {"favourable": "yes", "protected": {"sex": {}}},
            "stress": {"kept": []},
        },
    }
    return Release(
        model="m",
        version=3,
        digest="d" * 64,
        stage=Stage.CERTIFIED,
        since=AT - timedelta(days=5),
        created_at=AT - timedelta(days=5),
        snapshot="s" * 64,
        commit="c" * 40,
        facts=given | facts,
    )


def status(**changes: Any) -> Status:
    given: dict[str, Any] = {
        "model": "m",
        "at": AT,
        "summary": Summary(health=Health.WELL, since=AT, why="well"),
        "answering": Answering(name="m@3", version=3, since=AT, why="it passed", previous="m@2"),
        "quality": Quality(held_out=Estimate(value=0.9), real=Estimate(value=0.88, n=300)),
        "watching": Watching(believable=True, why_not="", turn_at=AT, probe_at=AT, probe_passed=True),
    }
    return Status(**(given | changes))


def known(**changes: Any) -> Known:
    fields = (
        Field(name="text", type=FieldType.TEXT, max_chars=100),
        Field(name="who", type=FieldType.IDENTIFIER, pii=Pii.HASH, roles=(Role.IGNORED,)),
        Field(name="sex", type=FieldType.CATEGORY, values=("f", "m"), roles=(Role.PROTECTED,)),
    )
    given: dict[str, Any] = {
        "settings": Settings(watch=WatchSettings(max_age_days=30), alerts=(AlertSettings(to="log://"),)),
        "contract": make_contract(fields=fields, key="who"),
        "at": AT,
        "release": release(),
        "releases": (release(),),
        "status": status(),
        "reproduced": AT - timedelta(days=1),
        "has_features": False,
    }
    return Known(**(given | changes))


def card(**changes: Any) -> Scorecard:
    return make.of(known(**changes), model="m")


def scored(card: Scorecard, section: Section, number: int) -> Scored:
    return next(one for one in card.tests if (one.section, one.number) == (section, number))


def test_all_published_tests_are_there_seven_in_each_section_with_a_page_that_exists() -> None:
    from pathlib import Path

    found = card().tests
    assert [len([one for one in found if one.section is section]) for section in Section] == [7, 7, 7, 7]
    assert len({one.test for one in found}) == 28
    assert all(one.score in (0.0, 0.5, 1.0) and one.evidence for one in found)
    root = Path(__file__).parents[3]
    assert [one.link for one in found if not (root / one.link).is_file()] == []


def test_the_score_is_the_least_of_the_four_sections() -> None:
    found = card()
    points = [found.of(section) for section in Section]
    assert points == [4.0, 4.5, 7.0, 6.0]
    assert found.final == 4.0
    assert "strong" in found.reading


def test_evidence_of_a_version_is_taken_back_when_it_is_too_old() -> None:
    old = replace(release(), created_at=AT - HOLDS - timedelta(days=1))
    found = card(release=old)
    assert scored(found, Section.INFRASTRUCTURE, 4).score == 0.0
    assert "more than 90 days ago" in scored(found, Section.INFRASTRUCTURE, 4).evidence
    assert scored(card(), Section.INFRASTRUCTURE, 4).expires == release().created_at + HOLDS
    assert scored(card(reproduced=AT - HOLDS - timedelta(days=1)), Section.INFRASTRUCTURE, 1).score == 0.5


@pytest.mark.parametrize(
    ("name", "section", "number"),
    [
        ("finite_output", Section.MONITORING, 5),
        ("floors", Section.INFRASTRUCTURE, 4),
        ("behaviour_tests", Section.INFRASTRUCTURE, 2),
        ("row_independence", Section.DATA, 7),
        ("fairness", Section.MODEL, 7),
    ],
)
@pytest.mark.parametrize("verdict", ["fail", "not_enough"])
def test_a_check_that_did_not_pass_gives_nothing(name: str, section: Section, number: int, verdict: str) -> None:
    checks = [checked(one, verdict if one == name else "pass") for one in CHECKS]
    found = card(release=release(gate={"verdict": verdict, "checks": checks}))
    assert scored(card(), section, number).score == 1.0
    assert scored(found, section, number).score == 0.0


def test_without_a_watch_that_can_be_believed_nothing_is_monitored() -> None:
    blind = Watching(believable=False, why_not="the probe stayed silent", turn_at=AT, probe_at=AT, probe_passed=False)
    found = card(status=status(watching=blind))
    for number in (2, 3, 4, 6, 7):
        assert scored(found, Section.MONITORING, number).score == 0.0
        assert "the probe stayed silent" in scored(found, Section.MONITORING, number).evidence
    assert not next(one for one in found.practices if one.what == "production performance monitored").yes


def test_before_the_first_version_nothing_is_proven() -> None:
    empty = Status(model="m", at=AT, summary=Summary(health=Health.UNKNOWN, since=None, why="no version"))
    found = card(release=None, releases=(), status=empty, reproduced=None, settings=Settings())
    assert found.version == ""
    assert found.of(Section.MODEL) == 0.0
    assert found.final == 0.0
    assert [one.what for one in found.practices if one.yes] == []


@pytest.mark.parametrize(
    ("changes", "section", "number", "points"),
    [
        ({"settings": Settings(rollout=RolloutSettings(plan="all_at_once"))}, Section.INFRASTRUCTURE, 6, 0.0),
        ({"settings": Settings(watch=WatchSettings(skew_rows=0))}, Section.MONITORING, 3, 0.0),
        ({"settings": Settings()}, Section.MONITORING, 4, 0.0),
        ({"release": replace(release(), commit="c" * 40 + "+")}, Section.MODEL, 1, 0.0),
        ({"has_features": True}, Section.DATA, 7, 0.5),
        ({"status": status(quality=Quality(estimated=Estimate(value=0.9)))}, Section.MONITORING, 7, 0.5),
    ],
)
def test_what_is_not_enforced_gives_less(changes: dict[str, Any], section: Section, number: int, points: float) -> None:
    assert scored(card(**changes), section, number).score == points


def test_a_simple_model_that_is_as_good_is_told() -> None:
    beats = {"metric": "accuracy", "simple": {"value": 0.95, "gain": -0.04, "low": -0.07, "high": -0.01}}
    found = scored(card(release=release(evaluation={"beats": beats})), Section.MODEL, 5)
    assert found.score == 0.5
    assert "not shown to be better" in found.evidence


def test_limits_beside_the_type_are_asked_of_every_feature() -> None:
    bare = make_contract(
        fields=(Field(name="text", type=FieldType.TEXT), Field(name="n", type=FieldType.NUMBER, min=0))
    )
    found = scored(card(contract=bare), Section.DATA, 1)
    assert found.score == 0.5
    assert "not text" in found.evidence


def test_identifiers_kept_as_they_are_give_no_point_for_privacy() -> None:
    bare = make_contract(fields=(Field(name="who", type=FieldType.IDENTIFIER),), key="who")
    assert scored(card(contract=bare), Section.DATA, 5).score == 0.0


def test_every_test_can_be_asked_of_anything() -> None:
    for tests in ml_test_score.TESTS.values():
        for one in tests:
            points, evidence, _ = one.ask(known(release=release(gate=None, evaluation=None, trial=None)))
            assert points in (0.0, 0.5, 1.0)
            assert evidence
