"""What a version would bring of a ranking, from logs in which every draw came as often as its chance says."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import ranking_kit
from mainstay import wiring
from mainstay.core.errors import NotEnoughEvidence
from mainstay.core.events import Arm, Event, Explored, Kind
from mainstay.core.exploration import How, Rule
from mainstay.core.releases import Release, Stage
from mainstay.exploring import estimates
from mainstay.exploring.estimates import OfVersion
from mainstay.journal.writer import SegmentWriter
from mainstay.models.inputs import InputSpec
from mainstay.parts import Parts
from mainstay.serve import explorer
from mainstay.serve.explorer import Explorer
from mainstay.stats.ordering import ranks
from mainstay.store import feedback, releases
from mainstay.testing.clock import FakeClock
from mainstay.train.fit import Pipeline, as_model

MODEL = "search"
GROUPS, CANDIDATES = 34, 4
CLICKS = "[watch.rewards.click]\nabsent = 0\nwait_hours = 0\n"
EXAMINED = 1.0 / np.arange(1, CANDIDATES + 1)
"""How often the candidate on a place is looked at; a click is that times how well the text matches."""
Draw = Mapping[str, float]
"""The number of each decision of one draw."""


@dataclass
class Search:
    """A project that ranks by popularity (version 1), and versions that would rank by something else."""

    parts: Parts
    truth: dict[int, list[float]] = field(default_factory=dict)
    """Of version: what each candidate on one of its first places brings."""

    def add(self, version: int, weights: Mapping[str, float], stage: Stage) -> None:
        now = self.parts.clock.now()
        release = Release(model=MODEL, version=version, stage=stage, since=now, created_at=now, digest=str(version))
        with self.parts.store.begin() as tx:
            releases.add(tx, release)
        names = ("price_gap", "text_match", "popularity")
        model = LinearRegression().fit(pd.DataFrame(np.eye(3), columns=names), np.zeros(3))
        model.coef_, model.intercept_ = np.array([weights.get(name, 0.0) for name in names]), 0.0
        spec = InputSpec(takes=names)
        pipeline = Pipeline(name="ranker", build=lambda _: model, params={}, spec=spec)
        self.parts._models[str(version)] = as_model(pipeline, self.parts.loaded.contract, model, ())
        self.truth[version] = []

    def log(
        self,
        rule: Rule,
        draws: Sequence[Draw],
        monkeypatch: pytest.MonkeyPatch,
        wanted: Callable[[list[int]], list[float]],
        brought: Callable[[float, int], float] = lambda match, place: match * EXAMINED[place - 1],
        keyed: bool = True,
    ) -> list[Event]:
        """Log every group once with each of the draws; `wanted`: what version 2 ranks by, from version 1's places."""
        rng = np.random.default_rng(3)
        events: list[Event] = []
        rewards: list[float] = []
        drawing = Explorer(rule, model=MODEL, salt="5a" * 32)
        for group in range(GROUPS):
            match = rng.uniform(0.1, 0.9, CANDIDATES)
            popularity = np.argsort(np.argsort(match + rng.normal(0.0, 0.1, CANDIDATES))).astype(float)
            own = ranks(popularity.tolist())
            gap = wanted(own)
            for version, scores in ((1, popularity.tolist()), (2, gap)):
                self.truth[version] += [
                    brought(m, k) for m, k in zip(match, ranks(scores), strict=True) if k <= rule.top
                ]
            for copy, draw in enumerate(draws):
                monkeypatch.setattr(explorer, "uniforms", lambda *_, draw=draw: draw.__getitem__)
                how = drawing.of_group(own, f"{group}-{copy}-0")
                assert how is not None
                inputs = [
                    {"query_id": f"q{group}", "price_gap": g, "text_match": float(m), "popularity": p}
                    for g, m, p in zip(gap, match, popularity.tolist(), strict=True)
                ]
                for place, (given, values) in enumerate(zip(how, inputs, strict=True)):
                    key = f"k{group}" if keyed else ""
                    events.append(self._event(len(events) + 1, f"{group}-{copy}-{place}", values, given, key))
                    rewards.append(brought(values["text_match"], given.rank))
        with SegmentWriter(self.parts.journal.folder, "w0", durability="none", segment_mb=8) as out:
            out.commit(events)
        self.reward(events, rewards)
        self.parts.clock.advance(hours=2)  # type: ignore[attr-defined]
        return events

    def reward(self, events: Sequence[Event], rewards: Sequence[float]) -> None:
        """Keep what was brought; nothing is told of what brought nothing."""
        with self.parts.store.begin() as tx:
            for event, value in zip(events, rewards, strict=True):
                if value:
                    feedback.grade(tx, _graded(event, value))

    def _event(self, seq: int, id_: str, inputs: dict[str, Any], explored: Explored, key: str) -> Event:
        at = self.parts.clock.now() + timedelta(milliseconds=seq)
        return Event(
            model=MODEL,
            worker="w0",
            seq=seq,
            id=id_,
            kind=Kind.PREDICTION,
            occurred_at=at,
            received_at=at,
            key_hash=key,
            unit=id_,
            bundle=f"{MODEL}@1",
            assigned_arm=Arm.CHAMPION,
            served_arm=Arm.CHAMPION,
            label=inputs["popularity"],
            inputs=inputs,
            explored=explored,
        )


