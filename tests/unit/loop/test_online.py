"""An online learner in the loop: what it learns, that it learns it once, and how a state comes to users or is left."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from loop_kit import MODEL, InlineRunner, Shop, dying_at_commit, fared, passed
from mainstay import candidate, errands, loop, project, reproduce, retraining
from mainstay.core.errors import EnvironmentFault, NotEnoughEvidence, NotFound, Refused, StaleTransition
from mainstay.core.events import Arm, Event
from mainstay.journal.vault import Gone
from mainstay.models.own import PICKLE
from mainstay.online import kept, learn, place, told
from mainstay.release import manual
from mainstay.serve import measured, trial
from mainstay.store import feedback, jobs, online, releases
from mainstay.store.jobs import Job
from mainstay.testing.clock import FakeClock
from mainstay.train import online as teaching
from mainstay.train.fit import read_rows
from online_kit import asked, declared, labelled, learned, make_online_shop, states


@pytest.fixture(scope="module")
def river_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = make_online_shop(tmp_path_factory.mktemp("online") / "shop")
    yield made
    made.close()


@pytest.fixture
def shop(river_shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr(trial, "try_in_server", passed)
    monkeypatch.setattr(measured, "in_server", fared)
    made = river_shop.copy(tmp_path / "shop", clock=FakeClock(river_shop.clock.now()))
    yield made
    made.close()


def working(shop: Shop) -> InlineRunner:
    """Return a runner that does what the loop's child would do, where it stands."""

    def work(job: Job) -> str:
        parts = shop.parts()
        if job.kind == "online":
            return learn.batch(parts, least=parts.settings.retrain.online_batch).text
        if job.kind == "train":
            return retraining.offered(parts, by="loop", trigger=str(job.payload["trigger"])).release.name
        check = candidate.known_trial(shop.releases()[int(job.payload["version"])])
        return check.reason

    return InlineRunner(work)


def batch(shop: Shop, **more: Any) -> learn.Learned:
    return learn.batch(shop.parts(), **more)


def pickled(shop: Shop, version: int) -> bytes:
    return shop.parts().open_bundle(shop.releases()[version].digest, original=True).read(PICKLE)


def flipped(pairs: list[tuple[Event, str]]) -> list[tuple[Event, str]]:
    return [(event, "tool" if kind == "fruit" else "fruit") for event, kind in pairs]


def right(shop: Shop, version: int, pairs: list[tuple[Event, str]]) -> float:
    from mainstay.models import answers

    said = answers.answer(shop._model(version), [event.inputs for event, _ in pairs])
    return sum(one.label == kind for one, (_, kind) in zip(said, pairs, strict=True)) / len(pairs)


def test_what_is_learned_reaches_all_users_by_the_loop_itself_and_beats_what_stood_still(shop: Shop) -> None:
    runner = working(shop)
    for _ in range(3):
        labelled(shop, asked(shop, 30))
        shop.turns(2, runner=runner)
        shop.clock.advance(seconds=20)
    shop.turns(4, runner=runner)
    assert [job.kind for job in runner.begun].count("online") >= 2
    made = shop.releases()[2]
    assert made.trigger == "rows:40"
    assert made.facts["online"]["from"]["version"] == "shop@1"
    assert made.pipeline == "words"
    assert shop.stages() == {1: "certified", 2: "shadow"}  # nobody answers otherwise before the rollout says so
    shop.compare([event for event, _ in asked(shop, 60)], version=2)  # in its shadow
    shop.turns(2, runner=runner)
    half = {"assigned_arm": Arm.CHALLENGER, "served_arm": Arm.CHALLENGER, "route_epoch": 99, "key_hash": "k"}
    for more in (half, {"route_epoch": 99}):  # half of the users, then all of them on probation
        shop.compare([event for event, _ in asked(shop, 25, version=2, **more)], version=1)
        shop.turns(2, runner=runner)
    shop.clock.advance(hours=2)
    shop.turns(1, runner=runner)
    assert shop.stages()[2] == "certified"
    fresh = asked(shop, 100, version=2)
    assert right(shop, 2, fresh) > 0.9 > 0.7 > right(shop, 1, fresh)
    standing = told.standing(shop.parts())
    assert standing.version == "shop@2"
    assert standing.learner["newest"] > 0.9 > standing.answered["newest"]  # type: ignore[operator]
    assert standing.learned == len(set(learned(shop, *(state.n for state in states(shop)))))
    # What answers is what was judged, to the byte, and comes out again from its chain.
    assert sha256(pickled(shop, 2)).hexdigest() == made.facts["online"]["digest"]
    found = reproduce.reproduce(shop.parts(), shop.releases()[2])
    assert found.identical
    assert found.begun.startswith("from shop@1, ")
    lines = project.Project.open(shop.folder, environ={}).status().releases
    shown = next(line for line in lines if line.version == 2)
    assert shown.online.startswith(f"from shop@1, {made.facts['online']['since']} labels; accuracy 0.9")
    # What it lacks is named: the bundle that it went on from, the rows of a batch.
    manifest = shop.state / "bundles" / shop.releases()[1].digest / "manifest.json"
    manifest.rename(manifest.with_suffix(".gone"))
    with pytest.raises(EnvironmentFault, match=shop.releases()[1].digest[:8]):
        reproduce.reproduce(shop.parts(), shop.releases()[2])
    manifest.with_suffix(".gone").rename(manifest)
    shutil.rmtree(shop.state / "snapshots" / states(shop)[0].rows)
    with pytest.raises(NotFound, match=states(shop)[0].rows):
        reproduce.reproduce(shop.parts(), shop.releases()[2])


