"""Notes in the audit when the project file came to say something else, so that an incident can name it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from mainstay.store import audit, states

if TYPE_CHECKING:
    from sqlalchemy import Connection

CONTRACT, CONFIGURATION = "contract changed", "configuration changed"
"""Names of the two acts in the audit."""
OF_CONTRACT = ("fields", "target", "data")
"""First parts of the settings that are the contract."""
SECRET = ("alerts", "store", "registry", "telemetry", "serve.ids")
"""Settings that may hold a password, and change nothing about answers: left out."""
MOST_SHOWN = 5
LONGEST = 60


def note(tx: Connection, model: str, values: Mapping[str, Any], now: datetime) -> list[str]:
    """Compare the settings with those seen before; write what changed into the audit and return it in sentences.

    The first look only remembers them. The moment is when the loop began with them, not when the file was saved.
    """
    name = f"configuration:{model}"
    seen = {key: _text(value) for key, value in values.items() if not key.startswith(SECRET)}
    found = states.get(tx, name)
    if found is None:
        states.put(tx, name, {"values": seen}, expected_version=None)
        return []
    known: Mapping[str, str] = found[0]["values"]
    changed = sorted(key for key in known.keys() | seen.keys() if known.get(key) != seen.get(key))
    if not changed:
        return []
    states.put(tx, name, {"values": seen}, expected_version=found[1])
    out = []
    for what in (CONTRACT, CONFIGURATION):
        mine = [key for key in changed if (key.partition(".")[0] in OF_CONTRACT) == (what == CONTRACT)]
        if mine:
            detail = {"changed": {key: [_shown(known.get(key)), _shown(seen.get(key))] for key in mine}}
            audit.append(tx, who="loop", what=what, subject=model, detail=detail, now=now)
            out.append(f"{what}: {told(detail)}")
    return out


def told(detail: Mapping[str, Any]) -> str:
    """Return the detail of an entry in a sentence."""
    changed = detail.get("changed", {})
    parts = [f"{key} went from {before} to {after}" for key, (before, after) in list(changed.items())[:MOST_SHOWN]]
    more = len(changed) - len(parts)
    return "; ".join(parts) + (f"; and {more} more" if more > 0 else "")


def _text(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=_plain, order="deterministic").decode()


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)


def _shown(text: str | None) -> str:
    """Return a value as the audit may hold it."""
    if text is None:
        return "(not there)"
    value = msgspec.json.decode(text)
    plain = value if isinstance(value, str) else text
    return plain if len(plain) <= LONGEST else plain[: LONGEST - 1] + "…"
