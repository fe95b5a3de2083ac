"""The gate, tested on a project: candidates that are known to be bad must be refused by the check meant for them.

Each is the version that is there with one thing broken, judged by the project's own settings on its own test rows, with
that version as champion; and the version itself, as a candidate beside itself, must pass. What is not refused is a hole
in the project's gate, and the remedy names the setting that closes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from mainstay.config.settings import Settings
from mainstay.core.contracts import Contract
from mainstay.core.trials import Measured
from mainstay.core.verdicts import Check, Verdict
from mainstay.models.load import LoadedModel
from mainstay.models.segments import segment_names
from mainstay.release import gate as gates
from mainstay.release.metrics import Labelled
from mainstay.release.slices import columns_known
from mainstay.stats.slices import Column, columns_of
from mainstay.train.audit.groups import groups_of, protected_names

Rows = Sequence[Mapping[str, Any]]
Predict = Callable[[Rows], NDArray[np.float64]]
Beyond = Callable[[LoadedModel], Sequence[Check]]
"""Returns what others than the gate ask of a candidate (stress, baselines, behaviour, fairness)."""
SLOW_MS = 20.0
"""The limit that the slow one breaks: at the project's own it would take minutes."""
MORE_MB, GREEDY_MB = 100.0, 200
"""The greedy one holds so much in each of its processes, and may take so much more than the version itself."""
GOOD = "as_it_is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the gate said to one candidate."""

    name: str
    what: str
    """What is wrong with it, as a phrase."""
    meant: tuple[str, ...]
    """Checks that are meant to refuse it; none for the good one."""
    refused_by: tuple[str, ...] = ()
    """Checks that failed it."""
    verdict: Verdict | None = None
    why_not: str = ""
    """Why it could not be made of this project; empty where it was asked."""
    remedy: str = ""
    """What closes the hole, where it was not refused."""

    @property
    def holds(self) -> bool:
        """Return whether the gate did as it should."""
        if self.why_not:
            return True
        if not self.meant:
            return self.verdict is Verdict.PASS
        return not set(self.meant).isdisjoint(self.refused_by)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What the self-test needs of a project."""

    settings: Settings
    contract: Contract
    good: LoadedModel
    """The version that is there."""
    bundle: Path
    test: Labelled
    beyond: Beyond
    served: Callable[[Any], Measured]
    """Measures an estimator in a server of its own; None: the version itself."""
    taught: Callable[[], LoadedModel | str] = lambda: "its recipe cannot be fitted again"
    """Returns a model of the version's recipe fitted on the test rows too, or why there is none."""
    holding: Callable[[], Check] | None = None
    """Asks the lineage about training data that the test rows were put into; None where nothing can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """One way to be bad."""

    name: str
    what: str
    meant: tuple[str, ...]
    remedy: str
    predict: Predict | None = None
    model: LoadedModel | None = None
    """Another model than the version with something else that computes."""
    also: Callable[[], Check] | None = None
    """Asks one more check, about what the candidate was made of."""
    why_not: str = ""
    estimator: Any = None
    """What computes in the version's place in a real server."""
    gate: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the gate that are set otherwise, so that it takes no minutes."""
    huge: bool = False
    first: bool = False
    """It is judged as a model's first version, without a champion."""


