"""What was found, with its remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mainstay.config.load import Loaded
from mainstay.core.ports import Clock


class Severity(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """Works, and will bite."""
    FAIL = "fail"
    """Does not work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    check: str
    severity: Severity
    seen: str
    """What was seen, as a clause."""
    remedy: str = ""
    """What to do; empty where all is well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Everything that was looked at."""

    project: Path | None
    """The project file; None: only the machine was looked at."""
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Return whether nothing fails."""
        return all(finding.severity is not Severity.FAIL for finding in self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The project under examination."""

    loaded: Loaded
    environ: Mapping[str, str]
    clock: Clock

    @property
    def state(self) -> Path:
        """Return the folder of the project's state; it may not be there yet."""
        return self.loaded.state

    @property
    def run(self) -> Path:
        """Return the folder of what runs."""
        return self.loaded.state / "run"

    @property
    def model(self) -> str:
        """Return the model's name."""
        return self.loaded.settings.project.name


def well(check: str, seen: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(check=check, severity=Severity.OK, seen=seen)


def warn(check: str, seen: str, remedy: str) -> Finding:
    """Return a finding that will bite."""
    return Finding(check=check, severity=Severity.WARN, seen=seen, remedy=remedy)


def fail(check: str, seen: str, remedy: str) -> Finding:
    """Return a finding that something does not work."""
    return Finding(check=check, severity=Severity.FAIL, seen=seen, remedy=remedy)
