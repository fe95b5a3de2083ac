"""A request to try a project with, made of its own data."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from mainstay.core import errors
from mainstay.data import frame_check, joined, request_check

if TYPE_CHECKING:
    from mainstay.config.load import Loaded
    from mainstay.core.contracts import Contract, Field


def request(loaded: Loaded) -> dict[str, Any]:
    """Return the body of a request: the first row of the data that a request may hold as it is."""
    return requests(loaded, most=1)[0]


def requests(loaded: Loaded, *, most: int) -> list[dict[str, Any]]:
    """Return the bodies of up to `most` requests, one row each: rows of the data that a request may hold as they are.

    Raises BadData when there is none.
    """
    data, contract = loaded.settings.data, loaded.contract
    address = data.test if isinstance(data.test, str) else data.train
    frame = joined.read_joined(loaded, address).frame
    names = [field.name for field in contract.fields if _belongs(field, contract) and field.name in frame.columns]
    good = frame_check.check_frame(contract, frame.select(names), with_target=False).good
    check = request_check.compile_request_check(contract)
    bodies: list[dict[str, Any]] = []
    for row in good.iter_rows(named=True):
        inputs = {name: _plain(value) for name, value in row.items() if value is not None}
        found = check.check(inputs)
        if not found.problems and not found.caveats:
            bodies.append({"instances": [{"inputs": inputs}]})
            if len(bodies) == most:
                break
    if bodies:
        return bodies
    raise errors.BadData(f"no row of {address} is a request that keeps the contract")


def _belongs(field: Field, contract: Contract) -> bool:
    """Leave out the event time where it may be absent: a request that is tried now happens now."""
    return field.name != contract.target and (field.required or field.name != contract.time)


def _plain(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
