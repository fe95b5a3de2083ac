"""A version in a real server of its own, before it answers anybody: does it say there what it says here, how does it
fare?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mainstay.core.routes import BundleRef
from mainstay.models import answers, environment, pickles
from mainstay.models.bundle import BundleParts, write_bundle
from mainstay.models.inputs import InputSpec
from mainstay.models.load import LoadedModel, load
from mainstay.serve import measured
from mainstay.serve import plan as plans

if TYPE_CHECKING:
    from mainstay.core.trials import Measured
    from mainstay.parts import Parts

TRIAL_ROWS = 20
"""Rows whose answers are compared."""
SERVED_ROWS = 200
"""Different rows that it is timed on."""


def measure(parts: Parts, digest: str, rows: Sequence[Mapping[str, Any]], *, other: Any = None) -> Measured:
    """Start a worker for a bundle, compare its answers with those here, and measure it on the project's rows.

    `other`: an estimator that takes whole rows and computes in its place, in a bundle that is gone afterwards.
    """
    model = parts.open_model(digest)
    if other is None:
        return _served(parts, model, rows, bundles=parts.bundles)
    with TemporaryDirectory(prefix="mainstay-self-test-") as folder:
        bundle = write_bundle(
            Path(folder),
            BundleParts(
                pickle=pickles.dump(other),
                contract=model.contract,
                profile=model.profile,
                classes=model.classes,
                spec=InputSpec(),
                environment=environment.lock_lines(),
            ),
        )
        return _served(parts, load(bundle), rows, bundles=Path(folder))


def _served(parts: Parts, model: LoadedModel, rows: Sequence[Mapping[str, Any]], *, bundles: Path) -> Measured:
    return measured.in_server(
        parts.model,
        BundleRef(version=1, digest=model.digest),
        rows[:SERVED_ROWS],
        answers.answer(model, rows[:TRIAL_ROWS]),
        enough_ms=parts.settings.gate.max_p99_ms,
        bundles=bundles,
        environ=parts.environ,
        clock=parts.clock,
        runner=plans.runner_part(parts.settings.serve, parts.loaded.root),
    )