def test_each_label_is_learned_once_also_one_that_comes_late(shop: Shop) -> None:
    first = asked(shop, 60)
    late = asked(shop, 20)
    labelled(shop, first[20:] + late)
    one = batch(shop).state
    assert one is not None
    assert batch(shop).state is None
    labelled(shop, first[:20])  # of requests that happened before all that was learned
    two = batch(shop).state
    assert two is not None
    assert two.parent == one.n
    looked = one.learned + two.learned + sum(one.passed_over.values()) + sum(two.passed_over.values())
    assert looked == 80
    assert len(set(learned(shop, 1, 2))) == one.learned + two.learned
    assert two.mark == one.mark  # the newest event, not the newest label


def test_labels_are_learned_in_the_order_of_their_events_and_those_held_out_never(shop: Shop) -> None:
    pairs = asked(shop, 40) + asked(shop, 40)
    labelled(shop, pairs[::-1])
    state = batch(shop).state
    assert state is not None
    frame = shop.parts().snapshots.open(state.rows).frame()
    times = frame.get_column("_happened").to_list()
    assert times == sorted(times)
    held = {event.key_hash for event, _ in pairs} - set(frame.get_column("_key").to_list())
    assert len(held) == state.passed_over["held_out"] > 10
    assert state.learned == 80 - len(held)


@pytest.mark.parametrize("keep", [True, False])
def test_killed_at_any_commit_nothing_is_learned_twice_and_nothing_is_lost(shop: Shop, *, keep: bool) -> None:
    labelled(shop, asked(shop, 60))
    saved, at = shop.saved(), 0
    calm = batch(shop).state
    assert calm is not None
    ids = learned(shop, 1)
    while True:
        shop.restore(saved)
        at += 1
        parts = shop.parts()
        with dying_at_commit(parts.store, at, keep=keep) as death:
            learn.batch(parts)
        again = learn.batch(shop.parts())
        assert states(shop)[0].digest == calm.digest
        assert len(states(shop)) == 1
        assert learned(shop, 1) == ids
        assert again.state is None or not (keep and death.wrote)
        if not death.came:
            break
    assert at > 1


