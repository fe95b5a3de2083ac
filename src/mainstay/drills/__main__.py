"""Play a story: `python -m mainstay.drills FOLDER [--exit] [--json FILE]`."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from mainstay.config import clocks
from mainstay.core import errors
from mainstay.core.ports import Clock
from mainstay.drills import play, story
from mainstay.drills.plan import Plan, read_plan
from mainstay.project import Project

NARROWEST = 120
"""Columns of the table where no terminal tells its width."""


def main(argv: list[str] | None = None, *, acts: story.Acts = story.ACTS) -> int:
    """Play, print the table, and stay up unless told to exit; return the exit status. `acts`: another course of it."""
    parser = argparse.ArgumentParser(prog="mainstay.drills", description=__doc__)
    parser.add_argument("folder", type=Path, help="a project with a story.toml")
    parser.add_argument("--work", type=Path, default=None, help="where the story's copy of the project lives")
    parser.add_argument("--exit", action="store_true", help="stop at the summary")
    parser.add_argument("--patience", type=float, default=1.0, help="times the story's deadlines, on a slow machine")
    parser.add_argument("--json", type=Path, default=None, help="write the summary here too")
    arguments = parser.parse_args(argv)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else NARROWEST)
    try:
        return perform(arguments, console, acts)
    except errors.MainstayError as error:
        console.print(f"[bold red]{error.message}[/]")
        for problem in error.problems:
            console.print(f"  {problem}")
        console.print(error.remedy)
        return int(error.exit_code)
    except KeyboardInterrupt:
        return int(errors.ExitCode.INTERRUPTED)


def perform(arguments: argparse.Namespace, console: Console, acts: story.Acts) -> int:
    """Set the stage, play every act, tell the end."""
    clock = clocks.clock_from(os.environ)
    began = clock.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{clock.monotonic() - began:6.1f} s[/] {text}", markup=True, soft_wrap=True)

    plan = read_plan(arguments.folder / "story.toml").with_patience(arguments.patience)
    work = arguments.work or Path("build/demo") / arguments.folder.resolve().name
    root = story.prepare(arguments.folder, work).resolve()
    console.print(f"\n[bold]{plan.title}[/]  (a fresh copy of the project lies in {work})\n")
    stage = open_stage(plan, root, clock, say)
    try:
        for number, (title, act) in enumerate(acts, start=1):
            say(f"[bold]{number}/{len(acts)} {title}[/]")
            act(stage)
        stage.results["seconds"] = clock.monotonic() - began
        finish(stage, console, arguments.json)
        if not arguments.exit:
            console.print(f"\nStill running: pages {stage.web_url}, API {stage.base_url}/docs. Ctrl-C ends it.")
            while stage.running.alive():
                clock.sleep(0.5)
    finally:
        stage.running.stop()
    return int(errors.ExitCode.DRILL_MISSED if stage.missed else errors.ExitCode.DONE)


def open_stage(plan: Plan, root: Path, clock: Clock, say: story.Say) -> story.Stage:
    """Start `mainstay up` on free ports and wait until it answers."""
    ports = free_ports(2)
    environ = {
        **os.environ,
        **plan.settings,
        "MAINSTAY_SERVE__PORT": str(ports[0]),
        "MAINSTAY_WEB__PORT": str(ports[1]),
        "PYTHONUNBUFFERED": "1",
    }
    base, web = f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
    say("Starting: version 1 is trained, judged and put live …")
    running = play.Running(root, environ, root / "up.log")
    try:
        play.wait_until(
            lambda: story.ready(base) or not running.alive(),
            seconds=plan.deadlines.ready,
            clock=clock,
            what="the first version live",
        )
        if not running.alive():
            tail = (root / "up.log").read_text(encoding="utf-8", errors="replace")[-2000:]
            raise errors.DrillMissed(f"`mainstay up` ended by itself:\n{tail}")
        project = Project.open(root, environ=environ)
        target = project.settings.target.field
        files = {
            name: play.read_messages(
                root / getattr(plan, name), target=target, prefix=name, key=plan.key, whole=plan.whole
            )
            for name in ("quiet", "messy", "feedback", "judged")
        }
        say(f"Version 1 answers at {base}; pages at {web}")
        crowd = play.Crowd(root / "crowd", f"{base}/v1/predict", clock=clock, rate=plan.rate)
        return story.Stage(
            plan=plan,
            root=root,
            environ=environ,
            project=project,
            running=running,
            crowd=crowd,
            clock=clock,
            say=say,
            base_url=base,
            web_url=web,
            files=files,
        )
    except BaseException:
        running.stop()
        raise


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nobody uses now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def finish(stage: story.Stage, console: Console, file: Path | None) -> None:
    """Print the summary table; write it as JSON."""
    r = stage.results
    table = Table(title="What happened", show_header=False, title_justify="left")
    for label, key in (
        ("clean users, first version", "clean_before"),
        ("messy users, first version", "messy_before"),
        ("messy users, version that answers now", "messy_after"),
        ("clean users, version that answers now", "clean_after"),
    ):
        s = r.get(key)
        table.add_row(
            f"accuracy, {label}",
            f"{s['accuracy']:.1%}  ({s['low']:.1%} to {s['high']:.1%}; n = {s['total']})" if s else "not measured",
        )
    table.add_row("alarms while users were as in training", str(r.get("quiet_alarms", "not measured")))
    table.add_row("time to detect (no label given)", _detected(r))
    table.add_row(
        "time to recover (first label to certified)", f"{r['recover_s']:.0f} s" if r.get("recover_s") else "missed"
    )
    table.add_row(
        "broken candidate",
        "refused by the gate" if r.get("broken_exit") == errors.ExitCode.GATE_FAILED else "NOT refused",
    )
    table.add_row(
        "candidate that turned bad in traffic",
        f"rolled back after {r['stop_s']:.0f} s" if r.get("stop_s") else "NOT rolled back",
    )
    table.add_row("who answers now", story._answering(stage.status()))
    table.add_row("where to look", f"{stage.web_url} · {stage.root}/.mainstay · mainstay status --project {stage.root}")
    table.add_row("wall time", f"{r['seconds']:.0f} s")
    console.print()
    console.print(table)
    for what in stage.missed:
        console.print(f"[bold red]missed:[/] {what}")
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        document = r | {"missed": stage.missed, "who_answers": story._answering(stage.status())}
        file.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
        console.print(f"written: {file}")


def _detected(results: dict[str, object]) -> str:
    if "detect_s" not in results:
        return "missed"
    return f"{results['detect_s']:.1f} s, {results['detect_rows']} requests after the start"


if __name__ == "__main__":
    sys.exit(main())
