"""`mainstay gate`: what the gate found, or finds now."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli import ci as reporting
from mainstay.cli import edge, reports
from mainstay.core.verdicts import Verdict

if TYPE_CHECKING:
    from mainstay.project import Project

SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
"""Names the file that a GitHub job shows as its summary."""
JUNIT, MARKDOWN = Path("build/gate.xml"), Path("build/gate.md")
"""Where reports go by default, in the project's folder."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "gate")(gate)


def gate(
    call: edge.Call,
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="A number, or model@number; else the newest.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Judge it anew against the version that answers now.")] = False,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Ask it about candidates that are known to be bad.")
    ] = False,
    ci: Annotated[bool, typer.Option("--ci", help="Write both reports, and the summary of a GitHub job.")] = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JUnit XML; with --ci else build/gate.xml in the project.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Markdown; with --ci else build/gate.md in the project.")
    ] = None,
) -> None:
    """Show what the gate found about a version, or judge it again.

    The report is kept with the version. With --again every check runs anew from the stored artefact against the
    champion of today; that report is shown and changes no version's stage. Exit code 4: the gate failed; 5: there was
    not enough evidence, which is no pass.

    With --self-test the gate is tested itself: the version with one thing broken (constant, NaN, swapped classes, one
    segment wrong, slow, …), as a candidate of this project, must be refused by the check meant for it, and the version
    itself must pass. Exit code 4 names the holes, and the setting that closes each.

    With --ci the report is also written as JUnit XML (one case for each check) and as Markdown, and added to the file
    that GITHUB_STEP_SUMMARY names, if it is set.

    \b
    Example:
      mainstay gate
      mainstay gate 3 --again --json | jq '.checks[] | select(.verdict == "fail")'
      mainstay gate --self-test
      mainstay gate --ci --junit reports/gate.xml
    """
    from mainstay.project import Project, version_number

    project = Project.open(call.project)
    number = project.newest() if version is None else version_number(version, model=project.name)
    if self_test:
        _self_test(call, project, number)
        return
    result = project.gate(number, again=again)
    if ci or junit:
        reporting.write(junit or project.file.parent / JUNIT, reporting.junit(result))
    if ci or markdown:
        reporting.write(markdown or project.file.parent / MARKDOWN, reporting.markdown(result))
    if ci and project.environ.get(SUMMARY_VARIABLE):
        reporting.append(Path(project.environ[SUMMARY_VARIABLE]), reporting.markdown(result))
    call.out.document(
        {
            "version": result.name,
            "stage": result.stage.value,
            "verdict": result.verdict.value,
            "again": again,
            "checks": [reports.check_document(check) for check in result.checks],
        }
    )
    call.out.say(
        f"{result.name} ({result.stage.value})",
        reports.gate_table(result.checks),
        f"Verdict: {result.verdict.value}.",
    )
    if not result.passed:
        raise typer.Exit(int(reporting.EXIT_CODES[result.verdict]))


def _self_test(call: edge.Call, project: Project, number: int) -> None:
    tried = project.self_test(number)
    holes = [one for one in tried if not one.holds]
    call.out.document(
        {
            "version": number,
            "holds": not holes,
            "tried": [asdict(one) | {"holds": one.holds} for one in tried],
        }
    )
    call.out.say(f"{project.name}@{number}, with one thing broken at a time", reports.self_test_table(tried))
    asked = [one for one in tried if not one.why_not]
    call.out.say(
        f"{len(holes)} of {len(asked)} are not judged as they should be."
        if holes
        else f"All {len(asked)} are judged as they should be."
    )
    if holes:
        raise typer.Exit(int(reporting.EXIT_CODES[Verdict.FAIL]))
