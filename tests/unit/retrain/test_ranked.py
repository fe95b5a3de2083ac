"""The guards of a retraining, asked of a ranking's labels."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from mainstay.config.settings import RetrainSettings, Settings
from mainstay.core.events import Feedback
from mainstay.core.verdicts import Check, Verdict
from mainstay.retrain import guard, ranked
from mainstay.retrain.dataset import LabelledRow
from mainstay.store import feedback
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock

AT = datetime(2026, 1, 5, tzinfo=UTC)


def labels(groups: int, *, against: int = 0, loud: int = 0, seed: int = 1) -> list[LabelledRow]:
    """Groups of five candidates scored 5 to 1, clicked the more the better; the last `against` the other way round."""
    rng = np.random.default_rng(seed)
    rows = []
    for group in range(groups):
        for place in range(1, 6):
            wanted = 6 - place if group < groups - against else place
            key = "script" if group < loud else f"u{group // 2}"
            value = 1.0 if key == "script" else float(rng.random() < 0.12 * wanted)
            rows.append(
                LabelledRow(
                    id=f"{group}-{place}",
                    key=key,
                    unit=f"{group}-{place}",
                    content=f"c{place}",
                    value=value,
                    at=AT + timedelta(minutes=group),
                    inputs={},
                    answered=float(6 - place),
                    group=f"q{group}",
                )
            )
    return rows


def asked(rows: list[LabelledRow], **declared: object) -> dict[str, Check]:
    found = ranked.facts(rows, newest=0.25)
    return {check.name: check for check in ranked.checks(found, RetrainSettings.model_validate(declared))}


def test_what_nobody_declared_a_threshold_for_is_told_and_judges_nothing() -> None:
    checks = asked(labels(120, loud=10))
    assert not any(check.applies for check in checks.values())
    assert set(checks) == {"groups_tell", "keys_discriminate", "place_bias"}
    assert "1 keys find nearly everything relevant: 8%" in checks["keys_discriminate"].reason


def test_groups_without_better_and_worse_candidates_tell_no_order() -> None:
    none = [row for row in labels(40) if row.value == 0.0]
    assert asked(none, min_groups=1)["groups_tell"].verdict is Verdict.NOT_ENOUGH
    enough = asked(labels(120), min_groups=50)["groups_tell"]
    assert (enough.verdict, enough.applies) == (Verdict.PASS, True)


def test_a_script_that_clicks_all_holds_the_training_where_that_is_declared() -> None:
    assert asked(labels(120, loud=20), max_indiscriminate_share=0.05)["keys_discriminate"].verdict is Verdict.NOT_ENOUGH
    assert asked(labels(120), max_indiscriminate_share=0.05)["keys_discriminate"].verdict is Verdict.PASS


def test_newest_groups_that_contradict_the_order_are_a_sudden_flip() -> None:
    [flip] = ranked.facts(labels(200, against=50), newest=0.25).flips
    assert (flip.answered, flip.labelled) == (ranked.AS_RANKED, ranked.AGAINST)
    assert flip.share > 0.5
    assert ranked.facts(labels(200), newest=0.25).flips == ()


def test_without_draws_it_is_said_that_the_place_cannot_be_told_from_the_candidate() -> None:
    told = asked(labels(120))["place_bias"]
    assert (told.applies, told.verdict) == (False, Verdict.NOT_ENOUGH)
    assert "[serve.explore]" in told.reason


def test_no_labels_are_no_fault() -> None:
    checks = asked([])
    assert "0 of 0 groups" in checks["groups_tell"].reason


# through the guard, from what lies in the store


def settings(**retrain: object) -> Settings:
    return Settings.model_validate(
        {
            "project": {"name": "m", "task": "ranking"},
            "data": {"group": "q"},
            "fields": {"q": {"type": "identifier", "role": "ignored"}, "match": {"type": "number"}},
            "target": {"field": "grade"},
            "retrain": retrain,
        }
    )


def verdict_of(name: str, candidates: list[tuple[str, float, float]], **retrain: object) -> Check:
    """Ask one guard of graded candidates, each a group, what it holds, and its grade; ann grades it 1 too."""
    with Store.open("sqlite://", clock=FakeClock(AT)).begin() as tx:
        for number, (group, match, grade) in enumerate(candidates):
            feedback.grade(
                tx,
                feedback.Graded(
                    model="m",
                    id=f"p{number}",
                    name="grade",
                    value=grade,
                    at=AT,
                    feedback_id=f"f{number}",
                    bundle="m@1",
                    served_arm="champion",
                    key_hash=f"k-{group}",
                    unit=f"u{number}",
                    occurred_at=AT,
                    label=match,
                    confidence=None,
                    correct=None,
                    inputs={"q": group, "match": match},
                ),
            )
            for by, value in (("app", grade), ("ann", 1.0)):
                item = Feedback(
                    id=f"p{number}", feedback_id=f"{by}{number}", kind="label", name="grade", value=value, at=AT, by=by
                )
                feedback.put(tx, "m", item, received_at=AT)
        asked_for = settings(**retrain)
        return {one.name: one for one in guard.allow(guard.gather(tx, "m", asked_for, AT), asked_for, AT)}[name]


def test_equal_candidates_contradict_each_other_only_within_a_group_and_by_whether_they_are_relevant() -> None:
    # The same candidate is clicked by the one who asked for it, and not by the next one.
    apart = [(f"q{n}", 0.5, float(n % 2)) for n in range(40)]
    found = verdict_of("labels_agree", apart)
    assert (found.verdict, found.reason.split(" of ")[0]) == (Verdict.PASS, "0")
    # Two grades above 0 agree that it is relevant.
    assert verdict_of("labels_agree", [(f"q{n // 2}", 0.5, 1.0 + n % 2) for n in range(40)]).verdict is Verdict.PASS
    # Twice in one answer, once relevant and once not.
    within = verdict_of("labels_agree", [(f"q{n // 2}", 0.5, float(n % 2)) for n in range(40)])
    assert (within.verdict, within.reason.split(" of ")[0]) == (Verdict.FAIL, "40")


def test_the_trusted_are_held_against_others_by_what_is_relevant_and_not_by_the_grade() -> None:
    declared = {"trusted": ("ann",), "min_agreement": 0.9}  # ann finds each relevant, with grade 1
    other_grades = verdict_of("labels_trusted", [(f"q{n}", n / 40, float(1 + n % 3)) for n in range(40)], **declared)
    assert (other_grades.verdict, other_grades.reason.split(" labels")[0]) == (Verdict.PASS, "40 of 40")
    half = verdict_of("labels_trusted", [(f"q{n}", n / 40, float(n % 2)) for n in range(40)], **declared)
    assert (half.verdict, half.reason.split(" labels")[0]) == (Verdict.FAIL, "20 of 40")
