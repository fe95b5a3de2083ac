"""A shop whose model goes on learning: a River model of words, and customers who come to use other words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from loop_kit import CODE, MODEL, TOML, WORDS, FakeRegistry, Shop, fared, write_project
from mainstay import candidate, ingest
from mainstay.core.events import Event
from mainstay.models import answers
from mainstay.serve import measured, trial
from mainstay.store import online
from mainstay.testing.clock import FakeClock

RIVER = """

def build_river(params):
    from river import feature_extraction, naive_bayes
    return feature_extraction.BagOfWords() | naive_bayes.MultinomialNB(alpha=0.5)


def build_partial(params):
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import SGDClassifier
    return make_pipeline(HashingVectorizer(n_features=512), SGDClassifier(loss="log_loss"))
"""
NEW = {"fruit": ("kiwi", "mango", "papaya", "lychee", "guava"), "tool": ("drill", "wrench", "chisel", "clamp", "vise")}
"""What the same things are called after the season changed."""


def declared(build: str = "build_river", **retrain: str) -> str:
    lines = "".join(f"{name} = {value}\n" for name, value in retrain.items())
    start, end = TOML.index("words = {"), TOML.index("[gate]")
    pipeline = f'words = {{ build = "model:{build}", input = "text" }}\n'
    return (TOML[:start] + pipeline + TOML[end:]).replace(
        'on = ["rows:60"]\npipelines = ["third"]\n', f"online = true\nonline_batch = 20\n{lines}"
    ).replace('calibrate = "none"', 'calibrate = "out_of_fold"') + "[stress]\nenabled = false\n"


def make_online_shop(folder: Path, build: str = "build_river") -> Shop:
    """Return a shop whose version 1 answers."""
    write_project(folder)
    (folder / "mainstay.toml").write_text(declared(build))
    (folder / "model.py").write_text(CODE + RIVER)
    shop = Shop(folder=folder, clock=FakeClock(), registry=FakeRegistry())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measured, "in_server", fared)
        patch.setattr(trial, "try_in_server", lambda *_, **__: fared().answers)
        candidate.deliver_candidate(shop.parts())
    assert shop.stages() == {1: "certified"}
    return shop


def asked(shop: Shop, count: int, *, new: float = 1.0, version: int = 1, **more: Any) -> list[tuple[Event, str]]:
    """Let customers ask, a share in new words; return what was answered with what is true."""
    rows, kinds = [], []
    for number in range(len(shop.said), len(shop.said) + count):
        kind = shop.luck.choice(sorted(WORDS))
        words = NEW if shop.luck.random() < new else WORDS
        rows.append({"text": " ".join([*shop.luck.choices(words[kind], k=4), f"n{number}"]), "buyer": f"b{number}"})
        kinds.append(kind)
    told = answers.answer(shop._model(version), rows)
    first = len(shop.said)
    shop.clock.advance(seconds=60)
    events = shop.write(
        lambda seq: [
            shop._event(seq + n, first + n, bundle=f"{MODEL}@{version}", inputs=row, answer=answer, **more)
            for n, (row, answer) in enumerate(zip(rows, told, strict=True))
        ]
    )
    shop.said += events
    return list(zip(events, kinds, strict=True))


def labelled(shop: Shop, pairs: Sequence[tuple[Event, str]], *, tag: str = "f") -> None:
    """Tell the truth of what was asked, and let the loop join it."""
    for kind in sorted(WORDS):
        shop.label([event.id for event, said in pairs if said == kind], value=kind, tag=tag)
    parts = shop.parts()
    ingest.take_feedback(parts.store, parts.journal, model=MODEL, contract=parts.loaded.contract)


def states(shop: Shop) -> list[online.State]:
    with shop.parts().store.read() as tx:
        return online.states(tx, MODEL)


def learned(shop: Shop, *numbers: int) -> list[str]:
    """Return the requests that these states learned, each as often as it was."""
    with shop.parts().store.read() as tx:
        seen = online.seen(tx, MODEL, [(number, number) for number in numbers])
    return sorted(one.id for _, one in seen if one.fate == online.LEARNED)
