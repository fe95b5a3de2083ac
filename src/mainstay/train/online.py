"""A fitted model taught further: batch after batch, each from the bytes that the one before it left.

Every batch begins by loading the pickle and ends by writing one, in the learner as in `mainstay reproduce`: what
comes out depends on the bytes and the rows alone, not on which process did how many batches.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from mainstay.core.errors import ProjectFileError
from mainstay.models import environment, pickles, streaming
from mainstay.models.bundle import Bundle
from mainstay.models.calibration import MIN_ROWS
from mainstay.models.inputs import Inputs
from mainstay.models.load import LoadedModel
from mainstay.train.calibrate import Unseen
from mainstay.train.code import guarded
from mainstay.train.fit import Pipeline, Rows, deterministic, joined, quiet
from mainstay.train.run import Continued, Handed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mainstay.data.snapshot import Snapshot

PROGRESSIVE = "progressive"
"""Source of a calibration: what was answered before it was learned."""
CALIBRATED_ON = 2_000
"""Newest progressive answers that confidence is calibrated on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows that were learned one after the other, and the digest of what came out."""

    rows: Rows
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """What a model became, and what it said of each row before it learned it."""

    pickle: bytes
    output: NDArray[np.float64]
    """(n, classes) in the model's order, or (n,) of a regression; before any map."""
    rows: Rows
    differs: int | None = None
    """The first batch that came out otherwise than told; None: none did."""

    @property
    def digest(self) -> str:
        """Return the sha256 of the pickle."""
        return sha256(self.pickle).hexdigest()


def teach(model: LoadedModel, begun: bytes, rows: Rows, *, seed: int) -> Taught:
    """Teach a copy of the model that `begun` pickles the rows, in their order.

    `model` says how rows reach it. Raises ProjectFileError where its code fails or its answers are no numbers, Refused
    where it cannot go on learning.
    """
    estimator = pickle.loads(begun)  # noqa: S301 - of a bundle, or of a state, that this project signed
    streaming.refuse_fixed(estimator, "the model that answers")
    inputs = Inputs(model.contract, model.spec, model.features)
    classes = model.classes if model.contract.task.is_classification else ()
    with quiet(), deterministic(seed), guarded(f"The model cannot learn {len(rows)} rows"):
        output = streaming.progressive(estimator, inputs.build(rows.values), rows.truth, classes)
    wrong = np.flatnonzero(~np.isfinite(output.reshape(len(rows), -1)).all(axis=1))
    if len(wrong):
        raise ProjectFileError(
            f"While it learned, the model gave NaN or infinity for {len(wrong)} of {len(rows)} rows, first row "
            f"{wrong[0]}: {output[wrong[0]].tolist()}",
            remedy="Scale the inputs (river.preprocessing.StandardScaler), fill what may be missing "
            "(river.preprocessing.StatImputer), or take a smaller learning rate.",
        )
    return Taught(pickle=pickles.dump(estimator), output=output, rows=rows)


def replay(model: LoadedModel, begun: bytes, batches: Sequence[Batch], *, seed: int) -> Taught | None:
    """Teach batch after batch, each from the bytes that came before; None without any."""
    found: Taught | None = None
    differs = None
    for number, batch in enumerate(batches):
        one = teach(model, begun if found is None else found.pickle, batch.rows, seed=seed)
        if differs is None and one.digest != batch.digest:
            differs = number
        if found is not None:
            together = np.concatenate([found.output, one.output])
            one = Taught(pickle=one.pickle, output=together, rows=joined(found.rows, one.rows))
        found = one
    return None if found is None else replace(found, differs=differs)


def plan_of(model: LoadedModel, bundle: Bundle) -> Pipeline:
    """Return how rows reach the model of a bundle, with the feature code that it holds, whatever the project has."""
    lineage = model.lineage
    source = bundle.read("features.py").decode("utf-8", "surrogatepass") if bundle.has("features.py") else None
    features: Mapping[str, Any] = lineage.get("features") or {}
    return Pipeline(
        name=str(lineage.get("pipeline", "")),
        build=_is_there,
        params=dict(lineage.get("params") or {}),
        spec=model.spec,
        features=model.features,
        features_source=source,
        feature_files=dict(features.get("files") or {}),
        seed=int(lineage.get("seed", 0)),
        tuned=dict(lineage.get("tuned") or {}),
    )


def unseen(taught: Taught) -> Unseen | None:
    """Return the newest rows with what was said of them before they were learned; None where they are too few."""
    if len(taught.rows) < MIN_ROWS:
        return None
    newest = np.arange(max(0, len(taught.rows) - CALIBRATED_ON), len(taught.rows))
    return Unseen(rows=taught.rows.take(newest), output=taught.output[newest], source=PROGRESSIVE)


def losses(taught: Taught, classes: Sequence[str]) -> list[float]:
    """Return of each row whether the most probable class was wrong (1) or right (0); of a regression |error|."""
    if not classes:
        return [float(loss) for loss in np.abs(taught.output - taught.rows.truth)]
    said = np.asarray(classes)[taught.output.argmax(axis=1)]
    return [float(wrong) for wrong in said != taught.rows.truth]


def _is_there(_params: Mapping[str, Any]) -> Any:
    raise ProjectFileError("this model goes on from another: nothing builds it", remedy="Train the pipeline anew.")


KEPT = ("build", "code", "commit", "params", "tuned", "features")
"""Of the lineage of a version that is gone on from: what stays true of what came of it."""


def handed(
    taught: Taught,
    model: LoadedModel,
    bundle: Bundle,
    lineage: Mapping[str, Any],
    train: Snapshot,
    *,
    newest: bytes | None = None,
    since: int | None = None,
) -> Handed:
    """Return what a model became as one that is to be judged.

    `model` in `bundle` is what it went on from, `lineage` says `online` and what stays true of that; `train` is all
    that the chain was fitted to and learned. `newest`: what the learner itself came to, else what came out here.
    `since`: of so many of the newest rows the answers speak for it; None: of all.
    """
    pickled = taught.pickle if newest is None else newest
    part = taught
    if since is not None and since < len(taught.rows):
        chosen = np.arange(len(taught.rows) - since, len(taught.rows))
        part = replace(taught, output=taught.output[chosen], rows=taught.rows.take(chosen))
    named = {line.partition("==")[0] for line in environment.lock_lines(pickled)}
    lock = bundle.read("environment.lock").decode().splitlines()
    return Handed(
        estimator=pickle.loads(pickled),  # noqa: S301 - made here, or by this project's learner and signed
        pickle=pickled,
        packages=tuple(line for line in lock if line.partition("==")[0] not in named),
        continued=Continued(
            plan=plan_of(model, bundle),
            train=train,
            lineage={name: lineage[name] for name in (*KEPT, "online") if name in lineage},
            unseen=unseen(part),
            calibration=model.calibration,
            twin=pickle.loads(taught.pickle),  # noqa: S301 - made just now
        ),
    )
