"""What is thought of the version on its way, kept as it changes: for people who approve it and for routers elsewhere.

The digest is over what an approval rests on: the artefact, where it stands and since when, the declared limits, and
each guard's verdict. Counts are left out, for they grow with every request; a guard whose verdict turns changes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from mainstay.config.settings import Settings
from mainstay.core.releases import Evidence, Policy, Release, Stage, failed_of, missing
from mainstay.core.verdicts import Check, Verdict
from mainstay.store import releases, states
from mainstay.store.columns import from_plain, to_json

if TYPE_CHECKING:
    from sqlalchemy import Connection

AGAIN = timedelta(seconds=10)
"""An opinion that did not change is written down again after so long, so that its reader knows that somebody looks."""
KEPT_DIGESTS = 20
Document = dict[str, Any]


def keep(
    tx: Connection,
    model: str,
    release: Release | None,
    evidence: Evidence | None,
    settings: Settings,
    policy: Policy,
    now: datetime,
) -> None:
    """Write what is thought now, if it changed or was written long ago; None for no version on its way."""
    known = states.get(tx, name_of(model))
    before = {} if known is None else known[0]
    seen: Document = dict(before.get("seen", {}))
    current = None
    if release is not None and evidence is not None:
        rests_on = material(release, evidence.checks, settings)
        current = _current(release, evidence, policy) | {"digest": digest(rests_on)}
        seen.pop(current["digest"], None)
        seen[current["digest"]] = rests_on
        seen = dict(list(seen.items())[-KEPT_DIGESTS:])
    document: Document = {"current": current, "stages": releases.stages(tx, model), "seen": seen}
    same = to_json({k: v for k, v in before.items() if k != "at"}) == to_json(document)
    if same and abs(now - datetime.fromisoformat(before["at"])) < AGAIN:
        return
    value = document | {"at": now.isoformat()}
    states.put(tx, name_of(model), value, expected_version=None if known is None else known[1])


def read(tx: Connection, model: str) -> Document | None:
    """Return what was thought last: {at, current, stages, seen}; None before the first turn."""
    known = states.get(tx, name_of(model))
    return None if known is None else known[0]


def evidence_on(tx: Connection, release: Release, settings: Settings) -> Evidence | None:
    """Return what the loop judged last of a version where it stands; None where it was not, or by other limits.

    For pages: the pairs behind it may be tens of thousands, and only the loop adds to them.
    """
    known = read(tx, release.model) or {}
    now = known.get("current") or {}
    rests_on = known.get("seen", {}).get(now.get("digest"), {})
    wanted = material(release, (), settings)
    if any(rests_on.get(name) != value for name, value in wanted.items() if name != "verdicts"):
        return None
    checks = [from_plain(check, Check) for check in now["checks"]]
    return Evidence(checks=checks, units=now["units"], step_units=now["step_units"])


def name_of(model: str) -> str:
    """Return under which name the opinion is kept."""
    return f"rollout:{model}"


def material(release: Release, checks: Sequence[Check], settings: Settings) -> Document:
    """Return what an approval rests on."""
    rollout = settings.rollout
    return {
        "version": release.version,
        "artefact": release.digest,
        "stage": release.stage.value,
        "step": release.step,
        "since": release.since.isoformat(),
        "plan": rollout.plan.value,
        "guards": rollout.guards.model_dump(mode="json"),
        "verdicts": {check.name: _said(check) for check in checks},
    }


def digest(rests_on: Mapping[str, Any]) -> str:
    """Return the first 16 hexadecimal digits of SHA-256 over the canonical text."""
    return sha256(to_json(rests_on).encode()).hexdigest()[:16]


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return in words what an approval rested on and what holds now instead."""
    told = [
        f"{name} was {before.get(name)}, is {now.get(name)}"
        for name in ("version", "artefact", "stage", "step", "since", "plan", "guards")
        if before.get(name) != now.get(name)
    ]
    old, new = before.get("verdicts", {}), now.get("verdicts", {})
    names = sorted({*old, *new})
    return told + [
        f"{name} was {old.get(name, 'not asked')}, is {new.get(name, 'not asked')}"
        for name in names
        if old.get(name) != new.get(name)
    ]


def _said(check: Check) -> str:
    return check.verdict.value if check.applies else "does not apply"


def _current(release: Release, evidence: Evidence, policy: Policy) -> Document:
    verdict, reason = _verdict(release, evidence, policy)
    return {
        "name": release.name,
        "version": release.version,
        "stage": release.stage.value,
        "step": release.step,
        "since": release.since.isoformat(),
        "why": release.reason,
        "verdict": verdict.value,
        "reason": reason,
        "units": evidence.units,
        "step_units": evidence.step_units,
        "checks": [asdict(check) for check in evidence.checks],
    }


def _verdict(release: Release, evidence: Evidence, policy: Policy) -> tuple[Verdict, str]:
    if evidence.trip:
        return Verdict.FAIL, evidence.trip
    failed = failed_of(evidence.checks)
    if failed:
        return Verdict.FAIL, "; ".join(f"{check.name}: {check.reason}" for check in failed)
    if release.stage is Stage.CHECKED:
        return Verdict.NOT_ENOUGH, "nothing was compared yet"
    open_ = evidence.damaged or missing(release, evidence, policy)
    return (Verdict.NOT_ENOUGH, open_) if open_ else (Verdict.PASS, "every guard passes")
