"""A person at the control room while the demo plays: the story waits for them where it says so, and nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from mainstay.core import errors
from mainstay.drills import __main__ as demo
from mainstay.drills import story

PATIENCE_S = 480.0
"""For whatever is waited for; the longest takes a machine that is busy with other work a minute and a half."""


class Curtain:
    """The demo in a thread of its own, and the places where it waits for the person who looks on."""

    def __init__(self, *waits: Callable[[story.Stage], None]) -> None:
        """Take the acts before which the story waits."""
        self.stage: story.Stage | None = None
        self.code: int | None = None
        self._waits = waits
        self._reached = {act: threading.Event() for act in waits}
        self._raised = {act: threading.Event() for act in waits}
        self._gone = False
        self._thread: threading.Thread | None = None

    def play(self, argv: list[str], acts: story.Acts) -> None:
        """Begin."""

        def run() -> None:
            try:
                self.code = demo.main(argv, acts=[(title, self._held(act)) for title, act in acts])
            finally:
                for reached in self._reached.values():
                    reached.set()  # whoever waits for what never comes is told at once

        self._thread = threading.Thread(target=run, name="demo")
        self._thread.start()

    def before(self, act: Callable[[story.Stage], None]) -> story.Stage:
        """Wait until the story waits before an act; return its stage."""
        assert self._reached[act].wait(PATIENCE_S), f"the story did not come to {act.__name__}"
        assert self.stage is not None, "the demo ended before it began"
        assert self.code is None, f"the demo ended with {self.code} before {act.__name__}"
        return self.stage

    def raise_(self, act: Callable[[story.Stage], None]) -> None:
        """Let the story go on with an act."""
        self._raised[act].set()

    def end(self) -> int | None:
        """Let it go on to its end; return its exit code."""
        for raised in self._raised.values():
            raised.set()
        if self._thread is not None:
            self._thread.join(PATIENCE_S)
        return self.code

    def leave(self) -> None:
        """The person leaves before the end: the story stops where it waits next."""
        self._gone = True
        self.end()

    def _held(self, act: Callable[[story.Stage], None]) -> Callable[[story.Stage], Any]:
        if act not in self._waits:
            return act

        def held(stage: story.Stage) -> None:
            self.stage = stage
            self._reached[act].set()
            if not self._raised[act].wait(PATIENCE_S) or self._gone:
                raise errors.DrillMissed(f"nobody let the story go on with {act.__name__}")
            act(stage)

        return held
