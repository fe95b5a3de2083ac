"""The declared features, computed on training rows, as a Feast repository."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mainstay.core.contracts import Pii
from mainstay.core.errors import BadData, UsageError
from mainstay.core.features import Feature
from mainstay.data import prepare
from mainstay.features import feast_repository as feast
from mainstay.features.files import refuse_inputs
from mainstay.models import featured
from mainstay.train.code import guarded, project_code

if TYPE_CHECKING:
    from mainstay.config.load import Loaded


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written."""

    folder: str
    entity: str
    view: str
    service: str
    features: tuple[str, ...]
    rows: int
    notes: tuple[str, ...]
    """What was left out and why, as sentences."""


def export(loaded: Loaded, folder: Path) -> Exported:
    """Write the features of the training rows, as of their times; features that rest on personal fields are left out.

    Raises UsageError without [data] key and [data] time, and where no feature is left; BadData where no row has both.
    """
    contract = loaded.contract
    key, time = contract.key, contract.time
    if key is None or time is None:
        missing = "key" if key is None else "time"
        raise UsageError(
            f"there is no [data] {missing}", remedy="A Feast store holds values of a key as of a time: declare both."
        )
    part = prepare.read_part(loaded, "train", loaded.settings.data.train)
    rows = part.report.good
    kept = rows.drop_nulls([key, time]).unique([key, time], keep="last", maintain_order=True)
    if kept.is_empty():
        raise BadData(f"no row of {part.address} has {key} and {time}")
    notes = [f"{rows.height - kept.height} rows were left out: without {key} or {time}, or of one moment"]
    columns, values = [], kept.select(key, time)
    with project_code(loaded.root, loaded.settings.features.paths) as code:
        for feature, file in sorted(code.catalogue.features.values(), key=lambda one: one[0].name):
            if why := _why_not(loaded, feature):
                notes.append(f"{feature.name} was left out: {why}")
                continue
            refuse_inputs(feature, file, [field.name for field in contract.fields], setting="--export-feast")
            with guarded(f"the feature {feature.name} failed on {kept.height} training rows"):
                values = values.with_columns(featured.column(feature, kept))
            columns.append(
                feast.Column(name=feature.name, type=feature.type, description=feature.description, owner=feature.owner)
            )
    if not columns:
        raise UsageError(
            "no feature is left to export" + "".join(f"; {note}" for note in notes[1:]),
            remedy="Declare one with @mainstay.feature in features.py.",
        )
    field = contract.field(key)
    if field is not None and field.pii is not Pii.KEEP:
        notes.append(f"{key} is personal ({field.pii.value}), and stands in the repository as it came")
    told = f"The unit that {loaded.settings.project.name} answers for"
    feast.write(folder, loaded.settings.project.name, columns, values, entity=key, told=told, time=time)
    service, view = feast.names_of(loaded.settings.project.name)
    return Exported(
        folder=str(folder),
        entity=key,
        view=view,
        service=service,
        features=tuple(column.name for column in columns),
        rows=kept.height,
        notes=tuple(notes if rows.height > kept.height else notes[1:]),
    )


def _why_not(loaded: Loaded, feature: Feature) -> str:
    """Return why a feature is not exported; empty where it is."""
    known = {field.name: field for field in loaded.contract.fields}
    absent = [name for name in feature.inputs if name not in known]
    if absent:
        return f"the project has no field {', '.join(absent)}"
    personal = [name for name in feature.inputs if known[name].pii is not Pii.KEEP]
    if personal:
        return f"it is made of {', '.join(personal)}, which the journal may not keep as it came"
    return ""
