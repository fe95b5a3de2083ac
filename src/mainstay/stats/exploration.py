"""The chance of every answer where a share of them is drawn at random, and the draw itself.

With chance ε (`share`) the model's own answer a* makes room for a draw from q, so that what is given has the propensity

    p(a) = (1 − ε) 1{a = a*} + ε q(a)

(epsilon-greedy: Sutton, Barto 2018, §2.4; a softmax with an even part is what Vowpal Wabbit's `--cb_explore` has as
softmax with a minimum). Of rankings it is the chance of each place of a candidate, given the model's order; `swap` is
FairPairs for one pair (Radlinski, Joachims 2006), `shuffle` RandTop-n (Joachims, Swaminathan, Schnabel 2017).

Nothing here draws by itself: a caller gives uniform numbers by name, so that the same request gives the same draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from mainstay.core.exploration import How

Uniform = Callable[[str], float]
"""Name of a decision -> its number in [0, 1), independent of all others."""
COIN, ANSWER = "coin", "answer"
TINY = 1e-300


def drawn_from(
    how: How, allowed: Sequence[str], probabilities: Mapping[str, float], *, temperature: float, floor: float
) -> dict[str, float]:
    """Return q over the allowed labels, in their order: even, or ∝ P(a)^(1/T) with the part `floor` of it even."""
    even = 1.0 / len(allowed)
    if how is How.UNIFORM:
        return dict.fromkeys(allowed, even)
    logs = [math.log(max(probabilities.get(name, 0.0), TINY)) / temperature for name in allowed]
    largest = max(logs)
    raw = [math.exp(one - largest) for one in logs]
    total = sum(raw)
    return {name: floor * even + (1.0 - floor) * one / total for name, one in zip(allowed, raw, strict=True)}


def propensities(own: str, q: Mapping[str, float], share: float) -> dict[str, float]:
    """Return p of every answer that may be drawn, in their order, and of the model's own."""
    found = {name: share * chance for name, chance in q.items()}
    if own in found or share < 1.0:
        found[own] = found.get(own, 0.0) + 1.0 - share
    return found


def draw(own: str, q: Mapping[str, float], share: float, uniform: Uniform) -> tuple[bool, str]:
    """Return whether the answer was drawn, and the answer; a draw may give the model's own."""
    if uniform(COIN) >= share:
        return False, own
    return True, _pick(q, uniform(ANSWER))


def redrawn(own: str, p: Mapping[str, float], share: float, uniform: Uniform) -> tuple[bool, str]:
    """Return the draw again from what a record tells: its propensities in their order, and the share."""
    q = {name: max(0.0, chance - (1.0 - share if name == own else 0.0)) / share for name, chance in p.items()}
    return draw(own, q, share, uniform)


def order(how: How, n: int, top: int, uniform: Uniform) -> list[int]:
    """Return a drawn order of `n` candidates as the model's places (from 1) in the order in which they are shown."""
    shown, top = list(range(1, n + 1)), min(top, n)
    if how is How.SHUFFLE:
        return [*sorted(shown[:top], key=lambda place: uniform(f"place {place}")), *shown[top:]]
    if how is How.SWAP:
        at = int(uniform(ANSWER) * (top - 1))
        shown[at], shown[at + 1] = shown[at + 1], shown[at]
    elif n > top:
        chosen = shown.pop(top + int(uniform(ANSWER) * (n - top)))
        shown.insert(int(uniform("place") * top), chosen)
    return shown


def places(how: How, own: int, n: int, top: int, share: float) -> dict[int, float]:
    """Return the chance of every place that the candidate on the model's place `own` of `n` may be shown on."""
    top = min(top, n)
    if how is How.SHUFFLE:
        moved = dict.fromkeys(range(1, top + 1), 1.0 / top) if own <= top else {own: 1.0}
    else:
        moved = _swapped(own, top) if how is How.SWAP else _inserted(own, n, top)
    found = {own: 1.0 - share}
    for place, chance in moved.items():
        found[place] = found.get(place, 0.0) + share * chance
    return {place: chance for place, chance in sorted(found.items()) if chance > 0.0}


def _swapped(own: int, top: int) -> dict[int, float]:
    """Return where a swap of one of top − 1 pairs of neighbours puts a candidate."""
    if own > top or top < 2:
        return {own: 1.0}
    each = 1.0 / (top - 1)
    found = {place: each for place in (own - 1, own + 1) if 1 <= place <= top}
    return {**found, own: max(0.0, 1.0 - sum(found.values()))}


def _inserted(own: int, n: int, top: int) -> dict[int, float]:
    """Return where one of n − top candidates from below, at one of the first places, puts a candidate."""
    below = n - top
    if not below:
        return {own: 1.0}
    if own <= top:  # behind the one that came, or before it
        return {own: (top - own) / top, own + 1: own / top}
    found = dict.fromkeys(range(1, top + 1), 1.0 / (below * top))
    found[own] = found.get(own, 0.0) + (own - top - 1) / below  # one from further up went away: nothing moves here
    if own < n:
        found[own + 1] = (n - own) / below
    return found


def _pick(q: Mapping[str, float], u: float) -> str:
    reached = 0.0
    for name, chance in q.items():
        reached += chance
        if u < reached:
            return name
    return [name for name, chance in q.items() if chance > 0.0][-1]
