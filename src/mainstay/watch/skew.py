"""Whether what was served is what training would make of the same rows: a sample is computed again, the training way.

The recorded fields of served rows become one frame, which the contract checks as it checks training data; the bundle's
feature code gets that frame whole, and its own estimator (not the compiled program, runner or cache that answered)
answers it in one call. Three things must agree: each field as the request's check and as the frame's check read it; the
features of a row alone, as serving asks, and in company, as training does; and the answer with the record, to 1e-6 as
in `replay`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import polars as pl

from mainstay.core.calls import is_load_test
from mainstay.core.contracts import Contract
from mainstay.core.errors import MainstayError
from mainstay.core.events import Arm, Event, Kind
from mainstay.core.incidents import Finding, Harm, Severity
from mainstay.data.frame_check import check_frame
from mainstay.data.request_check import compile_request_check
from mainstay.journal.recorded import recorded_inputs
from mainstay.journal.vault import Vault
from mainstay.models.answers import answer
from mainstay.models.compared import compare
from mainstay.models.load import LoadedModel
from mainstay.watch.conditions import Condition, Telling

FAMILY = "skew"
MODELS = (Arm.CHAMPION, Arm.CHALLENGER, Arm.PREVIOUS, Arm.HOLDOUT)
TOLERANCE = 1e-9
"""Largest relative difference of a feature that counts as the same."""
SHOWN = 5
ORIGIN = "_origin"
"""A column that the check of frames lets pass."""
FIELDS, FEATURES, ANSWER = "fields", "features", "answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Skewed:
    """One row that came out otherwise."""

    id: str
    what: str
    """`fields`, `features` or `answer`."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Skew:
    """What came of one sample of one bundle."""

    bundle: str
    at: datetime
    rows: int
    """Computed again."""
    left_out: int = 0
    """Of which the record does not hold what the model takes."""
    found: tuple[Skewed, ...] = ()
    why: str = ""
    """Why nothing could be computed, or empty."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Rows that differ, by what."""

    def as_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return {
            "bundle": self.bundle,
            "at": self.at.isoformat(),
            "rows": self.rows,
            "left_out": self.left_out,
            "found": [{"id": one.id, "what": one.what, "text": one.text} for one in self.found[:SHOWN]],
            "why": self.why,
            "counts": dict(self.counts),
        }

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Skew:
        """Return what `as_dict` gave."""
        return cls(
            bundle=str(kept["bundle"]),
            at=datetime.fromisoformat(str(kept["at"])),
            rows=int(kept["rows"]),
            left_out=int(kept.get("left_out", 0)),
            found=tuple(Skewed(**one) for one in kept.get("found", ())),
            why=str(kept.get("why", "")),
            counts=dict(kept.get("counts", {})),
        )


def sample(events: Sequence[Event], rows: int) -> dict[str, list[Event]]:
    """Return served rows to compute again, by bundle: `rows` in all, evenly over the events, none of a load test."""
    served = [
        event
        for event in events
        if event.kind is Kind.PREDICTION
        and event.served_arm in MODELS
        and event.bundle
        and not is_load_test(event.trace_id)
    ]
    if rows <= 0 or not served:
        return {}
    step = max(1.0, len(served) / rows)
    chosen = [served[int(n * step)] for n in range(min(rows, len(served)))]
    out: dict[str, list[Event]] = {}
    for event in chosen:
        out.setdefault(event.bundle, []).append(event)
    return out


def usable_rows(
    loaded: LoadedModel, events: Sequence[Event], vault: Vault
) -> list[tuple[Event, dict[str, Any], frozenset[str]]]:
    """Return the served rows of which the record holds all that the model takes: inputs, and the fields it lacks."""
    usable = []
    for event in events:
        values, absent = recorded_inputs(event, loaded.contract, vault)
        if not any(name in loaded.fields_taken for name in absent):
            usable.append((event, values, frozenset(absent)))
    return usable


def examine(loaded: LoadedModel, events: Sequence[Event], vault: Vault, *, bundle: str, now: datetime) -> Skew:
    """Compute a bundle's served rows again; `loaded` is its original, not what serves. Nothing of it is raised."""
    contract, check = loaded.contract, compile_request_check(loaded.contract)
    usable = usable_rows(loaded, events, vault)
    left_out = len(events) - len(usable)
    if not usable:
        return Skew(bundle=bundle, at=now, rows=0, left_out=left_out)
    found: list[Skewed] = []
    try:
        offline = as_training(contract, usable)
        kept = [(one, row) for one, row in zip(usable, offline, strict=True) if row is not None]
        found += [
            Skewed(id=event.id, what=FIELDS, text="it was served, and training data's check refuses it")
            for (event, _, _), row in zip(usable, offline, strict=True)
            if row is None
        ]
        checked = [check.check(values) for (_, values, _), _ in kept]
        rows = [row for _, row in kept]
        features = _features(loaded, rows)
        answers = answer(loaded, rows)
    except Exception as error:  # noqa: BLE001 - edge: the project's feature code and estimator
        why = error.message if isinstance(error, MainstayError) else f"{type(error).__name__}: {error}"
        return Skew(bundle=bundle, at=now, rows=0, left_out=left_out, why=why)
    for ((event, _, missing), row), one, wrong, given in zip(kept, checked, features, answers, strict=True):
        differences, _ = compare(event, given, [*one.caveats, *given.caveats], unseen=missing)
        told = {
            FIELDS: _fields(contract, one.values, row, missing),
            FEATURES: wrong,
            ANSWER: "; ".join(f"{d.what} was {d.then!r}, training makes it {d.now!r}" for d in differences[:2]),
        }
        found += [Skewed(id=event.id, what=what, text=text[:300]) for what, text in told.items() if text]
    counts = dict(Counter(one.what for one in found))
    return Skew(bundle=bundle, at=now, rows=len(usable), left_out=left_out, found=tuple(found), counts=counts)


