"""Look at everything, and change nothing. One check that fails does not keep the others from being looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from mainstay.config import clocks
from mainstay.config import load as config
from mainstay.core import errors
from mainstay.core.ports import Clock, Progress, silent
from mainstay.doctor import folder, machine, processes, recorded, stored
from mainstay.doctor.records import Diagnosis, Finding, Place, fail, well

Check = Callable[[], Iterable[Finding]]


def examine(path: Path, *, environ: Mapping[str, str], progress: Progress = silent) -> Diagnosis:
    """Look at this machine, and at the project in folder `path` where there is one; nothing on disk changes.

    A project file that is broken is a finding; a folder without one has the machine looked at alone.
    """
    clock, found = _clock(environ)
    file, loaded, about_file = _project(path, environ)
    found += about_file
    settings = loaded.settings if loaded is not None else None
    training_mb = settings.train.memory_mb if settings is not None and settings.train.pipelines else None
    checks: list[tuple[str, Check]] = [
        ("python", machine.python),
        ("packages", machine.packages),
        ("sqlite", machine.sqlite),
        ("clock", lambda: machine.clock(clock)),
        ("open files", machine.files),
        ("memory", lambda: machine.memory(training_mb)),
        ("processors", lambda: machine.cpus(settings.serve.workers if settings is not None else None)),
    ]
    if loaded is not None:
        checks += _of_project(Place(loaded=loaded, environ=environ, clock=clock), found)
    for number, (name, check) in enumerate(checks):
        progress(name, number, len(checks))
        found += _guarded(name, check)
    return Diagnosis(project=file, findings=tuple(found))


def _of_project(place: Place, found: list[Finding]) -> list[tuple[str, Check]]:
    kept = stored.Stored()
    can_read = True
    try:
        kept = stored.read(place)
    except errors.MainstayError as error:
        can_read = False
        found.append(stored.unreadable(place, error))
    except Exception as error:  # noqa: BLE001 - edge: whatever the file holds, the other checks go on
        can_read = False
        found.append(_broken("store", error))
    of_place = (
        ("state folder", folder.state),
        ("disk", folder.disk),
        ("salt", folder.salt),
        ("api keys", folder.api_keys),
        ("leftovers", folder.leftovers),
        ("file times", folder.times),
        ("data", folder.data),
        ("alerts", folder.alerts),
        ("journal", recorded.journal),
        ("server", processes.server),
        ("ports", processes.ports),
    )
    of_store = (
        ("store", stored.store),
        ("loop", stored.loops),
        ("bundles", stored.bundles),
        ("backup", stored.backup),
        ("journal growth", stored.growth),
    )
    checks: list[tuple[str, Check]] = [(name, _bound(check, place)) for name, check in of_place]
    if can_read:
        checks += [(name, _with(check, place, kept)) for name, check in of_store]
    return [*checks, ("mlflow", _with(stored.mlflow, place, kept))]


def _bound(check: Callable[[Place], Iterable[Finding]], place: Place) -> Check:
    return lambda: check(place)


def _with(check: Callable[[Place, stored.Stored], Iterable[Finding]], place: Place, kept: stored.Stored) -> Check:
    return lambda: check(place, kept)


def _guarded(name: str, check: Check) -> Iterator[Finding]:
    try:
        yield from check()
    except errors.MainstayError as error:
        yield fail(name, error.message, error.remedy)
    except Exception as error:  # noqa: BLE001 - edge: what cannot be looked at is a finding too
        yield _broken(name, error)


def _broken(name: str, error: Exception) -> Finding:
    return fail(name, f"could not be looked at: {type(error).__name__}: {error}", "Mend what it names.")


def _clock(environ: Mapping[str, str]) -> tuple[Clock, list[Finding]]:
    try:
        return clocks.clock_from(environ), []
    except errors.EnvironmentFault as error:
        return clocks.SystemClock(), [fail("clock", error.message, error.remedy)]


def _project(path: Path, environ: Mapping[str, str]) -> tuple[Path | None, config.Loaded | None, list[Finding]]:
    file = (path / config.FILE_NAME if path.is_dir() else path).absolute()
    if not file.exists():
        if path.is_dir():
            return None, None, [well("project", f"there is none in {path.absolute()}; only the machine is looked at")]
        return None, None, [fail("project", f"there is no {path}", "Name a folder that is there with --project.")]
    try:
        loaded = config.load(path, environ=environ)
    except errors.MainstayError as error:
        told = [fail("project file", str(problem), error.remedy) for problem in error.problems]
        return file, None, told or [fail("project file", error.message, error.remedy)]
    return file, loaded, [well("project file", f"{file}: {loaded.settings.project.name}")]
