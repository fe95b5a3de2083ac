"""How MLflow's `pyfunc.load_model` opens a bundle that Mainstay logged; imports nothing of MLflow."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstay.models import answers
from mainstay.models.bundle import MANIFEST, open_bundle
from mainstay.models.load import LoadedModel, load

if TYPE_CHECKING:
    import pandas as pd


class BundleModel:
    """Answers a pandas frame of the contract's fields as Mainstay serves it."""

    def __init__(self, model: LoadedModel) -> None:
        self.model = model

    def predict(self, frame: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """Return one row per row, in order, with the same index; NaN and NaT count as missing."""
        import pandas as pd

        plain = frame.astype(object).where(frame.notna(), None)
        rows = [{str(name): value for name, value in row.items()} for row in plain.to_dict(orient="records")]
        said = [
            {
                "label": found.label,
                "confidence": found.confidence,
                "trust": found.trust.value,
                **{f"probability_{name}": value for name, value in found.probabilities.items()},
            }
            for found in answers.answer(self.model, rows)
        ]
        return pd.DataFrame(said, index=frame.index)


def _load_pyfunc(path: str) -> BundleModel:
    """Open the logged bundle; every file is held against the manifest."""
    folder = Path(path)
    manifest = (folder / MANIFEST).read_bytes()
    return BundleModel(load(open_bundle(folder, sha256(manifest).hexdigest())))
