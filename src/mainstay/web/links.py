"""Addresses of pages."""

from __future__ import annotations

from urllib.parse import quote, urlencode


def model(name: str, rest: str = "", **query: str | int | None) -> str:
    """Return the address of one of a model's pages; what is None or empty is left out of the query."""
    path = f"/models/{quote(name, safe='')}" + (f"/{rest}" if rest else "")
    return with_query(path, **query)


def with_query(path: str, **query: str | int | None) -> str:
    """Return an address with a query; `from_` stands for `from`."""
    given = {key.rstrip("_"): str(value) for key, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


def incident(name: str, number: int) -> str:
    """Return the address of an incident's page."""
    return model(name, f"incidents/{number}")


def version(name: str, number: int) -> str:
    """Return the address of a version's page."""
    return model(name, f"versions/{number}")


def prediction(name: str, id_: str) -> str:
    """Return the address of one prediction's page."""
    return model(name, f"predictions/{quote(id_, safe='')}")


def is_local(address: str) -> bool:
    """Return whether an address leads to a page of this room and to no other server."""
    return address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
