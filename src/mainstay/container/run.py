"""What a container starts: `python -m mainstay.container.run PACKAGED STATE` serves one version, without a store.

The same supervisor and workers as outside; only the route comes from the folder. With `--check` it loads the version,
answers one row, and leaves: the image's build does so, and Python writes the bytecode of what serving imports.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from types import FrameType
from typing import Any

from mainstay.config import clocks, logs
from mainstay.config import load as config
from mainstay.config.folders import make_private
from mainstay.container import packaged as packages
from mainstay.container.packaged import Packaged
from mainstay.core.errors import EnvironmentFault, ExitCode, MainstayError, UsageError
from mainstay.core.routes import BundleRef, Route
from mainstay.journal.personal import read_or_make_salt
from mainstay.serve.member import Member
from mainstay.serve.route_file import RouteFile, route_path
from mainstay.serve.route_keeper import Override
from mainstay.serve.supervisor import WORKER_MODULE, Supervisor

SALT_VARIABLE = "MAINSTAY_SALT"
"""64 hexadecimal digits; without it the state folder's own salt holds, made at the first start."""
LOOK_S = 0.2
MOST_STARTS = 3
"""So often a worker may end before it was ever ready; then the container ends."""
LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
USAGE = "usage: python -m mainstay.container.run (PACKAGED STATE | --check PACKAGED)"
log = logging.getLogger("mainstay.container")


def supervisor_of(
    folder: Path, state: Path, environ: Mapping[str, str], *, on_ready: Callable[[Mapping[str, Any]], None]
) -> Supervisor:
    """Return the server of the packaged version in `folder`; the bundle is verified before the port is taken.

    Raises Damaged for a bundle that is not what was packaged, EnvironmentFault for a state folder that cannot be used.
    """
    packaged, _ = packages.open_packaged(folder)
    loaded = config.load(folder, environ=environ)
    if loaded.settings.log.format is logs.LogFormat.JSON:  # from here on; what went wrong before is told for people
        logs.set_up(loaded.settings.log.format, model=packaged.model)
    _make_usable(state)
    _take_salt(state / "salt", environ.get(SALT_VARIABLE, ""))
    run = state / "run"
    # A rollback left by another server has nowhere to go back to: this one version is all there is.
    (run / "overrides.json").unlink(missing_ok=True)
    route = route_of(packaged, RouteFile(route_path(run, packaged.model)).read())
    member = Member(
        settings=loaded.settings,
        root=folder,
        route_source=lambda: [route],
        on_override=_no_way_back,
        state=state,
        bundles=packages.bundles(folder),
        trusted=frozenset({packaged.digest}),  # whoever built the image vouched for it
    )
    return Supervisor(
        [member],
        clock=clocks.clock_from(environ),
        logs_to_stderr=True,
        environ=environ,
        on_ready=on_ready,
    )


def route_of(packaged: Packaged, before: Route | None) -> Route:
    """Return the route to the packaged version; above the epoch that the state folder knows if it names another."""
    champion = BundleRef(version=packaged.version, digest=packaged.digest)
    if before is None:
        return Route(model=packaged.model, epoch=1, champion=champion)
    wanted = Route(model=packaged.model, epoch=before.epoch, champion=champion)
    return before if wanted == before else replace(wanted, epoch=before.epoch + 1)


def check(folder: Path) -> str:
    """Load everything that serving loads, answer a plain row, and return one sentence."""
    from mainstay.models import answers, load
    from mainstay.models.plain import plain_row

    packaged, bundle = packages.open_packaged(folder)
    importlib.import_module(WORKER_MODULE)  # by its name: it lies above this folder
    importlib.import_module("mainstay.journal.seal")
    model = load.load(bundle)
    try:
        said = repr(answers.answer(model, [plain_row(model.contract)])[0].label)
    except Exception as error:  # noqa: BLE001 - a plain row may be no valid one for this model, which is no fault
        said = f"{type(error).__name__} to a made-up row"
    different = "; ".join(model.environment_differences) or "the packages that trained it"
    return f"{packaged.name} ({packaged.digest[:12]}) loads here and says {said}. Packages: {different}."


def serve(folder: Path, state: Path, environ: Mapping[str, str]) -> int:
    """Serve until SIGTERM; return the exit code."""
    ready = threading.Event()

    def tell(told: Mapping[str, Any]) -> None:
        ready.set()
        log.info("%s answers on port %s", packages.open_packaged(folder)[0].name, told["port"])

    supervisor = supervisor_of(folder, state, environ, on_ready=tell)
    failed: list[str] = []
    threading.Thread(target=_watch_start, args=(supervisor, ready, failed), name="start", daemon=True).start()
    supervisor.run()
    if failed:
        raise EnvironmentFault(
            f"The version does not come up here: {failed[0]}",
            remedy="Read what the worker said above; if a package or a file is missing, build the image again.",
        )
    return int(ExitCode.DONE)


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    """Run the command line; return the exit code."""
    # The first process of a container has no default actions: without a handler SIGTERM would do nothing.
    signal.signal(signal.SIGTERM, _leave)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format=LINE)
    logging.getLogger("mainstay").setLevel(logging.INFO)
    try:
        if len(arguments) != 2:
            raise UsageError(USAGE)
        if arguments[0] == "--check":
            sys.stdout.write(check(Path(arguments[1])) + "\n")
            return int(ExitCode.DONE)
        return serve(Path(arguments[0]), Path(arguments[1]), environ)
    except MainstayError as error:
        lines = [f"Error: {error.message}", *(f"  - {problem}" for problem in error.problems)]
        sys.stderr.write("\n".join([*lines, f"Remedy: {error.remedy}"]) + "\n")
        return int(error.exit_code)


def _watch_start(supervisor: Supervisor, ready: threading.Event, failed: list[str]) -> None:
    """End the server if no worker can serve the one version that there is: a restart or a person must help."""
    while not ready.wait(LOOK_S):
        for worker in supervisor.status()["workers"]:
            failed += worker["failed"].values()
            if worker["restarts"] >= MOST_STARTS:
                failed.append(f"{worker['worker']} ended {worker['restarts']} times, last with {worker['last_exit']}")
        if failed:
            supervisor.stop()
            return


def _leave(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise SystemExit(int(ExitCode.DONE))


def _make_usable(state: Path) -> None:
    try:
        make_private(state)
        with TemporaryFile(dir=state):
            pass
    except OSError as error:
        raise EnvironmentFault(
            f"the state folder {state} cannot be written by user {os.getuid()}: {error.strerror}",
            remedy="Mount a volume there that this user may write; the journal of predictions lives in it.",
        ) from error


def _take_salt(path: Path, given: str) -> None:
    """Take the salt from the environment; the value itself is never shown."""
    if not given:
        return
    try:
        wanted = bytes.fromhex(given)
    except ValueError:
        wanted = b""
    if len(wanted) != 32 or given != wanted.hex():
        raise UsageError(
            f"{SALT_VARIABLE} has {len(given)} characters; 64 hexadecimal digits in small letters are expected",
            remedy="Make one with `openssl rand -hex 32` and keep it: under another, the same key has another hash.",
        )
    if read_or_make_salt(path, lambda count: wanted[:count]) != given:
        raise EnvironmentFault(
            f"the state folder holds another salt than {SALT_VARIABLE}: its records would not join with new ones",
            remedy=f"Give the salt that is in {path}, leave {SALT_VARIABLE} out, or start with an empty volume.",
        )


def _no_way_back(override: Override) -> Route:
    raise EnvironmentFault(f"A packaged server serves {override.out.version} alone; nothing can be rolled back in it")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
