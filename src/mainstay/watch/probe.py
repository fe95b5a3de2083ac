"""The watch tries itself: a quiet block must raise no alarm, and known-bad ones must; only then does no alarm mean
anything.

Rows are made from the bundle's own profile and run through a fresh copy of the engine with the project's own settings.
The quiet block is as the reference. Of the bad ones, the first has everything as far off as the profile can show:
numbers at an end of what it holds, categories at the rarest value or one never seen; in the second half of the requests
fail. What this shows is that profile, plan, counting, evidence and bar work together; it says nothing of how small a
change would be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec
import numpy as np

from mainstay.config.settings import WatchSettings
from mainstay.core.profiles import Profile, SignalKind, SignalProfile
from mainstay.models.derived import DEFAULT, OUTSIDE, RECONSTRUCTION
from mainstay.watch import compare
from mainstay.watch.compare import Comparison, WatchState
from mainstay.watch.probed import Probed
from mainstay.watch.window import Observation, Outcome

ROWS = 500
"""Requests of a probe's block."""
BEGIN = 2
"""Of them, those with which the engine begins."""
QUIET, MOVED, FAILING = "quiet", "moved", "failing"
BAD = {
    MOVED: "a block in which every field was far from the reference",
    FAILING: "a block in which half of the requests failed",
}
NEVER_SEEN = "\x00never seen"
Engine = Callable[[WatchState, Sequence[Observation], Profile, WatchSettings], Comparison]


def probe(
    profile: Profile,
    settings: WatchSettings,
    *,
    bundle: str,
    now: datetime,
    seed: int = 0,
    engine: Engine = compare.update,
) -> Probed:
    """Run the blocks; whatever the engine raises is a probe that failed. Cost: three blocks of `ROWS` requests."""
    rng = np.random.default_rng(seed)
    profile = _fields_alone(profile)
    try:
        alarms = {
            name: _alarms(profile, settings, bundle, rows, engine) for name, rows in _blocks(profile, now, rng).items()
        }
    except Exception as error:  # noqa: BLE001 - edge: an engine that fails sees nothing, and that is what is told
        return Probed(at=now, bundle=bundle, quiet=False, bad=False, why=f"{type(error).__name__}: {error}")
    why = [f"{BAD[name]} raised no alarm" for name in BAD if not alarms[name]]
    why += ["a block like the reference raised an alarm"] if alarms[QUIET] else []
    bad = all(alarms[name] for name in BAD)
    return Probed(at=now, bundle=bundle, quiet=not alarms[QUIET], bad=bad, why="; ".join(why))


def _fields_alone(profile: Profile) -> Profile:
    """Return the profile without what follows from values, or from fields together: here each field is drawn alone."""
    signals = [s for s in profile.signals if not s.name.endswith((OUTSIDE, DEFAULT)) and s.name != RECONSTRUCTION]
    return msgspec.structs.replace(profile, signals=signals, sample=None, reconstruction=None)


def _alarms(
    profile: Profile, settings: WatchSettings, bundle: str, rows: Sequence[Observation], engine: Engine
) -> bool:
    """Return whether a block raises an alarm, an hour after the small one with which the engine began."""
    state = WatchState(model="probe", bundle=bundle)
    engine(state, rows[:BEGIN], profile, settings)
    return engine(state, rows[BEGIN:], profile, settings).alarm


def _blocks(profile: Profile, now: datetime, rng: np.random.Generator) -> dict[str, list[Observation]]:
    """Return the blocks; each begins with the same two quiet rows."""
    whole = [signal for signal in profile.signals if not signal.segment and sum(signal.counts) > 0]
    usual = {signal.name: _usual(signal, rng) for signal in whole}
    quiet = _rows(usual, now)
    moved = _rows({signal.name: _worst(signal) for signal in whole}, now)
    failing = [
        msgspec.structs.replace(row, outcome=Outcome.FAILED) if number % 2 else row for number, row in enumerate(quiet)
    ]
    return {QUIET: quiet, MOVED: quiet[:BEGIN] + moved[BEGIN:], FAILING: quiet[:BEGIN] + failing[BEGIN:]}


def _rows(values: dict[str, list[float | str]], now: datetime) -> list[Observation]:
    """Return requests one second apart, the first ones an hour before the others; each of a key of its own."""
    out = []
    for number in range(ROWS):
        at = now - timedelta(hours=1) if number < BEGIN else now - timedelta(seconds=ROWS - number)
        out.append(
            Observation(
                id=f"probe-{number}",
                key=f"{number:012d}",
                unit=f"probe-{number}",
                occurred_at=at,
                received_at=at,
                arm="champion",
                signals={name: drawn[number] for name, drawn in values.items()},
            )
        )
    return out


def _usual(signal: SignalProfile, rng: np.random.Generator) -> list[float | str]:
    """Return values as the reference had them."""
    counts = np.asarray(signal.counts, dtype=np.float64)
    # Not drawn at random but in the reference's own shares: chance in the probe's rows is no news of the watch.
    places = np.searchsorted(np.cumsum(counts) / counts.sum(), (np.arange(ROWS) + 0.5) / ROWS)
    return [_value(signal, int(place)) for place in rng.permutation(places)]


def _worst(signal: SignalProfile) -> list[float | str]:
    """Return values that the reference hardly held: the rarest or never seen; of numbers the end that is rarer."""
    counts = np.asarray(signal.counts, dtype=np.float64)
    if signal.kind is SignalKind.CATEGORY:
        place = int(np.argmin(counts))
    else:
        place = len(counts) - 1 if counts[-1] <= counts[0] else 0
    return [_value(signal, place)] * ROWS


def _value(signal: SignalProfile, place: int) -> float | str:
    """Return a value that is counted at a place."""
    if signal.kind is SignalKind.CATEGORY:
        return signal.values[place] if place < len(signal.values) else NEVER_SEEN
    edges = signal.edges
    if not edges:
        return 0.0
    if place == 0:
        return edges[0] - 1.0
    if place >= len(edges):
        return edges[-1] + max(signal.sd, 1.0)
    low, high = edges[place - 1], edges[place]
    middle = 0.5 * (low + high)
    return middle if middle < high else low  # of neighbouring floats the middle may round to the next place's
