"""Whether something that used to come regularly is gone, or comes far more than it did: by the same hour of earlier
days.

Counts are kept by slots of a quarter of an hour. What is silent every night, or each Sunday, is not gone; so a gap
is held against the gaps that earlier days had at the same time of day, and against nothing else:

    gone  ⇔  gap > N · max over earlier days d and |s| ≤ 1 h of gap(d days ago, shifted by s) + 1 h

over the days of the last two weeks, of which there must be at least seven (one of each weekday), or over the same
weekday of earlier weeks, of which there must be at least three: whoever works five days a week is known after three
weeks. The shift allows for clocks that are put forward or back and for mornings that begin late. Before that nothing is
said. What comes in few slots of a day (a nightly batch, five labels at any time) has no rhythm within the day: of such
a feed the longest gap at any time counts.

A volume is compared in the same way: the last hour with the least (the most) of those hours, and only where it is below
a quarter (above twice) for sure, P ≤ 1e-6 by Poisson's law.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import scipy

from mainstay.stats.intervals import Floats

SLOTS_PER_DAY = 96
SLOT_MINUTES = 15
HOUR = 4
"""Slots."""
RECENT_DAYS, LEAST_RECENT = 14, 7
WEEKS, LEAST_WEEKS = 5, 3
DAYS = 7 * WEEKS
"""How many days before today are looked at."""
SPARSE = 12
"""Slots of a day with anything in them (the median of such days) up to which a feed has no rhythm within the day."""
FELL, ROSE = 0.25, 2.0
"""Parts of the least and the most that an hour had, from which it is told."""
SURE = 1e-6


class Flow(StrEnum):
    """How a feed stands."""

    UNKNOWN = "unknown"
    """Too few earlier days to say."""
    USUAL = "usual"
    GONE = "gone"
    FELL = "fell"
    ROSE = "rose"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is said of a feed, and by what."""

    flow: Flow
    silent_h: float = 0.0
    """How long nothing came (hours)."""
    usual_h: float = 0.0
    """The longest gap at this time on the days compared with (hours)."""
    count: int = 0
    """In the last hour."""
    least: float = 0.0
    """Of the same hour of the days compared with."""
    most: float = 0.0
    days: int = 0
    """Days compared with."""


def judge(counts: Sequence[float] | Floats, *, times: float) -> Standing:
    """Return how a feed stands at the end of the last slot of `counts`.

    `counts`: per slot, oldest first, the last one the last whole slot before now; they begin with the slot in which the
    feed was first seen, or later. `times`: N. Cost: the length of `counts`.
    """
    x = np.asarray(counts, dtype=np.float64)
    silent = _gaps(x)
    recent = [d for d in range(1, RECENT_DAYS + 1) if _known(x, d)]
    weeks = [7 * w for w in range(1, WEEKS + 1) if _known(x, 7 * w)]
    sets = [days for days, least in ((recent, LEAST_RECENT), (weeks, LEAST_WEEKS)) if len(days) >= least]
    if not sets or not len(x):
        return Standing(flow=Flow.UNKNOWN, days=len(recent))
    now, count = int(silent[-1]), float(x[-HOUR:].sum())
    hours = np.convolve(x, np.ones(HOUR))[: len(x)]
    found = [_against(days, silent, hours, now=now, count=count, times=times) for days in sets]
    return next((one for one in found if one.flow is not Flow.USUAL), found[-1])


def _known(x: Floats, day: int) -> bool:
    """Return whether the feed was known a whole hour before the same time so many days ago."""
    return len(x) - day * SLOTS_PER_DAY >= 2 * HOUR


def _gaps(x: Floats) -> Floats:
    """Return for each slot how many slots in a row, itself the last, had nothing."""
    places = np.arange(len(x))
    last = np.maximum.accumulate(np.where(x > 0, places, -1)) if len(x) else places
    return np.asarray(places - last, dtype=np.float64)


def _is_sparse(silent: Floats) -> bool:
    """Return whether a feed comes in few slots of the days on which it comes at all."""
    held = (silent == 0)[len(silent) % SLOTS_PER_DAY :].reshape(-1, SLOTS_PER_DAY).sum(axis=1)
    return bool(np.median(held[held > 0]) <= SPARSE) if (held > 0).any() else True


def _around(values: Floats, day: int) -> Floats:
    """Return the values within an hour of the same time so many days ago."""
    place = len(values) - 1 - day * SLOTS_PER_DAY
    return values[max(place - HOUR, 0) : place + HOUR + 1]


def _against(days: Sequence[int], silent: Floats, hours: Floats, *, now: int, count: float, times: float) -> Standing:
    if _is_sparse(silent):
        usual = float(silent[: len(silent) - now].max(initial=0.0))
    else:
        usual = max(float(_around(silent, day).max()) for day in days)
    least = min(float(_around(hours, day).min()) for day in days)
    most = max(float(_around(hours, day).max()) for day in days)
    flow = Flow.USUAL
    if now > times * usual + HOUR:
        flow = Flow.GONE
    elif least > 0 and count < FELL * least and float(scipy.special.gammaincc(count + 1.0, FELL * least)) <= SURE:
        flow = Flow.FELL
    elif most > 0 and count > ROSE * most and float(scipy.special.gammainc(count, ROSE * most)) <= SURE:
        flow = Flow.ROSE
    slot_h = SLOT_MINUTES / 60.0
    return Standing(
        flow=flow,
        silent_h=now * slot_h,
        usual_h=usual * slot_h,
        count=int(count),
        least=least,
        most=most,
        days=len(days),
    )
