"""A request to try a project with, made of its own data."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from mainstay.core import errors
from mainstay.data import frame_check, request_check, source

if TYPE_CHECKING:
    from mainstay.config.load import Loaded


def request(loaded: Loaded) -> dict[str, Any]:
    """Return the body of a request: the first row of the data that a request may hold as it is."""
    data, contract = loaded.settings.data, loaded.contract
    address = data.test if isinstance(data.test, str) else data.train
    frame = source.read_frame(data.sources.get(address, address), loaded.root)
    good = frame_check.check_frame(contract, frame, with_target=False).good
    check = request_check.compile_request_check(contract)
    names = [field.name for field in contract.fields if field.name != contract.target and field.name in good.columns]
    for row in good.select(names).iter_rows(named=True):
        inputs = {name: _plain(value) for name, value in row.items() if value is not None}
        found = check.check(inputs)
        if not found.problems and not found.caveats:
            return {"instances": [{"inputs": inputs}]}
    raise errors.BadData(f"no row of {address} is a request that keeps the contract")


def _plain(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
