"""Answers that were given before to rows with the same inputs: bounded, and none unless the project asks for it.

Only what the model and its signals see counts as the same inputs; whose row it is does not. A hit spares the model
alone: the row has its own arm, id and record like any other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mainstay.models.answers import Answer
from mainstay.models.load import LoadedModel
from mainstay.models.signals import measured_fields

Values = Mapping[str, Any]
Ask = Callable[[Sequence[Values]], Sequence[Answer]]


class Cache:
    """The newest `rows` answers over all bundles. For one batch at a time."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._held: OrderedDict[tuple[Any, ...], Answer] = OrderedDict()

    def answers(self, loaded: LoadedModel, rows: Sequence[Values], ask: Ask) -> tuple[list[Answer], int]:
        """Return an answer for each row, in order, and how many were held; `ask` is asked for the rest, each once."""
        names = _names(loaded)
        keys = [(loaded.digest, *(row.get(name) for name in names)) for row in rows]
        found = {key: held for key in keys if (held := self._held.get(key)) is not None}
        hits = sum(key in found for key in keys)
        missing = {key: row for key, row in zip(keys, rows, strict=True) if key not in found}
        if missing:
            found |= zip(missing, ask(list(missing.values())), strict=True)
        for key, answer in found.items():
            self._held[key] = answer
            self._held.move_to_end(key)
        while len(self._held) > self._rows:
            self._held.popitem(last=False)
        return [found[key] for key in keys], hits


def _names(loaded: LoadedModel) -> tuple[str, ...]:
    """Return the fields that decide an answer: what the model takes, and what is measured."""
    contract = loaded.contract
    return tuple(dict.fromkeys(field.name for field in (*contract.features, *measured_fields(contract))))
