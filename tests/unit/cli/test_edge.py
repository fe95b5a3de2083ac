from __future__ import annotations

import json
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner, Result

from mainstay.cli import edge
from mainstay.core import errors
from mainstay.core.errors import ExitCode, Problem

LEAVES = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.MainstayError) and kind is not errors.MainstayError
]


def call(work: Any, *arguments: str) -> Result:
    app = typer.Typer(rich_markup_mode=None)

    @app.callback()
    def group() -> None:
        """Hold one command."""

    def do(call: edge.Call, number: Annotated[int, typer.Option()] = 1) -> None:
        """Do."""
        work(call, number)

    edge.command(app, "do")(do)
    return CliRunner().invoke(app, ["do", *arguments])


def raiser(error: BaseException) -> Any:
    def work(call: edge.Call, number: int) -> None:
        raise error

    return work


FAULT = errors.ProjectFileError(
    "mainstay.toml has 2 problems",
    problems=[
        Problem(where="mainstay.toml line 3, serve.prot", what="unknown key", nearest="serve.port"),
        Problem(where="mainstay.toml line 9, serve.workers", what="too large", value=900, allowed="1 to 64"),
    ],
    remedy="Correct both.",
)


def test_an_error_is_told_on_stderr_with_each_problem_and_the_remedy() -> None:
    result = call(raiser(FAULT))
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "Error: mainstay.toml has 2 problems",
        "  - mainstay.toml line 3, serve.prot: unknown key; did you mean 'serve.port'?",
        "  - mainstay.toml line 9, serve.workers: too large; seen: 900; allowed: '1 to 64'",
        "Remedy: Correct both.",
    ]
    assert result.exit_code == 2


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_every_error_leaves_with_its_own_exit_code_a_text_and_a_remedy(kind: type[errors.MainstayError]) -> None:
    result = call(raiser(kind()))
    assert result.exit_code == int(kind.exit_code)
    assert result.stderr.startswith("Error: ")
    assert "\nRemedy: " in result.stderr


def test_a_traceback_is_shown_only_when_asked_for() -> None:
    assert "Traceback" not in call(raiser(FAULT)).stderr
    assert "Traceback" in call(raiser(FAULT), "--debug").stderr


def test_an_unexpected_exception_is_called_a_defect_and_leaves_with_one() -> None:
    result = call(raiser(KeyError("x")))
    assert result.exit_code == ExitCode.DEFECT
    assert result.stderr.startswith("Error: A defect in Mainstay: KeyError: 'x'")
    assert "KeyError" in call(raiser(KeyError("x")), "--debug").stderr


def test_an_interrupt_leaves_with_130_and_no_traceback() -> None:
    result = call(raiser(KeyboardInterrupt()), "--debug")
    assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")


def test_json_mode_prints_one_document_for_an_answer() -> None:
    def work(call: edge.Call, number: int) -> None:
        call.out.note("beside")
        call.out.say("for people")
        call.out.document({"number": number, "nan": float("nan"), "verdict": errors.ExitCode.DONE})

    result = call(work, "--json", "--number", "7")
    assert json.loads(result.stdout) == {"number": 7, "nan": None, "verdict": 0}
    assert result.stderr == "beside\n"


def test_json_mode_prints_one_document_for_an_error_too() -> None:
    told = json.loads(call(raiser(FAULT), "--json").stdout)["error"]
    assert (told["code"], told["exit_code"], len(told["problems"])) == ("project_file", 2, 2)
    assert told["problems"][0]["nearest"] == "serve.port"


def test_text_mode_prints_the_answer_on_stdout_and_no_json() -> None:
    def work(call: edge.Call, number: int) -> None:
        call.out.say("for people")
        call.out.document({"number": number})

    assert call(work).stdout == "for people\n"


def test_text_from_data_neither_becomes_markup_nor_obeys_the_terminal() -> None:
    def work(call: edge.Call, number: int) -> None:
        call.out.say("[red]x[/red] \x1b[2J:smile: \x9b")

    assert call(work).stdout == "[red]x[/red] �[2J:smile: �\n"


def test_progress_beside_a_terminal_is_one_line_a_step_on_stderr() -> None:
    def work(call: edge.Call, number: int) -> None:
        with call.out.progress() as progress:
            for done in range(3):
                progress("fit", done, 3)
            progress("judge", 0, 0)

    result = call(work, "--json")
    assert result.stdout == ""
    assert result.stderr.splitlines() == ["  fit (0/3)", "  judge"]


def test_a_wrong_option_is_a_usage_error() -> None:
    result = call(raiser(FAULT), "--bogus")
    assert result.exit_code == 2
    assert "--bogus" in result.stderr


def test_many_problems_are_shortened_for_people_and_whole_in_json() -> None:
    many = errors.ContractViolation("bad", problems=[Problem(where=f"row {i}", what="bad") for i in range(60)])
    assert "… and 20 more" in edge.text_of(many)
    assert len(edge.document_of(many)["problems"]) == 60


def test_a_command_for_several_projects_gets_all_and_works_here_without_any() -> None:
    seen: list[list[str]] = []
    app = typer.Typer(rich_markup_mode=None)

    @app.callback()
    def group() -> None:
        """Hold one command."""

    def do(call: edge.Call) -> None:
        """Do."""
        seen.append([str(call.project), *map(str, call.projects)])

    edge.command(app, "do", several=True)(do)
    for arguments in ([], ["-C", "a", "--project", "b"]):
        assert CliRunner().invoke(app, ["do", *arguments]).exit_code == 0
    assert seen == [[".", "."], ["a", "a", "b"]]
