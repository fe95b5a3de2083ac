"""A request to try a project with, made of its own data."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from mainstay.core import errors
from mainstay.data import frame_check, request_check, source

if TYPE_CHECKING:
    from mainstay.config.load import Loaded
    from mainstay.core.contracts import Contract, Field


def request(loaded: Loaded) -> dict[str, Any]:
    """Return the body of a request: the first row of the data that a request may hold as it is."""
    data, contract = loaded.settings.data, loaded.contract
    address = data.test if isinstance(data.test, str) else data.train
    frame = source.read_frame(data.sources.get(address, address), loaded.root)
    names = [field.name for field in contract.fields if _belongs(field, contract) and field.name in frame.columns]
    good = frame_check.check_frame(contract, frame.select(names), with_target=False).good
    check = request_check.compile_request_check(contract)
    for row in good.iter_rows(named=True):
        inputs = {name: _plain(value) for name, value in row.items() if value is not None}
        found = check.check(inputs)
        if not found.problems and not found.caveats:
            return {"instances": [{"inputs": inputs}]}
    raise errors.BadData(f"no row of {address} is a request that keeps the contract")


def _belongs(field: Field, contract: Contract) -> bool:
    """Leave out the event time where it may be absent: a request that is tried now happens now."""
    return field.name != contract.target and (field.required or field.name != contract.time)


def _plain(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
