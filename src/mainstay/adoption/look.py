"""Everything that must be known of a fitted model before a project is written: whether it can be carried, and answers.

look at the estimator → read the rows → hold its answers, asked through the contract, against the notebook's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from mainstay.adoption import carry, contract, estimator, rows
from mainstay.adoption.contract import Features, Way
from mainstay.adoption.feature_code import FeatureCode, feature_code
from mainstay.adoption.rows import Given
from mainstay.config.settings import SplitBy
from mainstay.core.contracts import Contract, Role
from mainstay.core.errors import BadData, NotEnoughEvidence, UsageError
from mainstay.core.profiles import Profile
from mainstay.data.audit import audit_training
from mainstay.data.frame_check import check_frame
from mainstay.data.split import split_rows
from mainstay.models.calibration import MIN_ROWS
from mainstay.models.inputs import Form, InputSpec
from mainstay.models.load import LoadedModel, load_features
from mainstay.train.fit import quiet, read_rows
from mainstay.train.folds import ROWS_MIN
from mainstay.train.run import Handed

if TYPE_CHECKING:
    from mainstay.adoption.estimator import Kind

EQUAL = 1e-12
"""How far an answer may be from the notebook's own."""
CHECK_ROWS = 20_000
"""Rows on which answers are held against the notebook's own."""
TEST_SHARE = 0.2
SAW_TEST = (
    "no holdout was given, and the estimator was fitted on these rows: what it says about them proves nothing. Its "
    "figures, its calibration and the reference of the watch come from clones, each fitted without the rows that it "
    "answers. A fifth of the rows is set aside as test set for the versions to come; against this version they are "
    "compared on live traffic."
)
FEW_TEST_ROWS = 133
"""With fewer, Tango's interval is wider than two points even where two versions never differ: z²/(n + z²) > 0.02."""
UNSEEN = (
    "the holdout judges version 1, calibrates its confidence and is what traffic is compared with; its calibration "
    "error on these same rows is therefore flattered a little."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """Everything that is known before anything is written."""

    kind: Kind
    way: Way
    contract: Contract
    spec: InputSpec
    train: pl.DataFrame
    test: pl.DataFrame
    saw_test: bool
    unfitted: bytes
    handed: Handed
    code: FeatureCode | None
    judges: pl.DataFrame
    """The holdout, else the training rows, at most `CHECK_ROWS`: rows whose answers are compared."""
    own: np.ndarray[Any, Any]
    """What the notebook's estimator says about them."""
    difference: float
    """Largest difference of the estimator, asked as a server asks it, from its own answers in the notebook."""
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Columns that have another use than to be answered from."""

    key: str | None = None
    time: str | None = None
    segments: tuple[str, ...] = ()

    @property
    def beside(self) -> tuple[str, ...]:
        """Return the columns that may be there for the watch alone."""
        return tuple(one for one in (self.key, self.time, *self.segments) if one is not None)


def look(
    fitted: Any,
    given: Any,
    y: Any,
    holdout: tuple[Any, Any] | None,
    *,
    features: Features | None,
    column: str | None,
    roles: Roles,
) -> Looked:
    """Find out everything that is needed, writing nothing; raise what keeps the model from being adopted."""
    kind = estimator.kind_of(fitted)
    unfitted = carry.unfitted_bytes(fitted)
    private, data = carry.private_copy(fitted)
    names = estimator.names_of(fitted) if features is None else ()
    seen = rows.given(given, names=names)
    way = contract.way_of(fitted, seen, features=features, column=column, beside=roles.beside)
    target = rows.target_name(y, seen.frame.columns)
    train = _with_truth(seen, y, kind, target, "y")
    unseen, test = _holdout(holdout, seen, kind, target, names)
    frozen = estimator.holds_frozen(fitted)
    if frozen and (unseen is None or len(unseen) < MIN_ROWS):
        raise UsageError(
            "the estimator holds a FrozenEstimator, whose clones are fitted already, so that no clone can speak for "
            f"it; a holdout of {MIN_ROWS} rows or more can",
            remedy="Give holdout=(X2, y2) with rows that no part of it ever saw, or fit it without freezing.",
        )
    told = contract.contract_of(
        train, test, way, kind, target=target, key=roles.key, time=roles.time, segments=roles.segments
    )
    _require_kept(told, train, "X")
    if test is not None:
        _require_kept(told, test, "the holdout's X")
    code = feature_code(features) if features is not None else None
    spec = contract.spec_of(way, told, seen, features_name=code.name if code else None)
    judges, frame = (unseen, test) if unseen is not None and test is not None else (seen, train)
    own = estimator.told(fitted, kind, way.own(judges), len(judges))
    difference = _difference(private, told, spec, code, frame.head(CHECK_ROWS), own[:CHECK_ROWS])
    if test is None:
        train, test = _set_aside(told, train)
    return Looked(
        kind=kind,
        way=way,
        contract=told,
        spec=spec,
        train=train,
        test=test,
        saw_test=unseen is None,
        unfitted=unfitted,
        handed=Handed(estimator=private, pickle=data, saw_test=unseen is None),
        code=code,
        judges=frame.head(CHECK_ROWS),
        own=own[:CHECK_ROWS],
        difference=difference,
        notes=tuple(
            _notes(
                told,
                way,
                seen,
                code,
                frozen=frozen,
                unseen=0 if unseen is None else len(unseen),
                audited=_audited(told, train, test),
            )
        ),
    )


def _with_truth(seen: Given, y: Any, kind: Kind, target: str, what: str) -> pl.DataFrame:
    truth = rows.truth(y, len(seen), classes=kind.classes, what=what)
    if truth.n_unique() < 2:
        raise BadData(
            f"{what} is the same in every row: {truth[0]!r}", remedy="Give rows that differ in what is to be told."
        )
    return seen.frame.with_columns(truth.alias(target))


def _holdout(
    holdout: tuple[Any, Any] | None, seen: Given, kind: Kind, target: str, names: Sequence[str]
) -> tuple[Given | None, pl.DataFrame | None]:
    if holdout is None:
        if len(seen) < ROWS_MIN:
            raise NotEnoughEvidence(
                f"{len(seen)} rows without a holdout say nothing about the model; {ROWS_MIN} rows are needed",
                remedy="Give more rows, or holdout=(X2, y2) with rows that it never saw.",
            )
        return None, None
    if not isinstance(holdout, tuple | list) or len(holdout) != 2:
        raise UsageError(
            f"holdout is a {type(holdout).__name__}; a pair (X2, y2) is expected", remedy="holdout=(X_test, y_test)"
        )
    unseen = rows.given(holdout[0], what="the holdout's X", names=names)
    if unseen.form is not seen.form:
        raise UsageError(
            f"the holdout's X is a {type(holdout[0]).__name__}, and X is of another form",
            remedy="Give both in the same form.",
        )
    absent = [name for name in seen.frame.columns if name not in unseen.frame.columns]
    if absent:
        raise BadData(f"the holdout's X lacks columns that X has: {absent[:5]}", remedy="Give both the same columns.")
    if unseen.form is not None:
        unseen = rows.given(unseen.columns(seen.frame.columns), what="the holdout's X", names=names)
    return unseen, _with_truth(unseen, holdout[1], kind, target, "the holdout's y")


def _require_kept(told: Contract, frame: pl.DataFrame, what: str) -> None:
    report = check_frame(told, frame, with_target=True)
    if report.bad.height:
        raise BadData(
            f"{report.bad.height} of {frame.height} rows of {what} hold values that no contract allows",
            remedy="Leave these rows out, or make the values finite.",
            problems=report.problems,
        )


def _difference(
    private: Any, told: Contract, spec: InputSpec, code: FeatureCode | None, frame: pl.DataFrame, own: Any
) -> float:
    """Ask the estimator through the contract, as serving will, and hold it against the notebook's own answers."""
    checked = read_rows(told, check_frame(told, frame, with_target=True).good)
    function = None
    if code is not None:
        function = load_features(code.text, code.name, module_name="mainstay_adopted_features", shown_as="features.py")
    model = LoadedModel(
        estimator=private,
        contract=told,
        classes=told.classes,
        spec=spec,
        features=function,
        profile=Profile(source="none", rows=0, keys=0, signals=[]),
    )
    try:
        with quiet():
            said = model.predict(checked.values)
    except Exception as error:  # edge: the user's estimator and feature code
        raise UsageError(
            f"the estimator does not answer rows as a server gets them: {type(error).__name__}: {error}",
            remedy="It must answer from the values of the row alone: texts, numbers, booleans, times.",
        ) from error
    gap = np.abs(said - own).reshape(len(own), -1).max(axis=1)
    other = np.flatnonzero(~(gap <= EQUAL))
    if len(other):
        first = int(other[0])
        raise UsageError(
            f"asked as a server asks it, the estimator answers {len(other)} of {len(own)} rows otherwise than in the "
            f"notebook, first row {first}: {said[first].tolist()} instead of {own[first].tolist()}",
            remedy="The same row must get the same answer: seed what is random, and let nothing depend on the index, "
            "on other rows, or on the moment.",
        )
    return float(gap.max())


def _set_aside(told: Contract, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    by = SplitBy.KEY if told.key else SplitBy.STRATUM if told.task.is_classification else SplitBy.ROW
    return split_rows(told, frame, by=by, share=TEST_SHARE, seed=0)


def _audited(told: Contract, train: pl.DataFrame, test: pl.DataFrame) -> tuple[str, ...]:
    """Raise BadData where the rows mean nothing (a holdout that was trained on); return what should be known."""
    found = audit_training(
        told,
        check_frame(told, train, with_target=True).good,
        check_frame(told, test, with_target=True).good,
    )
    if found.errors:
        raise BadData(
            "with these rows nothing could be said about the model",
            remedy="Mend the rows; a holdout must be rows that the model never saw.",
            problems=found.errors,
        )
    return tuple(str(problem) for problem in found.warnings)


def _notes(
    told: Contract,
    way: Way,
    seen: Given,
    code: FeatureCode | None,
    *,
    frozen: bool,
    unseen: int,
    audited: Sequence[str],
) -> Iterator[str]:
    """Yield what should be known; `unseen` rows that the estimator never saw judge it."""
    yield UNSEEN if unseen else SAW_TEST
    if frozen:
        yield "the estimator holds a FrozenEstimator: training again fits the rest of it alone."
    if told.task.is_classification and 0 < unseen < FEW_TEST_ROWS:
        yield (
            f"the holdout has {unseen} rows; a next version can be shown to be within two points of this one from "
            f"{FEW_TEST_ROWS} rows on, so its gate may say not_enough."
        )
    if way.form is Form.ARRAY and seen.form is Form.ARRAY:
        yield (
            f"X is an array without names: requests call its columns {way.takes[0]} to {way.takes[-1]}, in order. "
            "With names people understand requests and alerts: adopt a frame."
        )
    if seen.form is None:
        yield "X is texts without a name: requests call the field text."
    unused = [
        field.name
        for field in told.fields
        if field.name not in (*way.takes, told.key, told.time) and Role.SEGMENT not in field.roles
    ]
    if unused:
        yield f"the estimator does not take {', '.join(unused)}: requests may leave that out."
    if code is not None and code.why_bytes:
        yield f"the feature function stands in features.py as bytes, as {code.why_bytes}."
    yield from audited