def _graded(event: Event, value: float) -> feedback.Graded:
    return feedback.Graded(
        model=MODEL,
        id=event.id,
        name="click",
        value=value,
        at=event.occurred_at,
        feedback_id=f"click-{event.id}",
        bundle=event.bundle or "",
        served_arm="champion",
        key_hash=event.key_hash,
        unit=event.unit,
        occurred_at=event.occurred_at,
        label=event.label,
        confidence=None,
        correct=None,
    )


@pytest.fixture
def search(tmp_path: Path) -> Iterator[Search]:
    folder = tmp_path / "search"
    ranking_kit.write_project(folder, queries=5, toml=ranking_kit.TOML + CLICKS)
    made = Search(parts=wiring.assemble(folder, environ={}, clock=FakeClock()))
    made.add(1, {"popularity": 1.0}, Stage.CERTIFIED)
    made.add(2, {"price_gap": 1.0}, Stage.GATED)
    yield made
    made.parts.close()


NO_DRAW: Draw = {"coin": 0.999}


def swaps() -> tuple[Rule, list[Draw]]:
    """Half of the draws is made: each of two pairs of neighbours a quarter."""
    made: list[Draw] = [{"coin": 0.0, "answer": u} for u in (0.25, 0.75)]
    return Rule(share=0.5, how=How.SWAP, top=3), [NO_DRAW, NO_DRAW, *made]


def shuffles() -> tuple[Rule, list[Draw]]:
    """Six tenths: each of the six orders of three a tenth."""
    orders = itertools.permutations((0.2, 0.4, 0.6))
    made: list[Draw] = [{"coin": 0.0, **{f"place {k}": u for k, u in enumerate(order, 1)}} for order in orders]
    return Rule(share=0.6, how=How.SHUFFLE, top=3), [NO_DRAW] * 4 + made


def inserts() -> tuple[Rule, list[Draw]]:
    """Half: each of two candidates from below on each of two places an eighth."""
    made: list[Draw] = [
        {"coin": 0.0, "answer": (which + 0.5) / 2, "place": (where + 0.5) / 2} for which in range(2) for where in (0, 1)
    ]
    return Rule(share=0.5, how=How.INSERT, top=2), [NO_DRAW] * 4 + made


def placing(*order: int) -> Callable[[list[int]], list[float]]:
    """Return what makes version 2 show version 1's candidates in this order, by their places there."""
    return lambda own: [-float(order.index(place)) for place in own]


def values(found: OfVersion) -> list[float]:
    assert found.value.snips is not None
    assert found.value.ips is not None
    return [found.value.snips.value, found.value.ips.value]


