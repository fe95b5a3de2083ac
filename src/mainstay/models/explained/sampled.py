"""An estimate for models that are not compiled: what an answer gains as fields and words come to a plain row.

Shapley values against one plain row by permutations (Štrumbelj, Kononenko 2014), each taken forwards and backwards
(antithetic; Mitchell et al. 2022), as many as the time allows. Fields and words come in a random order, and what the
answer moves by is theirs. Every permutation adds up to the answer less that of the plain row, so their mean does.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

Row = Mapping[str, Any]
Ask = Callable[[Sequence[Row]], NDArray[np.float64]]
"""Returns the value that is explained for each row."""
MOST_WORDS = 30
"""More words of a text than these, the first ones, come in together as one."""
MOST_PAIRS = 200
WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """A field, or a word of a text, that comes in as one."""

    field: str
    word: str | None = None
    """None: the field's whole value, or all of its text that no other player has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What each player adds, with the standard error of that."""

    players: tuple[Player, ...]
    base: float
    value: float
    contributions: NDArray[np.float64]
    errors: NDArray[np.float64]
    """NaN where there was one pair alone."""
    pairs: int
    joint: NDArray[np.float64]
    """Per pair and player, shape (pairs, players): what sums of players are estimated from."""


def estimate(
    ask: Ask,
    row: Row,
    plain: Row,
    *,
    fields: Sequence[str],
    texts: Sequence[str],
    budget_s: float,
    seed: int,
    most_pairs: int = MOST_PAIRS,
) -> Estimate:
    """Estimate what `fields` add to the value of `row` over that of `plain`; `texts` among them come in by words.

    At least one pair of permutations is asked, however long it takes; another one only when the time suffices for it,
    and `most_pairs` at most.
    """
    began = perf_counter()
    players = _players(row, plain, fields, texts)
    base, value = (float(one) for one in ask([_mixed(row, plain, players, set()), row]))
    luck = random.Random(seed)
    found: list[NDArray[np.float64]] = []
    longest = 0.0
    while players and len(found) < most_pairs:
        if found and perf_counter() - began + longest > budget_s:
            break
        at = perf_counter()
        order = luck.sample(range(len(players)), len(players))
        found.append(_pair(ask, row, plain, players, order, base, value))
        longest = max(longest, perf_counter() - at)
    joint = np.array(found).reshape(len(found), len(players))
    contributions = joint.mean(axis=0) if found else np.zeros(0)
    return Estimate(
        players=players,
        base=base,
        value=value,
        contributions=contributions,
        errors=standard_error(joint),
        pairs=len(found),
        joint=joint,
    )


def standard_error(joint: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard error of the mean of each column; NaN for fewer than two rows."""
    if len(joint) < 2:
        return np.full(joint.shape[1:], math.nan)
    found: NDArray[np.float64] = joint.std(axis=0, ddof=1) / math.sqrt(len(joint))
    return found


def _pair(
    ask: Ask, row: Row, plain: Row, players: Sequence[Player], order: Sequence[int], base: float, value: float
) -> NDArray[np.float64]:
    """Return what each player adds, the mean of one order and its reverse."""
    asked: list[Row] = []
    for way in (order, order[::-1]):
        inside: set[int] = set()
        for number in way[:-1]:
            inside.add(number)
            asked.append(_mixed(row, plain, players, inside))
    said = ask(asked) if asked else np.zeros(0)
    out = np.zeros(len(players))
    size = len(order) - 1
    for start, way in ((0, order), (size, order[::-1])):
        values = np.concatenate(([base], said[start : start + size], [value]))
        out[list(way)] += np.diff(values) / 2
    return out


def _players(row: Row, plain: Row, fields: Sequence[str], texts: Sequence[str]) -> tuple[Player, ...]:
    """Return what may come in: of a text its words, each once; other fields where the plain row has another value."""
    players: list[Player] = []
    for name in fields:
        given = row.get(name)
        if name not in texts:
            players += [Player(field=name)] if given != plain.get(name) else []
            continue
        own = list(dict.fromkeys(word.casefold() for word in WORD.findall(given or "")))
        players += [Player(field=name, word=word) for word in own[:MOST_WORDS]]
        if len(own) > MOST_WORDS or (given and not own):
            players.append(Player(field=name))
    return tuple(players)


def _mixed(row: Row, plain: Row, players: Sequence[Player], inside: set[int]) -> dict[str, Any]:
    """Return the plain row with the players that are inside."""
    made = dict(plain)
    by_words = {player.field for player in players if player.word is not None}
    words: dict[str, set[str]] = {name: set() for name in by_words}
    rest = dict.fromkeys(by_words, False)
    for number in inside:
        player = players[number]
        if player.field not in by_words:
            made[player.field] = row.get(player.field)
        elif player.word is None:
            rest[player.field] = True
        else:
            words[player.field].add(player.word)
    known = {name: {p.word for p in players if p.field == name and p.word is not None} for name in by_words}
    for name in by_words:
        kept, named, all_others = words[name], known[name], rest[name]

        made[name] = _with_words(row.get(name) or "", kept, named if all_others else None)
    return made


def _with_words(text: str, kept: set[str], named: set[str] | None) -> str:
    """Return a text with the words `kept` alone; given `named`, with all that are not named too."""

    def held(found: re.Match[str]) -> str:
        word = found[0].casefold()
        return found[0] if word in kept or (named is not None and word not in named) else ""

    return WORD.sub(held, text)
