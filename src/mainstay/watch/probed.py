"""What came of the watch's last probe of itself (probe.py), and whether that is to be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mainstay.core.incidents import Finding, Harm, Severity
from mainstay.watch.conditions import Condition, Telling


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What came of one probe."""

    at: datetime
    bundle: str
    quiet: bool
    """Whether the quiet block raised no alarm."""
    bad: bool
    """Whether the bad block raised one."""
    why: str = ""
    """What went wrong, as a sentence."""

    @property
    def passed(self) -> bool:
        """Return whether both were as they must be."""
        return self.quiet and self.bad

    def as_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return {"at": self.at.isoformat(), "bundle": self.bundle, "quiet": self.quiet, "bad": self.bad, "why": self.why}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Probed:
        """Return a probe from `as_dict`."""
        return cls(
            at=datetime.fromisoformat(kept["at"]),
            bundle=str(kept["bundle"]),
            quiet=bool(kept["quiet"]),
            bad=bool(kept["bad"]),
            why=str(kept.get("why", "")),
        )


def condition(found: Probed | None) -> Condition:
    """Return whether the last probe failed: then nobody knows what the absence of alarms means."""
    if found is None:
        return Condition(name="probe", holds=None)
    if found.passed:
        over = "A known-bad block raises its alarm again, and a quiet one none."
        return Condition(name="probe", holds=False, over=over)
    title = "The watch does not see what it must: its own probe failed"
    finding = Finding(
        signal="watch.probe",
        harm=Harm.OPERATIONS,
        since=found.at,
        before=1.0,
        now=0.0,
        shift=-1.0,
        evidence=0.0,
        text=title,
    )
    told = Telling(
        severity=Severity.PAGE,
        story=(f"{found.why[:1].upper()}{found.why[1:]}.", f"It was run with the profile of {found.bundle}."),
        finding=finding,
        advice="Until it passes, the absence of alarms says nothing. Read the loop's log; `mainstay doctor` looks at "
        "the bundle and the store.",
        facts=found.as_dict(),
    )
    return Condition(name="probe", holds=True, told=told)
