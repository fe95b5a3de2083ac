"""The plain row that a sampled explanation compares with: what is usual in the reference rows, and no words."""

from __future__ import annotations

from typing import Any

from mainstay.core.contracts import Contract, Field, FieldType
from mainstay.core.profiles import Profile, SignalKind, SignalProfile
from mainstay.models.plain import plain_row


def usual_row(contract: Contract, profile: Profile) -> dict[str, Any]:
    """Return a row of the mean of each number and the most frequent category, with empty texts.

    A field of which the profile tells nothing is as in `plain_row`.
    """
    signals = {signal.name: signal for signal in profile.signals if not signal.segment}
    usual = plain_row(contract)
    for field in contract.fields:
        if field.type is FieldType.TEXT:
            usual[field.name] = ""
        elif (signal := signals.get(field.name)) is not None:
            usual[field.name] = _usual(field, signal, usual[field.name])
    return usual


def _usual(field: Field, signal: SignalProfile, otherwise: Any) -> Any:
    if signal.kind is SignalKind.NUMERIC:
        return round(signal.mean) if field.type is FieldType.INTEGER else signal.mean
    if not signal.values or not any(signal.counts[:-1]):
        return otherwise
    most = max(range(len(signal.values)), key=lambda number: signal.counts[number])
    value = signal.values[most]
    return value == "true" if field.type is FieldType.BOOLEAN else value
