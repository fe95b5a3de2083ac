"""Who is loaded: one snapshot per route, swapped whole, only when everything in it is loaded and verified."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mainstay.core.errors import MainstayError
from mainstay.core.routes import BundleRef, Route
from mainstay.data.request_check import RequestCheck, compile_request_check
from mainstay.journal.personal import Hasher, compile_journal_copy
from mainstay.journal.subjects import Subjects
from mainstay.journal.vault import Vault
from mainstay.models.answers import answer
from mainstay.models.bundle import Bundle, open_bundle
from mainstay.models.load import LoadedModel
from mainstay.models.plain import plain_row
from mainstay.models.runner.outside import RunnerRules, load_pair
from mainstay.serve.explorer import Explorer
from mainstay.serve.route_file import RouteFile


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Side:
    """A loaded bundle with what its contract compiles to."""

    ref: BundleRef
    name: str
    """`model@version`."""
    loaded: LoadedModel
    """For the batch thread alone."""
    twin: LoadedModel
    """A second copy for the shadow thread alone: a model is for one caller at a time."""
    check: RequestCheck
    journal_copy: Callable[[dict[str, Any]], dict[str, Any]]
    declared: tuple[str, ...] = ()
    """Names of the contract's fields."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "declared", tuple(field.name for field in self.loaded.contract.fields))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Live:
    """One route with its loaded sides. A batch works with one of these from beginning to end."""

    route: Route
    champion: Side
    challenger: Side | None
    shadow: Side | None
    previous: Side | None
    alike: frozenset[str]
    """Digests whose contract is the champion's: their rows need no check of their own."""
    at_once: bool
    """Whether every bundle that may answer is compiled: then answering is bounded computing of our own."""
    explorer: Explorer | None = None
    """Draws a share of the answers at random, where the project declares one."""


FIRST_AGAIN = 40
"""Where nothing is in force yet, what did not load is tried again after so many looks: it may have been put back."""
LoadSide = Callable[[str, BundleRef], Side]


Permit = Callable[[Bundle], Bundle]


def _anything(bundle: Bundle) -> Bundle:
    return bundle


def side_loader(
    bundles: Path, hasher: Hasher, subjects: Subjects | None = None, *, runners: RunnerRules, permit: Permit = _anything
) -> LoadSide:
    """Return the function that opens, verifies and loads a bundle from the folder `bundles`, here or in a runner.

    `subjects` has the keys that encrypted fields are sealed under; `permit` raises for a bundle whose code may not run.
    """

    def load_side(model: str, ref: BundleRef) -> Side:
        bundle = permit(open_bundle(bundles / ref.digest, ref.digest))
        name = f"{model}@{ref.version}"
        loaded, twin = load_pair(bundle, name, runners)
        contract = loaded.contract
        return Side(
            ref=ref,
            name=name,
            loaded=loaded,
            twin=twin,
            check=compile_request_check(contract),
            journal_copy=compile_journal_copy(contract, hasher, Vault(subjects, model) if subjects else None),
        )

    return load_side


