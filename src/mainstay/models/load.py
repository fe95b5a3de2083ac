"""From a verified bundle to a model that answers."""

from __future__ import annotations

import linecache
import pickle
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np

from mainstay.core.contracts import Contract, Task
from mainstay.core.errors import Damaged, EnvironmentFault, ModelOutputInvalid
from mainstay.core.profiles import Profile
from mainstay.models import environment
from mainstay.models.bundle import BACKGROUND, FAMILIAR, PROGRAM, Bundle
from mainstay.models.calibration import Calibration
from mainstay.models.compiled import program_file
from mainstay.models.compiled.parts import Program
from mainstay.models.doubts import Doubts
from mainstay.models.explained import background as backgrounds
from mainstay.models.explained.background import Background
from mainstay.models.fallback import Fallback, limit_of
from mainstay.models.familiar import Familiar
from mainstay.models.inputs import FeatureCode, Inputs, InputSpec
from mainstay.models.signals import RowSignals, text_fields
from mainstay.models.thresholds import Thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Outside(Protocol):
    """What computes for a model that is not in this process (`models.runner`)."""

    def predict(self, rows: Sequence[Mapping[str, Any]], /) -> NDArray[np.float64]:
        """Return what `LoadedModel.predict` returns; raises RunnerFailed when nothing can compute now."""

    def get_ready(self) -> None:
        """Wait until rows can be computed, or will not be for a while."""

    def retire(self) -> None:
        """End what computes in a while, when no rows are under way any more."""

    def stop(self) -> None:
        """End what computes, now."""

    def state(self) -> dict[str, Any]:
        """Return how it fares, JSON-ready."""


