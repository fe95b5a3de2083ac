"""docs/security.md names every route and its scope, as the code has them."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from mainstay.api import table
from mainstay.api.routes import COLD
from mainstay.serve.keys import Scope

PAGE = Path(__file__).parents[2] / "docs" / "security.md"


def declared() -> dict[str, set[str]]:
    found = defaultdict(set)
    for route in table.HOT:
        found[route.scope or ""] |= {f"{route.method} {path}" for path in route.paths}
    for path, scope in COLD.items():
        found[scope or ""].add(f"GET {path}")
    return found


def test_the_table_of_scopes_is_what_the_code_has() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (nobody is asked|`predict`|`feedback`|`read`) \| (.*) \|$", text, re.MULTILINE))
    told = {name.strip("`"): set(re.findall(r"`([^`]+)`", routes)) for name, routes in rows.items()}
    told[""] = told.pop("nobody is asked")
    assert told == declared(), "the row of a scope that has a route for the first time must be added"
    assert Scope.ADMIN not in declared()
