"""What is known of a model here, gathered once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mainstay.config.settings import Settings
from mainstay.core.contracts import Contract
from mainstay.core.releases import Release
from mainstay.status.records import Status
from mainstay.store import releases as rows

if TYPE_CHECKING:
    from mainstay.project import Project

HOLDS = timedelta(days=90)
"""So long evidence about a version counts; then the world may be another one."""
FRESH = timedelta(days=1)
"""So long evidence about the watch counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Everything that the scores rest on."""

    settings: Settings
    contract: Contract
    at: datetime
    release: Release | None
    """The version that answers now, else the newest."""
    releases: tuple[Release, ...]
    status: Status
    reproduced: datetime | None
    """When a version was last trained again, and came out."""
    has_features: bool
    """Feature code travels with the model."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Return what was found about the version."""
        return {} if self.release is None else self.release.facts

    @property
    def evaluation(self) -> Mapping[str, Any]:
        """Return what was measured on held-out rows."""
        return self.facts.get("evaluation") or {}

    def check(self, name: str) -> Mapping[str, Any] | None:
        """Return one check of the gate, None where it was not asked."""
        found = (self.facts.get("gate") or {}).get("checks", ())
        return next((one for one in found if one["name"] == name), None)

    def passed(self, name: str) -> bool:
        """Return whether the gate asked this, it applied, and it passed."""
        found = self.check(name)
        return found is not None and bool(found.get("applies", True)) and found["verdict"] == "pass"

    def why(self, name: str) -> str:
        """Return what the gate said, or that it did not ask."""
        found = self.check(name)
        return f"the gate did not ask `{name}`" if found is None else str(found["reason"])

    @property
    def until(self) -> datetime | None:
        """Return when evidence about the version is too old to count."""
        return None if self.release is None else self.release.created_at + HOLDS

    @property
    def version_counts(self) -> bool:
        """Return whether evidence about the version is young enough."""
        return self.until is not None and self.at < self.until

    @property
    def watched(self) -> bool:
        """Return whether the watch turns now, and its probe raised the alarm that it must."""
        return self.status.watching is not None and self.status.watching.believable

    @property
    def why_unwatched(self) -> str:
        """Return why the watch cannot be believed."""
        return "the watch never turned" if self.status.watching is None else self.status.watching.why_not


def gather(project: Project) -> Known:
    """Return what is known of a project's model."""
    settings = project.settings
    with project.parts.store.read() as tx:
        versions = tuple(rows.all_of(tx, project.name))
    status = project.status()
    answering = None if status.answering is None else status.answering.version
    newest = max(versions, key=lambda one: one.version, default=None)
    release = next((one for one in versions if one.version == answering), newest)
    acts, _ = project.audit()
    came_out = [act.at for act in acts if act.what == "reproduce" and act.detail.get("holds")]
    return Known(
        settings=settings,
        contract=project.parts.loaded.contract,
        at=project.clock.now(),
        release=release,
        releases=versions,
        status=status,
        reproduced=max(came_out, default=None),
        has_features=any(one.features or one.uses for one in settings.train.pipelines.values()),
    )