def test_of_two_learners_that_go_on_at_once_one_has_done_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled(shop, asked(shop, 60))
    meet, inner = threading.Barrier(2), teaching.teach

    def slow(*args: object, **more: object) -> teaching.Taught:
        taught = inner(*args, **more)  # type: ignore[arg-type]
        meet.wait(60)
        return taught

    monkeypatch.setattr(teaching, "teach", slow)
    ended: list[object] = []

    def run(parts: object) -> None:
        try:
            ended.append(learn.batch(parts))  # type: ignore[arg-type]
        except StaleTransition as stale:
            ended.append(stale)

    threads = [threading.Thread(target=run, args=(shop.parts(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(one).__name__ for one in ended) == ["Learned", "StaleTransition"]
    assert [state.n for state in states(shop)] == [1]


def test_a_label_that_was_corrected_or_taken_back_is_unlearned_while_no_version_holds_it(shop: Shop) -> None:
    pairs = asked(shop, 90)
    for part in (pairs[:30], pairs[30:60], pairs[60:]):
        labelled(shop, part)
        assert batch(shop).state is not None
    before = states(shop)
    wrong = learned(shop, 2)[0]
    (event, kind) = next(pair for pair in pairs if pair[0].id == wrong)
    shop.clock.advance(seconds=5)
    labelled(shop, [(event, "tool" if kind == "fruit" else "fruit")], tag="corrected")
    state = batch(shop).state
    assert state is not None
    assert state.parent == 1
    assert "a label that it learned was corrected" in state.why
    assert learned(shop, 1, 4) == learned(shop, 1, 2, 3)  # all of them again, in one batch, that one as it is now
    with shop.parts().store.begin() as tx:
        told_ = feedback.told_about(tx, MODEL, wrong)
        feedback.withdraw(tx, MODEL, told_[-1])
        feedback.withdraw(tx, MODEL, told_[0])
    state = batch(shop).state
    assert state is not None
    assert (state.parent, wrong in learned(shop, 1, 5)) == (1, False)
    assert [one.digest for one in states(shop)[:3]] == [one.digest for one in before]


def test_a_request_that_was_erased_is_unlearned_while_no_version_holds_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = asked(shop, 60)
    labelled(shop, pairs[:30])
    assert batch(shop).state is not None
    labelled(shop, pairs[30:])
    assert batch(shop).state is not None
    gone = next(event for event, _ in pairs if event.id == learned(shop, 2)[3])
    parts = shop.parts()
    inner = type(parts.vault).opened

    def opened(vault: Any, inputs: Any) -> Any:
        return inner(vault, inputs) if inputs != gone.inputs else ({}, {"text": Gone.ERASED})

    monkeypatch.setattr(type(parts.vault), "opened", opened)
    state = learn.batch(parts).state
    assert state is not None
    assert (state.parent, state.passed_over["gone"]) == (1, 1)
    assert "a request that it learned was erased" in state.why
    assert learned(shop, 3) == [id_ for id_ in learned(shop, 2) if id_ != gone.id]


def test_after_a_rollback_it_goes_on_from_the_version_that_answers_again(shop: Shop) -> None:
    labelled(shop, asked(shop, 80))
    made = retraining.by_hand(shop.parts(), by="ann")
    assert made.release.stage.value == "gated"
    labelled(shop, asked(shop, 40))
    assert batch(shop).state is not None  # goes on while the version is on its way
    assert states(shop)[1].parent == 1
    with shop.parts().store.begin() as tx:
        manual.abort(tx, model=MODEL, by="ann", reason="a bad feeling", now=shop.clock.now())
    assert shop.stages()[2] == "rolled_back"
    where = place.read(shop.parts())
    assert (where.start.parent, where.start.line, where.start.aside) == (None, (), (1,))
    assert "shop@2 was rolled back" in where.start.why
    state = batch(shop).state
    assert state is not None
    assert (state.parent, state.base, state.base_digest) == (None, 1, shop.releases()[1].digest)
    assert learned(shop, 3) == learned(shop, 2)  # what version 2 had learned is set aside
    # Proof: its bytes are those of version 1 taught these rows, and of nothing that was taken back.
    parts = shop.parts()
    rows = read_rows(parts.loaded.contract, parts.snapshots.open(state.rows).frame())
    proof = teaching.teach(parts.open_model(shop.releases()[1].digest), pickled(shop, 1), rows, seed=0)
    assert proof.digest == state.digest
    assert [kept.read(parts.state, one.digest) is None for one in states(shop)] == [True, True, False]
    assert told.standing(parts).aside == states(shop)[0].learned
    assert batch(shop).state is None
    more = batch(shop, again=True).state  # a person takes them back in
    assert more is not None
    assert learned(shop, 4) == learned(shop, 1)


def test_poisoned_labels_are_refused_by_the_gate_and_not_gone_on_from(shop: Shop) -> None:
    pairs = asked(shop, 600, new=0.0)
    labelled(shop, flipped(pairs))
    made = retraining.offered(shop.parts(), by="loop", trigger="rows:40")
    assert made.release.stage.value == "refused"
    assert not made.gate_report.passed
    labelled(shop, asked(shop, 80))
    better = retraining.offered(shop.parts(), by="loop", trigger="rows:40")
    assert better.gate_report.passed
    state = states(shop)[1]
    assert (state.parent, state.why) == (
        None,
        "goes on from shop@1, which answers: left is what came after, as shop@2 was refused by its gate",
    )
    assert set(learned(shop, 2)).isdisjoint(learned(shop, 1))


def test_labels_of_one_key_count_only_so_often_and_those_that_contradict_hold_it(shop: Shop) -> None:
    loud = asked(shop, 60)
    events = shop.write(
        lambda seq: [
            shop._event(
                seq + n,
                0,
                id=f"loud{n}",
                key_hash=loud[1][0].key_hash,
                unit=f"loud{n}",
                bundle=event.bundle,
                inputs=event.inputs,
                label=event.label,
            )
            for n, (event, _) in enumerate(loud[:30])
        ]
    )
    shop.said += events
    labelled(shop, [*loud[30:], *((event, kind) for event, (_, kind) in zip(events, loud, strict=False))])
    state = batch(shop).state
    assert state is not None
    of_key = 30 - state.passed_over.get("cap", 0)
    assert of_key in (20, 30)  # 30: the key is held out, all of it
    # The same inputs from two sides, labelled in two ways: nothing is learned of such a stream.
    both = asked(shop, 30)
    twins = shop.write(
        lambda seq: [
            shop._event(seq + n, 0, id=f"twin{n}", key_hash=f"t{n}", unit=f"t{n}", bundle="shop@1", inputs=event.inputs)
            for n, (event, _) in enumerate(both)
        ]
    )
    labelled(shop, both)
    labelled(shop, flipped([(event, kind) for event, (_, kind) in zip(twins, both, strict=True)]))
    done = batch(shop)
    assert done.state is None
    assert [check.name for check in done.against] == ["labels_agree"]
    with pytest.raises(Refused, match="contradict"):
        learn.refuse(done)


def test_a_version_that_was_trained_anew_is_gone_on_from_and_knows_its_labels(shop: Shop) -> None:
    labelled(shop, asked(shop, 60))
    assert batch(shop).state is not None
    shop.clock.advance(hours=1)
    candidate.deliver_candidate(shop.parts())
    parts = shop.parts()
    with parts.store.begin() as tx:  # as a person brings it to everybody
        manual.promote(tx, model=MODEL, version=2, by="ann", reason="now", now=shop.clock.now(), force=True)
    with parts.store.read() as tx:
        assert releases.live(tx, MODEL).version == 2  # type: ignore[union-attr]
    assert batch(shop).state is None  # all that came before its training it knows
    labelled(shop, asked(shop, 30, version=2))
    state = batch(shop).state
    assert state is not None
    assert (state.parent, state.base) == (None, 2)
    assert state.learned + sum(state.passed_over.values()) == 30


def test_a_version_trained_as_of_a_moment_is_gone_on_from_with_every_label_that_came_later(shop: Shop) -> None:
    before = asked(shop, 60)
    labelled(shop, before)
    assert batch(shop).state is not None
    shop.clock.advance(hours=1)
    then = shop.clock.now()
    shop.clock.advance(hours=1)
    later = asked(shop, 30)
    labelled(shop, later)
    assert batch(shop).state is not None
    shop.clock.advance(hours=1)
    retraining.by_hand(shop.parts(), by="ann", anyway="the afternoon was poisoned", as_of=then)
    parts = shop.parts()
    with parts.store.begin() as tx:
        manual.promote(tx, model=MODEL, version=2, by="ann", reason="now", now=shop.clock.now(), force=True)
        version = releases.get(tx, MODEL, 2)
    known = parts.snapshots.open(version.snapshot)
    texts = set(known.frame().get_column("text").to_list())
    assert not texts & {event.inputs["text"] for event, _ in later}
    assert len(texts & {event.inputs["text"] for event, _ in before}) > 30  # some keys are held out for ever
    state = batch(shop).state
    assert state is not None
    assert (state.parent, state.base) == (None, 2)
    with parts.store.read() as tx:
        seen = {one.id for _, one in online.seen(tx, MODEL, [(state.n, state.n)])}
    assert seen == {event.id for event, _ in later}


def test_a_golden_row_and_a_test_row_are_never_learned(shop: Shop) -> None:
    pairs = asked(shop, 40)
    lines = (shop.folder / "test.csv").read_text().splitlines()[1:21]
    texts = [line.split(",")[0] for line in lines]
    copies = shop.write(
        lambda seq: [
            shop._event(
                seq + n, 0, id=f"copy{n}", key_hash=f"c{n}", unit=f"c{n}", bundle="shop@1", inputs={"text": text}
            )
            for n, text in enumerate(texts)
        ]
    )
    labelled(shop, [*pairs, *((event, line.rsplit(",", 1)[1]) for event, line in zip(copies, lines, strict=True))])
    state = batch(shop).state
    assert state is not None
    assert state.passed_over["test"] == 20
    assert not any(id_.startswith("copy") for id_ in learned(shop, 1))


def test_while_a_field_is_broken_nothing_is_learned_and_the_loop_asks_seldom(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mainstay.core.verdicts import Check, Verdict

    no = Check(name="fields_whole", question="?", verdict=Verdict.NOT_ENOUGH, reason="incident 4: text is empty")
    monkeypatch.setattr("mainstay.online.learn.guard.allow", lambda *_: [no])
    parts, runner = shop.parts(), working(shop)
    labelled(shop, asked(shop, 60))
    for _ in range(4):
        loop._online(parts, runner)
        errands.turn(parts, runner)
        shop.clock.advance(seconds=30)
    errands.turn(parts, runner)
    assert states(shop) == []
    assert len([job for job in runner.begun if job.kind == "online"]) == 1
    assert "incident 4" in str(job_results(shop))


def job_results(shop: Shop) -> list[object]:
    with shop.parts().store.read() as tx:
        return [job.result for job in jobs.list_(tx, MODEL, kind="online")]


def test_bytes_that_are_gone_or_were_changed_are_not_gone_on_from(shop: Shop) -> None:
    labelled(shop, asked(shop, 30))
    labelled(shop, [])
    assert batch(shop).state is not None
    labelled(shop, asked(shop, 30))
    assert batch(shop).state is not None
    (shop.state / "online" / f"{states(shop)[1].digest}.pkl").write_bytes(b"other")
    labelled(shop, asked(shop, 30))
    state = batch(shop).state
    assert state is not None
    assert state.parent == 1
    assert learned(shop, 1, 3) == sorted({*learned(shop, 1, 2), *learned(shop, 1, 3)})


def test_by_hand_it_is_asked_for_offered_and_told(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from mainstay.cli.main import app

    monkeypatch.setattr(project.Project, "parts", shop.parts())

    def run(*argv: str) -> str:
        return CliRunner().invoke(app, [*argv, "--project", str(shop.folder)]).stdout

    assert "0 labels wait, 1 make a batch" in run("online", "learn")
    with pytest.raises(NotEnoughEvidence, match="nothing was learned since shop@1"):
        retraining.offered(shop.parts(), by="ann")
    labelled(shop, asked(shop, 60))
    assert "60 wait" in run("online", "status")
    assert "state 1: " in run("online", "learn")
    text = run("online", "status")
    assert "goes on from state 1" in text
    assert "each before it was learned" in text


def test_settings_that_ask_for_a_fit_from_nothing_do_not_go_with_it(tmp_path: Path) -> None:
    from mainstay.config import load as config
    from mainstay.core.errors import ProjectFileError

    file = tmp_path / "mainstay.toml"
    for line in ('suspects = "leave_out"', 'pipelines = ["words"]'):
        name, _, value = line.partition(" = ")
        file.write_text(declared(**{name: value}))
        with pytest.raises(ProjectFileError) as caught:
            config.load(file, environ={})
        assert "retrain.online" in str(caught.value.problems)
