"""A bundle without a model: what traffic of a service that answers elsewhere is compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from mainstay.core.contracts import Contract
from mainstay.core.errors import Damaged
from mainstay.core.profiles import Profile
from mainstay.models.bundle import Bundle, write_contents
from mainstay.models.signals import RowSignals

MODEL = "model/model.pkl"
"""The file that a bundle with a model has and this one has not."""


@dataclass(slots=True, kw_only=True)
class ReferenceOnly:
    """Contract and profile of a model that is not here."""

    contract: Contract
    profile: Profile
    vocabulary: Mapping[str, frozenset[str]]
    """Per text field: the words of the reference rows."""
    digest: str = ""
    lineage: Mapping[str, Any] = field(default_factory=dict)
    signals: RowSignals = field(init=False)

    def __post_init__(self) -> None:
        self.signals = RowSignals(self.contract, self.vocabulary)


def write(folder: Path, made: ReferenceOnly) -> Bundle:
    """Write it as `folder/<digest>/`; the same reference gives the same digest."""
    words = {name: sorted(known) for name, known in made.vocabulary.items()}
    documents: dict[str, Any] = {
        "model/model.json": {"v": 1, "kind": "elsewhere", "classes": list(made.contract.classes), "spec": {}},
        "model/vocabulary.json": words,
        "contract.json": msgspec.to_builtins(made.contract),
        "profile/profile.json": msgspec.to_builtins(made.profile),
        "lineage.json": dict(made.lineage),
    }
    return write_contents(folder, {name: _json(value) for name, value in sorted(documents.items())})


def is_reference_only(bundle: Bundle) -> bool:
    """Return whether a bundle holds no model."""
    return not bundle.has(MODEL)


def open_(bundle: Bundle) -> ReferenceOnly:
    """Open a verified bundle without a model; raises Damaged for what is not one."""
    try:
        return ReferenceOnly(
            contract=msgspec.json.decode(bundle.read("contract.json"), type=Contract),
            profile=msgspec.json.decode(bundle.read("profile/profile.json"), type=Profile),
            vocabulary={name: frozenset(known) for name, known in bundle.json("model/vocabulary.json").items()},
            digest=bundle.digest,
            lineage=bundle.json("lineage.json"),
        )
    except msgspec.ValidationError as error:
        raise Damaged(f"bundle {bundle.digest[:12]} is not as expected: {error}") from error


def _json(value: Any) -> bytes:
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode()