@dataclass(slots=True, kw_only=True)
class LoadedModel:
    """A model in memory with everything that decides its answers. For one caller at a time."""

    estimator: Any
    """None where the bundle holds a program or is computed outside: its library is then never imported here."""
    contract: Contract
    classes: tuple[str, ...]
    """In the order of the probability columns; empty for regression."""
    spec: InputSpec
    features: FeatureCode | None = None
    calibration: Calibration = field(default_factory=Calibration)
    thresholds: Thresholds = field(default_factory=Thresholds)
    vocabulary: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Per text field: the words of its training rows."""
    familiar: Familiar | None = None
    """What training held."""
    profile: Profile
    digest: str = ""
    """Of its bundle; empty for a model that was not written yet."""
    lineage: Mapping[str, Any] = field(default_factory=dict)
    runtime: str = "sklearn"
    """What computes the answers."""
    program: Program | None = None
    """The compiled form, which answers where there is one."""
    background: Background | None = None
    """What the program's explanations compare a row with; None in bundles of before it was kept."""
    outside: Outside | None = None
    """Computes the answers in another process, where the model is not in this one."""
    fitted: tuple[str, ...] = ()
    """Names of the estimator's classes in its own order; taken from the estimator where it is there."""
    environment_differences: tuple[str, ...] = ()
    """Packages whose version here is not the one that trained, as sentences."""
    signals: RowSignals = field(init=False)
    """Measures rows against this model's vocabulary."""
    doubts: Doubts | None = field(init=False)
    """Says what is unlike training in a row; None where nothing is known of it."""
    fallback: Fallback = field(init=False)
    """Answers in the model's place."""
    abstain_limit: Callable[[Mapping[str, Any]], float] | None = field(init=False)
    """The confidence below which the model abstains on a row, where segments have limits of their own."""
    text_names: tuple[str, ...] = field(init=False)
    _inputs: Inputs = field(init=False)
    _order: list[int] | None = field(init=False)
    _grades: NDArray[np.float64] | None = field(init=False)
    """Of a ranking by a classifier: the grades that its columns stand for; the score is the expected grade."""
    _threads: Any = field(init=False)
    """Holds numerical libraries to one thread: for a few rows, waking others costs far more than it saves."""

    def __post_init__(self) -> None:
        from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

        self._threads = ThreadpoolController()
        _use_one_job(self.estimator)
        if hasattr(self.estimator, "classes_"):
            self.fitted = tuple(class_name(name) for name in self.estimator.classes_)
        self.signals = RowSignals(self.contract, self.vocabulary)
        self.doubts = None if self.familiar is None else Doubts(self.contract, self.familiar, self.vocabulary)
        limits = self.thresholds
        self.fallback = Fallback(limits)
        self.abstain_limit = limit_of(self.contract, limits.abstain_in) if limits.abstain_in else None
        self.text_names = tuple(f.name for f in text_fields(self.contract))
        self._inputs = Inputs(self.contract, self.spec, self.features)
        self._order = self._column_order()
        self._grades = self._grades_of_columns()

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        """Return probabilities of shape (n, classes), for regression values of shape (n,).

        A declared class that training never held has probability 0. NaN is passed on; `answers.answer` refuses it.
        Raises ModelOutputInvalid when the estimator returns another shape.
        """
        classification = self.contract.task.is_classification
        width = (len(self.classes),) if classification else ()
        if not rows:
            return np.zeros((0, *width))
        if self.outside is not None:
            return _shaped(self.outside.predict(rows), (len(rows), *width))  # ordered and mapped already
        output = self._compiled(self.program, rows) if self.program is not None else self.original(rows)
        if self._order is not None:
            ordered = np.zeros((len(rows), *width))
            ordered[:, self._order] = output
            output = ordered
        mapped = self.calibration.probabilities
        return output if mapped is None else mapped.apply(output)

    @property
    def at_once(self) -> bool:
        """Return whether answering is bounded computing of our own: no library, no feature code of the project."""
        return self.program is not None and self.features is None

    def original(self, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        """Return what the estimator itself says, its classes in its own order, also where a program answers."""
        given = self._inputs.build(rows)
        with self._on_one_thread():
            if self._grades is not None:
                shares = _shaped(self.estimator.predict_proba(given), (len(rows), len(self._grades)))
                return np.asarray(shares @ self._grades, dtype=np.float64)
            if not self.contract.task.is_classification:
                return _shaped(self.estimator.predict(given), (len(rows),))
            return _shaped(self.estimator.predict_proba(given), (len(rows), len(self.estimator.classes_)))

    def _on_one_thread(self) -> AbstractContextManager[Any]:
        """Hold the libraries to one thread; where they are so, as in every runner, that need not be said again."""
        if all(library.num_threads == 1 for library in self._threads.lib_controllers):
            return nullcontext()
        held: AbstractContextManager[Any] = self._threads.limit(limits=1)
        return held

    def _compiled(self, program: Program, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        return program.predict(self.program_rows(rows))

    def program_rows(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Return checked rows as the program is handed them: where there is feature code, what that makes of them."""
        if self.spec.features is None:
            return rows
        if self.spec.input is None:
            return self._inputs.feature_rows(rows)
        name = self.spec.input
        return [{name: text} for text in self._inputs.build(rows)]

    def features_of(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        """Return what feature code makes of rows together; None where there is none."""
        return self._inputs.featured(rows)

    @property
    def fields_taken(self) -> frozenset[str]:
        """Return the fields that the answer may depend on: those handed to the model, or to its feature code."""
        if self.spec.takes:
            return frozenset(self.spec.takes)
        if self.spec.input is not None and self.spec.features is None:
            return frozenset({self.spec.input})
        return frozenset(field.name for field in self.contract.features)

    def _grades_of_columns(self) -> NDArray[np.float64] | None:
        if self.contract.task is not Task.RANKING or not ranks_by_probability(self.estimator):
            return None
        return np.asarray(self.estimator.classes_, dtype=np.float64)

    def _column_order(self) -> list[int] | None:
        """Return where each of the estimator's columns belongs; None when they are in declared order already."""
        if not self.contract.task.is_classification:
            return None
        strangers = [name for name in self.fitted if name not in self.classes]
        if strangers:
            raise ModelOutputInvalid(f"The estimator knows classes {strangers}; allowed are {list(self.classes)}")
        order = [self.classes.index(name) for name in self.fitted]
        return None if order == list(range(len(self.classes))) else order


def ranks_by_probability(estimator: Any) -> bool:
    """Return whether a ranking takes its scores from an estimator's probabilities of the grades."""
    return hasattr(estimator, "predict_proba") and hasattr(estimator, "classes_")


def class_name(value: Any) -> str:
    """Return the name of a class: text as it is, booleans `true` and `false`, whole numbers without a point."""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def load(bundle: Bundle, *, original: bool = False, without_model: bool = False) -> LoadedModel:
    """Load a verified bundle; model.py is never imported. `original`: its estimator, also where it holds a program.

    The pickle is read only after its digest held, and not at all where the bundle holds a program. `without_model`:
    all but what computes (estimator, program, feature code), for a model that another process computes. Raises Damaged
    when a file changed, EnvironmentFault when a package that the model needs is absent or too different.
    """
    model = bundle.json("model/model.json")
    spec = msgspec.convert(model["spec"], InputSpec)
    words = bundle.json("model/vocabulary.json")
    compiled = bundle.has(PROGRAM) and not original and not without_model
    described = program_file.decode(bundle.read(PROGRAM)) if compiled else None
    fitted = tuple(model["classes"]) if without_model else ()
    return LoadedModel(
        estimator=None if described is not None or without_model else _unpickle(bundle),
        program=None if described is None else program_file.assemble(described),
        fitted=fitted if described is None else tuple(described["classes"]),
        contract=_part(bundle, "contract.json", Contract),
        classes=tuple(model["classes"]),
        spec=spec,
        features=None if without_model else _features(bundle, spec),
        calibration=_part(bundle, "calibration.json", Calibration),
        thresholds=_part(bundle, "thresholds.json", Thresholds),
        vocabulary={name: frozenset(known) for name, known in words.items()},
        background=_background(bundle) if described is not None else None,
        familiar=_part(bundle, FAMILIAR, Familiar) if bundle.has(FAMILIAR) else None,
        profile=_part(bundle, "profile/profile.json", Profile),
        digest=bundle.digest,
        lineage=bundle.json("lineage.json"),
        runtime=str(bundle.json("parity.json")["runtime"]),
        environment_differences=environment.differences(bundle.read("environment.lock").decode().splitlines()),
    )


def load_features(source: str, name: str, *, module_name: str, shown_as: str) -> FeatureCode:
    """Run feature code under a module name of its own and return the function `name`.

    The module enters no import table, so two versions in one process never meet.
    """
    module = ModuleType(module_name)
    module.__file__ = shown_as
    linecache.cache[shown_as] = (len(source), None, source.splitlines(keepends=True), shown_as)
    exec(compile(source, shown_as, "exec"), module.__dict__)  # noqa: S102 - the project's own code, digest verified
    found: FeatureCode = getattr(module, name)
    return found


def _use_one_job(estimator: Any) -> None:
    """Set every `n_jobs` to 1: joblib's threads cost a row tens of milliseconds and change no answer."""
    if not hasattr(estimator, "get_params"):
        return
    many = [
        name
        for name, value in estimator.get_params().items()
        if name.rpartition("__")[2] == "n_jobs" and value not in (None, 1)
    ]
    for name in many:
        estimator.set_params(**{name: 1})


def _features(bundle: Bundle, spec: InputSpec) -> FeatureCode | None:
    if spec.features is None:
        return None
    short = bundle.digest[:12]
    source = bundle.read("features.py").decode("utf-8", "surrogatepass")
    try:
        return load_features(
            source,
            spec.features,
            module_name=f"mainstay_bundle_{short}_features",
            shown_as=f"<bundle {short}>/features.py",
        )
    except Exception as error:  # edge: the user's code; whatever it raises, the bundle cannot serve
        raise EnvironmentFault(
            f"features.py of bundle {short} does not load here: {type(error).__name__}: {error}",
            remedy="Install what it imports (environment.lock lists versions), or promote another version.",
        ) from error


def _unpickle(bundle: Bundle) -> Any:
    data = bundle.read("model/model.pkl")
    try:
        return pickle.loads(data)  # noqa: S301 - verified against the manifest, whose digest the route names
    except Exception as error:  # edge: unpickling runs other libraries' code
        lock = bundle.read("environment.lock").decode().splitlines()
        changed = "; ".join(environment.differences(lock)) or "the recorded packages are the same here"
        raise EnvironmentFault(
            f"The model of bundle {bundle.digest[:12]} does not load here: {type(error).__name__}: {error} ({changed})",
            remedy="Install the versions in the bundle's environment.lock, or train again in this environment.",
        ) from error


def _background(bundle: Bundle) -> Background | None:
    return backgrounds.decode(bundle.read(BACKGROUND)) if bundle.has(BACKGROUND) else None


def _part(bundle: Bundle, name: str, type_: Any) -> Any:
    try:
        return msgspec.json.decode(bundle.read(name), type=type_)
    except msgspec.ValidationError as error:
        raise Damaged(f"{name} of bundle {bundle.digest[:12]} is not as expected: {error}") from error


def _shaped(output: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = np.asarray(output, dtype=np.float64)
    if array.shape != shape:
        raise ModelOutputInvalid(f"The model returned an array of shape {array.shape}; {shape} is expected")
    return array
