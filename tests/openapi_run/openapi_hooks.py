"""How schemathesis writes bodies of a media type that it does not know: as the text that the document says they are.

What is no text cannot be written as one: then nothing is sent, which is refused.
"""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(ctx: Any, value: Any) -> bytes:
    """Return the body."""
    del ctx
    return value.encode("utf-8", "replace") if isinstance(value, str) else b""
