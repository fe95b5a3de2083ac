"""The drills by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from mainstay.core import errors
from mainstay.drills import all_zeros, bad_candidate, notebook_trap, season
from mainstay.drills.records import Drill

DRILLS: Mapping[str, Drill] = {
    drill.name: drill for drill in (notebook_trap.DRILL, all_zeros.DRILL, bad_candidate.DRILL, season.DRILL)
}


def named(name: str) -> Drill:
    """Return a drill by its name; UsageError names the nearest."""
    if name not in DRILLS:
        near = next(iter(difflib.get_close_matches(name, DRILLS, n=1)), None)
        hint = f"; did you mean {near!r}?" if near else ""
        raise errors.UsageError(
            f"there is no drill {errors.shorten(name)}; allowed: {', '.join(DRILLS)}{hint}",
            remedy="`mainstay drill list` tells what each of them causes.",
        )
    return DRILLS[name]
