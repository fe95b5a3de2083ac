"""Harm to texts: what people type on a phone, in a hurry, in two languages. Deterministic by the generator given.

Kinds after CheckList (Ribeiro et al. 2020), keyboard slips after Belinkov and Bisk (2018). Slang and mixed languages
know English; a text that holds none of the words they know stays as it is, which `changed` tells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from numpy.random import Generator

from mainstay.core.contracts import Contract, FieldType
from mainstay.train.stress.records import Kind

Harm = Callable[[str, float, Generator], str]
_PIECES = re.compile(r"\w+|\W+")
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
EMOJI = ("😀", "😭", "🙏", "😡", "👍", "🔥", "💀", "🤔", "😂", "❤️")
SHORTEST_SLIP = 4
"""Letters of a word that a slip may happen in: shorter ones turn into others."""
CUT = 0.8
"""Share of a text that is cut at a strength of 1."""
SLANG = {
    "you": "u", "your": "ur", "are": "r", "please": "pls", "thanks": "thx", "thank": "thx", "because": "cuz",
    "with": "w", "without": "w/o", "before": "b4", "today": "2day", "tomorrow": "tmrw", "message": "msg",
    "people": "ppl", "really": "rly", "probably": "prolly", "okay": "k", "ok": "k", "going": "goin",
    "what": "wut", "this": "dis", "that": "dat", "the": "da", "for": "4", "to": "2", "too": "2", "see": "c",
    "why": "y", "and": "n", "about": "abt", "know": "kno", "love": "luv", "great": "gr8", "late": "l8",
    "wait": "w8", "have": "hv", "would": "wud", "could": "cud", "should": "shud", "cannot": "cant", "not": "nt",
    "my": "ma", "money": "cash", "friend": "bro", "good": "gud", "night": "nite", "right": "rite", "from": "frm",
    "just": "jus", "when": "wen", "been": "bin", "something": "smth", "nothing": "nada", "everyone": "evry1",
    "someone": "sum1", "want": "wanna", "account": "acct", "number": "no", "payment": "pymt", "minutes": "mins",
    "information": "info", "password": "pw", "picture": "pic", "problem": "prob", "question": "q", "need": "ned",
}  # fmt: skip
MIXED = {
    "the": "el", "my": "mi", "is": "es", "not": "no", "where": "dónde", "when": "cuándo", "what": "qué",
    "how": "cómo", "why": "por qué", "please": "por favor", "thanks": "gracias", "and": "y", "but": "pero",
    "with": "con", "without": "sin", "for": "para", "from": "de", "money": "dinero", "card": "tarjeta",
    "bank": "banco", "account": "cuenta", "payment": "pago", "order": "pedido", "price": "precio",
    "today": "hoy", "tomorrow": "mañana", "yesterday": "ayer", "now": "ahora", "still": "todavía",
    "already": "ya", "again": "otra vez", "never": "nunca", "always": "siempre", "help": "ayuda",
    "problem": "problema", "error": "error", "number": "número", "phone": "teléfono", "name": "nombre",
    "change": "cambiar", "cancel": "cancelar", "want": "quiero", "need": "necesito", "have": "tengo",
    "pay": "pagar", "send": "enviar", "receive": "recibir", "wait": "esperar", "good": "bueno", "bad": "malo",
    "very": "muy", "more": "más", "also": "también", "because": "porque", "they": "ellos", "this": "esto",
}  # fmt: skip


def kinds(contract: Contract) -> list[Kind]:
    """Return the kinds of harm to a contract's texts; without a text field each says why it cannot happen."""
    names = [f.name for f in contract.features if f.type is FieldType.TEXT]
    why_not = "" if names else "no feature is a text"
    return [
        Kind(name=name, says=says, change=_of_texts(harm, names), why_not=why_not) for name, says, harm in _CATALOGUE
    ]


def typos(text: str, strength: float, random: Generator) -> str:
    """Let one key slip in that share of the longer words: swapped, left out, doubled, or its neighbour."""
    return _words(text, strength, random, lambda word: _slip(word, random) if len(word) >= SHORTEST_SLIP else word)


def slang(text: str, strength: float, random: Generator) -> str:
    """Write that share of the words as chats do, where there is such a form."""
    return _words(text, strength, random, lambda word: SLANG.get(word.lower(), word))


def case(text: str, strength: float, random: Generator) -> str:
    """Shout that share of the words, or whisper them where they are loud already."""
    return _words(text, strength, random, lambda word: word.lower() if word.isupper() else word.upper())


def emoji(text: str, strength: float, random: Generator) -> str:
    """Put an emoji behind that share of the words."""
    return _words(text, strength, random, lambda word: f"{word} {EMOJI[int(random.integers(len(EMOJI)))]}")


def truncation(text: str, strength: float, _random: Generator) -> str:
    """Cut the end off, up to four fifths of the text at full strength; at least its first word stays."""
    pieces = _PIECES.findall(text)
    places = [i for i, piece in enumerate(pieces) if _is_word(piece)]
    left = max(1, round(len(places) * (1.0 - CUT * strength)))
    return text if left >= len(places) else "".join(pieces[: places[left - 1] + 1])


def code_mixing(text: str, strength: float, random: Generator) -> str:
    """Say that share of the commonest words in Spanish."""
    return _words(text, strength, random, lambda word: MIXED.get(word.lower(), word))


_CATALOGUE: Sequence[tuple[str, str, Harm]] = (
    ("typos", "a key slips in that share of the words", typos),
    ("slang", "that share of the words is written as in a chat", slang),
    ("case", "that share of the words is shouted", case),
    ("emoji", "an emoji stands behind that share of the words", emoji),
    ("truncation", "the end is cut off, four fifths at full strength", truncation),
    ("code_mixing", "that share of the common words is Spanish", code_mixing),
)


def _of_texts(harm: Harm, names: Sequence[str]) -> Callable[[dict[str, Any], float, Generator], str | None]:
    def change(row: dict[str, Any], strength: float, random: Generator) -> str | None:
        touched = None
        for name in names:
            text = row.get(name)
            if isinstance(text, str) and (new := harm(text, strength, random)) != text:
                row[name], touched = new, name
        return touched

    return change


def _words(text: str, strength: float, random: Generator, change: Callable[[str], str]) -> str:
    """Change that share of the words, each by itself with that probability."""
    pieces = _PIECES.findall(text)
    drawn = random.random(len(pieces))
    return "".join(
        change(piece) if hit < strength and _is_word(piece) else piece for piece, hit in zip(pieces, drawn, strict=True)
    )


def _is_word(piece: str) -> bool:
    return piece[0].isalnum() or piece[0] == "_"


def _slip(word: str, random: Generator) -> str:
    place = int(random.integers(1, len(word) - 1))
    match int(random.integers(4)):
        case 0:
            return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
        case 1:
            return word[:place] + word[place + 1 :]
        case 2:
            return word[:place] + word[place] + word[place:]
        case _:
            return word[:place] + _neighbour(word[place], random) + word[place + 1 :]


def _neighbour(letter: str, random: Generator) -> str:
    """Return a key beside a letter's on a QWERTY keyboard; the letter itself where it has no key there."""
    for keys in _ROWS:
        at = keys.find(letter.lower())
        if at >= 0:
            beside = keys[max(at - 1, 0) : at] + keys[at + 1 : at + 2]
            found = beside[int(random.integers(len(beside)))]
            return found.upper() if letter.isupper() else found
    return letter
