"""A service that answers elsewhere: who it is, how far learning is, and what its processes told of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from mainstay.core.releases import Release
from mainstay.status.records import Answering, Beat, Learning, ServiceProcess
from mainstay.store.heartbeats import Heartbeat

SERVICE = "service"


class _Told(msgspec.Struct):
    pid: int
    worker: str
    at: datetime
    counts: dict[str, int]


def learning(kept: tuple[dict[str, Any], int] | None) -> Learning | None:
    """Return how far learning is by the loop's own count, or None where it never counted a request."""
    if kept is None or not (kept[0]["seen"] or kept[0].get("failed")):
        return None
    state = kept[0]
    return Learning(
        seen=min(state["seen"], state["needed"]),
        needed=state["needed"],
        since=datetime.fromisoformat(state["since"]),
        failed=state.get("failed", ""),
    )


def answering(model: str, live: Release | None, learns: Learning | None) -> Answering | None:
    """Return who answers: the service, under the name of what it is compared with."""
    if live is not None:
        return Answering(name=live.name, version=live.version, since=live.since, why=live.reason)
    if learns is None:
        return None
    why = f"answers elsewhere; learning: {learns.seen} of {learns.needed} requests"
    if learns.failed:
        why = "answers elsewhere; there is nothing to compare it with"
    return Answering(name=model, version=0, since=learns.since, why=why)


def processes(run: Path, now: datetime, alive_within: timedelta) -> tuple[ServiceProcess, ...]:
    """Return the service's processes on this host, by name; a file that cannot be read is left out."""
    found = []
    for path in sorted(run.glob("attach-*.json")):
        try:
            told = msgspec.json.decode(path.read_bytes(), type=_Told)
        except (OSError, msgspec.MsgspecError):
            continue
        alive = now - told.at <= alive_within
        found.append(
            ServiceProcess(worker=told.worker, pid=told.pid, at=told.at, alive=alive, counts=dict(told.counts))
        )
    return tuple(found)


def beats(
    signs: Sequence[Heartbeat], seen: Sequence[ServiceProcess], now: datetime, alive_within: timedelta
) -> tuple[Beat, ...]:
    """Return the signs of life of what belongs to a project that answers elsewhere."""
    told = [Beat(name=sign.name, at=sign.at, alive=now - sign.at <= alive_within) for sign in signs]
    if seen:
        told.append(Beat(name=SERVICE, at=max(one.at for one in seen), alive=any(one.alive for one in seen)))
    return tuple(sorted(told, key=lambda beat: beat.name))
