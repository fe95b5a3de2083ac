"""Declared features and a golden set through a whole project: trained, served, compared, changed, reproduced."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

import loop_kit
from loop_kit import MODEL, Shop, passed
from mainstay import candidate, reproduce
from mainstay.catalogue import compare, listing
from mainstay.journal import personal
from mainstay.serve import trial
from mainstay.store import releases
from mainstay.testing.clock import FakeClock

FEATURES = """
import mainstay


@mainstay.feature(owner="words", description="In lower case", cost_us=1)
def folded(text: str) -> str:
    return (text or "").lower()
"""
GOLDEN = "text,buyer,kind\n" + "".join(
    f"{word} number{n},gold-{n},{kind}\n"
    for n, (word, kind) in enumerate([("ripe apple jam", "fruit"), ("steel saw blade", "tool")] * 4)
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shared") / "shop"
    patch = pytest.MonkeyPatch()
    patch.setattr(trial, "try_in_server", passed)
    words = 'words = { build = "model:build", input = "text"'
    toml = loop_kit.TOML.replace(words, 'words = { build = "model:build", uses = ["folded"], input = "folded"')
    toml = toml.replace('key = "buyer"\n', 'key = "buyer"\ngolden = { rows = "golden.csv" }\n')
    patch.setattr(loop_kit, "TOML", toml + '[features]\npaths = ["../words"]\n[stress]\nenabled = false\n')
    loop_kit.write_project(folder)
    (folder / "golden.csv").write_text(GOLDEN, encoding="utf-8")
    (folder.parent / "words").mkdir()
    (folder.parent / "words" / "texts.py").write_text(FEATURES, encoding="utf-8")
    made = Shop(folder=folder, clock=FakeClock(datetime(2026, 3, 1, 9, tzinfo=UTC)))
    candidate.deliver_candidate(made.parts())
    made.customers(30)
    yield made
    made.close()
    patch.undo()


def test_what_is_served_is_what_training_makes_until_the_shared_file_changes(shop: Shop) -> None:
    parts = shop.parts()
    found = compare.compare(parts, rows=20)
    assert (found.version, found.rows, found.differing, found.notes) == (f"{MODEL}@1", 20, (), ())
    assert "folded" in found.compared
    (one,) = listing.listing(parts).features
    assert (one.versions, one.pipelines, one.shared) == ((f"{MODEL}@1",), ("words",), True)
    assert listing.listing(parts).changed == ()
    shared = shop.folder.parent / "words" / "texts.py"
    shared.write_text(FEATURES.replace('(text or "").lower()', '(text or "").lower().replace("jam", "jelly")'))
    try:
        changed = compare.compare(parts)
        assert [(one.name, one.what) for one in changed.differing] == [("folded", "code")]
        assert "jelly" in changed.differing[0].examples[0].trained
        assert changed.differing[0].share == changed.differing[0].rows / 30
        (told,) = listing.listing(parts).changed
        assert told.startswith(f"../words/texts.py is not what {MODEL}@1 was trained with")
        with parts.store.read() as tx:
            version = releases.get(tx, MODEL, 1)
        again = reproduce.reproduce(parts, version)
        assert (again.identical, again.shared) == (True, ("../words/texts.py",))
    finally:
        shared.write_text(FEATURES)


def test_labelled_traffic_of_a_golden_key_or_text_is_trained_on_by_nobody(shop: Shop) -> None:
    parts = shop.parts()
    hasher = personal.Hasher(personal.read_or_make_salt(parts.state / "salt"))
    of_golden = shop.customers(2, key_hash=hasher.key_hash("gold-3"))
    others = shop.customers(12)
    shop.label([event.id for event in (*of_golden, *others)])
    shop.turns(1)
    data = candidate._prepare(parts)
    learned = data.train.frame()
    if data.recent is not None:
        learned = learned.select("text").vstack(data.recent.frame().select("text"))
    texts = set(learned["text"].to_list())
    assert {event.inputs["text"] for event in others} <= texts
    assert data.golden is not None
    assert data.golden.snapshot.rows == 8
    golden_only = {event.inputs["text"] for event in of_golden} - {event.inputs["text"] for event in others}
    assert golden_only
    assert golden_only.isdisjoint(texts)


def test_where_the_watch_stands_the_newest_rows_are_read_from_there(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = {event.id for event in shop.customers(12)}
    shop.turns(1)
    parts = shop.parts()
    monkeypatch.setattr(parts.journal, "matching", lambda *_, **__: pytest.fail("the whole journal was read"))
    assert {event.id for event in compare._newest(parts, f"{MODEL}@1", 10)} <= newest
    assert compare.compare(parts, rows=5).rows == 5
