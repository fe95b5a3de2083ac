"""What the gate promised of a version beside what was seen online: entered at its promotion, closed after probation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from mainstay.core.releases import Release
from mainstay.release import metrics, opinion, window
from mainstay.release.online import online_figures
from mainstay.store import promotions, releases
from mainstay.store.columns import to_json

if TYPE_CHECKING:
    from sqlalchemy import Connection

PROMISES = ("not_worse", "not_worse_on_recent")
"""Checks of the gate that compare a candidate with the champion, the newer data last: they speak where both do."""
LABELLED = 2_000
"""So many of the newest labelled pairs are measured at a promotion: it waits for that."""
DRAWS = 200
LIKE = {"accuracy": "accuracy"}
"""Which guard measures online what a metric of the gate measures offline."""


def open_(
    tx: Connection, release: Release, *, champion: int, evidence: Mapping[str, Any], by: str, now: datetime
) -> None:
    """Enter a version that came to answer everybody just now."""
    last = releases.last_event(tx, release)
    if last is None:
        return
    entry = promotions.Promotion(
        model=release.model,
        seq=last.seq,
        version=release.version,
        champion=champion,
        at=now.astimezone(UTC),
        by=by,
        promised=_plain(promised(release)),
        online=_plain(_online(tx, release, evidence)),
    )
    promotions.add(tx, entry)


def close(tx: Connection, release: Release, *, outcome: str, evidence: Mapping[str, Any], now: datetime) -> None:
    """Write what was seen by the end of a version's probation."""
    final = _online(tx, release, evidence)
    promotions.close(tx, release.model, release.version, outcome=outcome, final=final, now=now)


def promised(release: Release) -> dict[str, Any]:
    """Return, by metric, the difference to the champion that the gate measured: {difference, low, high, source}."""
    found: dict[str, Any] = {}
    checks = {check["name"]: check for check in (release.facts.get("gate") or {}).get("checks", ())}
    for name in PROMISES:
        numbers = checks.get(name, {}).get("numbers") or {}
        for metric, measured in numbers.items():
            if isinstance(measured, Mapping) and "difference" in measured:
                found[metric] = {key: measured.get(key) for key in ("difference", "low", "high", "margin")} | {
                    "source": name
                }
    return found


def kept(entry: promotions.Promotion) -> dict[str, str]:
    """Return, by metric, whether the promise was kept: kept, missed, or not_enough where the intervals do not tell.

    Missed: all that is possible online lies below all that was promised. Kept: what is certain online lies within the
    margin that the gate judged by.
    """
    seen = entry.final or entry.online
    told = {}
    for metric, promise in entry.promised.items():
        online = seen.get(LIKE.get(metric, metric)) or {}
        low, high, least = online.get("low"), online.get("high"), promise.get("low")
        if low is None or high is None or least is None or not online.get("units"):
            told[metric] = "not_enough"
        elif high < least:
            told[metric] = "missed"
        else:
            told[metric] = "kept" if low >= -(promise.get("margin") or 0.0) else "not_enough"
    return told


def problems(tx: Connection, model: str) -> list[str]:
    """Return which entries of the ledger were changed after they were written."""
    return [
        f"the ledger's entry of {model}@{entry.version} was changed after it was written"
        for entry in promotions.all_of(tx, model)
        if entry.content_digest() != entry.digest
    ]


def _online(tx: Connection, release: Release, evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Return what each guard measured: in the evidence of this move, else as it was judged last."""
    checks: Sequence[Mapping[str, Any]] = evidence.get("checks") or ()
    if not checks:
        current = (opinion.read(tx, release.model) or {}).get("current") or {}
        checks = current.get("checks", ()) if current.get("version") == release.version else ()
    found = {check["name"]: _figures(check) for check in checks if check.get("applies", True)}
    return found | _measured(
        tx, release, [m for m in promised(release) if not found.get(LIKE.get(m, m), {}).get("units")]
    )


def _measured(tx: Connection, release: Release, names: Sequence[str]) -> dict[str, Any]:
    """Return the promised metrics that no guard measured, on the newest labelled pairs, in the gate's own terms."""
    names = [name for name in names if name in metrics.KNOWN]
    if not names:
        return {}
    rows, _ = window.rows(tx, release)
    labelled = [pair for pair in rows if pair.label is not None][-LABELLED:]
    figures = online_figures(labelled, names, by_key=True, seed=release.version, draws=DRAWS)
    return {one.metric: one.document() for one in figures}


def _figures(check: Mapping[str, Any]) -> dict[str, Any]:
    numbers = check.get("numbers") or {}
    units = numbers.get("labelled_units", numbers.get("units"))
    wanted = {name: numbers.get(name) for name in ("difference", "low", "high", "limit")}
    return {"verdict": str(check["verdict"]), "units": units, **{k: v for k, v in wanted.items() if v is not None}}


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what will be read back, so that the digest is over that."""
    plain: dict[str, Any] = msgspec.json.decode(to_json(value))
    return plain
