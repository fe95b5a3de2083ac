"""The inputs of a recorded prediction, as far as the record holds them, and why it does not hold the others."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from mainstay.core.contracts import Contract, Pii
from mainstay.core.errors import NotEnoughEvidence
from mainstay.core.events import Event
from mainstay.journal.vault import Vault

_WHY = {Pii.HASH: "only its hash was kept", Pii.DROP: "it was not kept"}


def recorded_inputs(event: Event, contract: Contract, vault: Vault) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the inputs as they were served, and why a field is not among them."""
    values, gone = vault.opened(event.inputs)
    kept: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for field in contract.fields:
        name = field.name
        if name in gone:
            missing[name] = gone[name].value
        elif field.pii in _WHY and (name not in values or values[name] is not None):
            missing[name] = _WHY[field.pii]
        elif name not in values:
            missing[name] = "the record has no such field"
        else:
            kept[name] = values[name]
    return kept, missing


def require(id_: str, missing: Mapping[str, str], needed: Container[str]) -> None:
    """Raise NotEnoughEvidence, with the reasons, where a field is missing that the model takes."""
    told = ", ".join(f"{name} ({why})" for name, why in missing.items() if name in needed)
    if told:
        raise NotEnoughEvidence(
            f"{id_!r} cannot be asked again: the record does not hold {told}",
            remedy='Only fields with pii = "keep" or "encrypt" can be, until their subject is erased.',
        )
