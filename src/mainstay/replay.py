"""`mainstay replay ID`: a journalled answer, computed again from its bundle and its inputs, and held beside the record.

The bundle is opened by digest and verified, whichever version answers now. A row is asked in a batch of the size that
the record tells, filled up with itself: numerical libraries may round the last bits by the size of a batch, and the
models that pass the gate depend on nothing else of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from mainstay.core.contracts import Pii
from mainstay.core.errors import EnvironmentFault, MainstayError, NotFound, UsageError
from mainstay.core.events import Arm, Event, Kind
from mainstay.data.request_check import compile_request_check
from mainstay.journal.personal import read_or_make_salt
from mainstay.journal.recorded import recorded_inputs, require
from mainstay.models import bundle as bundles
from mainstay.models import load as models
from mainstay.models.answers import Answer, answer
from mainstay.models.compared import Difference, compare
from mainstay.models.explained import explain as explaining
from mainstay.models.explained.explain import BUDGET_S, TOP
from mainstay.models.explained.records import Explanation
from mainstay.models.load import LoadedModel
from mainstay.models.signals import words
from mainstay.serve import explorer
from mainstay.store import releases

if TYPE_CHECKING:
    from mainstay.parts import Parts

_encode = msgspec.json.Encoder().encode
MOST_WORDS = 20
"""New words that are named of a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """What the bundle's estimator says where a compiled form of it answered."""

    label: Any
    largest: float | None
    """Difference from the record; None where it could not be asked."""
    why: str = ""
    """Why it could not be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A recorded answer beside the one of now."""

    id: str
    bundle: str
    digest: str
    runtime: str
    """What computed the answer now."""
    batch: int
    """Rows of the model call, as recorded; 0: the record does not tell, and it was asked alone."""
    same: bool
    """Label, trust and warnings are equal, and the numbers within 1e-6."""
    equal_bytes: bool
    """Label, probabilities and confidence are equal to the last bit."""
    largest: float
    """Largest difference of a number."""
    differences: tuple[Difference, ...]
    missing: Mapping[str, str]
    """Fields that the record does not hold and the model does not use, with the reason."""
    environment: tuple[str, ...]
    """Packages whose version here is not the one that trained."""
    original: Original | None
    """None where the estimator itself answered."""
    note: str = ""


def replay(parts: Parts, id_: str) -> Replayed:
    """Answer a journalled prediction again.

    Raises NotFound for an unknown id, UsageError for what was answered elsewhere, Damaged for a changed bundle, and
    NotEnoughEvidence, with the fields and why, where the record does not hold what the model needs (hashed, dropped,
    erased).
    """
    event = _find(parts, id_)
    digest = _digest_of(parts, event.bundle)
    bundle = parts.open_bundle(digest, original=True)
    loaded = models.load(bundle)
    values, missing = recorded_inputs(event, loaded.contract, parts.vault)
    if event.served_arm is Arm.FALLBACK:
        return _of_fallback(event, loaded, values, missing)
    require(id_, missing, loaded.fields_taken)
    checked = compile_request_check(loaded.contract).check(values)
    asked = [dict(checked.values)] * max(1, event.batch)
    given = _nearest(event, answer(loaded, asked))
    now = [*checked.caveats, *given.caveats]
    differences, largest = compare(event, given, now, unseen=frozenset(missing))
    return Replayed(
        id=id_,
        bundle=event.bundle,
        digest=digest,
        runtime=loaded.runtime,
        batch=event.batch,
        same=not differences,
        equal_bytes=_bytes_of(event) == _bytes_of(given),
        largest=largest,
        differences=tuple(differences),
        missing=missing,
        environment=loaded.environment_differences,
        original=_original(bundle, event, asked[:1]) if loaded.program is not None else None,
        note=". ".join(filter(None, (_uncompared(missing), _draw(parts, event)))),
    )


def _uncompared(missing: Mapping[str, str]) -> str:
    return "trust and warnings of fields that the record does not hold were not compared" if missing else ""


