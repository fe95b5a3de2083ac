"""The rule that sums up a model in one word."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from mainstay.core import incidents, releases
from mainstay.status.records import Answering, Beat, Health, Learning, Rollout, Summary, Traffic, Watching

S = incidents.Severity
STALE_AFTER = timedelta(hours=24)
"""Traffic older than this says nothing of how the model is now."""
OF_THE_WATCH = ("heartbeat", "probe")
"""Families of conditions that are about the watch itself."""


def summarise(
    *,
    answering: Answering | None,
    open_incidents: Sequence[incidents.Incident],
    rollout: Rollout | None,
    traffic: Traffic,
    beats: Sequence[Beat],
    well_since: datetime | None,
    enough_rows: int,
    now: datetime,
    elsewhere: bool = False,
    learning: Learning | None = None,
    watching: Watching | None = None,
) -> Summary:
    """Return the verdict; with fewer than `enough_rows` in the last blocks nothing is said of a model's health.

    Harm that is known comes first, then what prevents knowing, then what only asks for attention. Silence is never
    "well": without a model, without traffic, without the loop that judges it or where the watch does not see what it
    must see, the verdict is unknown.
    """
    if answering is None:
        return _nothing_seen(beats) if elsewhere else _nobody_answers(rollout)
    if learning is not None:
        return _blind_loop(beats) or _learns(learning)
    paging = [i for i in open_incidents if i.severity is S.PAGE and not _is_of_the_watch(i)]
    if paging:
        return _by_incident(Health.UNWELL, paging)
    blind = _blind(traffic, beats, elsewhere=elsewhere)
    if blind is not None:
        return blind
    if watching is not None and not watching.believable:
        why = f"That nothing is found says nothing now: {watching.why_not}."
        since = watching.probe_at or watching.turn_at
        return Summary(health=Health.UNKNOWN, since=since, why=why, next_step="Read the loop's log; mainstay doctor.")
    asking = [i for i in open_incidents if i.severity is S.WATCH]
    if asking:
        return _by_incident(Health.WATCH, asking)
    if rollout is not None and rollout.stage is releases.Stage.HELD:
        return Summary(
            health=Health.WATCH,
            since=rollout.since,
            why=f"{rollout.name} waits for a person: {rollout.reason}",
            next_step=f'mainstay promote {rollout.version} --reason "…", or mainstay rollback --reason "…"',
        )
    if traffic.rows < enough_rows:
        return Summary(
            health=Health.UNKNOWN,
            since=answering.since,
            why=f"Too little traffic was seen to judge by: {traffic.rows} rows, and {enough_rows} are needed.",
            next_step="Send requests.",
        )
    if traffic.last_at is not None and now - traffic.last_at > STALE_AFTER:
        return Summary(
            health=Health.UNKNOWN,
            since=traffic.last_at,
            why=f"No traffic came since {traffic.last_at:%Y-%m-%d %H:%M} UTC, so nothing is known of the model now.",
            next_step="Look whether the callers still reach it; a request with curl tells.",
        )
    return Summary(
        health=Health.WELL, since=well_since, why=f"{answering.name} answers and nothing that does harm was found."
    )


def _is_of_the_watch(incident: incidents.Incident) -> bool:
    """Return whether an incident tells that nothing is known, rather than that the model does harm."""
    return incidents.condition_of(incident).partition(":")[0] in OF_THE_WATCH


def _nobody_answers(rollout: Rollout | None) -> Summary:
    if rollout is None:
        return Summary(health=Health.UNKNOWN, since=None, why="No version is live.", next_step="mainstay up")
    return Summary(
        health=Health.UNKNOWN,
        since=rollout.since,
        why=f"No version is live yet; {rollout.name} is on its way ({rollout.stage.value}).",
        next_step="mainstay up",
    )


def _by_incident(health: Health, found: Sequence[incidents.Incident]) -> Summary:
    first = min(found, key=lambda incident: incident.started_at)
    worst = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    advice = worst.facts.get("recommendation", "")
    return Summary(health=health, since=first.started_at, why=worst.title + more, next_step=str(advice or ""))


def _learns(learning: Learning) -> Summary:
    if learning.failed:
        why = f"There is nothing to compare its traffic with: {learning.failed}"
        return Summary(health=Health.UNKNOWN, since=learning.since, why=why, next_step="mainstay check")
    return Summary(
        health=Health.UNKNOWN,
        since=learning.since,
        why=f"learning: {learning.seen} of {learning.needed} requests.",
        next_step="Nothing: after that its traffic is compared with these.",
    )


def _nothing_seen(beats: Sequence[Beat]) -> Summary:
    blind = _blind_loop(beats)
    if blind is not None:
        return blind
    why = "A service answers elsewhere, and no request of it was seen yet."
    return Summary(health=Health.UNKNOWN, since=None, why=why, next_step="Put mainstay.Watch or mainstay.log into it.")


def _blind_loop(beats: Sequence[Beat]) -> Summary | None:
    return _blind(Traffic(), [beat for beat in beats if beat.name == "loop"], only=("loop",))


def _blind(
    traffic: Traffic, beats: Sequence[Beat], *, elsewhere: bool = False, only: Sequence[str] = ()
) -> Summary | None:
    by_name = {beat.name: beat for beat in beats}
    for name in only or (("loop",) if elsewhere else ("loop", "serve")):
        beat = by_name.get(name)
        if beat is None:
            return Summary(
                health=Health.UNKNOWN, since=None, why=f"{name} has never run here.", next_step="mainstay up"
            )
        if not beat.alive:
            text = "so nothing is judged" if name == "loop" else "so nothing is answered"
            return Summary(
                health=Health.UNKNOWN, since=beat.at, why=f"{name} is not running, {text}.", next_step="mainstay up"
            )
    if traffic.last_at is None and not only:
        return Summary(
            health=Health.UNKNOWN,
            since=None,
            why="Too little traffic was seen to judge by: the first block is not full.",
            next_step="Send requests, or wait: a block closes after a few minutes.",
        )
    return None
