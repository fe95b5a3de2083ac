"""Small models whose behaviour a test chooses, loaded in memory or written as bundles."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mainstay.core.contracts import Contract, Field, FieldType, Pii, Policy, Role, Task
from mainstay.core.profiles import Profile
from mainstay.models import own, pickles
from mainstay.models.bundle import Bundle, BundleParts, write_bundle
from mainstay.models.inputs import InputSpec
from mainstay.models.load import LoadedModel
from mainstay.models.runner.process import MODULE
from mainstay.models.thresholds import Thresholds

CLASSES = ("warm", "cold")
VOCABULARY = {"text": frozenset({"sun", "snow", "day"})}
PROFILE = Profile(source="test", rows=0, keys=0, signals=[])


def make_contract(**changes: Any) -> Contract:
    """Return a contract with a text, a category, an optional number and a hashed key."""
    given: dict[str, Any] = {
        "task": Task.MULTICLASS,
        "fields": (
            Field(name="text", type=FieldType.TEXT, max_chars=200),
            Field(
                name="place",
                type=FieldType.CATEGORY,
                values=("north", "south"),
                required=False,
                roles=(Role.SEGMENT,),
            ),
            Field(name="degrees", type=FieldType.NUMBER, min=-60, max=60, required=False, on_range=Policy.FLAG),
            Field(name="station", type=FieldType.IDENTIFIER, required=False, pii=Pii.HASH),
        ),
        "target": "weather",
        "classes": CLASSES,
        "key": "station",
    }
    return Contract(**(given | changes))


class WordModel:
    """Says `cold` for texts with the word snow, else `warm`, with one certainty; and misbehaves on request.

    Texts with `poison` raise, those with `nothing` give NaN, those with `slow` take `slow_s`.
    """

    def __init__(self, *, certainty: float = 0.9, slow_s: float = 0.0, always_fail: bool = False) -> None:
        self.certainty = certainty
        self.slow_s = slow_s
        self.always_fail = always_fail
        self.classes_ = np.array(CLASSES)

    def predict_proba(self, texts: Sequence[str]) -> Any:
        """Return probabilities of shape (n, 2)."""
        if self.always_fail or any("poison" in text for text in texts):
            raise ValueError("this text breaks the model")
        if self.slow_s and any("slow" in text for text in texts):
            time.sleep(self.slow_s)
        cold = np.array(["snow" in text for text in texts])
        first = np.where(cold, 1 - self.certainty, self.certainty)
        out = np.column_stack([first, 1 - first])
        out[["nothing" in text for text in texts]] = np.nan
        return out


class SoundModel(WordModel):
    """A model that answers whatever a text says."""

    def predict_proba(self, texts: Sequence[str]) -> Any:
        """Return probabilities of shape (n, 2)."""
        return super().predict_proba([text.replace("nothing", "").replace("poison", "") for text in texts])


class FaultyModel(WordModel):
    """A model that also takes its process down, in the way that a text names.

    `exit` leaves at once, `crash` is a segmentation fault, `eat` allocates without end, `shut` closes every file,
    `scribble` writes into every file that is open, `chatter` prints and answers all the same.
    """

    def predict_proba(self, texts: Sequence[str]) -> Any:
        """Return probabilities of shape (n, 2), where it lives to do so."""
        for word in " ".join(texts).split():
            fault = getattr(self, f"_{word}", None)
            if fault is not None:
                fault()
        return super().predict_proba(texts)

    def _exit(self) -> None:
        os._exit(3)

    def _crash(self) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    def _eat(self) -> None:
        eaten = []
        while True:
            eaten.append(np.ones(2_000_000))

    def _shut(self) -> None:
        os.closerange(3, 1024)

    def _scribble(self) -> None:
        for fd in range(1, 1024):
            with contextlib.suppress(OSError):
                os.write(fd, b"\x00\x00\x00\x05\x93hello and goodbye")

    def _chatter(self) -> None:
        sys.stdout.write("what the model says of itself\n" * 100)
        sys.stdout.flush()


class LoadsBadly(WordModel):
    """A model whose loading takes its process down, or hangs where `slow_s` says so."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if _in_a_runner():  # whoever makes the bundle must live
            time.sleep(self.slow_s)
            os._exit(7)


def _in_a_runner() -> bool:
    program = getattr(sys.modules["__main__"], "__spec__", None)
    return program is not None and program.name == MODULE


def make_loaded(model: Any = None, *, contract: Contract | None = None, **thresholds: Any) -> LoadedModel:
    """Return a loaded model that was never on disk."""
    return LoadedModel(
        estimator=model or WordModel(),
        contract=contract or make_contract(),
        classes=CLASSES,
        spec=InputSpec(input="text"),
        thresholds=Thresholds(**thresholds),
        vocabulary=VOCABULARY,
        profile=PROFILE,
    )


def make_bundle(
    folder: Path,
    model: Any = None,
    *,
    contract: Contract | None = None,
    lineage: Any = None,
    environment: Sequence[str] = (),
    **thresholds: Any,
) -> Bundle:
    """Write a bundle that any process can load."""
    parts = BundleParts(
        pickle=pickles.dump(model or WordModel(), own_modules=[sys.modules[__name__]]),
        contract=contract or make_contract(),
        profile=PROFILE,
        classes=CLASSES,
        spec=InputSpec(input="text"),
        thresholds=Thresholds(**thresholds),
        vocabulary=VOCABULARY,
        lineage=lineage or {},
        environment=tuple(environment),
    )
    made = write_bundle(folder, parts)
    own.sign(folder.parent, made.digest)
    return made
