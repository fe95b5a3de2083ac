"""`mainstay rollout`: what people do with a version on its way to all users."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mainstay.cli import edge, output
from mainstay.cli.release import who
from mainstay.core import errors

if TYPE_CHECKING:
    from mainstay.project import Project
    from mainstay.rollouts import Done

Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the release's history.")]
Version = Annotated[str, typer.Argument(metavar="VERSION", help="A number, or model@number.")]
Evidence = Annotated[
    str, typer.Option("--evidence", metavar="DIGEST", help="The evidence that you saw: `rollout show` prints it.")
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="See, start, pause, resume, abort or promote a rollout.\n\n\b\nExample:\n"
        '  mainstay rollout show\n  mainstay rollout pause --reason "the campaign begins today"',
    )
    edge.command(group, "show")(show)
    edge.command(group, "plan")(plan)
    edge.command(group, "start")(start)
    edge.command(group, "pause")(pause)
    edge.command(group, "resume")(resume)
    edge.command(group, "abort")(abort)
    edge.command(group, "promote")(promote)
    edge.command(group, "history")(history)
    edge.command(group, "ledger")(ledger)
    app.add_typer(group, name="rollout")


def show(call: edge.Call) -> None:
    """Show the version on its way, each guard, and the digest of this evidence.

    \b
    Example:
      mainstay rollout show
      mainstay rollout show --json | jq -r .evidence
    """
    from mainstay import rollouts

    found = rollouts.show(_project(call).parts)
    call.out.document(found)
    if not found.name:
        call.out.say("No version is on its way.")
        return
    share = f", answers {found.share:.0%} of the keys" if found.share else ""
    call.out.say(f"{found.name} is {found.stage}{share}: {found.why}")
    call.out.say(f"verdict: {found.verdict or 'none'} ({found.reason})")
    rows = [(c["name"], c["verdict"] if c["applies"] else "-", c["reason"]) for c in found.checks]
    if rows:
        call.out.say(output.table("", ("guard", "verdict", "why"), rows))
    if found.evidence:
        call.out.say(f"evidence {found.evidence}, judged at {found.judged_at:%Y-%m-%d %H:%M:%S} UTC")


def plan(call: edge.Call) -> None:
    """Say what a rollout would detect at each step, and by when.

    At today's traffic, from the newest requests: how long a good version takes to be shown good, how small a
    harm is seen by the end of each step, and what will keep it waiting. Exit code 5 when it cannot arrive.

    \b
    Example:
      mainstay rollout plan
      mainstay rollout plan --json | jq .problems
    """
    from mainstay import powerplan
    from mainstay.release import power_words

    found = powerplan.power_plan(_project(call).parts)
    call.out.document(power_words.as_document(found))
    call.out.say(power_words.text(found))
    if found.problems:
        raise errors.NotEnoughEvidence("It would not arrive by itself", remedy="See what is said above.")


def start(call: edge.Call, version: Version, reason: Reason) -> None:
    """Begin the rollout of a version that waits, or try one again.

    With `[rollout] start = "by_hand"` a version that passed its gate waits for this. One that was rolled back
    begins a new trial: what the earlier one showed does not count.

    \b
    Example:
      mainstay rollout start 4 --reason "the feature store is repaired"
    """
    from mainstay import rollouts
    from mainstay.project import version_number

    project = _project(call)
    number = version_number(version, model=project.name)
    _say(call, rollouts.start(project.parts, number, by=who(), reason=_why(reason)))


def pause(call: edge.Call, reason: Reason) -> None:
    """Let the version on its way answer nobody until it is resumed.

    The champion answers everybody; the comparison goes on in shadow.

    \b
    Example:
      mainstay rollout pause --reason "the campaign begins today"
    """
    from mainstay import rollouts

    _say(call, rollouts.pause(_project(call).parts, by=who(), reason=_why(reason)))


def resume(call: edge.Call, reason: Reason, evidence: Evidence = "") -> None:
    """Let a held version go on where it stood.

    With `[rollout] approval` it goes on once enough people agreed on the same evidence. Evidence that turned
    since is refused, and said what turned. Exit code 5 while somebody is missing.

    \b
    Example:
      mainstay rollout resume --evidence 3fa1c07b --reason "accuracy is proved on 400 labels"
    """
    from mainstay import rollouts

    _say(call, rollouts.resume(_project(call).parts, by=who(), reason=_why(reason), evidence=evidence))


def abort(call: edge.Call, reason: Reason) -> None:
    """Take the version on its way out.

    Where it answers users already, `mainstay rollback` is quicker: it asks the server first.

    \b
    Example:
      mainstay rollout abort --reason "support saw wrong answers"
    """
    from mainstay import rollouts

    _say(call, rollouts.abort(_project(call).parts, by=who(), reason=_why(reason)))


def promote(
    call: edge.Call,
    version: Version,
    reason: Reason,
    evidence: Evidence = "",
    force: Annotated[bool, typer.Option("--force", help="Even if its gate did not pass, or nobody agreed.")] = False,
) -> None:
    """Let a version answer everybody now, or end its probation.

    As `mainstay promote`. With `[rollout] approval = "two"` two people must agree on the same evidence. On
    probation, `--evidence` says that you have seen enough: it is certified.

    \b
    Example:
      mainstay rollout promote 4 --evidence 3fa1c07b --reason "agreed with the on-call engineer"
    """
    from mainstay.project import version_number

    project = _project(call)
    number = version_number(version, model=project.name)
    done = project.promote(number, reason=reason, by=who(), force=force, evidence=evidence)
    call.out.document(done)
    call.out.say(done.text)
    _must_be_complete(done.missing)


def history(
    call: edge.Call,
    version: Annotated[str, typer.Option("--version", metavar="VERSION", help="Of one version only.")] = "",
    expect: Annotated[
        str, typer.Option("--expect", metavar="HASH", help="A hash noted earlier that must be in the record.")
    ] = "",
) -> None:
    """Show every move, and verify that none was changed or removed.

    Each move carries the hash of the one before. Note the newest hash elsewhere, and --expect finds that moves
    were cut off at the end too. Exit code 6 when the record is not whole.

    \b
    Example:
      mainstay rollout history --version 4
    """
    from mainstay import rollouts
    from mainstay.project import version_number

    project = _project(call)
    number = version_number(version, model=project.name) if version else None
    found = rollouts.history(project.parts, version=number, expect=expect)
    call.out.document(found)
    rows = [
        (str(m.seq), f"{m.at:%Y-%m-%d %H:%M:%S}", f"{project.name}@{m.version}", _move(m), m.by, m.reason)
        for m in found.moves
    ]
    call.out.say(output.table("", ("n", "at (UTC)", "version", "move", "by", "why"), rows) if rows else "No moves.")
    rollouts.must_be_whole(found)
    call.out.say(f"whole; newest hash {found.head}" if found.head else "")


def ledger(call: edge.Call) -> None:
    """Show what each promotion promised, and what was seen.

    The gate's difference to the champion with its interval, beside what the same metric measured online by the
    end of the probation, and whether the promise was kept.

    \b
    Example:
      mainstay rollout ledger
    """
    from mainstay import rollouts
    from mainstay.release import promises

    entries = rollouts.ledger(_project(call).parts)
    told = [{**output.plain(one), "kept": promises.kept(one)} for one in entries]
    call.out.document(told)
    rows = []
    for one in entries:
        for metric, kept in promises.kept(one).items() or {"": "nothing was promised"}.items():
            seen = (one.final or one.online).get(promises.LIKE.get(metric, metric), {})
            rows.append(
                (
                    f"{one.model}@{one.version}",
                    f"{one.at:%Y-%m-%d %H:%M}",
                    metric,
                    _figures(one.promised.get(metric, {})),
                    _figures(seen),
                    kept,
                    one.outcome or "open",
                )
            )
    titles = ("version", "at (UTC)", "metric", "promised", "online", "promise", "outcome")
    call.out.say(output.table("", titles, rows) if rows else "No version was promoted over another yet.")


def _project(call: edge.Call) -> Project:
    from mainstay.project import Project

    return Project.open(call.project)


def _why(reason: str) -> str:
    if not reason.strip():
        raise errors.UsageError("a change by hand needs a reason; none was given", remedy="Say why, in a sentence.")
    return reason


def _say(call: edge.Call, done: Done) -> None:
    call.out.document(done)
    call.out.say(done.text)
    _must_be_complete(done.missing)


def _must_be_complete(missing: int) -> None:
    if missing:
        raise errors.NotEnoughEvidence(
            f"{missing} more must agree", remedy="Ask another person to run the same command with the same evidence."
        )


def _move(move: Any) -> str:
    step = f" step {move.step}" if move.to_stage == "canary" else ""
    return f"{move.from_stage or '-'} → {move.to_stage}{step}"


def _figures(found: Any) -> str:
    if "difference" not in found:
        return json.dumps(found, ensure_ascii=False) if found else "-"
    low, high = found.get("low"), found.get("high")
    return f"{found['difference']:+.3f} [{low:+.3f}, {high:+.3f}]" if low is not None and high is not None else "-"
