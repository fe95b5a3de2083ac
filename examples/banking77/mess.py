"""Make clean messages messy: seeded random edits, known misspellings, emoji. Rests on public lists of noise."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORD = re.compile(r"[A-Za-z]+")


def edit(word: str, rng: random.Random) -> str:
    """Return the word after one edit: a letter dropped, doubled, replaced, added, or two neighbours swapped."""
    at = rng.randrange(len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1 :]
    if kind == 1:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 2:
        return word[:at] + rng.choice(LETTERS) + word[at + 1 :]
    return word[:at] + rng.choice(LETTERS) + word[at:]


def messy(text: str, rng: random.Random, misspelled: Mapping[str, Sequence[str]], emoji: Sequence[str]) -> str:
    """Return the message as a hurried person types it.

    Half of the words over three letters get one random edit, or a known misspelling where there is one; one message in
    four ends in an emoji.
    """

    def change(match: re.Match[str]) -> str:
        word = match.group()
        if len(word) <= 3 or rng.random() < 0.5:
            return word
        known = misspelled.get(word.lower())
        return rng.choice(list(known)) if known and rng.random() < 0.5 else edit(word, rng)

    changed = WORD.sub(change, text)
    return f"{changed} {rng.choice(list(emoji))}" if emoji and rng.random() < 0.25 else changed


def read_misspellings(file: Path) -> dict[str, list[str]]:
    """Read lines `wrong right distance`; return right -> wrongs, single words only. An absent file gives none."""
    found: dict[str, list[str]] = {}
    if file.is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            parts = line.lower().split()
            if len(parts) == 3 and parts[2] != "0" and all(WORD.fullmatch(part) for part in parts[:2]):
                found.setdefault(parts[1], []).append(parts[0])
    return found


def read_emoji(file: Path) -> list[str]:
    """Read the emoji of a JSON list of objects with `emoji`. An absent file gives none."""
    if not file.is_file():
        return []
    return [item["emoji"] for item in json.loads(file.read_text(encoding="utf-8")) if item.get("emoji")][:300]