class Broken:
    """Computes for a model in its place."""

    def __init__(self, predict: Predict) -> None:
        self.predict = predict

    def get_ready(self) -> None:
        """Nothing is waited for."""

    def retire(self) -> None:
        """Nothing is under way."""

    def stop(self) -> None:
        """Nothing runs."""

    def state(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


def run(project: Project) -> list[Outcome]:
    """Return what the gate says to the version itself and to everything in the zoo, in order."""
    project = replace(project, served=partial(_measured, project.served, cache(partial(project.served, None))))
    tried = [_try(project, Bad(name=GOOD, what="nothing is wrong with it", meant=(), remedy=""))]
    return tried + [_try(project, bad) for bad in zoo(project)]


def _measured(served: Callable[[Any], Measured], once: Callable[[], Measured], estimator: Any) -> Measured:
    return once() if estimator is None else served(estimator)


def zoo(project: Project) -> Iterator[Bad]:
    """Yield every known way to be bad."""
    good, contract, test = project.good, project.contract, project.test
    quality = ("floors", "beats")  # as a first version: with a champion not_worse would see it too
    floors = "Declare [gate] floors, or beats = ['trivial']."
    spread = good.predict(test.rows) if len(test) else np.zeros((0, len(contract.classes)))
    random = np.random.default_rng(project.settings.project.seed)

    def lots(rows: Rows) -> NDArray[np.float64]:
        picked = [crc32(repr(sorted(row.items(), key=lambda item: item[0])).encode()) % len(spread) for row in rows]
        return np.asarray(spread[picked])

    def peeking(rows: Rows) -> NDArray[np.float64]:
        return _said(good, [row[contract.target] for row in rows])

    def holes(rows: Rows) -> NDArray[np.float64]:
        output = good.predict(rows).copy()
        output[[crc32(repr(row).encode()) % 7 == 0 for row in rows]] = np.nan
        return output

    def shaking(rows: Rows) -> NDArray[np.float64]:
        output = good.predict(rows)
        output = output * random.uniform(0.9, 1.1, size=output.shape)
        return output / output.sum(axis=1, keepdims=True) if good.classes else output

    yield Bad(
        name="leaking",
        what="it looks at the target",
        meant=("contract_and_signature",),
        remedy="This is a defect of the gate.",
        predict=peeking,
    )
    yield Bad(
        name="constant",
        what="it says the same to every row",
        meant=quality,
        remedy=floors,
        predict=lambda rows: np.repeat(spread.mean(axis=0, keepdims=True), len(rows), axis=0),
        first=True,
    )
    yield Bad(
        name="shuffled",
        what="it was fitted on shuffled labels: what it says has nothing to do with the row",
        meant=quality,
        remedy=floors,
        predict=lots,
        first=True,
    )
    yield Bad(
        name="nan",
        what="it says NaN to one row of seven",
        meant=("finite_output", "contract_and_signature"),
        remedy="This is a defect of the gate.",
        predict=holes,
    )
    yield Bad(
        name="swapped",
        what="its classes stand in each other's place" if good.classes else "its numbers are turned around",
        meant=quality,
        remedy=floors,
        predict=lambda rows: (
            np.roll(good.predict(rows), 1, axis=1) if good.classes else spread.mean() * 2 - good.predict(rows)
        ),
        first=True,
    )
    yield Bad(
        name="unstable",
        what="it says something else when it is asked again",
        meant=("row_independence",),
        remedy="This is a defect of the gate.",
        predict=shaking,
    )
    yield _one_segment(project, spread)
    yield _one_slice(project, spread)
    yield _biased(project)
    yield _taught(project)
    yield Bad(
        name="test_in_training",
        what="the test rows stand in the data of its lineage",
        meant=("test_unseen",),
        remedy="Rows repeat too much for [gate] max_seen_share to tell anything: let the contract hold what tells them "
        "apart.",
        also=project.holding,
        why_not="" if project.holding is not None else "there is no lineage to ask",
    )
    yield Bad(
        name="slow",
        what=f"it takes {1.5 * SLOW_MS:g} ms, where {SLOW_MS:g} are allowed",
        meant=("latency",),
        remedy="This is a defect of the gate, or the machine is too busy to say.",
        estimator=Slow(good.classes),
        gate={"max_p99_ms": SLOW_MS},
    )
    yield _greedy(project)
    yield Bad(name="huge", what="it is too large", meant=("size",), remedy="Lower [gate] max_bundle_mb.", huge=True)


def _one_segment(project: Project, spread: NDArray[np.float64]) -> Bad:
    good, contract, test = project.good, project.contract, project.test
    rows_of: dict[str, int] = {}
    for row in test.rows:
        for name in segment_names(contract, row):
            rows_of[name] = rows_of.get(name, 0) + 1
    large = {name: n for name, n in rows_of.items() if n >= project.settings.evaluate.slices_min_rows}
    smallest = min(large, key=lambda name: (large[name], name), default="")

    def predict(rows: Rows) -> NDArray[np.float64]:
        output = good.predict(rows).copy()
        hit = [smallest in segment_names(contract, row) for row in rows]
        output[hit] = np.roll(output[hit], 1, axis=1) if good.classes else spread.mean() * 2 - output[hit]
        return output

    return Bad(
        name="one_segment",
        what=f"it is wrong for {smallest or 'one segment'}",
        meant=("segments", "not_worse"),
        remedy="Declare [gate] segment_not_worse_by.",
        predict=predict,
        why_not="" if smallest else "no segment has rows enough to be judged",
    )


def _one_slice(project: Project, spread: NDArray[np.float64]) -> Bad:
    """Return one that is wrong for a part of the rows that no segment names, where the project judges such parts."""
    good, contract, declared = project.good, project.contract, project.settings.gate.worst_slice
    known = columns_of(columns_known(good, project.test.rows, contract))
    part = _third(known)
    why_not = "" if part is not None else "no column parts the test rows"
    if declared.floor is None and declared.not_worse_by is None:
        why_not = "declare [gate] worst_slice, with a floor or not_worse_by"

    def predict(rows: Rows) -> NDArray[np.float64]:
        output = good.predict(rows).copy()
        hit = [part is not None and part.holds(row) for row in columns_known(good, rows, contract)]
        output[hit] = np.roll(output[hit], 1, axis=1) if good.classes else spread.mean() * 2 - output[hit]
        return output

    return Bad(
        name="one_slice",
        what=f"it is wrong where {part.text if part is not None else 'no segment is declared'}",
        meant=("worst_slice",),
        remedy="Its limit in [gate] worst_slice is too wide for that to break it, or the test rows are too few.",
        predict=predict,
        why_not=why_not,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Rows with one value of a column, or with less than a limit."""

    column: str
    value: str | float

    @property
    def text(self) -> str:
        return f"{self.column} = {self.value}" if isinstance(self.value, str) else f"{self.column} < {self.value:.4g}"

    def holds(self, row: Mapping[str, float | str | None]) -> bool:
        own = row.get(self.column)
        if isinstance(self.value, str):
            return own == self.value
        return isinstance(own, float) and own < self.value


def _third(columns: Sequence[Column]) -> _Part | None:
    """Return the part of the rows that is nearest to a third of them."""
    found: list[tuple[float, _Part]] = []
    for column in columns:
        known = column.values[np.isfinite(column.values)]
        if column.names:
            for number, name in enumerate(column.names):
                found.append((abs(float((known == number).mean()) - 1 / 3), _Part(column=column.name, value=name)))
        else:
            cut = float(np.quantile(known, 1 / 3))
            found.append((abs(float((known < cut).mean()) - 1 / 3), _Part(column=column.name, value=cut)))
    best = min(found, key=lambda one: (one[0], one[1].column, str(one[1].value)), default=None)
    return None if best is None or best[0] > 0.3 else best[1]


def _biased(project: Project) -> Bad:
    good, contract, favourable = project.good, project.contract, project.settings.audit.favourable
    names = protected_names(contract)
    why_not = "" if names and isinstance(favourable, str) else "no protected group with a favourable class is declared"
    place = list(good.classes).index(str(favourable)) if not why_not else 0
    groups = groups_of(contract, project.test.rows).get(names[0], []) if names else []
    best = max(sorted(set(groups)), key=groups.count, default="")

    def predict(rows: Rows) -> NDArray[np.float64]:
        output = good.predict(rows).copy()
        for i, group in enumerate(groups_of(contract, rows)[names[0]]):
            if group != best:
                output[i, place] = 0.0
                output[i] = output[i] / output[i].sum() if output[i].sum() > 0 else _other(len(output[i]), place)
        return output

    return Bad(
        name="biased",
        what=f"it grants {favourable} to {best or 'one group'} alone",
        meant=("fairness",),
        remedy="Declare [audit] favourable and [gate] fairness.",
        predict=predict,
        why_not=why_not,
    )


def _greedy(project: Project) -> Bad:
    takes = project.served(None).memory_mb
    return Bad(
        name="greedy",
        what=f"it holds {GREEDY_MB} MB, where {MORE_MB:g} more than now are allowed",
        meant=("memory",),
        remedy="This is a defect of the gate.",
        estimator=Greedy(project.good.classes),
        gate={"max_memory_mb": (takes or 0.0) + MORE_MB},
        why_not="" if takes is not None else "the memory of a worker was not measured",
    )


class Slow:
    """An estimator that takes its time."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes_ = np.array(classes)

    def predict_proba(self, frame: Any) -> NDArray[np.float64]:
        """Return the same probabilities for each row, after a while."""
        time.sleep(1.5 * SLOW_MS / 1000)
        return np.full((len(frame), len(self.classes_)), 1.0 / len(self.classes_))

    def predict(self, frame: Any) -> NDArray[np.float64]:
        """Return 0 for each row, after a while."""
        time.sleep(1.5 * SLOW_MS / 1000)
        return np.zeros(len(frame))


class Greedy(Slow):
    """An estimator that holds much memory once it is loaded, and answers at once."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._held = np.ones(GREEDY_MB * 125_000)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_held"}

    def predict_proba(self, frame: Any) -> NDArray[np.float64]:
        """Return the same probabilities for each row."""
        return np.full((len(frame), len(self.classes_)), 1.0 / len(self.classes_))

    def predict(self, frame: Any) -> NDArray[np.float64]:
        """Return 0 for each row."""
        return np.zeros(len(frame))


def _taught(project: Project) -> Bad:
    model = project.taught()
    return Bad(
        name="trained_on_test",
        what="it was fitted on the test rows, and its lineage does not say so",
        meant=("test_unknown",),
        remedy="Its recipe keeps too little of single rows for that to show, or the test rows are too few.",
        model=None if isinstance(model, str) else model,
        why_not=model if isinstance(model, str) else "",
    )


def _other(size: int, place: int) -> NDArray[np.float64]:
    """Return probabilities that leave one class out."""
    out = np.full(size, 1.0 / (size - 1))
    out[place] = 0.0
    return out


def _said(good: LoadedModel, truth: Sequence[Any]) -> NDArray[np.float64]:
    if not good.classes:
        return np.array(truth, dtype=np.float64)
    return np.array([[float(str(one) == name) for name in good.classes] for one in truth])


def _try(project: Project, bad: Bad) -> Outcome:
    if bad.why_not:
        return Outcome(name=bad.name, what=bad.what, meant=bad.meant, why_not=bad.why_not)
    settings = project.settings
    if bad.gate:
        settings = settings.model_copy(update={"gate": settings.gate.model_copy(update=bad.gate)})
    candidate = project.good if bad.predict is None else _with(project.good, bad.predict)
    if bad.model is not None:
        candidate = _with(project.good, bad.model.predict)
    asked = [] if bad.also is None else [bad.also]

    with TemporaryDirectory() as folder:
        path = project.bundle
        if bad.huge:
            path = Path(folder)
            with (path / "model").open("wb") as file:
                file.truncate(int((settings.gate.max_bundle_mb + 1) * 1_000_000))  # sparse: takes no room
        report = gates.run_gate(
            candidate,
            None if bad.first else project.good,
            test=project.test,
            recent=None,
            settings=settings,
            contract=project.contract,
            bundle_path=path,
            probe=lambda: project.served(bad.estimator),
            more=lambda: [*(one() for one in asked), *project.beyond(candidate)],
        )
    refused = tuple(c.name for c in report.checks if c.applies and c.verdict is Verdict.FAIL)
    tried = Outcome(name=bad.name, what=bad.what, meant=bad.meant, refused_by=refused, verdict=report.verdict)
    if tried.holds:
        return tried
    return replace(tried, remedy=bad.remedy if bad.meant else f"It is not passed: {report.why}")


def _with(good: LoadedModel, predict: Predict) -> LoadedModel:
    """Return the model with something else that computes."""
    return replace(good, estimator=None, program=None, fitted=good.classes, outside=Broken(predict))
