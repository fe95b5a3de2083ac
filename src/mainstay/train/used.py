"""Declared features as a pipeline uses them: their files become the features.py of the bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mainstay.core.contracts import Contract
from mainstay.features.files import refuse_inputs
from mainstay.models import featured
from mainstay.models.inputs import FeatureCode
from mainstay.models.load import load_features
from mainstay.train.code import ProjectCode, guarded

if TYPE_CHECKING:
    from mainstay.config.settings import PipelineSettings
    from mainstay.train.fit import Pipeline

NAME = featured.NAME
SHOWN = "features.py"


def load(
    code: ProjectCode, settings: PipelineSettings, setting: str, contract: Contract
) -> tuple[FeatureCode, str, dict[str, str]]:
    """Return the function over a frame, the text that travels in the bundle, and the digest of each file in it.

    Raises ProjectFileError for a feature that there is not, one made of what is handed to nobody, and one that has a
    field's name.
    """
    files = code.features(settings.uses, setting=setting)
    known = list(settings.takes) or [field.name for field in contract.features]
    for name in settings.uses:
        feature, file = code.catalogue.features[name]
        refuse_inputs(feature, file, known, setting=setting)
    text = featured.written(
        {name: file.text for name, file in files.items()}, uses=settings.uses, beside=settings.beside
    )
    with guarded("the features cannot be loaded by themselves"):
        function = load_features(text, NAME, module_name="features_alone", shown_as=SHOWN)
    return function, text, {name: file.digest for name, file in files.items()}


def lineage(plan: Pipeline) -> Mapping[str, Any]:
    """Return what a version's lineage says of the features that it uses; nothing where it uses none."""
    if not plan.feature_files:
        return {}
    uses = [] if plan.features_source is None else featured.uses_of(plan.features_source)
    return {"features": {"uses": uses, "files": dict(plan.feature_files)}}
