"""One label as a person or a file gives it, checked against the contract and made into feedback."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from mainstay.core import errors, events
from mainstay.core.contracts import Contract, Task

MAX_ID_CHARS = 128
"""As for predictions: a longer id could belong to none."""


def labelled(
    item: Mapping[str, Any], contract: Contract, *, by: str, now: datetime
) -> events.Feedback | errors.Problem:
    """Return one label as feedback, or what is wrong with it."""
    id_, label, name = item.get("id", ""), item.get("label"), str(item.get("name", contract.target))
    if id_ == "":
        return errors.Problem(where="id", what="missing", allowed="the id of a prediction")
    id_ = str(id_) if isinstance(id_, str | int) and not isinstance(id_, bool) else ""
    if not 0 < len(id_) <= MAX_ID_CHARS:
        return errors.Problem(
            where="id",
            what="is no id",
            value=item["id"],
            allowed=f"the id of a prediction: text of at most {MAX_ID_CHARS} characters",
        )
    if label is None:
        return errors.Problem(where="label", what="missing", allowed="what was right")
    if name == contract.target:
        value = _truth(label, contract)
        if isinstance(value, errors.Problem):
            return value
        label = value
    try:
        at = datetime.fromisoformat(str(item["at"])) if "at" in item else now
    except ValueError:
        return errors.Problem(
            where="at", what="is no time", value=item["at"], allowed="ISO 8601, e.g. 2026-01-05T09:00:00Z"
        )
    if at.tzinfo is None:
        return errors.Problem(
            where="at", what="has no time zone", value=item["at"], allowed="e.g. 2026-01-05T09:00:00Z"
        )
    if at - now > events.FEEDBACK_AHEAD:
        return errors.Problem(
            where="at",
            what="lies in the future and would win over every later label",
            value=item["at"],
            allowed=f"at most a day after {now.isoformat(timespec='seconds')}",
        )
    by = str(item.get("by", by))
    content = "\x1f".join((id_, name, repr(label), str(item.get("at", "")), by)).encode("utf-8", "surrogatepass")
    feedback_id = str(item.get("feedback_id") or "f-" + blake2b(content, digest_size=12).hexdigest())
    return events.Feedback(
        id=id_, feedback_id=feedback_id, kind="label", name=name, value=label, at=at.astimezone(UTC), by=by
    )


def _truth(label: Any, contract: Contract) -> Any:
    if not contract.task.is_classification:
        try:
            value = float(label)
        except (TypeError, ValueError):
            value = math.nan
        if contract.task is Task.RANKING and value < 0:
            return errors.Problem(where="label", what="is no grade of relevance", value=label, allowed="0 or more")
        return value if math.isfinite(value) else errors.Problem(where="label", what="is no number", value=label)
    text = str(label)
    if contract.classes and text not in contract.classes:
        nearest = next(iter(difflib.get_close_matches(text, contract.classes, n=1)), None)
        allowed = list(contract.classes)
        return errors.Problem(where="label", what="is no declared class", value=label, allowed=allowed, nearest=nearest)
    return text
