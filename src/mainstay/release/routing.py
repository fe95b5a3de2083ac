"""The route that belongs to each stage. Pure: a release and the route before give the route after."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mainstay.config.settings import RolloutSettings
from mainstay.core.errors import StaleTransition
from mainstay.core.releases import Release, Stage
from mainstay.core.routes import BundleRef, Route


def ref(release: Release) -> BundleRef:
    """Return what the route calls this version."""
    return BundleRef(version=release.version, digest=release.digest)


def first(release: Release) -> Route:
    """Return the route of a model's first version."""
    return Route(model=release.model, epoch=1, champion=ref(release), salt=release.salt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Whom a new version does not reach."""

    holdout: float = 0.0
    """Part of the keys that stays with the version before, 0 to 1."""
    holdout_until: datetime | None = None
    held_back: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Fields and values that a ramp leaves out."""


NOBODY_KEPT = Kept()


def kept_of(rollout: RolloutSettings, now: datetime) -> Kept:
    """Return whom a new version does not reach, as [rollout] declares it."""
    return Kept(
        holdout=rollout.holdout / 100.0,
        holdout_until=now + timedelta(hours=rollout.holdout_hours),
        held_back=tuple((name, tuple(values)) for name, values in sorted(rollout.hold_back.items())),
    )


def after(
    release: Release,
    route: Route,
    *,
    share: float,
    lease_until: datetime,
    way_back: BundleRef | None,
    kept: Kept = NOBODY_KEPT,
) -> Route:
    """Return the route once `release` stands where it stands now, with the next epoch.

    `share` is the part of the keys in CANARY, `kept` who stays with the version before. `way_back` becomes `previous`
    when the release leaves a LIVE stage.
    """
    plain = replace(
        route,
        epoch=route.epoch + 1,
        challenger=None,
        shadow=None,
        share=0.0,
        lease_until=None,
        salt=release.salt,
        holdout=0.0,
        holdout_until=None,
        held_back=(),
    )
    here = ref(release)
    match release.stage:
        case Stage.SHADOW:
            return replace(plain, shadow=here)
        case Stage.HELD:
            # It answers nobody while a person decides, and goes on gathering evidence.
            return replace(plain, shadow=here)
        case Stage.CANARY:
            return replace(plain, challenger=here, share=share, lease_until=lease_until, held_back=kept.held_back)
        case Stage.PROBATION:
            old = route.previous if route.champion == here else route.champion
            until = kept.holdout_until if kept.holdout else None
            return replace(plain, champion=here, previous=old, shadow=old, holdout=kept.holdout, holdout_until=until)
        case Stage.CERTIFIED if route.champion == here:
            # Who was held out stays so, and is found by the same salt.
            return replace(
                plain,
                previous=route.previous,
                holdout=route.holdout,
                holdout_until=route.holdout_until,
                salt=route.salt,
            )
        case Stage.CERTIFIED:
            return replace(plain, champion=here, previous=route.champion)
        case Stage.ROLLED_BACK | Stage.QUARANTINED if route.champion == here:
            return _back(plain, route, way_back)
        case Stage.ROLLED_BACK | Stage.QUARANTINED:
            return replace(plain, previous=None if route.previous == here else route.previous)
    raise StaleTransition(f"{release.name} at {release.stage} has no route of its own")


def lease_end(now: datetime, lease_s: float) -> datetime:
    """Return until when a challenger may answer if nobody judges again."""
    return now + timedelta(seconds=lease_s)


def _back(plain: Route, route: Route, way_back: BundleRef | None) -> Route:
    if route.previous is None:
        raise StaleTransition(
            f"there is no version to go back to from version {route.champion.version} of {route.model}",
            remedy="Promote another version by hand: `mainstay promote VERSION`.",
        )
    older = way_back if way_back not in (route.previous, route.champion) else None
    return replace(plain, champion=route.previous, previous=older)
