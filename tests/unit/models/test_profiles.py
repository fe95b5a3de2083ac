from __future__ import annotations

import itertools
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from mainstay.core.contracts import Contract, Field, FieldType, Pii, Task
from mainstay.core.events import Trust
from mainstay.core.profiles import BINS, Profile, SignalKind, SignalProfile
from mainstay.models.answers import Answer
from mainstay.models.profiles import build_profile, design_effect, trained_words

N = 400


def rows_and_answers() -> tuple[list[dict[str, object]], list[Answer], list[str]]:
    draw = np.random.default_rng(1)
    rows = [
        {
            "text": "apple " * int(draw.integers(1, 4)) + ("quux" if i % 4 == 0 else ""),
            "shop": "north" if i % 2 else "south",
            "weight": None if i % 10 == 0 else float(draw.normal(5, 1)),
            "fresh": True,
            "buyer": f"b{i}",
        }
        for i in range(N)
    ]
    answers = [
        Answer(label="fruit", confidence=0.8, trust=Trust.LOW if i % 4 == 0 else Trust.OK, probabilities={"fruit": 0.8})
        for i in range(N)
    ]
    return rows, answers, ["fruit" if i % 5 else "tool" for i in range(N)]


def build(contract: Contract) -> Profile:
    rows, answers, truth = rows_and_answers()
    return build_profile(contract, rows, answers, truth, None, source="test", vocabulary={"text": frozenset({"apple"})})


def signal(profile: Profile, name: str, segment: str = "") -> SignalProfile:
    return next(s for s in profile.signals if (s.name, s.segment) == (name, segment))


def test_counts_add_up_to_the_rows_that_have_the_value(contract: Contract) -> None:
    profile = build(contract)
    for found in profile.signals:
        assert sum(found.counts) == found.rows
        size = len(found.edges) if found.kind is SignalKind.NUMERIC else len(found.values)
        assert len(found.counts) == size + 1
        assert found.edges == sorted(set(found.edges))
    assert signal(profile, "weight").rows == N - N // 10


def test_each_numeric_bin_holds_the_values_from_its_edge_up_to_the_next(contract: Contract) -> None:
    rows, *_ = rows_and_answers()
    found = signal(build(contract), "weight")
    x = np.array([row["weight"] for row in rows if row["weight"] is not None], dtype=float)
    bounds = [-np.inf, *found.edges, np.inf]
    expected = [int(((x >= low) & (x < high)).sum()) for low, high in itertools.pairwise(bounds)]
    assert found.counts == expected
    assert len(found.counts) <= BINS
    assert (found.mean, found.sd) == pytest.approx((x.mean(), x.std()))


