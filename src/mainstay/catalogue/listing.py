"""Every feature with owner, description, cost and use."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from mainstay.catalogue import costs
from mainstay.catalogue.records import Cost, FeatureCode, Listed, Listing
from mainstay.core import releases
from mainstay.core.errors import MainstayError
from mainstay.core.features import Feature
from mainstay.data import prepare
from mainstay.features.files import Catalogue
from mainstay.models import bundle as bundles
from mainstay.models import featured
from mainstay.models.inputs import Inputs
from mainstay.store import releases as rows
from mainstay.train.code import project_code
from mainstay.train.fit import load_pipeline, read_rows

DEARER = 2.0
"""So many times what was declared is told."""

if TYPE_CHECKING:
    from mainstay.config.load import Loaded
    from mainstay.parts import Parts
    from mainstay.train.code import ProjectCode


def listing(parts: Parts) -> Listing:
    """Return the features of a project; those of no pipeline are listed too.

    Raises ProjectFileError where the files cannot be read, or two define one name.
    """
    loaded = parts.loaded
    sample, why = _sample(loaded)
    versions = _versions(parts)
    with project_code(loaded.root, loaded.settings.features.paths) as code:
        catalogue = code.catalogue
        found = [
            _listed(loaded, catalogue, feature, file, sample=sample, why=why, versions=versions)
            for feature, file in sorted(catalogue.features.values(), key=lambda one: (one[1], one[0].line))
        ]
        functions = [
            _code(code, loaded, name, pipeline.features, sample, why)
            for name, pipeline in loaded.settings.train.pipelines.items()
            if pipeline.features is not None
        ]
    return Listing(features=tuple(found), code=tuple(functions), changed=tuple(_changed(catalogue, versions)))


def _sample(loaded: Loaded) -> tuple[pl.DataFrame, str]:
    """Return checked training rows to measure on, or why there are none."""
    try:
        part = prepare.read_part(loaded, "train", loaded.settings.data.train)
    except MainstayError as error:
        return pl.DataFrame(), error.message
    return part.report.good.head(costs.ROWS), ""


def _versions(parts: Parts) -> Mapping[str, Mapping[str, Any]]:
    """Return what the lineage of each version that answers, or is on its way, says of features."""
    with parts.store.read() as tx:
        known = rows.all_of(tx, parts.model)
        coming = rows.on_its_way(tx, parts.model)
    found = {}
    for one in known:
        if one.stage not in releases.LIVE and (coming is None or coming.version != one.version):
            continue
        try:
            lineage = bundles.open_bundle(parts.bundles / one.digest, one.digest).json("lineage.json")
        except MainstayError:
            continue
        found[one.name] = lineage.get("features") or {}
    return found


def _listed(
    loaded: Loaded,
    catalogue: Catalogue,
    feature: Feature,
    file: str,
    *,
    sample: pl.DataFrame,
    why: str,
    versions: Mapping[str, Mapping[str, Any]],
) -> Listed:
    absent = [name for name in feature.inputs if name not in sample.columns]
    measured: Cost | None = None
    if not why and absent:
        why = f"the project has no field {', '.join(absent)}"
    if not why:
        measured, why = costs.measure(partial(featured.column, feature), sample.select(feature.inputs))
    return Listed(
        name=feature.name,
        owner=feature.owner,
        description=feature.description,
        dtype=feature.type.value,
        inputs=feature.inputs,
        over=feature.over.value,
        place=f"{file}:{feature.line}",
        shared=any(one.shared for one in catalogue.files if one.name == file),
        cost_us=feature.cost_us,
        measured=measured,
        why_unmeasured=why,
        dearer=bool(measured and feature.cost_us is not None and measured.together_us > DEARER * feature.cost_us),
        pipelines=tuple(n for n, one in loaded.settings.train.pipelines.items() if feature.name in one.uses),
        versions=tuple(name for name, told in versions.items() if feature.name in told.get("uses", ())),
    )


def _code(code: ProjectCode, loaded: Loaded, name: str, function: str, sample: pl.DataFrame, why: str) -> FeatureCode:
    columns: list[str] = []
    measured: Cost | None = None
    if not why:
        try:
            contract, settings = loaded.contract, loaded.settings
            plan = load_pipeline(
                code, name, settings.train.pipelines[name], seed=settings.project.seed, contract=contract
            )
            inputs = Inputs(contract, plan.spec, plan.features)
            columns = _made(inputs.featured(read_rows(contract, sample).values), sample)
            measured, why = costs.measure(lambda frame: inputs.featured(read_rows(contract, frame).values), sample)
        except MainstayError as error:
            why = error.message
        except Exception as error:  # noqa: BLE001 - edge: the project's own code
            why = f"{type(error).__name__}: {error}"
    return FeatureCode(pipeline=name, function=function, columns=tuple(columns), measured=measured, why_unmeasured=why)


def _made(made: Any, sample: pl.DataFrame) -> list[str]:
    """Return which columns a function made, or made otherwise than they came."""
    if not isinstance(made, pl.DataFrame):
        return [str(name) for name in getattr(made, "columns", ())]
    return [
        name for name in made.columns if name not in sample.columns or made[name].to_list() != sample[name].to_list()
    ]


def _changed(catalogue: Catalogue, versions: Mapping[str, Mapping[str, Any]]) -> list[str]:
    now = {file.name: file.digest for file in catalogue.files}
    out = []
    for version, told in versions.items():
        for name, digest in told.get("files", {}).items():
            if name not in now:
                out.append(f"{name}, which {version} was trained with, is not there any more")
            elif now[name] != digest:
                out.append(f"{name} is not what {version} was trained with: the next version is made by other code")
    return out
