"""What must always hold in the store, asked of the rows as they are."""

from __future__ import annotations

from sqlalchemy import Connection, text

from mainstay.core.releases import IN_ROLLOUT, LIVE
from mainstay.store import audit, releases, routes


def problems(tx: Connection) -> list[str]:
    """Return what is wrong, one sentence each."""
    found = _sqlite(tx) if tx.dialect.name == "sqlite" else []
    found += audit.verify_chain(tx)
    for model in releases.models(tx):
        found += releases.verify_chain(tx, model)
        found += versions(tx, model)
        found += _route(tx, model)
    return found


def _sqlite(tx: Connection) -> list[str]:
    # SQLite's own check of pages and indexes: one row "ok", or one row for each fault.
    pages = [str(row[0]) for row in tx.execute(text("PRAGMA integrity_check"))]
    found = [] if pages == ["ok"] else [f"SQLite: {line}" for line in pages]
    # Rows that point to rows which are not there.
    orphans = tx.execute(text("PRAGMA foreign_key_check")).all()
    return found + [f"a row of {row[0]} points to a missing row of {row[2]}" for row in orphans]


def versions(tx: Connection, model: str) -> list[str]:
    """Return where versions stand otherwise than they may, or than their record of moves says."""
    found = []
    known = releases.all_of(tx, model)
    for name, stages in (("live", LIVE), ("on their way", IN_ROLLOUT)):
        several = [release.version for release in known if release.stage in stages]
        if len(several) > 1:
            found.append(f"versions {several} of {model} are {name}; at most one may be")
    last = {event.version: (event.to_stage, event.step) for event in releases.events(tx, model)}
    found += [
        f"{release.name} stands at {release.stage} step {release.step}, "
        f"but its last event says {last.get(release.version)}"
        for release in known
        if last.get(release.version) != (release.stage.value, release.step)
    ]
    return found


def _route(tx: Connection, model: str) -> list[str]:
    route = routes.current(tx, model)
    if route is None:
        return []
    digests = {release.version: release.digest for release in releases.all_of(tx, model)}
    return [
        f"the route of {model} names version {ref.version} with digest {ref.digest[:12]}, which no release has"
        for ref in route.bundles()
        if digests.get(ref.version) != ref.digest
    ]