class ModelSlot:
    """One model's place in a worker: its route file, its loaded bundles, and the snapshot that answers now."""

    def __init__(
        self,
        model: str,
        route_file: RouteFile,
        load_side: LoadSide,
        *,
        warm_up: bool = True,
        explorer: Explorer | None = None,
    ) -> None:
        self.model = model
        self.live: Live | None = None
        """What answers now; read from any thread."""
        self.failed: Mapping[str, str] = {}
        """Digest to the reason why it did not load, for the newest route."""
        self.answers: dict[str, Mapping[str, Any]] = {}
        """Digest to what a check of a bundle that no route names yet gave."""
        self._file = route_file
        self._load_side = load_side
        self._warm_up = warm_up
        self._explorer = explorer
        self._sides: dict[str, Side] = {}
        self._tried: dict[str, tuple[int, str]] = {}
        self._kept: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._looks = 0

    def refresh(self) -> Live | None:
        """Return what answers now, after taking over a new route whose bundles are all loaded already.

        Called once per batch: two numbers are compared while nothing changes.
        """
        route = self._file.read()
        live = self.live
        if route is None or (live is not None and route is live.route):
            return live
        with self._lock:
            return self._take(route)

    def load_missing(self) -> bool:
        """Load what the newest route needs, take it over, let go of the rest; return whether anything changed.

        Called by the loader thread. A bundle that does not load leaves the old route in force, is named in `failed`,
        and is tried again when a new route names it; while nothing answers at all, every few looks.
        """
        self._file.reopen()
        route = self._file.read()
        if route is None:
            return False
        self._looks += 1
        if self.live is None and self._looks % FIRST_AGAIN == 0:
            self._tried.clear()
        before = (self.live, dict(self.failed))
        for ref in route.bundles():
            tried = self._tried.get(ref.digest)
            if ref.digest not in self._sides and (tried is None or tried[0] != route.epoch):
                self._load(ref, route.epoch)
        wanted = {ref.digest for ref in route.bundles()}
        self.failed = {digest: text for digest, (_, text) in self._tried.items() if digest in wanted}
        with self._lock:
            live = self._take(route)
            if live is not None and live.route.epoch == route.epoch:
                for digest in set(self._sides) - wanted - self._kept:
                    gone = self._sides.pop(digest).loaded
                    if gone.outside is not None:
                        gone.outside.retire()
        return before != (self.live, dict(self.failed))

    def try_out(self, ref: BundleRef, token: str = "") -> Mapping[str, Any]:
        """Load a bundle that no route names yet and ask it one plain row; keep it loaded for the route to come.

        `token` names the asking, so that whoever asked knows the answer from an older one.
        """
        self._kept = frozenset({ref.digest})
        if ref.digest not in self._sides:
            self._load(ref, -1)
        side = self._sides.get(ref.digest)
        if side is None:
            report: dict[str, Any] = {"ok": False, "error": self._tried[ref.digest][1]}
        else:
            report = _ask_plainly(side)
        report["token"] = token
        self.answers = {ref.digest: report}
        return report

    def state(self) -> dict[str, Any]:
        """Return what the worker's state file says of this model."""
        live = self.live
        return {
            "epoch": live.route.epoch if live else 0,
            "champion": live.champion.name if live else None,
            "bundles": [{"version": s.ref.version, "digest": d} for d, s in sorted(self._sides.items())],
            "failed": dict(self.failed),
            "tried": dict(self.answers),
            "runners": self._runners(),
        }

    def stop(self) -> None:
        """End the runners of all that is loaded."""
        for side in list(self._sides.values()):
            if side.loaded.outside is not None:
                side.loaded.outside.stop()

    def _runners(self) -> list[dict[str, Any]]:
        sides = sorted(self._sides.values(), key=lambda side: side.ref.version)
        return [{"bundle": s.name, **s.loaded.outside.state()} for s in sides if s.loaded.outside is not None]

    def _load(self, ref: BundleRef, epoch: int) -> None:
        try:
            side = self._load_side(self.model, ref)
            if self._warm_up:
                # Libraries load on their first use; a plain row may be no valid one for this model, which is no fault.
                with contextlib.suppress(Exception):
                    answer(side.loaded, [plain_row(side.loaded.contract)])
        except MainstayError as error:
            self._tried[ref.digest] = (epoch, error.message)
        except Exception as error:  # noqa: BLE001 - edge: loading runs the project's own code
            self._tried[ref.digest] = (epoch, f"{type(error).__name__}: {error}")
        else:
            self._tried.pop(ref.digest, None)
            self._sides[ref.digest] = side

    def _take(self, route: Route) -> Live | None:
        """Make `route` the one in force if it is newer and loaded; `previous` alone may be missing.

        A worker that has nothing yet also takes one whose challenger cannot be loaded: the champion answers in its
        place, which is better than nobody.
        """
        live = self.live
        if live is not None and route.epoch < live.route.epoch:
            return live
        needed = [ref for ref in (route.champion, route.challenger, route.shadow) if ref is not None]
        missing = {ref.digest for ref in needed if ref.digest not in self._sides}
        if live is None:
            missing -= self._tried.keys() - {route.champion.digest}
        if missing:
            return live
        champion = self._sides[route.champion.digest]
        answering = (champion, self._side(route.challenger), self._side(route.previous))
        self.live = Live(
            route=route,
            champion=champion,
            alike=frozenset(d for d, s in self._sides.items() if s.loaded.contract == champion.loaded.contract),
            at_once=all(side.loaded.at_once for side in answering if side is not None),
            challenger=self._side(route.challenger),
            shadow=self._side(route.shadow),
            previous=self._side(route.previous),
            explorer=self._explorer,
        )
        return self.live

    def _side(self, ref: BundleRef | None) -> Side | None:
        return None if ref is None else self._sides.get(ref.digest)


def _ask_plainly(side: Side) -> dict[str, Any]:
    # A twin is for the shadow thread; in a runner both may be asked from any thread, and the first one is ready.
    asked = side.twin if side.loaded.outside is None else side.loaded
    try:
        given = answer(asked, [plain_row(asked.contract)])[0]
    except MainstayError as error:
        return {"ok": False, "error": error.message}
    except Exception as error:  # noqa: BLE001 - edge: the model is the project's own code
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}
    return {"ok": True, "label": given.label, "confidence": given.confidence, "runtime": side.loaded.runtime}
