"""The gate: ordered checks on a candidate before it may answer anybody. Missing evidence never passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mainstay.config.settings import Settings
from mainstay.core.contracts import Contract
from mainstay.core.trials import Measured
from mainstay.core.verdicts import Check, Verdict, combine
from mainstay.models import answers
from mainstay.models.load import LoadedModel
from mainstay.release import behaviour, confidence, quality, slices
from mainstay.release.metrics import Labelled, Scored, score

REPORT_VERSION = 1
Probe = Callable[[], Measured]
"""Returns how the artefact fared in a server of its own (`serve.measured`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReport:
    """What the gate found."""

    v: int = REPORT_VERSION
    verdict: Verdict
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Return whether the candidate may go on."""
        return self.verdict is Verdict.PASS

    @property
    def why(self) -> str:
        """Return the reasons of the checks that did not pass, or how many passed."""
        open_ = [c for c in self.checks if c.applies and c.verdict is not Verdict.PASS]
        if open_:
            return "; ".join(f"{c.name} ({c.verdict}): {c.reason}" for c in open_)
        return f"{sum(c.applies for c in self.checks)} checks passed"

    def as_dict(self) -> dict[str, Any]:
        """Return the report JSON-ready."""
        return {"v": self.v, "verdict": self.verdict.value, "checks": [asdict(check) for check in self.checks]}


def run_gate(
    candidate: LoadedModel,
    champion: LoadedModel | None,
    *,
    test: Labelled,
    recent: Labelled | None,
    settings: Settings,
    contract: Contract,
    bundle_path: Path,
    probe: Probe,
    more: Callable[[], Sequence[Check]] = tuple,
) -> GateReport:
    """Ask everything that can be asked of the candidate, in order, and report all of it.

    `test` are the frozen test rows, `recent` held-out rows of labelled traffic (none yet: None or empty). The candidate
    should be the one reloaded from `bundle_path`; `more` asks what others measure. A champion that cannot answer these
    rows counts as unknown: what needs it is NOT_ENOUGH.
    """
    recent = recent if recent is not None and len(recent) else None
    behaves = _behaviour(candidate, test, contract, settings)
    if combine(behaves) is not Verdict.PASS:
        return _report([*behaves, _unasked("quality", "the checks before this one did not pass")])
    gate, seed = settings.gate, settings.project.seed
    at = settings.evaluate.at
    mine = _scored(candidate, test, at)
    if isinstance(mine, str):
        return _report([*behaves, _unasked("quality", f"the candidate did not answer: {mine}")])
    theirs = None if champion is None else _scored(champion, test, at)
    if isinstance(theirs, str):
        return _report([*behaves, _unasked("not_worse", f"the champion did not answer the test rows: {theirs}")])
    judged = gate.compare_on
    checks = [
        *behaves,
        quality.floors(mine, gate.floors) if not _saw(candidate) else quality.candidate_saw(gate.floors),
        _told(
            quality.not_worse("not_worse", mine, theirs, test, gate.not_worse_by, seed, confidence=gate.confidence)
            if not _saw(champion)
            else quality.champion_saw("not_worse"),
            is_judged="test" in judged,
        ),
        _told(_recent(candidate, champion, recent, settings), is_judged="recent" in judged),
        _told(
            quality.segments(
                mine,
                theirs,
                test,
                contract,
                gate.segment_not_worse_by,
                settings.evaluate.slices_min_rows,
                seed,
                confidence=gate.confidence,
            )
            if not _saw(champion)
            else quality.champion_saw("segments"),
            is_judged="test" in judged,
        ),
        slices.worst_slice(candidate, mine, None if _saw(champion) else theirs, test, contract, gate.worst_slice, seed)
        if not _saw(candidate)
        else slices.unasked(gate.worst_slice, "the model saw the test rows: they prove nothing of it"),
        *_in_server(probe, gate.max_p99_ms, gate.max_memory_mb),
        behaviour.size(bundle_path, gate.max_bundle_mb),
        *more(),
    ]
    if settings.serve.pickles == "never":
        checks.append(behaviour.no_pickle(candidate))
    if contract.task.is_classification and not _saw(candidate):
        checks.append(confidence.calibration(mine, test.keys, gate.max_calibration_error, seed))
    return _report(checks)


def _told(check: Check, *, is_judged: bool) -> Check:
    """Return a comparison as it is, or as told and not judged, where [gate] compare_on leaves its rows out."""
    return check if is_judged else replace(check, applies=False)


def _behaviour(candidate: LoadedModel, test: Labelled, contract: Contract, settings: Settings) -> list[Check]:
    output = _output(candidate, test)
    if isinstance(output, str):
        return [
            Check(
                name="contract_and_signature",
                question="Does the model answer every test row, in the declared classes?",
                verdict=Verdict.FAIL,
                reason=output,
            )
        ]
    checks = [
        behaviour.contract_and_signature(output, candidate, contract, test),
        behaviour.finite_output(output, contract),
    ]
    try:
        return [*checks, behaviour.row_independence(candidate, test, settings.project.seed)]
    except Exception as error:  # noqa: BLE001 - edge: the model is the user's code, and raising is an answer
        reason = f"the model raised when rows were regrouped: {type(error).__name__}: {error}"
        question = "Is one row's answer the same in any order, any batch and any company?"
        return [*checks, Check(name="row_independence", question=question, verdict=Verdict.FAIL, reason=reason)]


def _recent(candidate: LoadedModel, champion: LoadedModel | None, recent: Labelled | None, settings: Settings) -> Check:
    name, margins, seed = "not_worse_on_recent", settings.gate.not_worse_by, settings.project.seed
    confidence = settings.gate.confidence
    if champion is not None and recent is None and "test" not in settings.gate.compare_on:
        return _unasked(name, "there is no labelled traffic to compare on, and [gate] compare_on names nothing else")
    if champion is None or recent is None:
        nobody = _scored_empty()
        return quality.not_worse(
            name, nobody, None if champion is None else nobody, recent, margins, seed, confidence=confidence
        )
    at = settings.evaluate.at
    mine, theirs = _scored(candidate, recent, at), _scored(champion, recent, at)
    if isinstance(mine, str) or isinstance(theirs, str):
        why = mine if isinstance(mine, str) else f"the champion did not answer: {theirs}"
        return _unasked(name, why)
    return quality.not_worse(name, mine, theirs, recent, margins, seed, confidence=confidence)


def _in_server(probe: Probe, max_p99_ms: float, max_memory_mb: float | None) -> list[Check]:
    try:
        found = probe()
    except Exception as error:  # noqa: BLE001 - edge: opening and asking the artefact runs the user's code
        why = f"the artefact could not be timed: {type(error).__name__}: {error}"
        return [
            _unasked("latency", why),
            behaviour.memory(Measured(answers=_unasked("real_server", why)), max_memory_mb),
        ]
    return [behaviour.latency(found, max_p99_ms), behaviour.memory(found, max_memory_mb)]


def _output(model: LoadedModel, data: Labelled) -> NDArray[np.float64] | str:
    try:
        return np.asarray(model.predict(data.rows), dtype=np.float64)
    except Exception as error:  # noqa: BLE001 - edge: the model is the user's code, and raising is an answer
        return f"the model raised {type(error).__name__}: {error}"


def _scored(model: LoadedModel, data: Labelled, at: int) -> Scored | str:
    try:
        return score(answers.answer(model, data.rows), data.truth, data.groups, at=at)
    except Exception as error:  # noqa: BLE001 - edge: the model is the user's code, and raising is an answer
        return f"{type(error).__name__}: {error}"


def _saw(model: LoadedModel | None) -> bool:
    """Return whether a model was fitted on the test rows too, so that nothing can be measured of it on them."""
    return model is not None and bool(model.lineage.get("saw_test"))


def _scored_empty() -> Scored:
    return score([], [])


def _unasked(name: str, why: str) -> Check:
    return Check(name=name, question="Could this be judged?", verdict=Verdict.NOT_ENOUGH, reason=why)


def _report(checks: Sequence[Check]) -> GateReport:
    return GateReport(verdict=combine(checks), checks=tuple(checks))
