"""What the OpenAPI document says of a route, beside the route itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mainstay.core.contracts import Contract
from mainstay.serve import wire

Document = dict[str, Any]
OfContract = Callable[[Contract | None], Any]
"""Makes a part of the document for one model; None where its contract is not known yet."""

GENERAL = (400, 401, 403, 429, 500, 503)
"""Statuses of any route that is about models."""
OF_MODEL = (*GENERAL, 404)
WITH_BODY = (*OF_MODEL, 408, 413, 415, 422)


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A body of one media type."""

    schema: type[msgspec.Struct] | OfContract
    """The type that decodes or encodes it, or its JSON Schema."""
    example: OfContract | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What one route does, takes and gives."""

    summary: str
    gives: Mapping[str, Content]
    """Bodies of a 200, by media type."""
    errors: tuple[int, ...]
    takes: Mapping[str, Content] = field(default_factory=dict)
    error: Content = field(default_factory=lambda: Content(schema=wire.ErrorResponse))
    """The body of every error that the route itself gives."""
    parameters: tuple[Document, ...] = ()
    """Beside those of the path."""
    says_no: Mapping[int, Content] = field(default_factory=dict)
    """Bodies of an answer that is no error and yet no 200, by status."""


def fixed(schema: Document) -> OfContract:
    """Return the maker of a schema that no contract changes."""
    return lambda _contract: schema


def plain_text(description: str) -> Content:
    """Return a body that is text."""
    return Content(schema=fixed({"type": "string", "description": description}))