def condition(found: Skew) -> Condition:
    """Return whether serving and training differ on a bundle's sample."""
    if not found.rows:
        return Condition(name=found.bundle, holds=None)
    if not found.counts:
        over = f"{found.rows} served rows came out of the training path as they were served."
        return Condition(name=found.bundle, holds=False, over=over)
    worst = max(found.counts.values())
    parts = " and ".join(f"{name} of {count}" for name, count in sorted(found.counts.items()))
    title = f"Training makes something else of what was served: {parts} in {found.rows} rows differ"
    finding = Finding(
        signal="skew",
        harm=Harm.SKEW,
        since=found.at,
        before=0.0,
        now=worst / found.rows,
        shift=worst / found.rows,
        evidence=0.0,
        text=title,
    )
    told = Telling(
        severity=Severity.WATCH,
        story=tuple(f"{one.id}: {one.text}." for one in found.found[:SHOWN]),
        finding=finding,
        advice=_advice(found),
        rows=found.rows,
        facts=found.as_dict(),
    )
    return Condition(name=found.bundle, holds=True, told=told)


def _advice(found: Skew) -> str:
    if FEATURES in found.counts:
        return (
            "The feature code makes something else of a row in company than of the row alone: it looks at the whole "
            "frame, the clock, or something outside. `mainstay gate VERSION --again` names how."
        )
    if FIELDS in found.counts:
        return "The contract reads a field of a request otherwise than the same field of a frame; please report it."
    return (
        "The estimator says something else than what answered: feature code that reads the clock or a file, another "
        "version of a library here, or a compiled form that is not exact. `mainstay replay ID` shows one row."
    )


def as_training(
    contract: Contract, usable: Sequence[tuple[Event, Mapping[str, Any], frozenset[str]]]
) -> list[dict[str, Any] | None]:
    """Return rows as the check of training data reads them, in order; None in the place of a row that it refuses.

    A field that the record of any row does not hold (hashed, dropped) may be absent here.
    """
    gone = frozenset[str]().union(*(missing for _, _, missing in usable))
    fields = tuple(replace(f, required=False) if f.name in gone else f for f in contract.fields)
    columns = [pl.Series(f.name, [values.get(f.name) for _, values, _ in usable], strict=False) for f in fields]
    frame = pl.DataFrame([*columns, pl.Series(ORIGIN, [str(n) for n in range(len(usable))])])
    report = check_frame(replace(contract, fields=fields), frame, with_target=False)
    held = {int(row.pop(ORIGIN)): row for row in report.good.to_dicts()}
    return [held.get(n) for n in range(len(usable))]


def _fields(contract: Contract, mine: Mapping[str, Any], theirs: Mapping[str, Any], missing: frozenset[str]) -> str:
    """Return what is wrong with a row's fields, or an empty text."""
    names = [f.name for f in contract.fields if f.name not in missing]
    wrong = [name for name in names if not same(mine.get(name), theirs.get(name))]
    return "; ".join(f"{name} is {mine.get(name)!r} in the request, {theirs.get(name)!r} in a frame" for name in wrong)


def _features(loaded: LoadedModel, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return for each row how its features in company differ from those alone; nothing where there is no such code."""
    if loaded.features is None:
        return [""] * len(rows)
    names, together = cells(loaded.features_of(rows))
    out = []
    for row, mine in zip(rows, together, strict=True):
        _, alone = cells(loaded.features_of([row]))
        wrong = [(name, a, b) for name, a, b in zip(names, alone[0], mine, strict=True) if not same(a, b, TOLERANCE)]
        told = [f"{name} is {a!r} for the row alone, {b!r} in company" for name, a, b in wrong[:3]]
        out.append("; ".join(told)[:300])
    return out


def cells(made: Any) -> tuple[list[str], list[list[Any]]]:
    """Return the names and the rows of what feature code made: a frame of either library, or an array."""
    if isinstance(made, pl.DataFrame):
        return list(made.columns), [list(row) for row in made.iter_rows()]
    if hasattr(made, "columns"):
        return [str(name) for name in made.columns], [list(row) for row in made.itertuples(index=False)]
    if hasattr(made, "toarray"):
        made = made.toarray()
    rows = [list(row) if hasattr(row, "__len__") and not isinstance(row, str) else [row] for row in made]
    return [f"column {n}" for n in range(len(rows[0]) if rows else 0)], rows


def same(a: Any, b: Any, tolerance: float = 0.0) -> bool:
    if isinstance(a, datetime) or isinstance(b, datetime):
        return bool(_moment(a) == _moment(b))
    if _is_number(a) and _is_number(b):
        x, y = float(a), float(b)
        return x == y or (math.isnan(x) and math.isnan(y)) or abs(x - y) <= tolerance * max(abs(x), abs(y))
    return bool(a == b) or (a is None and _is_nan(b)) or (b is None and _is_nan(a))


def _moment(value: Any) -> Any:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _is_number(value: Any) -> bool:
    return hasattr(value, "__float__") and not isinstance(value, str | bool)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