@pytest.mark.parametrize(
    ("drawn", "order"),
    [
        (swaps, (2, 1, 3, 4)),
        (swaps, (1, 3, 2, 4)),
        (shuffles, (3, 2, 1, 4)),
        (shuffles, (2, 3, 1, 4)),
        (inserts, (4, 1, 2, 3)),
        (inserts, (4, 3, 1, 2)),
    ],
)
def test_where_every_draw_came_as_often_as_its_chance_says_the_truth_comes_out_exactly(
    search: Search,
    drawn: Callable[[], tuple[Rule, list[Draw]]],
    order: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rule, draws = drawn()
    search.log(rule, draws, monkeypatch, placing(*order))
    found = estimates.estimate(search.parts, reward="click", version=2)
    assert found.places == rule.top
    assert found.rows == found.drawable == GROUPS * CANDIDATES * len(draws)
    first, second = np.mean(search.truth[1]), np.mean(search.truth[2])
    assert abs(first - second) > 0.005
    assert values(found.version) == pytest.approx([second, second])
    assert found.against is not None
    assert values(found.against) == pytest.approx([first, first])
    assert found.version.value.doubly_robust is None  # nothing guesses what a candidate brings on another place
    assert found.more is not None
    assert found.more[0] == pytest.approx(second - first)
    assert f"of a candidate on one of the first {rule.top} places" in " ".join(estimates.sentences(found))


def test_what_a_swap_never_did_is_refused(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    rule, draws = swaps()
    search.log(rule, draws, monkeypatch, placing(3, 2, 1, 4))
    with pytest.raises(NotEnoughEvidence, match="never done there"):
        estimates.estimate(search.parts, reward="click", version=2)
    assert estimates.estimate(search.parts, reward="click", version=1).against is None


def test_a_group_is_ordered_as_a_whole_also_where_some_candidates_have_no_reward(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = search.parts.loaded.root / "mainstay.toml"
    file.write_text(file.read_text().replace("absent = 0\nwait_hours = 0", "floor = 0.001"))
    reopened = wiring.assemble(search.parts.loaded.root, environ={}, clock=search.parts.clock)
    reopened._models = search.parts._models
    search.parts.close()
    search.parts = reopened
    rule, once = swaps()
    draws = once * 2
    # Only candidates on the first place of version 2 are told of: without the others no group would be whole.
    search.log(rule, draws, monkeypatch, placing(2, 1, 3, 4), brought=lambda match, place: match * float(place == 1))
    found = estimates.estimate(search.parts, reward="click", version=2)
    assert (found.rows, found.silent) == (GROUPS * len(draws), GROUPS * len(draws) * (CANDIDATES - 1))
    assert found.version.left_out == 0
    told = [one for one in search.truth[2] if one]
    assert values(found.version)[0] == pytest.approx(np.mean(told))


def test_of_a_group_with_a_candidate_that_cannot_be_asked_again_nothing_is_told(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule, draws = swaps()  # 11 of the 34 groups lack a value
    broken = SegmentWriter.commit

    def lacking(self: SegmentWriter, events: Sequence[Event]) -> None:
        for event in events:
            if event.id.endswith("-3") and event.id.startswith("1"):  # one of a group
                event.inputs["price_gap"] = None
        broken(self, events)

    monkeypatch.setattr(SegmentWriter, "commit", lacking)
    search.log(rule, draws, monkeypatch, placing(2, 1, 3, 4))
    with pytest.raises(NotEnoughEvidence, match="32% of the requests can't be asked again"):
        estimates.estimate(search.parts, reward="click", version=2)


def test_without_keys_the_candidates_of_a_group_are_one_piece_of_evidence(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule, draws = swaps()
    search.log(rule, draws, monkeypatch, placing(2, 1, 3, 4), keyed=False)
    found = estimates.estimate(search.parts, reward="click", version=2)
    assert found.version.value.snips is not None
    assert found.version.value.snips.keys == GROUPS * len(draws)
