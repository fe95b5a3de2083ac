"""What one row looks like to the watch: a few numbers and categories per row, cheap enough for the request path."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mainstay.core.contracts import Contract, Field, FieldType, Pii, Role

if TYPE_CHECKING:
    from mainstay.models.traits import Traits

Signals = dict[str, float | str | None]

_WORD = re.compile(r"\w+")
_EMOJI = re.compile(
    "[\U0001f000-\U0001faff☀-➿⬀-⯿⌀-⏿\U0001f1e6-\U0001f1ff️]",
)
_NUMBERS = (FieldType.NUMBER, FieldType.INTEGER)
_CATEGORIES = (FieldType.CATEGORY, FieldType.BOOLEAN)


def words(text: str) -> list[str]:
    """Return the casefolded runs of word characters (`\\w+`), in order, repeats kept."""
    return _WORD.findall(text.casefold())


def word_set(texts: Iterable[str | None]) -> frozenset[str]:
    """Return every word that occurs in `texts`."""
    found: set[str] = set()
    for text in texts:
        if text:
            found.update(words(text))
    return frozenset(found)


KNOWN_TO = 3
"""So many subjects must have used a word of an encrypted text before anything but the model itself remembers it."""


def subjects_needed(field: Field) -> int:
    """Return how many subjects must have used a word of this field for it to be remembered."""
    return KNOWN_TO if field.pii is Pii.ENCRYPT else 1


def users_of_words(texts: Iterable[Iterable[str]], users: Iterable[Hashable]) -> Counter[str]:
    """Return for each word how many different users used it; `texts` are words, one entry for each row."""
    return Counter(word for word, _ in {(word, user) for own, user in zip(texts, users, strict=True) for word in own})


def text_fields(contract: Contract) -> tuple[Field, ...]:
    """Return the text fields that are measured, in declared order."""
    return tuple(f for f in measured_fields(contract) if f.type is FieldType.TEXT)


def measured_fields(contract: Contract) -> tuple[Field, ...]:
    """Return the fields that give signals: all but the target, the key, ignored ones, identifiers and timestamps."""
    skipped = (FieldType.IDENTIFIER, FieldType.TIMESTAMP)
    return tuple(
        f
        for f in contract.fields
        if f.name not in (contract.target, contract.key) and f.type not in skipped and Role.IGNORED not in f.roles
    )


class RowSignals:
    """Measures rows of one contract against one vocabulary. Stateless after construction, thread-safe."""

    __slots__ = ("_contract", "_measures", "_traits")

    def __init__(self, contract: Contract, vocabulary: Mapping[str, frozenset[str]]) -> None:
        self._contract = contract
        self._traits: Traits | None = None
        self._measures: tuple[Callable[[Mapping[str, Any], Signals], None], ...] = tuple(
            _measure_of(field, vocabulary.get(field.name)) for field in measured_fields(contract)
        )

    @property
    def traits(self) -> Traits:
        """Return what measures the rest that the watch looks at; made when it is first asked for, so not in serving."""
        if self._traits is None:
            from mainstay.models.traits import Traits

            self._traits = Traits(self._contract)
        return self._traits

    def measure(self, values: Mapping[str, Any]) -> Signals:
        """Return the signals of one row.

        Per text field `.unseen` (share of its words that training never held; None without words or vocabulary),
        `.length` (characters), `.words`, `.non_ascii` and `.emoji` (shares of characters, 0 for an empty text); numbers
        as floats; categories and booleans as text; `field.missing` 0.0 or 1.0 for fields that are not required.
        A missing value gives None.
        """
        out: Signals = {}
        for measure in self._measures:
            measure(values, out)
        return out


def _measure_of(field: Field, vocabulary: frozenset[str] | None) -> Callable[[Mapping[str, Any], Signals], None]:
    if field.type is FieldType.TEXT:
        measure = _text(field.name, vocabulary)
    elif field.type in _NUMBERS:
        measure = _number(field.name)
    else:
        measure = _category(field.name)
    return measure if field.required else _with_missing(field.name, measure)


def _with_missing(
    name: str, inner: Callable[[Mapping[str, Any], Signals], None]
) -> Callable[[Mapping[str, Any], Signals], None]:
    missing = f"{name}.missing"

    def measure(values: Mapping[str, Any], out: Signals) -> None:
        inner(values, out)
        out[missing] = 1.0 if values.get(name) is None else 0.0

    return measure


def _number(name: str) -> Callable[[Mapping[str, Any], Signals], None]:
    def measure(values: Mapping[str, Any], out: Signals) -> None:
        value = values.get(name)
        out[name] = None if value is None else float(value)

    return measure


def _category(name: str) -> Callable[[Mapping[str, Any], Signals], None]:
    def measure(values: Mapping[str, Any], out: Signals) -> None:
        value = values.get(name)
        out[name] = None if value is None else as_category(value)

    return measure


def as_category(value: object) -> str:
    """Return a category as the profile names it: booleans are `true` and `false`."""
    if value is True:
        return "true"
    if value is False:
        return "false"
    return str(value)


def _text(name: str, vocabulary: frozenset[str] | None) -> Callable[[Mapping[str, Any], Signals], None]:
    unseen, length, count = f"{name}.unseen", f"{name}.length", f"{name}.words"
    non_ascii, emoji = f"{name}.non_ascii", f"{name}.emoji"

    def measure(values: Mapping[str, Any], out: Signals) -> None:
        text = values.get(name)
        if text is None:
            out[unseen] = out[length] = out[count] = out[non_ascii] = out[emoji] = None
            return
        found = _WORD.findall(text.casefold())
        total = len(found)
        if total and vocabulary is not None:
            out[unseen] = sum(word not in vocabulary for word in found) / total
        else:
            out[unseen] = None
        size = len(text)
        out[length] = float(size)
        out[count] = float(total)
        if text.isascii():
            out[non_ascii] = out[emoji] = 0.0
        else:
            out[non_ascii] = 1.0 - len(text.encode("ascii", "ignore")) / size
            out[emoji] = len(_EMOJI.findall(text)) / size

    return measure
