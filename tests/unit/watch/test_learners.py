"""Rules that tell traffic from the reference: new topics, changed dependence, and nobody told by the own words."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import stats

from mainstay.config.settings import FalsePagesSettings, WatchSettings
from mainstay.core.contracts import Contract, Field, FieldType, Pii, Task
from mainstay.core.profiles import Profile
from mainstay.models import sample
from mainstay.models.answers import Answer
from mainstay.models.profiles import build_profile, trained_words
from mainstay.models.signals import RowSignals, words
from mainstay.watch import compare, findings, learners, streams
from mainstay.watch.window import Observation

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = WatchSettings(false_pages=FalsePagesSettings(expected=1, days=1000))
KNOWN = [f"word{i}" for i in range(300)]
TOPIC = [f"word{i}" for i in range(280, 300)]
TEXT = Contract(task=Task.MULTICLASS, target="y", fields=(Field(name="note", type=FieldType.TEXT),))
TABLE = Contract(
    task=Task.REGRESSION, target="y", fields=tuple(Field(name=f"x{i}", type=FieldType.NUMBER) for i in range(8))
)
TABLE_FIELDS = [field.name for field in TABLE.fields]
VOCABULARY = {"note": frozenset(KNOWN)}
SHARES = 1.0 / (np.arange(300) + 10.0)
SHARES /= SHARES.sum()


def texts(
    rng: np.random.Generator, n: int, *, topic: float = 0.0, own: list[str] | None = None
) -> list[dict[str, Any]]:
    """Return texts of known words; a share of them is about the topic: half of their words are of it."""
    out = []
    for i in range(n):
        chosen = [KNOWN[k] for k in rng.choice(300, 8, p=SHARES).tolist()]
        if rng.random() < topic:
            chosen[:4] = [str(word) for word in rng.choice(TOPIC, 4)]
        out.append({"note": " ".join([*chosen, own[i]] if own else chosen)})
    return out


def numbers(rng: np.random.Generator, n: int, *, r: float = 0.0) -> list[dict[str, Any]]:
    """Return independent numbers, the first two correlated by r."""
    x = rng.standard_normal((n, 8))
    x[:, 1] = r * x[:, 0] + (1 - r * r) ** 0.5 * x[:, 1]
    return [{f"x{i}": value for i, value in enumerate(row)} for row in x.tolist()]


def profile_of(contract: Contract, rows: list[dict[str, Any]], keys: list[str] | None = None) -> Profile:
    answers = [Answer(label=None)] * len(rows)
    return build_profile(contract, rows, answers, None, keys, source="test", vocabulary=VOCABULARY)


def seen(contract: Contract, rows: list[dict[str, Any]], keys: list[str]) -> list[Observation]:
    signals = RowSignals(contract, VOCABULARY)
    return [
        Observation(
            id=f"{key}-{i}",
            key=key,
            occurred_at=NOW,
            received_at=NOW,
            signals={k: v for k, v in (signals.measure(row) | signals.traits.measure(row)).items() if v is not None},
            words={name: sorted(set(words(text))) for name, text in row.items() if isinstance(text, str)},
        )
        for i, (row, key) in enumerate(zip(rows, keys, strict=True))
    ]


def fresh_keys(window: int, n: int) -> list[str]:
    return [f"k{window}-{i}" for i in range(n)]


def watch(contract: Contract, profile: Profile, windows: list[list[dict[str, Any]]], keys: Any = None) -> list[Any]:
    """Return the comparison after each window."""
    state, out = compare.WatchState(model="m", bundle="m@1"), []
    for number, rows in enumerate(windows):
        own = fresh_keys(number, len(rows)) if keys is None else keys[number]
        out.append(compare.update(state, seen(contract, rows, own), profile, SETTINGS))
    return [state, *out]


def evidence_of(comparison: Any, name: str) -> float:
    return max(
        float(e)
        for e, w in zip(comparison.assessment.by_stream, comparison.plan.watched, strict=True)
        if w.name == name
    )


def test_a_new_topic_is_found_and_its_words_are_named() -> None:
    rng = np.random.default_rng(0)
    profile = profile_of(TEXT, texts(rng, 2_000))
    windows = [texts(rng, 600), *(texts(rng, 600, topic=0.15) for _ in range(5))]
    state, *found = watch(TEXT, profile, windows)
    assert evidence_of(found[0], "note.apart") < 0
    assert found[-1].alarm
    assert evidence_of(found[-1], "note.apart") > found[-1].log_bar
    told = next(f for f in findings.find(state, found[-1]) if f.signal == "note.apart")
    assert told.harm == "input"
    assert told.now > 0.52
    item = next(w for w in found[-1].plan.watched if w.name == "note.apart" and w.tells)
    assert sum(word in TOPIC for word in item.tells) >= 5
    assert "told from the reference by its words" in told.text


def test_a_changed_dependence_with_equal_marginals_is_found_and_its_fields_are_named() -> None:
    rng = np.random.default_rng(1)
    profile = profile_of(TABLE, numbers(rng, 2_000))
    windows = [numbers(rng, 600), *(numbers(rng, 600, r=0.5) for _ in range(4))]
    state, *found = watch(TABLE, profile, windows)
    assert found[-1].alarm
    told = next(f for f in findings.find(state, found[-1]) if f.signal == "rows.apart")
    assert "x0 with x1" in told.text


def test_a_correlation_that_turns_round_is_found_by_the_plane_at_once_and_by_the_rule_after_one_lesson() -> None:
    rng = np.random.default_rng(12)
    profile = profile_of(TABLE, numbers(rng, 2_000, r=0.7))
    windows = [numbers(rng, 1_000, r=0.7), *(numbers(rng, 1_000, r=-0.7) for _ in range(3))]
    _, *found = watch(TABLE, profile, windows)
    first = {
        name: next((i for i, one in enumerate(found) if evidence_of(one, name) >= one.log_bar), None)
        for name in ("rows.reconstruction", "rows.apart")
    }
    assert first == {"rows.reconstruction": 1, "rows.apart": 2}
    alone = [w.name for w in found[-1].plan.watched if w.name in TABLE_FIELDS]
    assert len(alone) == len(TABLE_FIELDS)
    assert all(evidence_of(one, name) < one.log_bar for one in found for name in alone)  # no field shows it by itself


def test_a_rule_never_judges_who_it_learned_from() -> None:
    # Forty customers, each with a word of the own in every text: a rule that met them would know them all again.
    rng = np.random.default_rng(2)
    profile = profile_of(TEXT, texts(rng, 2_000))
    who = [[f"c{i % 200}" for i in range(600)] for _ in range(8)]
    windows = [texts(rng, 600, own=[f"word{int(key[1:]) + 60}" for key in keys]) for keys in who]
    state, *_ = watch(TEXT, profile, windows, keys=who)
    assert state.history.repeats > learners.RETURNING
    learner = state.learners["note"]
    assert set(learner.rules) == set(learners.places())
    rows = learners.rows_of("note", profile, seen(TEXT, windows[0], who[0]), by_key=True)
    counted = learners.count(learner, rows)
    for place, lesson in zip(learners.places(), learner.lessons, strict=True):
        learned = set(lesson.keys.tolist())
        assert 0 < len(learned) <= 200
        judged = len({unit for unit in rows.units.tolist() if unit not in learned})
        assert counted[place][: learners.BINS].sum() == pytest.approx(judged)
        assert counted[place][learners.BINS :].sum() == pytest.approx(judged)


def test_a_lot_that_is_let_go_takes_the_rule_with_it() -> None:
    rng = np.random.default_rng(10)
    profile = profile_of(TEXT, texts(rng, 1_000))
    learner = learners.fresh()
    for window in range(3):
        rows = learners.rows_of("note", profile, seen(TEXT, texts(rng, 1_000), fresh_keys(window, 1_000)), by_key=True)
        before = learner.rules.get("0")
        learners.renew(learner, "note", profile)
        assert (learner.rules.get("0") is before) == (window == 0)
        learners.learn(learner, rows, returning=False)
        assert set(rows.units.tolist()) <= set(learner.lessons[0].keys.tolist())
    assert len(learner.lessons[0].keys) == 1_000
    assert learner.lessons[0].turned
    assert len(learner.lessons[1].keys) == 3_000


def test_rules_learn_of_training_rows_where_they_are_known_and_judge_on_all_reference_rows() -> None:
    rng = np.random.default_rng(11)
    given, training = texts(rng, 1_200), texts(rng, 900)
    keys = [f"k{i}" for i in range(1_200)]
    known = trained_words(TEXT, [*training, given[0]], [*(f"t{i}" for i in range(900)), "k0"], apart_from=keys)
    assert known["note"].rows == 900
    assert known["note"].words["word0"] == sum("word0" in words(row["note"]) for row in training)
    assert trained_words(TEXT, training[:100]) == {}
    answers = [Answer(label=None)] * len(given)
    profile = build_profile(TEXT, given, answers, None, keys, source="test", vocabulary=VOCABULARY, trained=known)
    opened = sample.opened(profile)
    assert opened is not None
    assert len(opened.texts["note"].held) == 1_200
    state, *found = watch(TEXT, profile, [texts(rng, 600), *(texts(rng, 600, topic=0.15) for _ in range(3))])
    assert sum(state.learners["note"].rules["0"].base) == pytest.approx(1_200)
    assert found[-1].alarm


def test_rules_raise_hardly_any_alarm_while_nothing_changes() -> None:
    alarms, total = 0, 0
    for seed in range(3):
        rng = np.random.default_rng(100 + seed)
        profile = profile_of(TEXT, texts(rng, 1_000))
        state = compare.WatchState(model="m", bundle="m@1")
        for window in range(25):
            rows = seen(TEXT, texts(rng, 500), fresh_keys(window, 500))
            found = compare.update(state, rows, profile, SETTINGS)
            total += 1
            if evidence_of(found, "note.apart") >= np.log(100.0):  # a hundredth of the windows of a budget of 1 in 100
                alarms += 1
                compare.reset(state)
    assert alarms <= stats.poisson.ppf(1 - 1e-6, total / 100.0)


def test_the_state_of_rules_survives_being_stored() -> None:
    rng = np.random.default_rng(4)
    profile = profile_of(TEXT, texts(rng, 1_000))
    state, *_ = watch(TEXT, profile, [texts(rng, 600) for _ in range(2)])
    again = compare.WatchState.from_dict(json.loads(json.dumps(state.as_dict())))
    assert again.learners == state.learners
    old = {name: value for name, value in state.as_dict().items() if name != "learners"}
    assert compare.WatchState.from_dict(old).learners == {}


def test_after_an_incident_rules_go_on_and_count_from_the_beginning() -> None:
    rng = np.random.default_rng(5)
    profile = profile_of(TEXT, texts(rng, 1_000))
    state, *_ = watch(TEXT, profile, [texts(rng, 600) for _ in range(3)])
    before = dict(state.learners["note"].rules)
    compare.reset(state)
    assert state.learners["note"].rules == before
    assert not state.history.totals.any()


def test_a_state_of_rules_as_they_once_were_starts_anew() -> None:
    rng = np.random.default_rng(5)
    profile = profile_of(TEXT, texts(rng, 1_000))
    state, *_ = watch(TEXT, profile, [texts(rng, 600) for _ in range(3)])
    lesson = {"units": 10.0, "counts": {"word1": 3.0}, "keys": [1, 2], "turn": 1}
    old = state.as_dict() | {"v": 2, "learners": {"note": {"lessons": [lesson], "rules": {"0.0": {"born": 3}}}}}
    again = compare.WatchState.from_dict(json.loads(json.dumps(old)))
    assert again.learners == {}
    assert again.number == state.number
    compare.update(again, seen(TEXT, texts(rng, 600), fresh_keys(9, 600)), profile, SETTINGS)


def test_a_profile_without_a_sample_and_personal_texts_have_no_rules() -> None:
    rng = np.random.default_rng(6)
    profile = profile_of(TEXT, texts(rng, 1_000))
    assert learners.subjects(msgspec.structs.replace(profile, sample=None)) == []
    hidden = Contract(
        task=Task.MULTICLASS, target="y", fields=(Field(name="note", type=FieldType.TEXT, pii=Pii.ENCRYPT),)
    )
    assert learners.subjects(profile_of(hidden, texts(rng, 1_000))) == []
    assert profile_of(TEXT, texts(rng, 100)).sample is None


def test_the_sample_holds_whole_keys_on_one_side_and_its_words_are_those_of_the_rows() -> None:
    rng = np.random.default_rng(7)
    given = texts(rng, 1_200)
    keys = [f"k{i // 3}" for i in range(1_200)]
    profile = profile_of(TEXT, given, keys)
    opened = sample.opened(profile)
    assert opened is not None
    assert profile.sample is not None
    sides = [set(part.tolist()) for part in np.split(opened.units, [opened.learned])]
    assert not sides[0] & sides[1]
    held = opened.texts["note"]
    names = list(held.vocabulary)
    first = {names[k] for k in held.places[held.row_of == 0].tolist()}
    row = next(i for i in range(1_200) if set(words(given[i]["note"])) == first)
    assert opened.units[opened.learned] == row // 3


def test_lessons_and_rules_stay_small_whatever_the_traffic() -> None:
    rng = np.random.default_rng(8)
    learner = learners.fresh()
    for _ in range(10):
        own = [{"note": " ".join(f"w{k}" for k in rng.integers(0, 10**6, 8))} for _ in range(1_000)]
        rows = learners.Rows(
            words=[row["note"].split() for row in own],
            columns=np.zeros((1_000, 0)),
            units=rng.integers(0, 2**32, 1_000),
            weights=np.ones(1_000),
        )
        learners.learn(learner, rows, returning=False)
    lots = [lot for lesson in learner.lessons for lot in (lesson.before, lesson.now)]
    assert all(len(lot.counts) <= learners.MOST_LESSON_WORDS for lot in lots)
    assert all(len(lot.keys) <= 2 * learners.LENGTHS[-1] + 1_000 for lot in lots)
    assert all(lot.units <= learners.LENGTHS[-1] + 1_000 for lot in lots)


def test_columns_of_rules_are_in_the_plan_under_one_name() -> None:
    profile = profile_of(TEXT, texts(np.random.default_rng(9), 1_000))
    plan = streams.plan(profile, SETTINGS)
    rules = [item for item in plan.watched if item.subject]
    assert len(rules) == len(learners.places())
    assert {item.name for item in rules} == {"note.apart"}
    assert sum(item.stream.weight for item in plan.watched) == pytest.approx(1.0)
