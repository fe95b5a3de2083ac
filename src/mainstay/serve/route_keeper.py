"""Keeps route files in step with the store, and a rollback in force while the store is away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from mainstay.core.errors import EnvironmentFault, MainstayError, NotFound, UsageError
from mainstay.core.routes import BundleRef, Route
from mainstay.serve import plan as plans
from mainstay.serve.lease_bound import LeaseBound
from mainstay.serve.route_file import RouteFile, route_path

OVERRIDES = "overrides.json"
"""In the run folder: rollbacks that the store does not have yet."""
RouteSource = Callable[[], Sequence[Route]]
"""Returns the store's route of every model; raises StoreUnavailable (or any MainstayError) when it cannot."""


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """A route that was put in force here and is not in the store yet."""

    route: Route
    out: BundleRef
    """What left by it."""
    by: str
    reason: str


OnOverride = Callable[[Override], Route]
"""Brings an override into the store and returns the route that the store now has, of a higher epoch than any before.
Raises when the store is away: it is called again."""


class RouteKeeper:
    """The one writer of the route files. Thread-safe."""

    def __init__(
        self,
        run: Path,
        models: Sequence[str],
        *,
        source: RouteSource,
        on_override: OnOverride,
        bound: LeaseBound | None = None,
    ) -> None:
        self._files = {model: RouteFile(route_path(run, model)) for model in models}
        self._source = source
        self._on_override = on_override
        self._bound = bound
        self._path = run / OVERRIDES
        self._lock = threading.Lock()
        self._overrides = read_overrides(self._path)
        self._troubles: list[str] = []
        self._unsaved = ""
        """Why the overrides are not on disk, or empty."""
        self.trouble: str | None = None
        """Why the store could not be asked the last time, or None."""

    def routes(self) -> dict[str, Route]:
        """Return what is in force, by model."""
        return {model: route for model, file in self._files.items() if (route := file.read()) is not None}

    @property
    def pending(self) -> Mapping[str, Override]:
        """Return the overrides that the store does not have yet."""
        return dict(self._overrides)

    def follow(self) -> bool:
        """Bring overrides into the store, then the store's routes into the files; return whether a route changed."""
        self._troubles = []
        changed = False
        if self._unsaved:
            with self._lock:
                self._save()
        for model, override in self.pending.items():
            changed |= self._guarded(partial(self._reconcile, model, override))
        changed |= self._guarded(self._follow_source)
        changed |= self._guarded(self._shorten)
        self.trouble = "; ".join(filter(None, (*self._troubles, self._unsaved))) or None
        return changed

    def _shorten(self) -> bool:
        """Shorten a lease that by this host's clock, set back meanwhile, would run longer than any that is given."""
        if self._bound is None:
            return False
        changed = False
        with self._lock:
            for file in self._files.values():
                now = file.read()
                if now is not None and (shorter := self._bound.shortened(now)) != now:
                    file.write(shorter)
                    changed = True
        return changed

    def _follow_source(self) -> bool:
        taken = [self._take(route) for route in self._source()]
        return any(taken)

    def _guarded(self, act: Callable[[], bool]) -> bool:
        """Do one thing with the store and note why it failed: serving goes on without it."""
        try:
            return act()
        except MainstayError as error:
            self._troubles.append(error.message)
        except Exception as error:  # noqa: BLE001 - edge: the store's driver may raise anything
            self._troubles.append(f"{type(error).__name__}: {error}")
        return False

    def roll_back(self, model: str | None, *, by: str, reason: str) -> Route:
        """Put the previous version in force here and now, under a higher epoch; the store hears of it when it can."""
        with self._lock:
            name = self._name(model)
            now = self._files[name].read()
            if now is None:
                raise NotFound(f"{name!r} has no route yet: there is nothing to roll back")
            route = _back(now)
            override = Override(route=route, out=now.challenger or now.champion, by=by, reason=reason)
            self._files[name].write(route)
            self._overrides[name] = override
            # After the file: the way back counts first, and what is only written here is told to the store later. A
            # full disk keeps it from nobody: the file of the route has its place already, and this one waits.
            self._save()
            return route

    def _name(self, model: str | None) -> str:
        if model is None and len(self._files) == 1:
            return next(iter(self._files))
        if model not in self._files:
            raise NotFound(f"There is no model {model!r} here; allowed: {', '.join(sorted(self._files))}")
        return model

    def _reconcile(self, model: str, override: Override) -> bool:
        route = self._on_override(override)
        with self._lock:
            if self._overrides.get(model) is not override:
                return False  # rolled back once more meanwhile: that one is next
            if route.epoch < override.route.epoch:
                raise EnvironmentFault(
                    f"The store answered a rollback of {model!r} with epoch {route.epoch}; "
                    f"{override.route.epoch} is in force here"
                )
            self._files[model].write(route)
            del self._overrides[model]
            self._save()
        return True

    def _take(self, route: Route) -> bool:
        """Write a route of the store if it is newer than what is in force, or a renewed lease of the same one."""
        with self._lock:
            file = self._files.get(route.model)
            if file is None or route.model in self._overrides:
                return False
            now = file.read()
            if self._bound is not None:
                route = self._bound.of(route)
            if now is not None and (route.epoch < now.epoch or route == now):
                return False
            file.write(route)
            return True

    def _save(self) -> None:
        held = {model: msgspec.to_builtins(one) for model, one in self._overrides.items()}
        try:
            plans.write_json(self._path, held)
        except OSError as error:
            self._unsaved = f"{self._path} cannot be written, later again: {error.strerror or error}"
        else:
            self._unsaved = ""


_NOBODY_ELSE: Mapping[str, Any] = {
    "challenger": None,
    "shadow": None,
    "share": 0.0,
    "lease_until": None,
    "holdout": 0.0,
    "holdout_until": None,
    "held_back": (),
}
"""Of a route under which the champion answers everybody."""


def _back(now: Route) -> Route:
    """Return the route of a rollback, which undoes the newest change of what users are answered.

    Out goes the challenger if it answers anybody, else the champion (and with it a version in shadow, whose comparison
    has lost its other side).
    """
    if now.challenger is not None:
        return replace(now, epoch=now.epoch + 1, **_NOBODY_ELSE)
    if now.previous is None:
        raise UsageError(
            f"{now.model!r} has no previous version to return to; the champion is version {now.champion.version}",
            remedy="Name the version to return to with --to (`mainstay status` lists them), or train another one: "
            "mainstay train.",
        )
    return replace(
        now,
        epoch=now.epoch + 1,
        champion=now.previous,
        previous=now.champion,
        **_NOBODY_ELSE,
    )


def read_overrides(path: Path) -> dict[str, Override]:
    """Return the rollbacks, by model, that a file says the store does not have yet."""
    content: dict[str, Any] = plans.read_json(path) or {}
    return {model: msgspec.convert(held, Override) for model, held in content.items()}
