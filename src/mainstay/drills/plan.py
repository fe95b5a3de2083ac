"""A story as declared in a `story.toml`: which files speak when, and what must have happened by when."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from mainstay.core import errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Longest times allowed, in seconds of the wall clock; a missed one fails the story."""

    ready: float = 120.0
    detect: float = 60.0
    recover: float = 120.0
    stop: float = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a story plays. Paths are relative to the project's folder."""

    title: str
    text: str
    """The field that holds the message."""
    key: str = ""
    """The column that names who writes; empty: everybody writes once."""
    whole: tuple[str, ...] = ()
    """Columns that hold integers."""
    quiet: str
    """Users like the ones that the model was trained for."""
    messy: str
    """Users it never met; their requests come after the quiet ones, and part of them gets labels during a rollout."""
    feedback: str
    """Such users too; every one of these is labelled, after the incident."""
    judged: str
    """Such users too; never labelled, never shown to a fit: accuracy comes from these alone."""
    broken: str
    """Pipeline that the gate must refuse."""
    turns_bad: str
    """Pipeline that passes the gate and fails on a new kind of message."""
    new_kind: str
    """What that new kind looks like: a text around `{message}`."""
    new_kind_share: float = 0.5
    """Part of the messages that are of the new kind, once it has begun."""
    messy_first: int = 200
    """How many of the messy requests come before the labels; the rest comes during the rollout."""
    labelled_share: float = 0.5
    """Part of the messy requests that are labelled during a rollout."""
    rate: float = 40.0
    """Requests a second."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Environment for the run: what makes hours into seconds."""
    deadlines: Deadlines = Deadlines()

    def with_patience(self, times: float) -> Plan:
        """Return the same story with its deadlines `times` as long."""
        longer = {name: times * seconds for name, seconds in asdict(self.deadlines).items()}
        return replace(self, deadlines=Deadlines(**longer))


def read_plan(file: Path) -> Plan:
    """Read a story.

    Raises:
        ProjectFileError: the file is absent, is no TOML, or names unknown or lacks needed keys.
    """
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise errors.ProjectFileError(f"{file} does not exist", remedy="Name a folder with a story.toml.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise errors.ProjectFileError(f"{file} is no valid TOML: {error}", remedy="Correct the file.") from error
    deadlines = data.pop("deadlines", {})
    try:
        return Plan(**data | {"whole": tuple(data.get("whole", ()))}, deadlines=Deadlines(**deadlines))
    except TypeError as error:
        known = ", ".join(Plan.__dataclass_fields__)
        raise errors.ProjectFileError(f"{file}: {error}", remedy=f"Known keys: {known}.") from error