def test_zeros_and_ones_have_the_one_edge_between_them(contract: Contract) -> None:
    profile = build(contract)
    assert signal(profile, "answer.low_trust").edges == [0.5]
    assert signal(profile, "answer.low_trust").counts == [N - N // 4, N // 4]
    assert signal(profile, "fresh.missing").counts == [N, 0]


def test_a_constant_signal_can_move_either_way(contract: Contract) -> None:
    found = signal(build(contract), "answer.confidence")
    assert found.counts == [0, N, 0]
    assert np.searchsorted(found.edges, [0.79, 0.8, 0.81], side="right").tolist() == [0, 1, 2]


def test_categories_keep_declared_values_and_a_place_for_others(contract: Contract) -> None:
    found = signal(build(contract), "shop")
    assert (found.values, found.counts) == (["north", "south"], [N // 2, N // 2, 0])
    labels = signal(build(contract), "answer.label")
    assert (labels.values, labels.counts) == (["tool", "fruit"], [0, N, 0])


def test_the_main_signals_stand_per_segment_too(contract: Contract) -> None:
    profile = build(contract)
    assert {s.name for s in profile.signals if s.segment == "shop=north"} == {
        "answer.label",
        "answer.confidence",
        "answer.low_trust",
        "text.unseen",
        "weight",
        "fresh",
    }
    assert "weight=missing" in {s.segment for s in profile.signals}


def test_accuracy_is_known_overall_and_per_segment(contract: Contract) -> None:
    profile = build(contract)
    assert profile.accuracy == pytest.approx(0.8)
    assert profile.mean_confidence == pytest.approx(0.8)
    assert profile.segment_accuracy["shop=north"] == {"rows": N // 2, "accuracy": pytest.approx(0.8)}


def test_words_are_counted_by_row_and_left_out_where_personal(contract: Contract) -> None:
    assert build(contract).words == {"text": {"apple": N, "quux": N // 4}}
    personal = replace(contract, fields=(replace(contract.fields[0], pii=Pii.HASH), *contract.fields[1:]))
    assert build(personal).words == {"text": {}}


def test_harm_follows_the_signal(contract: Contract) -> None:
    harms = {s.name: s.harm for s in build(contract).signals}
    assert harms["answer.label"] == "output"
    assert harms["answer.confidence"] == "quality"
    assert harms["text.unseen"] == "input"
    assert harms["weight.missing"] == "data_fault"


def test_equal_rows_of_a_key_count_as_one() -> None:
    draw = np.random.default_rng(5)
    x = np.repeat(draw.normal(size=200), 10)
    groups = np.repeat(np.arange(200), 10)
    assert design_effect((x - x.mean())[:, None], groups) == pytest.approx(10.0, rel=0.01)
    assert design_effect((x - x.mean())[:, None], np.arange(2000)) == 1.0
    assert design_effect(np.zeros((5, 1)), np.array([0, 0, 1, 1, 2])) == 1.0


def test_rows_without_a_key_are_keys_of_their_own(contract: Contract) -> None:
    rows, answers, truth = rows_and_answers()
    keys = ["same"] * 100 + [None] * (N - 100)
    profile = build_profile(contract, rows, answers, truth, keys, source="test", vocabulary={})
    assert profile.keys == 1 + N - 100


def test_rare_values_are_counted_together_so_that_unseen_ones_have_a_place(contract: Contract) -> None:
    many = replace(contract, fields=(Field(name="shop", type=FieldType.CATEGORY),), key=None)
    shops = ["main"] * 50 + ["side"] * 5 + [f"corner {i}" for i in range(45)]
    answers = [Answer(label="fruit", confidence=0.8)] * 100
    profile = build_profile(many, [{"shop": s} for s in shops], answers, None, None, source="test", vocabulary={})
    found = signal(profile, "shop")
    assert (found.values, found.counts) == (["main", "side"], [50, 5, 45])


def test_of_thousands_of_values_only_those_that_are_surely_the_commonest_are_named(contract: Contract) -> None:
    many = replace(contract, fields=(Field(name="tail", type=FieldType.CATEGORY),), key=None)
    rng = np.random.default_rng(3)
    often = 0.05 + 0.03 * np.arange(3)  # of three values; 3,000 others are about equally common
    law = np.concatenate([often, np.full(3000, (1.0 - often.sum()) / 3000)])
    planes = [f"N{number:04d}" for number in range(len(law))]
    seen, later = (rng.choice(planes, 20_000, p=law).tolist() for _ in range(2))
    answers = [Answer(label="fruit", confidence=0.8)] * len(seen)
    profile = build_profile(many, [{"tail": s} for s in seen], answers, None, None, source="test", vocabulary={})
    found = signal(profile, "tail")
    assert set(planes[:3]) <= set(found.values)
    now = np.isin(later, found.values).mean()
    before = sum(found.counts[:-1]) / len(seen)
    assert abs(now - before) < 0.018, "four standard errors; the first 200 of these rows would make it .047"


def test_declared_values_stand_for_themselves_when_there_are_rows_enough(contract: Contract) -> None:
    names = tuple(f"v{i:02d}" for i in range(20))
    declared = replace(contract, fields=(Field(name="shop", type=FieldType.CATEGORY, values=names),), key=None)
    for rows, expected in ((100, 20), (99, 1)):
        given = [{"shop": "v03"}] * rows
        answers = [Answer(label="fruit", confidence=0.8)] * rows
        profile = build_profile(declared, given, answers, None, None, source="test", vocabulary={})
        assert len(signal(profile, "shop").values) == expected


def test_a_regression_keeps_how_far_its_answers_were_from_the_truth(contract: Contract) -> None:
    price = Contract(task=Task.REGRESSION, target="price", fields=(Field(name="weight", type=FieldType.NUMBER),))
    rows = [{"weight": float(i % 7)} for i in range(40)]
    answers = [Answer(label=row["weight"] + (1.0 if i % 2 else -3.0)) for i, row in enumerate(rows)]
    truth = [row["weight"] for row in rows]
    profile = build_profile(price, rows, answers, truth, None, source="test", vocabulary={})
    found = signal(profile, "labels.error")
    assert (found.harm, found.low, found.high, found.mean) == ("quality", 1.0, 3.0, 2.0)
    assert profile.distinct == 7


def test_a_bundle_holds_nothing_of_hashed_and_dropped_fields_and_no_row_of_any_personal_one() -> None:
    rows = [{"note": f"secret{i} hello", "age": float(i), "city": "Paris", "x": float(i % 7)} for i in range(600)]
    for pii in Pii:
        fields = (
            Field(name="note", type=FieldType.TEXT, pii=pii, required=False),
            Field(name="age", type=FieldType.NUMBER, pii=pii, required=False),
            Field(name="city", type=FieldType.CATEGORY, pii=pii),
            Field(name="x", type=FieldType.NUMBER),
        )
        contract = Contract(task=Task.MULTICLASS, target="y", fields=fields)
        given = {"vocabulary": {"note": frozenset(["hello"])}, "trained": trained_words(contract, rows)}
        profile = build_profile(contract, rows, [Answer(label="a")] * 600, None, None, source="test", **given)
        assert profile.sample is not None
        of_rows = {name.partition(".")[0] for name in profile.sample.names} - {"answer"}
        signals = {signal.name.partition(".")[0] for signal in profile.signals} - {"answer"}
        written = msgspec.json.encode(profile).decode()
        if pii is Pii.KEEP:
            assert {"note", "age", "city", "x"} <= of_rows
            assert profile.trained["note"].words["hello"] == 600
            continue
        assert "secret" not in written
        assert "Paris" not in written
        assert of_rows == {"x"}
        assert not profile.sample.words
        assert not profile.trained
        assert signals == ({"note", "age", "x"} if pii is Pii.ENCRYPT else {"x"})
