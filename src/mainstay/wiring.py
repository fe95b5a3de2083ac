"""Settings become running parts. The only file that knows concrete classes; nothing opens at import."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import Any

from mainstay import watchdog
from mainstay.config import clocks
from mainstay.config import load as config
from mainstay.config.folders import make_private
from mainstay.config.settings import Settings
from mainstay.core import errors
from mainstay.core.calls import Minute
from mainstay.core.ports import Clock, Notifier
from mainstay.core.routes import Route
from mainstay.core.usage import Pulse, Usage
from mainstay.data.snapshot import Snapshots
from mainstay.journal.read import Journal
from mainstay.journal.subjects import FOLDER as SUBJECTS
from mainstay.journal.vault import Vault
from mainstay.models import own
from mainstay.notify import addresses
from mainstay.parts import Parts
from mainstay.registry.mlflow_registry import Registry
from mainstay.release import manual, opinion
from mainstay.serve.member import Member
from mainstay.serve.route_keeper import Override
from mainstay.serve.supervisor import Supervisor
from mainstay.store import call_counts, routes, usage
from mainstay.store.engine import Store

log = logging.getLogger("mainstay.wiring")
STORE_FILE = "store.db"


def assemble(
    path: Path,
    *,
    environ: Mapping[str, str],
    flags: Mapping[str, Any] = MappingProxyType({}),
    clock: Clock | None = None,
) -> Parts:
    """Load the project at `path` and open its parts; raises what they raise, nothing half-open stays."""
    loaded = config.load(path, environ=environ, flags=flags)
    clock = clock or clocks.clock_from(environ)
    make_state(loaded.state)
    own.take_in(loaded.state)
    vault = Vault.of(loaded.state / SUBJECTS, loaded.settings.project.name)
    return Parts(
        loaded=loaded,
        environ=environ,
        clock=clock,
        open_store=partial(open_store, loaded, clock),
        journal=Journal(loaded.state / "journal"),
        snapshots=Snapshots(loaded.state / "snapshots", vault.open),
        vault=vault,
        registry=Registry(registry_url(loaded), loaded.state / "mlflow-artifacts"),
        notifiers=notifiers(loaded.settings),
    )


def open_store(loaded: config.Loaded, clock: Clock) -> Store:
    """Open the project's store; one that was lost is not made anew, empty, beside the versions that it knew."""
    url = store_url(loaded)
    path = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None
    if path is not None and (not path.exists() or path.stat().st_size == 0):
        kept = [folder.name for folder in (loaded.state / "bundles").glob("[0-9a-f]*")]
        if kept:
            seen = "is empty (0 bytes)" if path.exists() else "is not there"
            raise errors.StoreUnavailable(
                f"the store {path} {seen}, and {len(kept)} released version(s) lie in {loaded.state / 'bundles'}",
                remedy="Put the file back, from a backup if need be: it knows which version answers. To begin anew and "
                f"forget them, move {loaded.state} away.",
            )
    return Store.open(url, clock=clock)


def notifiers(settings: Settings) -> dict[str, Notifier]:
    """Return the notifier of each address that can be used; one that cannot is told in the log, and when it is due."""
    found: dict[str, Notifier] = {}
    for address in settings.alerts:
        try:
            found[address.to] = addresses.notifier_for(address.to)
        except errors.MainstayError as error:
            log.warning("alerts to %s go nowhere: %s %s", addresses.hidden(address.to), error.message, error.remedy)
    return found


def supervisor(parts: Sequence[Parts]) -> Supervisor:
    """Return the server of some projects, which takes the first one's port now and answers when it is run."""
    return Supervisor([member(one) for one in parts], clock=parts[0].clock, environ=parts[0].environ)


