"""A worker's own alarm: a challenger that fails on most of what it is to answer is asked no more, whoever judges it.

Each of its failures costs a user only the time of a second call, as the champion answers; but the loop may be away, and
its lease runs for minutes. The alarm holds until another route comes, which somebody decided; the loop reads it in the
records and takes the version out.
"""

from __future__ import annotations

from collections.abc import Sequence

from mainstay.core.fallbacks import TRIPPED
from mainstay.core.releases import TRIP_FAILURES, TRIP_LAST
from mainstay.serve.live import Live

_MASK = (1 << TRIP_LAST) - 1


class Trip:
    """Of one model's challenger in one worker. For one batch at a time."""

    __slots__ = ("_epoch", "_failures", "why")

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._failures = 0
        """A bit for each of the latest requests that it was to answer, set where it failed."""
        self.why = ""
        """Why it is asked no more; empty while it is."""

    def holds_for(self, epoch: int) -> bool:
        """Return whether it is about the route of that epoch."""
        return self._epoch == epoch

    def note(self, failed: Sequence[bool]) -> bool:
        """Take in whether it failed on each of these requests; return whether that raises the alarm."""
        if not self._failures and not any(failed):
            return False
        for one in failed:
            self._failures = (self._failures << 1 | one) & _MASK
            if self._failures.bit_count() >= TRIP_FAILURES:
                self.why = (
                    f"{TRIPPED}the challenger failed on {TRIP_FAILURES} of the latest {TRIP_LAST} requests that it was "
                    "to answer here, and is asked no more"
                )
                return True
        return False


class Trips:
    """Those of all models of a worker."""

    def __init__(self) -> None:
        self._of: dict[str, Trip] = {}

    def of(self, live: Live) -> Trip:
        """Return the alarm of a route's challenger: a new one for a new route."""
        found = self._of.get(live.route.model)
        if found is None or not found.holds_for(live.route.epoch):
            found = self._of[live.route.model] = Trip(live.route.epoch)
        return found

    def raised(self) -> dict[str, str]:
        """Return why a challenger is asked no more, by model."""
        return {model: trip.why for model, trip in list(self._of.items()) if trip.why}
