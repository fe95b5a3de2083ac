"""The one edge of the command line: where errors become text, a remedy and an exit code."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from mainstay.cli.output import Output, safe
from mainstay.core import errors

MOST_PROBLEMS = 40
"""Problems printed for people; --json holds all."""

HERE = Path()
ProjectOption = Annotated[
    Path, typer.Option("--project", "-C", metavar="DIR", help="The project folder, or its mainstay.toml.")
]
ProjectsOption = Annotated[
    list[Path],
    typer.Option(
        "--project",
        "-C",
        metavar="DIR",
        help="The project folder, or its mainstay.toml. Several times: they share one server, on the first one's port.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else there.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="On an error, print the traceback too.")]
COMMON = (
    inspect.Parameter("project", inspect.Parameter.KEYWORD_ONLY, default=HERE, annotation=ProjectOption),
    inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=JsonOption),
    inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=DebugOption),
)
"""Options that every command has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What every command is given."""

    project: Path
    """The first one, where several are given."""
    out: Output
    debug: bool = False
    projects: tuple[Path, ...] = ()
    """All, where a command takes several."""


def command(
    app: typer.Typer, name: str, *, on_project: bool = True, several: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function `f(call, **own options)` as a command with the common options and the error edge.

    `on_project`: whether it works on a project, and so has the option --project; `several`: which may be repeated.
    """
    common = COMMON if on_project else COMMON[1:]
    if several:
        common = (COMMON[0].replace(default=[HERE], annotation=ProjectsOption), *COMMON[1:])

    def register(function: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(function, include_extras=True)
        own = [
            parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in list(inspect.signature(function).parameters.values())[1:]
        ]

        @functools.wraps(function)
        def wrapper(*, as_json: bool, debug: bool, project: Path | list[Path] = HERE, **options: Any) -> None:
            out = Output(as_json=as_json)
            projects = tuple(project) if isinstance(project, list) else (project,)
            call = Call(project=projects[0], out=out, debug=debug, projects=projects)
            code = run_guarded(lambda: function(call, **options), out=out, debug=debug)
            if code:
                raise typer.Exit(int(code))

        signature = inspect.Signature([*own, *common])
        wrapper.__signature__ = signature  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
        del wrapper.__wrapped__
        app.command(name)(wrapper)
        return function

    return register


def run_guarded(work: Callable[[], None], *, out: Output, debug: bool) -> int:
    """Run `work` and return its exit code; print what went wrong."""
    try:
        with out.guarded_stdout():
            work()
    except typer.Exit as leave:
        return int(leave.exit_code)
    except KeyboardInterrupt:
        out.note("Interrupted.")
        return int(errors.ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read stdout has enough (`| head`); Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(errors.ExitCode.DONE)
    except errors.MainstayError as error:
        report(error, out=out, debug=debug)
        return int(error.exit_code)
    except Exception as error:  # noqa: BLE001 - the edge: a defect becomes a text and exit code 1
        report(as_defect(error), out=out, debug=debug)
        return int(errors.ExitCode.DEFECT)
    return int(errors.ExitCode.DONE)


def as_defect(error: Exception) -> errors.MainstayError:
    """Wrap an exception that no code expected."""
    said = str(error) or "no message"
    wrapped = errors.MainstayError(
        f"A defect in Mainstay: {type(error).__name__}: {said}",
        remedy="Run the command again with --debug and report the traceback.",
    )
    wrapped.__cause__ = error
    return wrapped


def report(error: errors.MainstayError, *, out: Output, debug: bool) -> None:
    """Print an error: text on stderr; in JSON mode the document on stdout too."""
    if debug:
        sys.stderr.write("".join(traceback.format_exception(error)))
    sys.stderr.write(text_of(error) + "\n")
    sys.stderr.flush()
    out.document({"error": document_of(error)})


def text_of(error: errors.MainstayError) -> str:
    """Return what happened, each problem on its line, and the remedy."""
    lines = [f"Error: {error.message}"]
    lines += [f"  - {problem}" for problem in error.problems[:MOST_PROBLEMS]]
    if len(error.problems) > MOST_PROBLEMS:
        lines.append(f"  … and {len(error.problems) - MOST_PROBLEMS} more (--json lists all)")
    if error.remedy:
        lines.append(f"Remedy: {error.remedy}")
    return safe("\n".join(lines))


def document_of(error: errors.MainstayError) -> dict[str, Any]:
    """Return an error in the shape that the HTTP interface uses too."""
    return {
        "code": error.code,
        "exit_code": int(error.exit_code),
        "message": error.message,
        "remedy": error.remedy,
        "problems": [
            {
                "where": problem.where,
                "what": problem.what,
                "value": problem.value,
                "allowed": problem.allowed,
                "nearest": problem.nearest,
                "row": problem.row,
            }
            for problem in error.problems
        ],
    }
