"""From what a person asks for to a batch: the paths, the version that answers, and whether the watch sees the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mainstay.core.errors import GateFailed, NotReady, UsageError
from mainstay.core.ports import Clock
from mainstay.core.releases import Release, Stage
from mainstay.journal.personal import Hasher, read_or_make_salt
from mainstay.journal.subjects import FOLDER as SUBJECTS
from mainstay.journal.vault import Vault
from mainstay.models.load import LoadedModel
from mainstay.score import run
from mainstay.score.records import Answerer, Options, Report, Tell
from mainstay.score.watched import Watched
from mainstay.store import releases, routes
from mainstay.store.engine import Store

UNPROVEN = {Stage.REGISTERED: "its gate has not judged it", Stage.REFUSED: "its gate did not pass"}


def choose(store: Store, model: str, version: int | None, *, force: bool) -> tuple[Release, bool]:
    """Return the version that answers, and whether it is the one that answers everybody now.

    Without a number it is the champion. Raises NotReady before the first one, NotFound for a number that there is not,
    UsageError for a quarantined one, and GateFailed for one whose gate did not pass, unless `force` is on.
    """
    with store.read() as tx:
        route = routes.current(tx, model)
        live = route.champion.version if route is not None else None
        if version is None and live is None:
            raise NotReady(f"no version of {model} answers yet")
        release = releases.get(tx, model, version if version is not None else int(live or 0))
    if release.stage is Stage.QUARANTINED:
        raise UsageError(
            f"{release.name} is quarantined: {release.reason}", remedy="Score with another version (`mainstay status`)."
        )
    if release.stage in UNPROVEN and not force:
        raise GateFailed(
            f"{release.name} is {release.stage.value}: {UNPROVEN[release.stage]}",
            remedy=f"Read `mainstay gate {release.version}`; score with another version, or with this one by --force.",
        )
    return release, release.version == live


def options_of(
    source: str | Path,
    target: str | Path,
    *,
    bad: str | Path | None,
    id_column: str | None,
    ignore: Sequence[str],
    fresh: bool,
) -> Options:
    """Return the options; bad rows go beside the answers unless told otherwise."""
    out = Path(target)
    return Options(
        source=Path(source),
        target=out,
        bad=Path(bad) if bad is not None else out.with_name(f"{out.name}.bad.ndjson"),
        id_column=id_column,
        ignore=tuple(ignore),
        fresh=fresh,
    )


def answerer_of(
    store: Store,
    open_model: Callable[[str], LoadedModel],
    model: str,
    state: Path,
    version: int | None,
    *,
    force: bool,
) -> Answerer:
    """Return the version that answers, loaded."""
    release, live = choose(store, model, version, force=force)
    hasher = Hasher(read_or_make_salt(state / "salt"))
    vault = Vault.of(state / SUBJECTS, model)
    return Answerer(loaded=open_model(release.digest), name=release.name, live=live, hasher=hasher, vault=vault)


def score(
    options: Options,
    answerer: Answerer,
    *,
    state: Path,
    segment_mb: float,
    clock: Clock,
    watch: bool | None,
    tell: Tell,
) -> Report:
    """Answer the file, with its rows in the journal where the watch is to see them."""

    def watched(name: str) -> Watched:
        source = str(options.source.resolve())
        return Watched(state, answerer, run=name, source=source, clock=clock, segment_mb=segment_mb)

    sees = answerer.live if watch is None else watch
    why_not = "left out as asked for (--no-watch)"
    if watch is None:
        why_not = f"left out: {answerer.name} is not the version that answers now (--watch writes them all the same)"
    return run.score(options, answerer, watched_by=watched if sees else None, why_not=why_not, clock=clock, tell=tell)
