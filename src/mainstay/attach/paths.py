"""Where in a JSON document something stands: `$.customer.id`, `items[0].price`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from mainstay.core.errors import UsageError

_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


class Missing:
    """Stands for what is not there (None may be there)."""

    def __bool__(self) -> bool:
        """Return False, as nothing is false."""
        return False

    def __repr__(self) -> str:
        return "nothing"


MISSING: Final = Missing()


def compile_path(path: str) -> Callable[[Any], Any]:
    """Return a function that finds the value at `path` in a document, or gives MISSING; `$` alone is the document.

    Steps are names (`.name`) and places in lists (`[0]`, or `.0`). Raises UsageError for anything else.
    """
    steps = _steps(path)

    def find(document: Any) -> Any:
        for step in steps:
            if isinstance(document, Mapping):
                document = document.get(step, MISSING)
            elif isinstance(document, list) and step.isdigit() and int(step) < len(document):
                document = document[int(step)]
            else:
                return MISSING
        return document

    return find


def _steps(path: str) -> tuple[str, ...]:
    rest = path.removeprefix("$")
    steps, end = [], 0
    for found in _STEP.finditer(rest):
        if found.start() != end:
            break
        steps.append(found[1] or found[2])
        end = found.end()
    if not path or end != len(rest):
        raise UsageError(
            f"{path!r} is no path into a JSON document; allowed: names and places, such as $.customer.id or items[0]",
            remedy="For anything else, give a function that takes what was seen (`mainstay.attach.seen.Seen`).",
        )
    return tuple(steps)
