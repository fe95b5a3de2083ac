"""A project's checks on a CI server: one workflow file for GitHub, whose steps run in any shell."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from mainstay import __version__
from mainstay.core import errors

TEMPLATE = Path(__file__).parent / "template" / "workflow.yml"
PLACE = Path(".github") / "workflows" / "mainstay.yml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a project's workflow belongs."""

    file: Path
    repository: Path
    """The folder that the server checks out."""
    inside: str
    """The project's folder in it, `.` for itself."""


def place(project: Path) -> Place:
    """Return where the workflow of a project belongs: at the top of its git repository, else in its own folder.

    Raises UsageError when one is there already.
    """
    folder = project.absolute()
    repository = next((one for one in (folder, *folder.parents) if (one / ".git").exists()), folder)
    found = Place(file=repository / PLACE, repository=repository, inside=folder.relative_to(repository).as_posix())
    if found.file.exists():
        raise errors.UsageError(
            f"{found.file} is there already; nothing was written", remedy="Move it away, or change it by hand."
        )
    return found


def write(found: Place) -> Path:
    """Write the workflow and return its file."""
    try:
        found.file.parent.mkdir(parents=True, exist_ok=True)
        found.file.write_text(text(found.inside), encoding="utf-8")
    except OSError as error:
        raise errors.EnvironmentFault(
            f"the workflow cannot be written to {found.file}: {error.strerror}",
            remedy="Choose a folder where this user may write.",
        ) from error
    return found.file


def text(inside: str) -> str:
    """Return the workflow of a project that lies `inside` its repository."""
    told = TEMPLATE.read_text(encoding="utf-8")
    values = {
        "MAINSTAY_VERSION": __version__,
        "PYTHON_VERSION": f"{sys.version_info.major}.{sys.version_info.minor}",
        "WORKING_DIRECTORY": json.dumps(inside),
        "ARTIFACTS/build/gate.*": json.dumps(f"{inside}/build/gate.*"),
        "ARTIFACTS/build/container": json.dumps(f"{inside}/build/container"),
    }
    for word, value in values.items():
        told = told.replace(word, value)
    return told
