"""A challenger's lease by this host's clock: never longer than any that is given, whatever another clock wrote.

The loop gives a lease of `lease_s` by its own clock. Were that an hour ahead of this one, or were this one set back
meanwhile, a challenger that nobody judges any more would answer for an hour.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from mainstay.core.ports import Clock
from mainstay.core.routes import Route


class LeaseBound:
    """Remembers each model's lease as it was given. For one thread at a time."""

    def __init__(self, clock: Clock, lease_s: float) -> None:
        self._clock = clock
        self._lease = timedelta(seconds=lease_s)
        self._known: dict[str, tuple[int, datetime, datetime]] = {}
        """By model: epoch and lease as they were given, and when that ends here."""

    def of(self, route: Route) -> Route:
        """Return the store's route with a lease that ends here when it must; asked again, it ends no later."""
        if route.lease_until is None:
            return route
        epoch, given, known = self._known.get(route.model, (None, None, route.lease_until))
        if (epoch, given) != (route.epoch, route.lease_until):
            known = route.lease_until
        until = min(known, self._clock.now() + self._lease)
        self._known[route.model] = (route.epoch, route.lease_until, until)
        return route if until == route.lease_until else replace(route, lease_until=until)

    def shortened(self, route: Route) -> Route:
        """Return a route that is in force, with a lease that is no longer than any that is given."""
        if route.lease_until is None:
            return route
        latest = self._clock.now() + self._lease
        return route if route.lease_until <= latest else replace(route, lease_until=latest)
