"""The chance that is told is the chance with which it happens."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from mainstay.core.exploration import How
from mainstay.serve.explorer import uniforms
from mainstay.stats import exploration

LABELS = ("a", "b", "c")
SURE = {"a": 0.7, "b": 0.2, "c": 0.1}


def counted(how: How, share: float, *, allowed: tuple[str, ...] = LABELS, own: str = "a", n: int = 20_000):
    q = exploration.drawn_from(how, allowed, SURE, temperature=2.0, floor=0.3)
    p = exploration.propensities(own, q, share)
    given = [exploration.draw(own, q, share, uniforms("s" * 64, "m", f"id-{i}"))[1] for i in range(n)]
    return p, {name: given.count(name) for name in p}, q


@pytest.mark.parametrize(("how", "allowed"), [(How.UNIFORM, LABELS), (How.UNIFORM, ("b", "c")), (How.SOFTMAX, LABELS)])
def test_answers_are_given_with_the_chance_that_is_told(how: How, allowed: tuple[str, ...]) -> None:
    p, counts, q = counted(how, 0.4, allowed=allowed)
    assert sum(p.values()) == pytest.approx(1.0)
    assert p["a"] == pytest.approx(0.6 + 0.4 * q.get("a", 0.0))
    # Multinomial counts at their chances: a smaller p-value comes once in a million.
    assert stats.chisquare(list(counts.values()), [chance * 20_000 for chance in p.values()]).pvalue > 1e-6


def test_the_coin_is_independent_of_what_is_drawn_and_of_the_order_of_ids() -> None:
    q = exploration.drawn_from(How.UNIFORM, LABELS, SURE, temperature=1.0, floor=0.1)
    rows = [exploration.draw("a", q, 0.5, uniforms("s" * 64, "m", str(i))) for i in range(20_000)]
    coins = np.array([drawn for drawn, _ in rows])
    assert stats.binomtest(int(coins.sum()), 20_000, 0.5).pvalue > 1e-6
    neighbours = np.array(
        [
            [sum(coins[1:] & coins[:-1]), sum(coins[1:] & ~coins[:-1])],
            [sum(~coins[1:] & coins[:-1]), sum(~coins[1:] & ~coins[:-1])],
        ]
    )
    assert stats.chi2_contingency(neighbours).pvalue > 1e-6
    among = [label for drawn, label in rows if drawn]
    assert stats.chisquare([among.count(name) for name in LABELS]).pvalue > 1e-6


def test_softmax_follows_the_probabilities_and_leaves_no_allowed_label_out() -> None:
    q = exploration.drawn_from(How.SOFTMAX, LABELS, SURE, temperature=2.0, floor=0.3)
    raw = np.array([math.sqrt(SURE[name]) for name in LABELS])
    assert list(q.values()) == pytest.approx(list(0.1 + 0.7 * raw / raw.sum()))
    certain = exploration.drawn_from(How.SOFTMAX, LABELS, {"a": 1.0}, temperature=1.0, floor=0.3)
    assert certain == pytest.approx({"a": 0.8, "b": 0.1, "c": 0.1})


def test_another_salt_or_model_draws_other_requests() -> None:
    def coins(salt: str, model: str) -> list[bool]:
        return [uniforms(salt, model, str(i))("coin") < 0.5 for i in range(2_000)]

    first = coins("a" * 64, "m")
    assert first == coins("a" * 64, "m")
    for other in (coins("b" * 64, "m"), coins("a" * 64, "n")):
        assert stats.binomtest(sum(x == y for x, y in zip(first, other, strict=True)), 2_000, 0.5).pvalue > 1e-6


def by_counting(how: How, n: int, top: int) -> dict[tuple[int, int], float]:
    """The chance of (model's place, shown place), by going through every draw that can come."""
    top = min(top, n)
    orders: list[tuple[list[int], float]] = []
    places = list(range(1, n + 1))
    if how is How.SHUFFLE:
        every = list(permutations(places[:top]))
        orders = [([*one, *places[top:]], 1 / len(every)) for one in every]
    elif how is How.SWAP:
        for at in range(top - 1):
            one = places.copy()
            one[at], one[at + 1] = one[at + 1], one[at]
            orders.append((one, 1 / (top - 1)))
    elif n > top:
        for chosen in range(top, n):
            for at in range(top):
                one = places.copy()
                one.insert(at, one.pop(chosen))
                orders.append((one, 1 / ((n - top) * top)))
    found: dict[tuple[int, int], float] = {}
    for order, chance in orders:
        for shown, own in enumerate(order, start=1):
            found[own, shown] = found.get((own, shown), 0.0) + chance
    return found


@pytest.mark.parametrize("how", [How.SWAP, How.SHUFFLE, How.INSERT])
@pytest.mark.parametrize(("n", "top"), [(2, 2), (3, 5), (5, 3), (6, 4), (7, 2)])
def test_the_chance_of_each_place_is_that_of_going_through_all_draws(how: How, n: int, top: int) -> None:
    if how is How.INSERT and n <= top:
        return
    expected = by_counting(how, n, top)
    for own in range(1, n + 1):
        mine = {shown: 0.3 * chance for (place, shown), chance in expected.items() if place == own}
        mine[own] = mine.get(own, 0.0) + 0.7
        assert exploration.places(how, own, n, top, 0.3) == pytest.approx({k: v for k, v in mine.items() if v > 0})


@pytest.mark.parametrize("how", [How.SWAP, How.SHUFFLE, How.INSERT])
def test_drawn_orders_come_with_these_chances(how: How) -> None:
    shown: dict[tuple[int, int], int] = {}
    for i in range(6_000):
        order = exploration.order(how, 6, 4, uniforms("s" * 64, "m", str(i)))
        assert sorted(order) == [1, 2, 3, 4, 5, 6]
        for place, own in enumerate(order, start=1):
            shown[own, place] = shown.get((own, place), 0) + 1
    expected = by_counting(how, 6, 4)
    assert set(shown) == {pair for pair, chance in expected.items() if chance > 0}
    for pair, chance in expected.items():
        assert stats.binomtest(shown.get(pair, 0), 6_000, min(1.0, chance)).pvalue > 1e-8


@pytest.mark.parametrize("own", ["a", "z"])
def test_a_draw_comes_out_again_from_what_the_record_tells(own: str) -> None:
    for how in (How.UNIFORM, How.SOFTMAX):
        q = exploration.drawn_from(how, LABELS, SURE, temperature=1.5, floor=0.2)
        p = exploration.propensities(own, q, 0.3)
        for i in range(300):
            numbers = uniforms("s" * 64, "m", str(i))
            assert exploration.redrawn(own, p, 0.3, numbers) == exploration.draw(own, q, 0.3, numbers)


def law(how: How, n: int, top: int, share: float) -> dict[tuple[int, ...], float]:
    """Return the chance of every order, by going through all draws; with a share, the model's own else."""
    own = tuple(range(1, n + 1))
    drawn: list[tuple[int, ...]] = [(*first, *own[top:]) for first in permutations(own[:top])]
    if how is How.SWAP:
        drawn = [(*own[:at], own[at + 1], own[at], *own[at + 2 :]) for at in range(top - 1)]
    found = {own: 1.0 - share}
    for one in drawn:
        found[one] = found.get(one, 0.0) + share / len(drawn)
    return found


def of_prefix(chances: dict[tuple[int, ...], float], wanted: tuple[int, ...], k: int) -> float:
    return sum(chance for order, chance in chances.items() if order[:k] == wanted[:k])


@pytest.mark.parametrize("how", [How.SWAP, How.SHUFFLE])
def test_what_a_cascade_asks_of_the_draws_is_more_than_what_a_place_asks(how: How) -> None:
    """Why rankings are told of by candidate and place (docs/exploration.md): the chance of all that stands above."""
    n, top, share = 6, 4, 0.2
    chances = law(how, n, top, share)
    for own in range(1, n + 1):
        told = exploration.places(how, own, n, top, share)
        for place in range(1, n + 1):
            came = sum(chance for order, chance in chances.items() if order[place - 1] == own)
            assert told.get(place, 0.0) == pytest.approx(came)
    near, far = (2, 1, 3, 4, 5, 6), (2, 1, 4, 3, 5, 6)
    for wanted in (near, far):  # every candidate's place has a chance of its own
        assert all(exploration.places(how, own, n, top, share).get(at + 1, 0.0) > 0 for at, own in enumerate(wanted))
    prefixes = [[of_prefix(chances, wanted, k) for k in range(1, top + 1)] for wanted in (near, far)]
    if how is How.SWAP:
        once = share / (top - 1)
        assert prefixes[0] == pytest.approx([once] * top)  # below the pair too, where nothing moved
        assert prefixes[1] == pytest.approx([once, once, 0.0, 0.0])
    else:
        fewer = [share * math.factorial(top - k) / math.factorial(top) for k in range(1, top + 1)]
        assert prefixes[0] == prefixes[1] == pytest.approx(fewer)