def _draw(parts: Parts, event: Event) -> str:
    """Return whether what was given beside the model's answer comes out again, from the record and the salt alone."""
    how = event.explored
    if how is None:
        return ""
    told = f"place {how.rank} (the model: {how.model_rank})" if how.rank else f"{event.given!r}"
    what = f"{'drawn' if how.drawn else 'not drawn'}, {told} was given with chance {how.propensity:.4g}"
    file = parts.state / "salt"
    if not file.exists():
        return f"{what}; the draw is not repeated: there is no salt here"
    numbers = explorer.uniforms(read_or_make_salt(file), event.model, how.group or event.id)
    again = explorer.repeated(how, event.label, numbers)
    return what if again else f"{what}; the draw does not come out again: the salt is another one now"


def explain(parts: Parts, id_: str, *, label: Any = None, top: int = TOP, budget_s: float = BUDGET_S) -> Explanation:
    """Explain a journalled prediction by the bundle that answered it; see `models.explained.explain`.

    Raises what `replay` raises, and UsageError where the declared fallback answered.
    """
    event = _find(parts, id_)
    if event.served_arm is Arm.FALLBACK:
        raise UsageError(f"{id_!r} was answered by the declared fallback: there is no model's answer to explain")
    loaded = models.load(parts.open_bundle(_digest_of(parts, event.bundle), original=False))
    values, missing = recorded_inputs(event, loaded.contract, parts.vault)
    require(id_, missing, loaded.fields_taken)
    row = dict(compile_request_check(loaded.contract).check(values).values)
    return explaining.explain(loaded, row, label=label, top=top, budget_s=budget_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One thing that the model was handed."""

    name: str
    value: Any
    """None where it is missing."""
    made_of: str
    """The field that it is, or `features.py`."""
    note: str = ""
    """What happened on the way: filled in, or words that training never held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fed:
    """A recorded request as its model saw it."""

    bundle: str
    code: bool
    """Whether feature code made the features."""
    features: tuple[Feature, ...]
    withheld: tuple[str, ...] = ()
    """Names of what is not shown, as the contract has it encrypted or it may be computed from what is."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Fields that the record does not hold and the model does not use, with the reason."""


def features(parts: Parts, id_: str) -> Fed:
    """Return what the model was handed of a journalled prediction: after the contract's check and the feature code.

    Values of encrypted fields are named and not shown, nor is what feature code makes where it may look at one.
    Raises what `explain` raises.
    """
    event = _find(parts, id_)
    if event.served_arm is Arm.FALLBACK:
        raise UsageError(f"{id_!r} was answered by the declared fallback: no model saw it")
    loaded = models.load(parts.open_bundle(_digest_of(parts, event.bundle), original=False))
    values, missing = recorded_inputs(event, loaded.contract, parts.vault)
    require(id_, missing, loaded.fields_taken)
    row = dict(compile_request_check(loaded.contract).check(values).values)
    private = {one.name for one in loaded.contract.fields if one.pii is Pii.ENCRYPT} & loaded.fields_taken
    if loaded.features is not None:
        made = _made(loaded, row)
        hidden = tuple(made) if private else ()
        shown = [Feature(name=n, value=v, made_of="features.py") for n, v in made.items() if not private]
    else:
        hidden = tuple(sorted(private))
        names = [one.name for one in loaded.contract.fields if one.name in loaded.fields_taken - private]
        shown = [
            Feature(name=name, value=row.get(name), made_of=name, note=_note(loaded, name, values, row))
            for name in names
        ]
    return Fed(
        bundle=event.bundle,
        code=loaded.features is not None,
        features=tuple(shown),
        withheld=hidden,
        missing=missing,
    )


def _made(loaded: LoadedModel, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what feature code makes of one row, by column; the columns of an array are numbered."""
    frame = loaded.features_of([row])
    if hasattr(frame, "to_dicts"):
        return dict(frame.to_dicts()[0])
    if hasattr(frame, "columns"):
        return dict(frame.to_dict("records")[0])
    values = frame.tolist()[0]
    return {f"{i}": value for i, value in enumerate(values if isinstance(values, list) else [values])}


def _note(loaded: LoadedModel, name: str, given: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    value = row.get(name)
    if given.get(name) is None:
        return "missing" if value is None else "missing, filled in"
    if name in loaded.vocabulary and isinstance(value, str):
        found = list(dict.fromkeys(words(value)))
        new = [word for word in found if word not in loaded.vocabulary[name]]
        told = f": {', '.join(new[:MOST_WORDS])}{' …' if len(new) > MOST_WORDS else ''}" if new else ""
        return f"{len(new)} of {len(found)} words were never seen in training{told}"
    return "" if value == given[name] else f"sent as {given[name]!r}"


def _find(parts: Parts, id_: str) -> Event:
    event = parts.journal.find(id_)
    if event is None or event.model != parts.model:
        raise NotFound(
            f"the journal of {parts.model} holds no prediction {id_!r}",
            remedy="The id stands in the answer. `[log] keep_days` and `max_gb` say how long the journal keeps it.",
        )
    if event.kind is Kind.EXTERNAL:
        raise UsageError(
            f"{id_!r} was answered by a service elsewhere: there is no bundle here to answer it again",
            remedy="Ask that service.",
        )
    return event


def refuse_difference(found: Replayed) -> None:
    """Raise EnvironmentFault where the answer of now is not the recorded one."""
    if found.same:
        return
    told = "; ".join(f"{one.what} was {one.then!r}, is {one.now!r}" for one in found.differences[:5])
    packages = "; ".join(found.environment) or "the packages that trained it are the same here"
    raise EnvironmentFault(
        f"{found.id!r} does not come out again from {found.bundle}: {told} ({packages})",
        remedy="Replay it where it was served. If the packages are the same there, the model is not deterministic: "
        "`mainstay gate VERSION --again` looks at that.",
    )


def _digest_of(parts: Parts, name: str) -> str:
    model, _, number = name.rpartition("@")
    with parts.store.read() as tx:
        found = releases.get_or_none(tx, model, int(number)) if model == parts.model and number.isdigit() else None
    if found is None:
        raise NotFound(f"the store knows no version {name!r}, which answered it")
    return found.digest


def _nearest(event: Event, answers: Sequence[Answer]) -> Answer:
    """Return the answer that is the recorded one to the last bit, wherever in the batch it stood; else the first."""
    then = _bytes_of(event)
    return next((one for one in answers if _bytes_of(one) == then), answers[0])


def _bytes_of(one: Event | Answer) -> bytes:
    return _encode([one.label, one.probabilities, one.confidence])


def _original(bundle: bundles.Bundle, event: Event, asked: Sequence[Mapping[str, Any]]) -> Original:
    try:
        given = answer(models.load(bundle, original=True), asked)[0]
    except MainstayError as error:
        return Original(label=None, largest=None, why=error.message)
    _, largest = compare(event, given, ())
    return Original(label=given.label, largest=largest)


def _of_fallback(event: Event, loaded: LoadedModel, values: Mapping[str, Any], missing: Mapping[str, str]) -> Replayed:
    """Hold the declared fallback beside a record that it answered."""
    given = loaded.fallback.answer(compile_request_check(loaded.contract).check(values).values)
    declared = None if given is None else given.label
    differs = given is not None and declared != event.label
    return Replayed(
        id=event.id,
        bundle=event.bundle,
        digest=loaded.digest,
        runtime="fallback",
        batch=event.batch,
        same=not differs,
        equal_bytes=not differs,
        largest=0.0,
        differences=(Difference(what="label", then=event.label, now=declared),) if differs else (),
        missing=missing,
        environment=loaded.environment_differences,
        original=None,
        note=f"the declared fallback answered it, no model ({event.reason or 'no reason was kept'})",
    )
