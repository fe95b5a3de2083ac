"""Which version goes into an image."""

from __future__ import annotations

from collections.abc import Sequence

from mainstay.core.errors import EnvironmentFault, GateFailed, NotReady, UsageError
from mainstay.core.releases import LIVE, Release, Stage
from mainstay.core.verdicts import Verdict


def newest(versions: Sequence[Release], model: str) -> Release:
    """Return the newest version; raises NotReady when there is none."""
    if not versions:
        raise NotReady(f"{model} has no version yet", remedy="mainstay train")
    return max(versions, key=lambda one: one.version)


def answering(versions: Sequence[Release], model: str) -> Release:
    """Return the version that answers everybody; raises NotReady when none does."""
    newest(versions, model)
    found = [one for one in versions if one.stage in LIVE]
    if not found:
        raise NotReady(
            f"no version of {model} answers yet", remedy="Name the version to package: `mainstay status` lists them."
        )
    return found[0]


def packable(release: Release, *, force: bool) -> Release:
    """Return the version if it may leave; with `force` also one whose gate did not pass or that was rolled back.

    Raises GateFailed, UsageError, or EnvironmentFault for a quarantined one, which is not to be loaded again.
    """
    if release.stage is Stage.QUARANTINED:
        raise EnvironmentFault(
            f"{release.name} is in quarantine: {release.reason}",
            remedy="Package another version; nothing loads this one.",
        )
    if force:
        return release
    if release.stage is Stage.ROLLED_BACK:
        raise UsageError(
            f"{release.name} was rolled back: {release.reason}", remedy="Package another version, or add --force."
        )
    verdict = (release.facts.get("gate") or {}).get("verdict", "never asked")
    if verdict != Verdict.PASS.value:
        raise GateFailed(
            f"the gate did not pass {release.name}: {verdict}",
            remedy=f"Read `mainstay gate {release.version}` and mend the candidate, or add --force.",
        )
    return release
