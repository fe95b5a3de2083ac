"""Draws in the journal, through the loop: who judges the model sees the model, and logs tell of other versions."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from loop_kit import MODEL, WORDS, Shop
from mainstay import ingest as taking
from mainstay.core.errors import NotEnoughEvidence, UsageError
from mainstay.core.events import Event, Feedback, Kind
from mainstay.core.exploration import How, Rule
from mainstay.exploring import estimates, show
from mainstay.models import answers
from mainstay.models.answers import Answer
from mainstay.release import ingest
from mainstay.replay import _draw
from mainstay.retrain import dataset, selective
from mainstay.serve.explorer import Explorer
from mainstay.status import read as status
from mainstay.store import feedback, pairs
from mainstay.watch import rewards

SALT = "5a" * 32
CLICKS = "[watch.rewards.click]\nabsent = 0\nwait_hours = 0\nfloor = 0.1\n"


def truth_of(event: Event) -> str:
    return max(sorted(WORDS), key=lambda kind: sum(word in event.inputs["text"] for word in WORDS[kind]))


def exploring(shop: Shop, share: float = 0.5, how: How = How.UNIFORM, labels: tuple[str, ...] = ()) -> Shop:
    """Let the shop's server draw a share of the answers."""
    explorer = Explorer(Rule(share=share, how=how, labels=labels), model=MODEL, salt=SALT)
    plain = shop._event

    def drawn(seq: int, number: int, *, answer: Answer | None = None, **more: Any) -> Event:
        event: Event = plain(seq, number, answer=answer, **more)
        if answer is None:
            return event
        return msgspec.structs.replace(event, explored=explorer.of_answer(answer, event.id))

    shop._event = drawn
    file = shop.folder / "mainstay.toml"
    quiet = file.read_text().replace('on = ["rows:60"]', "on = []")  # nothing is to be trained here
    file.write_text(quiet.replace("[rollout]", f"{CLICKS}[serve.explore]\nshare = {share}\n[rollout]"))
    return shop


def tell(shop: Shop, items: list[tuple[str, str, str, object]]) -> None:
    """Write feedback: id, kind, name, value."""
    now = shop.clock.now()

    def make(seq: int) -> list[Event]:
        return [
            shop._event(
                seq + n,
                0,
                kind=Kind.FEEDBACK,
                id=id_,
                feedback=Feedback(
                    id=id_, feedback_id=f"{name}-{id_}", kind=kind, name=name, value=value, at=now, by="anna"
                ),
            )
            for n, (id_, kind, name, value) in enumerate(items)
        ]

    shop.write(make)


def taken_in(shop: Shop) -> None:
    """Join what was told with its predictions; nothing else of a turn is needed here."""
    parts = shop.parts()
    taking.take_feedback(parts.store, parts.journal, model=MODEL, contract=parts.loaded.contract)


def clicking(shop: Shop, count: int = 400, *, slang: float = 0.3) -> list[Event]:
    """Let users ask, and click where they were given what they meant."""
    asked = shop.customers(count, slang=slang)
    tell(shop, [(e.id, "reward", "click", 1) for e in asked if e.given == truth_of(e)])
    shop.clock.advance(hours=2)
    taken_in(shop)
    return asked


def test_what_a_version_would_bring_is_told_from_logs_of_another(shop: Shop) -> None:
    asked = clicking(exploring(shop))
    real = {
        number: np.mean([a.label == truth_of(e) for a, e in zip(said, asked, strict=True)])
        for number, said in ((1, asked), (2, answers_of(shop, 2, asked)))
    }
    found = estimates.estimate(shop.parts(), reward="click", version=1)
    assert (found.rows, found.answered, found.drawable, found.silent) == (400, 400, 400, 0)
    assert 150 <= found.drawn <= 250  # 5 standard deviations
    for way in (found.version.value.snips, found.version.value.ips, found.version.value.doubly_robust):
        assert way is not None
        assert way.low <= real[1] <= way.high
    other = estimates.estimate(shop.parts(), reward="click", version=2, against=1)
    assert other.version.value.snips is not None
    assert other.version.value.snips.low <= real[2] <= other.version.value.snips.high
    assert other.more is not None
    assert other.more[1] <= real[2] - real[1] <= other.more[2]
    assert found.logged is not None
    assert found.logged.value < real[1]  # draws cost something
    assert any("SNIPS" in line for line in estimates.sentences(other))


def answers_of(shop: Shop, version: int, asked: list[Event]) -> list[Answer]:
    return answers.answer(shop._model(version), [event.inputs for event in asked])


def test_without_draws_nothing_is_told_and_a_strange_reward_is_refused(shop: Shop) -> None:
    shop.customers(60)
    with pytest.raises(NotEnoughEvidence, match="0 keys were answered with a known chance"):
        estimates.estimate(shop.parts(), reward="kind", version=1)
    with pytest.raises(UsageError, match="'money' is no reward of shop"):
        estimates.estimate(shop.parts(), reward="money", version=1)


def test_the_target_as_reward_asks_whether_what_was_given_was_right(shop: Shop) -> None:
    asked = exploring(shop).customers(240, slang=0.3)
    tell(shop, [(e.id, "label", "kind", truth_of(e)) for e in asked])
    shop.clock.advance(hours=1)
    taken_in(shop)
    found = estimates.estimate(shop.parts(), reward="kind", version=1)
    assert found.version.value.snips is not None
    real = np.mean([e.label == truth_of(e) for e in asked])
    assert found.version.value.snips.low <= real <= found.version.value.snips.high
    assert found.logged is not None
    assert found.logged.value == pytest.approx(np.mean([e.given == truth_of(e) for e in asked]))


