"""A project's checks on a CI server: one file, whose steps run in any shell."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mainstay import __version__
from mainstay.core import errors

TEMPLATES = Path(__file__).parent / "template"


class Server(StrEnum):
    """A CI server."""

    GITHUB = "github"
    GITLAB = "gitlab"
    JENKINS = "jenkins"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a server reads, and from where."""

    place: Path
    """In the repository."""
    template: str
    quoted: Callable[[str], str]
    """How its language quotes a text."""
    enter: Callable[[str], str]
    """What makes the steps work in a folder."""


def _groovy(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _line(folder: str) -> str:
    """Return the line of a YAML script that changes into a folder."""
    return json.dumps(f"cd {shlex.quote(folder)}")


KINDS = {
    Server.GITHUB: Kind(
        place=Path(".github") / "workflows" / "mainstay.yml",
        template="workflow.yml",
        quoted=json.dumps,
        enter=json.dumps,
    ),
    Server.GITLAB: Kind(place=Path(".gitlab-ci.yml"), template="gitlab-ci.yml", quoted=json.dumps, enter=_line),
    Server.JENKINS: Kind(place=Path("Jenkinsfile"), template="Jenkinsfile", quoted=_groovy, enter=_groovy),
}
ARTIFACTS = ("build/gate.xml", "build/gate.*", "build/container", "build/**")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a project's workflow belongs."""

    server: Server
    file: Path
    repository: Path
    """The folder that the server checks out."""
    inside: str
    """The project's folder in it, `.` for itself."""


def place(project: Path, server: Server) -> Place:
    """Return where the workflow of a project belongs: at the top of its git repository, else in its own folder.

    Raises UsageError when one is there already.
    """
    folder = project.absolute()
    repository = next((one for one in (folder, *folder.parents) if (one / ".git").exists()), folder)
    found = Place(
        server=server,
        file=repository / KINDS[server].place,
        repository=repository,
        inside=folder.relative_to(repository).as_posix(),
    )
    if found.file.exists():
        raise errors.UsageError(
            f"{found.file} is there already; nothing was written", remedy="Move it away, or change it by hand."
        )
    return found


def write(found: Place) -> Path:
    """Write the workflow and return its file."""
    try:
        found.file.parent.mkdir(parents=True, exist_ok=True)
        found.file.write_text(text(found.inside, found.server), encoding="utf-8")
    except OSError as error:
        raise errors.EnvironmentFault(
            f"the workflow cannot be written to {found.file}: {error.strerror}",
            remedy="Choose a folder where this user may write.",
        ) from error
    return found.file


def text(inside: str, server: Server) -> str:
    """Return the workflow of a project that lies `inside` its repository."""
    kind = KINDS[server]
    before = "" if inside == "." else f"{inside}/"
    told = (TEMPLATES / kind.template).read_text(encoding="utf-8")
    values = {
        "MAINSTAY_VERSION": __version__,
        "PYTHON_VERSION": f"{sys.version_info.major}.{sys.version_info.minor}",
        "WORKING_DIRECTORY": kind.enter(inside),
        **{f"ARTIFACTS/{path}": kind.quoted(before + path) for path in ARTIFACTS},
    }
    for word, value in values.items():
        told = told.replace(word, value)
    return told