def member(parts: Parts) -> Member:
    """Return a project as a server takes it in."""
    return Member(
        settings=parts.settings,
        root=parts.loaded.root,
        route_source=partial(route_source, parts, {}),
        on_override=partial(bring_override, parts),
        state=parts.state,
        keep_counts=partial(keep_counts, parts),
        keep_usage=partial(keep_usage, parts),
        watchdog=partial(watchdog.look, parts, seen=watchdog.Seen()),
        opinion=partial(opinion_of, parts),
    )


def make_state(folder: Path) -> None:
    """Make the state folder, or say why it cannot be used."""
    if folder.exists() and not folder.is_dir():
        raise errors.EnvironmentFault(
            f"the state folder {folder} is a file", remedy="Move the file away; the folder is then made."
        )
    try:
        make_private(folder)
        with TemporaryFile(dir=folder):  # without a name: several processes look at the same time
            pass
    except OSError as error:
        raise errors.EnvironmentFault(
            f"the state folder {folder} cannot be used: {error.strerror}",
            remedy="Give this user the right to write there, or make room on the disk.",
        ) from error


def store_url(loaded: config.Loaded) -> str:
    """Return the store's address; `sqlite:///FOLDER` is a file in that folder of the project."""
    return _sqlite_in(loaded.settings.store.url, loaded.root, STORE_FILE)


def registry_url(loaded: config.Loaded) -> str:
    """Return MLflow's address, a relative SQLite path taken from the project's folder."""
    return _sqlite_in(loaded.settings.registry.url, loaded.root, "mlflow.db")


def _sqlite_in(url: str, root: Path, file: str) -> str:
    head = "sqlite:///"
    if not url.startswith(head) or url == head:
        return url
    path = root / url.removeprefix(head)
    return f"{head}{path if path.suffix == '.db' else path / file}"


def route_source(parts: Parts, held: dict[str, Route] | None = None) -> Sequence[Route]:
    """Return what the store says about who answers; raises Damaged where it names another artefact than the release.

    `held` keeps the route that was compared last: it is compared once.
    """
    held = {} if held is None else held
    with parts.store.read() as tx:
        route = routes.current(tx, parts.model)
        if route is None:
            return []
        if held.get(parts.model) != route:
            for ref in route.bundles():
                manual.same_artefact(tx, parts.model, ref)
            held[parts.model] = route
        return [route]


def keep_counts(parts: Parts, minutes: Sequence[Minute]) -> None:
    """Write what a server counted into the store."""
    with parts.store.begin() as tx:
        call_counts.put(tx, minutes)


def keep_usage(parts: Parts, usages: Sequence[Usage], pulses: Sequence[Pulse]) -> None:
    """Write what was used of the machine, and how the server fared, into the store."""
    with parts.store.begin() as tx:
        usage.put(tx, usages, pulses)


def opinion_of(parts: Parts) -> Mapping[str, Any] | None:
    """Return what the loop thought last of the version on its way."""
    with parts.store.read() as tx:
        known = opinion.read(tx, parts.model)
    return None if known is None else {name: value for name, value in known.items() if name != "seen"}


def bring_override(parts: Parts, override: Override) -> Route:
    """Write a rollback that holds in the server already into the store, under an epoch that is not lower.

    What was put out leaves wherever it stands by now: a challenger may have become champion in the store meanwhile. If
    it left already (this was done before, or somebody brought another version), the store's route stands.
    """
    wanted, now = override.route, parts.clock.now()
    with parts.store.begin() as tx:
        before = routes.current(tx, wanted.model)
        if before is None:
            raise errors.StoreUnavailable("the store has no route to reconcile with")
        manual.follow_server(
            tx,
            model=wanted.model,
            out=override.out.version,
            back_to=wanted.champion.version,
            by=override.by,
            reason=override.reason,
            now=now,
            at_least_epoch=wanted.epoch,
        )
        route = routes.current(tx, wanted.model) or before
        if route.epoch < wanted.epoch:
            known, route = route.epoch, replace(route, epoch=wanted.epoch)
            routes.put(tx, route, expected_epoch=known, by=override.by, reason=override.reason, now=now)
    return route