def test_a_reward_of_a_draw_is_no_versions_and_a_label_speaks_of_what_the_model_said(shop: Shop) -> None:
    asked = clicking(exploring(shop))
    shop.turns(1)
    parts = shop.parts()
    with parts.store.read() as tx:
        means = {(m.arm, m.rows): m for m in rewards.means(tx, MODEL, parts.settings.watch, shop.clock.now())}
    drawn = [e for e in asked if e.explored and e.explored.drawn]
    greedy = [e for e in asked if e not in drawn]
    assert set(means) == {("champion", len(greedy)), ("explored", len(drawn))}
    kept = means["champion", len(greedy)].mean
    assert kept == pytest.approx(np.mean([e.label == truth_of(e) for e in greedy]))
    assert means["explored", len(drawn)].mean < kept - 0.1
    changed = [e for e in asked if e.given != e.label]
    tell(shop, [(e.id, "label", "kind", e.label) for e in changed])  # the model was right, what was given was not
    taken_in(shop)
    with parts.store.read() as tx:
        told = [one for one in feedback.labels(tx, MODEL, limit=5000) if one.name == "kind"]
    assert len(told) == len(changed)
    assert all(one.correct and one.given != one.label and one.explored["drawn"] for one in told)


def test_a_pair_whose_user_saw_a_draw_stands_at_no_step_and_tells_what_the_models_said(shop: Shop) -> None:
    exploring(shop, share=1.0, labels=("fruit",))
    event = shop.customers(1)[0]
    [shadow] = shop.compare([event], version=2)
    paired = shadow.paired
    assert paired is not None
    release = shop.releases()[2]
    for drawn, step in ((True, ingest.UNCOUNTED_STEP), (False, 1)):
        record = msgspec.structs.replace(shadow, paired=msgspec.structs.replace(paired, drawn=drawn))
        pair = ingest.pair_of(record, release=release, champion=f"{MODEL}@1", step=1)
        assert isinstance(pair, pairs.Pair)
        assert (pair.step, pair.champion_label) == (step, event.label)


def test_labels_that_come_only_for_one_answer_are_told_and_draws_mend_it(shop: Shop, tmp_path: Path) -> None:
    mended = exploring(shop.copy(tmp_path / "mended"), share=0.3)
    file = shop.folder / "mainstay.toml"
    file.write_text(file.read_text().replace('on = ["rows:60"]', "on = []"))
    for one in (shop, mended):
        asked = one.customers(150)
        tell(one, [(e.id, "label", "kind", truth_of(e)) for e in asked if e.given == "fruit"])
        one.turns(1)
    texts = []
    for one in (shop, mended):
        parts = one.parts()
        with parts.store.read() as tx:
            found = selective.look(tx, MODEL, parts.settings)
        assert found is not None
        texts.append(found.text)
        assert show.show(parts, None).labels == found
    assert "nobody labelled an answer tool" in texts[0]
    assert texts[1] == ""
    parts = shop.parts()
    with parts.store.read() as tx:
        told = status.read(
            tx,
            settings=parts.settings,
            run=parts.state / "run",
            now=shop.clock.now(),
            alive_within=timedelta(seconds=30),
        )
    assert told.selective == texts[0]


def test_a_replay_repeats_the_draw_by_the_salt_alone(shop: Shop) -> None:
    asked = exploring(shop).customers(5)
    parts = shop.parts()
    salt = parts.state / "salt"
    assert "there is no salt here" in _draw(parts, asked[0])
    salt.write_text(SALT)
    assert all("given with chance" in _draw(parts, e) and "salt" not in _draw(parts, e) for e in asked)
    salt.write_text("00" * 32)
    assert any("another one now" in _draw(parts, e) for e in asked)


def test_explored_labels_are_weighed_by_one_over_their_chance_where_that_is_declared(shop: Shop) -> None:
    exploring(shop, share=0.4)
    file = shop.folder / "mainstay.toml"
    file.write_text(file.read_text().replace("[retrain]", '[retrain]\nexplored = "weigh"'))
    asked = shop.customers(400)
    tell(shop, [(e.id, "label", "kind", truth_of(e)) for e in asked if e.given == "fruit"])
    taken_in(shop)
    parts = shop.parts()
    with parts.store.read() as tx:
        frame = dataset.labelled_rows(tx, MODEL, parts.settings)
    weights = frame.get_column(dataset.WEIGHT).to_numpy()
    chances = {e.id: e.explored.propensity for e in asked if e.explored}
    raw = np.array([1 / chances[id_] for id_ in frame.get_column("_id")])
    assert weights == pytest.approx(raw / raw.mean())
    # The labelled speak for all who asked: the share of tools among them, weighed, is that of everybody.
    tools = np.array([value == "tool" for value in frame.get_column("kind")])
    everybody = np.mean([truth_of(e) == "tool" for e in asked])
    assert tools.mean() < everybody - 0.15
    error = np.sqrt(((weights * (tools - everybody)) ** 2).sum()) / weights.sum()
    assert abs(np.average(tools, weights=weights) - everybody) < 4.9 * error  # fails once in a million


def test_what_was_drawn_is_shown_answer_by_answer(shop: Shop) -> None:
    asked = exploring(shop).customers(100)
    shop.clock.advance(hours=1)
    rule = Rule(share=0.5, how=How.UNIFORM)
    found = show.show(shop.parts(), rule)
    assert (found.answered, found.drawable) == (100, 100)
    assert {one.answer: (one.said, one.given) for one in found.lines} == {
        kind: (sum(e.label == kind for e in asked), sum(e.given == kind for e in asked)) for kind in ("fruit", "tool")
    }
    assert {one.least for one in found.lines} == {0.25}
    assert any("share of 0.5" in line for line in show.sentences(found))
