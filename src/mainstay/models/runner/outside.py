"""A bundle that is served from a runner: all that decides its answers but the model, which is never read here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mainstay.models import environment
from mainstay.models.bundle import PROGRAM, Bundle
from mainstay.models.load import LoadedModel, load
from mainstay.models.plain import plain_row
from mainstay.models.runner.process import End, Launch
from mainstay.models.runner.runner import Limits, Runner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

AUTO, ALWAYS, NEVER = "auto", "always", "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerRules:
    """Which bundles run outside their worker, and how."""

    which: str = AUTO
    """auto: those that are not compiled; always; never."""
    python: str = ""
    """Interpreter of the environment for bundles whose recorded packages are not those here; empty: the worker's."""
    limits: Limits
    environ: Mapping[str, str] = field(default_factory=dict)
    on_end: Callable[[str, str, End], None] = lambda *_: None
    """Told the bundle's name, the seat (`answers`, `beside`) and why a runner ended."""

    def outside(self, bundle: Bundle) -> bool:
        """Return whether a bundle runs outside."""
        return self.which == ALWAYS or (self.which == AUTO and not bundle.has(PROGRAM))

    def python_for(self, bundle: Bundle) -> str:
        """Return the interpreter for a bundle: the worker's own where it has the packages that trained it."""
        if not self.python or not environment.differences(_lock(bundle)):
            return sys.executable
        return self.python


class _Seat:
    """One of the two processes of a runner, as what a model's rows are handed to."""

    __slots__ = ("_beside", "_runner")

    def __init__(self, runner: Runner, *, beside: bool) -> None:
        self._runner = runner
        self._beside = beside

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> NDArray[Any]:
        return self._runner.answer_beside(rows) if self._beside else self._runner.answer(rows)

    def get_ready(self) -> None:
        if self._beside:
            self._runner.get_ready_beside()

    def retire(self) -> None:
        self._runner.retire()

    def stop(self) -> None:
        self._runner.stop()

    def state(self) -> dict[str, Any]:
        return self._runner.state()


def load_pair(bundle: Bundle, name: str, rules: RunnerRules) -> tuple[LoadedModel, LoadedModel]:
    """Return a bundle ready to answer, and its twin for shadow scoring, inside this process or outside as told.

    Returns once the first row can be answered. Raises what `load` raises, EnvironmentFault where a runner does not come
    up.
    """
    if not rules.outside(bundle):
        return load(bundle), load(bundle)
    known = load(bundle, without_model=True)  # what is wrong with the bundle itself shows before anything is started
    runner = Runner(
        name,
        Launch(bundle=bundle.path, digest=bundle.digest, python=rules.python_for(bundle), environ=rules.environ),
        rules.limits,
        plain=plain_row(known.contract),
        classes=len(known.classes),
        on_end=lambda seat, end: rules.on_end(name, seat, end),
    )
    runner.start()
    answers, beside = _Seat(runner, beside=False), _Seat(runner, beside=True)
    loaded = replace(known, outside=answers, environment_differences=runner.differences)
    return loaded, replace(loaded, outside=beside)


def load_elsewhere(bundle: Bundle, rules: RunnerRules) -> LoadedModel:
    """Return a bundle for work that is not serving, in `rules.python` where the packages here are not its own."""
    if not rules.outside(bundle) or rules.python_for(bundle) == sys.executable:
        return load(bundle)
    return load_pair(bundle, f"bundle {bundle.digest[:12]}", replace(rules, which=ALWAYS))[0]


def _lock(bundle: Bundle) -> list[str]:
    return bundle.read("environment.lock").decode().splitlines()
