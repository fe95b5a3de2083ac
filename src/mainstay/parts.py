"""One project's running parts, as everything above the stages is handed them; `wiring.py` puts them together."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Lock

from mainstay.config.load import Loaded
from mainstay.config.settings import Settings
from mainstay.core import errors
from mainstay.core.ports import Clock, Notifier
from mainstay.data.snapshot import Snapshots
from mainstay.journal.read import Journal
from mainstay.journal.vault import Vault
from mainstay.models import bundle as bundles
from mainstay.models import own, reference
from mainstay.models.bundle import Bundle
from mainstay.models.load import LoadedModel
from mainstay.models.reference import ReferenceOnly
from mainstay.models.runner import outside
from mainstay.models.runner.runner import Limits
from mainstay.notify.courier import Courier
from mainstay.registry.mlflow_registry import Registry
from mainstay.store import releases
from mainstay.store.engine import Store

BATCH_S = 600.0
"""Longest call of a model in another environment that is asked for the gate or a batch (seconds)."""


@dataclass(slots=True, kw_only=True)
class Parts:
    """One project's running parts. Store, models and MLflow open when first needed: serving starts without them."""

    loaded: Loaded
    environ: Mapping[str, str]
    clock: Clock
    open_store: Callable[[], Store]
    journal: Journal
    snapshots: Snapshots
    registry: Registry
    vault: Vault
    """Opens the encrypted values of the journal, the store and the snapshots."""
    notifiers: Mapping[str, Notifier]
    """By address; one that cannot be used is not among them."""
    erasures_seen: int = 0
    """How far the store's tombstones were read (subjects/reconcile.py)."""
    courier: Courier = field(default_factory=Courier)
    """Sends alerts beside the loop."""
    configuration_seen: Loaded | None = None
    """The settings that the loop last compared with those before."""
    budget_at: datetime | None = None
    """When error budgets were last looked at."""
    looked_at: dict[str, datetime] = field(default_factory=dict)
    """When each family of conditions was last looked at, by family and version."""
    artefacts_seen: dict[str, tuple[tuple[object, ...], float, str]] = field(default_factory=dict)
    """By digest of a bundle: what its files looked like when they were read, when that was (monotonic), what was
    wrong."""
    erasures_known: set[tuple[str, str]] = field(default_factory=set)
    """Tombstones that the store has: subject and name of the key."""
    _store: Store | None = None
    _models: dict[str, LoadedModel] = field(default_factory=dict)
    _references: dict[str, ReferenceOnly] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @property
    def store(self) -> Store:
        """Return the store, opened and migrated once; raises StoreUnavailable while it is away."""
        with self._lock:
            if self._store is None:
                self._store = self.open_store()
            return self._store

    @store.setter
    def store(self, store: Store) -> None:
        self._store = store

    @property
    def settings(self) -> Settings:
        """Return the project's settings."""
        return self.loaded.settings

    @property
    def model(self) -> str:
        """Return the model's name."""
        return self.loaded.settings.project.name

    @property
    def state(self) -> Path:
        """Return the folder of the project's state."""
        return self.loaded.state

    @property
    def bundles(self) -> Path:
        """Return the folder of bundles, by digest."""
        return self.state / "bundles"

    def open_model(self, digest: str) -> LoadedModel:
        """Return the model of a bundle, loaded once; its files are verified first.

        One whose recorded packages are not those here is asked in `[serve] runner_python`, where that is given.
        """
        with self._lock:
            if digest not in self._models:
                self._models[digest] = outside.load_elsewhere(self.open_bundle(digest), self._runner_rules())
            return self._models[digest]

    def verify_bundle(self, digest: str) -> None:
        """Raise Damaged where a bundle's files are not those of its digest, Refused where its code may not run here."""
        pickles = self.settings.serve.pickles
        own.permit(bundles.open_bundle(self.bundles / digest, digest), state=self.state, pickles=pickles)

    def open_bundle(self, digest: str, *, original: bool = False) -> Bundle:
        """Return a bundle whose files were verified, and whose code, if it holds any, may run here.

        `original`: its pickle is to be read although it is compiled. Raises Damaged, Refused.
        """
        opened = bundles.open_bundle(self.bundles / digest, digest)
        return own.permit(opened, state=self.state, original=original)

    def _runner_rules(self) -> outside.RunnerRules:
        """Return how a bundle of other packages is opened for the gate, batches and the watch: where it answers."""
        serve = self.settings.serve
        return outside.RunnerRules(
            which=serve.runner.value,
            python=str(self.loaded.root / serve.runner_python) if serve.runner_python else "",
            limits=Limits(deadline_s=BATCH_S, memory_mb=serve.runner_memory_mb, spare=False),
            environ=self.environ,
        )

    def open_version(self, name: str) -> LoadedModel | ReferenceOnly | None:
        """Return `name@version` for the watch, or None when it is unknown or its bundle cannot be opened."""
        model, _, number = name.rpartition("@")
        if model != self.model or not number.isdigit():
            return None
        with self.store.read() as tx:
            release = releases.get_or_none(tx, model, int(number))
        if release is None:
            return None
        try:
            return self._reference(release.digest) or self.open_model(release.digest)
        except (errors.EnvironmentFault, errors.Refused):
            return None

    def _reference(self, digest: str) -> ReferenceOnly | None:
        """Return what a bundle without a model holds, read once; None for one with a model."""
        with self._lock:
            if digest in self._models:
                return None
            if digest not in self._references:
                bundle = bundles.open_bundle(self.bundles / digest, digest)
                if not reference.is_reference_only(bundle):
                    return None
                self._references[digest] = reference.open_(bundle)
            return self._references[digest]

    def commit(self) -> str:
        """Return the project's git commit, with `+` when files differ from it; empty without git."""
        return _git_commit(self.loaded.root)

    def close(self) -> None:
        """Give back what was opened."""
        for model in self._models.values():
            if model.outside is not None:
                model.outside.stop()
        if self._store is not None:
            self._store.close()


def _git_commit(root: Path) -> str:
    try:
        head = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        )
        changed = subprocess.run(
            ["git", "-C", str(root), "status", "--porcelain", "--", "."],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
