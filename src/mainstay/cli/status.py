"""`mainstay status`: who answers, since when, why, and how well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli import edge, output

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mainstay.status.records import Estimate, Held, ReleaseLine, RunnerProcess, ServiceProcess, Status


def register(app: typer.Typer) -> None:
    """Add the command."""
    edge.command(app, "status")(status)


def status(
    call: edge.Call,
    on: Annotated[
        datetime | None,
        typer.Option(
            "--on",
            metavar="DATE",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"],
            help="Tell which version was live then instead: 2026-11-20 (its end) or 2026-11-20T16:00:00, UTC.",
        ),
    ] = None,
) -> None:
    """Tell who answers, how well, and what is wrong.

    Since when and why, what is on its way to users, and what waits for a person.
    Reads the store alone: it works while nothing runs, and without MLflow's files. The verdict is one of four words:
    well, watch, unwell, unknown.

    \b
    Example:
      mainstay status
      mainstay status --json | jq -r .summary.health
      mainstay status --on 2026-11-20
    """
    from mainstay.project import Project

    if on is not None:
        at = moment_of(on)
        name = Project.open(call.project).live_on(at)
        call.out.document({"at": at, "live": name or None})
        call.out.say(f"{name or 'No version'} was live at {at:%Y-%m-%d %H:%M:%S} UTC.")
        return
    found = Project.open(call.project).status()
    call.out.document(found)
    call.out.say(*lines(found))


def moment_of(on: datetime) -> datetime:
    """Return the moment meant: a date alone is its last moment, a time without a zone is UTC."""
    aware = on.replace(tzinfo=UTC) if on.tzinfo is None else on.astimezone(UTC)
    midnight = (aware.hour, aware.minute, aware.second) == (0, 0, 0)
    return aware + timedelta(days=1, microseconds=-1) if midnight else aware


def lines(found: Status) -> list[RenderableType]:
    """Return the status for people, most important first."""
    parts: list[RenderableType] = [headline(found)]
    if found.summary.next_step:
        parts.append(f"Next: {found.summary.next_step}")
    parts += ["", *_answering(found), *_quality(found), *_traffic(found), *_budgets(found)]
    parts += [output.safe(f"labels     {found.selective}")] if found.selective else []
    parts += [*_rewards(found), *_cost(found), *_watching(found)]
    parts += [*_rollout(found), *_incidents(found)]
    if found.releases:
        rows = [
            (str(r.version), r.stage.value, moment(r.since), number(r.value), _came(r), output.safe(r.reason))
            for r in found.releases[:10]
        ]
        metric = next((r.metric for r in found.releases if r.metric), "metric")
        parts.append(output.table("Versions", ("version", "stage", "since", metric, "trigger", "why"), rows))
    parts += [_process(one) for one in found.service]
    parts += [_journal(found.journal)] if found.journal is not None else []
    parts += [_runner(one) for one in found.runners if one.seat == "answers" or one.ends or one.state == "left alone"]
    for beat in found.beats:
        seen = f", seen {moment(beat.at)}" if beat.at else ""
        parts.append(f"{beat.name:<10} {'alive' if beat.alive else 'not running'}{seen}")
    return parts


def _came(line: ReleaseLine) -> str:
    """Return what asked for a version, and of one that was learned online from where it went on."""
    return f"{line.trigger}; online {line.online}" if line.online else line.trigger


def _process(one: ServiceProcess) -> str:
    counts = dict(one.counts)
    told = [f"{counts.get('written', 0):,} recorded"]
    for kind in ("dropped", "skipped"):
        reasons = [f"{name.partition(': ')[2]} {n}" for name, n in counts.items() if name.startswith(f"{kind}: ")]
        told += [f"{counts[kind]:,} {kind} ({', '.join(reasons)})"] if counts.get(kind) else []
    state = "alive" if one.alive else f"not running, seen {moment(one.at)}"
    return output.safe(f"service    {one.worker} (process {one.pid}) {state}: {', '.join(told)}")


def _runner(one: RunnerProcess) -> str:
    what = f"process {one.pid}, {one.rss_mb:,.0f} MB" if one.pid is not None else "no process"
    beside = "" if one.seat == "answers" else " (beside it, for shadow)"
    text = f"runner     {one.bundle} in {one.worker}{beside}: {one.state}, {what}"
    if one.ends:
        ends = ", ".join(f"{why} {count}" for why, count in sorted(one.ends.items()))
        text += f"; ended {sum(one.ends.values())} times ({ends}), last: {one.last_end}"
    if one.differences and one.seat == "answers":
        text += f"; not the packages that trained it: {'; '.join(one.differences)}"
    return output.safe(text)


def _journal(held: Held) -> str:
    since = f" since {held.oldest}" if held.oldest else ""
    told = [f"{_size(held.bytes)}{since}, {held.records:,} records sealed"]
    if held.bytes_per_day is not None:
        told.append(f"grows {_size(held.bytes_per_day)} a day")
    if held.full_in_days is not None:
        told.append(f"at this pace the disk is full in {held.full_in_days:,.0f} days")
    policy = {"keep_days": held.keep_days, "max_gb": held.max_gb}
    said = ", ".join(f"{name} = {value:g}" for name, value in policy.items() if value is not None)
    told.append(f"policy: {said}" if said else "no policy deletes anything ([log] keep_days, max_gb)")
    if held.held_back:
        told.append(f"{held.held_back} segments stay beyond it, as the loop has still to read them")
    if held.deleted_at is not None:
        told.append(
            f"last deleted {moment(held.deleted_at)}; in all {held.deleted_records:,} records up to {held.deleted_to}, "
            f"{_size(held.deleted_bytes)}"
        )
    return "journal    " + "; ".join(told)


def _size(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e3:,.1f} kB"


def headline(found: Status) -> str:
    """Return the verdict as one sentence."""
    since = f" since {moment(found.summary.since)}" if found.summary.since else ""
    return f"{found.model} is {found.summary.health.value}{since}. {found.summary.why}"


def _answering(found: Status) -> list[RenderableType]:
    who = found.answering
    if who is None:
        return ["answers    nobody"]
    back = f"; the way back leads to {who.previous}" if who.previous else ""
    by = [f"computed   by {who.runtime}: {who.runtime_why}"] if who.runtime else []
    return [f"answers    {who.name} since {moment(who.since)}: {who.why or 'no reason was kept'}{back}", *by]


def _quality(found: Status) -> list[RenderableType]:
    quality = found.quality
    told = [
        ("promised", quality.held_out),
        ("estimated", quality.estimated),
        ("real", quality.real),
    ]
    parts: list[RenderableType] = [f"{name:<10} {estimate(value)}" for name, value in told if value is not None]
    if quality.unknown:
        parts.append(f"unknown    {quality.unknown}")
    if quality.detectable:
        parts.append(f"in sight   {quality.detectable}")
    return parts


def _traffic(found: Status) -> list[RenderableType]:
    if found.traffic.last_at is None:
        return ["traffic    none seen yet"]
    rows, blocks = found.traffic.rows, len(found.traffic.blocks)
    again = found.traffic.repeats
    told = f"; {again} more came again under an id that another host had answered" if again else ""
    return [f"traffic    {rows} rows in the last {blocks} blocks, newest {moment(found.traffic.last_at)}{told}"]


def _budgets(found: Status) -> list[RenderableType]:
    return [
        f"budget     {one.name}: {one.bad:,} of {one.calls:,} calls in {one.days:g} days {one.what}, "
        f"{1 - one.objective:.2%} may; {one.left:.0%} of the error budget is left, "
        f"in the last hour it burned {one.burn:.1f} times as fast as it lasts"
        for one in found.budgets
    ]


def _rewards(found: Status) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for one in found.rewards:
        text = f"reward     {one.name} of {one.bundle}{f' ({one.arm})' if one.arm else ''}: {one.mean:.4g}"
        if one.low is not None and one.high is not None:
            text += f" ({one.low:.4g} to {one.high:.4g})"
        text += f", n = {one.rows:,}"
        parts.append(output.safe(text + (f"; floor {one.floor:g}" if one.floor is not None else "")))
    return parts


def _cost(found: Status) -> list[RenderableType]:
    if found.cost is None:
        return []
    used = found.cost
    parts: list[RenderableType] = []
    for one in used.lines[:3]:
        price = f"{amount(one.total, used.currency)}, " if used.priced else ""
        each = f", {amount(one.per_1000_rows, used.currency)} per 1,000 rows" if used.priced and one.rows else ""
        parts.append(
            output.safe(
                f"cost       {one.bundle}: {price}{one.cpu_s:,.0f} s of processor time, {one.memory_gb_h:,.1f} GB·h of "
                f"memory for {one.rows:,} rows in {used.days:g} days{each}"
            )
        )
    return parts


def _watching(found: Status) -> list[RenderableType]:
    how = found.watching
    if how is None:
        return []
    turn = f"last turn {moment(how.turn_at)}" if how.turn_at else "no turn yet"
    tried = "not tried yet" if how.probe_at is None else f"tried itself {moment(how.probe_at)}"
    if how.believable:
        return [f"watch      {turn}, {tried}: a known-bad block raised its alarm, a quiet one none"]
    return [output.safe(f"watch      {turn}, {tried}. No alarm says nothing: {how.why_not}")]


def amount(value: float | None, currency: str) -> str:
    """Return an amount of money, or a dash."""
    if value is None:
        return "–"
    digits = 2 if value >= 1 else 4
    return f"{value:,.{digits}f} {currency}".strip()


def _rollout(found: Status) -> list[RenderableType]:
    way = found.rollout
    if way is None:
        return []
    parts: list[RenderableType] = [
        f"rollout    {way.name}: {way.stage.value} at {way.share:.0%} since {moment(way.since)}"
        + (f"; waits for {way.missing}" if way.missing else "")
    ]
    if way.checks:
        rows = [(c.name, c.verdict.value if c.applies else "–", c.reason) for c in way.checks]
        parts.append(output.table("Guards", ("guard", "verdict", "why"), rows))
    return parts


def _incidents(found: Status) -> list[RenderableType]:
    parts: list[RenderableType] = []
    for incident in found.incidents:
        since = f"{incident.severity.value}, since {moment(incident.started_at)}"
        parts.append(f"incident   #{incident.id} {incident.title} [{since}]")
        parts += [f"           {sentence}" for sentence in incident.story]
    quiet = [f"silenced   {one.monitor} until {moment(one.until)} by {one.by}: {one.reason}" for one in found.silences]
    return [*(parts or ["incidents  none open"]), *map(output.safe, quiet)]


def estimate(value: Estimate) -> str:
    """Return a share with its interval and what it rests on."""
    text = f"{value.value:.1%}"
    if value.low is not None and value.high is not None:
        text += f" ({value.low:.1%} to {value.high:.1%})"
    if value.n:
        text += f", n = {value.n}"
    return text + (f": {value.note}" if value.note else "")


def moment(at: datetime | None) -> str:
    """Return a time in UTC, to the minute."""
    return "unknown" if at is None else at.strftime("%Y-%m-%d %H:%M UTC")


def number(value: float | None) -> str:
    """Return a metric, or a dash."""
    return "–" if value is None else f"{value:.3f}"
