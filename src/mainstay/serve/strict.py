"""JSON taken strictly, the cold side of `wire`: keys that stand twice, depth, and what is wrong with another shape."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Collection
from math import isfinite
from typing import Any

import msgspec

from mainstay.core.errors import ContractViolation, MainstayError, Problem, UsageError
from mainstay.data.rules import nearest

MAX_DEPTH = 64
"""Deepest nesting of a value; no declared field takes any."""
MAX_PROBLEMS = 50
NAMES_SHOWN = 5
NAME_CHARS = 80
_PLAIN_DIGITS = 40
_ANY = msgspec.json.Decoder()
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?', re.DOTALL)
"""Every string of a JSON text, and whether a colon follows: then it is a key."""
_HALF = re.compile(
    rb"(?<!\\)\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\)(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
"""An escape that is only half of a character beyond 16 bits."""
_LIKE_CSV = re.compile(rb"[^\n{\[]*,[^\n{\[]*\r?\n")
_PATH = re.compile(r" - at `\$?\.?([^`]*)`$")
_ROW = re.compile(r"^(?:instances|items)\[(\d+)\]\.?")
_STEP = re.compile(r"([a-z_]+)|\[(\d+)\]")
_MISSING = re.compile(r"missing required field `([a-z_]+)`")
_NAME = "a text of 1 to 128 characters without NUL"
_MOMENT = "a time with a zone, such as 2026-01-31T16:00:00Z"
_NUMBER = "a number that a 64-bit float can hold"
ALLOWED = {
    "body": "one object, as /docs shows it",
    "instances": "a list of at least one object",
    "items": "a list of at least one object",
    "inputs": "an object with the declared fields",
    "id": _NAME,
    "feedback_id": _NAME,
    "name": _NAME,
    "supersedes": _NAME,
    "key": "a text of 1 to 256 characters",
    "by": "a text of at most 128 characters",
    "time": _MOMENT,
    "at": _MOMENT,
    "kind": "label or reward",
    "value": "a class, or " + _NUMBER,
}
"""What each name of a request takes, for messages."""
SHAPES = {
    "instances": '{"instances": [{"inputs": {…}}]}',
    "items": '{"items": [{"id": "…", "value": …}]}',
    "inputs": '{"inputs": {…}}',
}
"""What a body looks like, by a name that only its kind has."""


class Malformed(UsageError):
    """The body is not JSON as RFC 8259 has it."""

    code = "malformed"
    default_remedy = "Send one JSON object in UTF-8, each key once, without NaN or Infinity."


class TooBig(str):
    """The digits of a number that a 64-bit float cannot hold."""

    __slots__ = ()


def too_deep() -> Malformed:
    """Return the error of a body that is nested too deeply."""
    return Malformed("The body is nested too deeply", remedy=f"Nest at most {MAX_DEPTH} lists or objects.")


def content_of(body: bytes, *, nan: bool = False) -> Any:
    """Return what a JSON text of another protocol holds, taken as strictly as our own; raises Malformed.

    `nan`: NaN and Infinity are taken as numbers, as Python's own writer spells them. A number that no float holds comes
    as TooBig, which is no number.
    """
    try:
        content = _ANY.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        content = _loads(body, float if nan else None)
    if keys_in(body) != nested_keys(content):
        raise twice(body)
    return content


def keys_in(body: bytes) -> int:
    """Return how many keys a valid JSON text has, repeats counted."""
    colons = _STRINGS.findall(body)
    return len(colons) - colons.count(b"")


def nested_keys(value: Any) -> int:
    """Return how many keys a value has at all its levels; raises Malformed where it is nested too deeply."""
    level, keys = [value], 0
    for _ in range(MAX_DEPTH):
        level = [one for one in level if type(one) is dict or type(one) is list]
        if not level:
            return keys
        keys += sum(len(one) for one in level if type(one) is dict)
        level = [inner for one in level for inner in (one.values() if type(one) is dict else one)]
    raise too_deep()


def repeated(body: bytes) -> list[str]:
    """Return the keys that stand twice in one object of a valid JSON text."""
    found: set[str] = set()

    def pairs(items: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for name, _ in items:
            if name in seen:
                found.add(name)
            seen.add(name)

    _loads(body, object_pairs_hook=pairs)
    return sorted(found)


def no_json(body: bytes, why: str) -> Malformed:
    """Return the error of a body that a decoder refused; what is usual is told in plain words instead of its `why`."""
    if not body.strip():
        why = "it is empty"
    elif body.startswith(codecs.BOM_UTF8):
        why = "it begins with a byte order mark, which JSON has none of"
    elif body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        why = "it is UTF-16; UTF-8 is expected"
    elif (at := _first_no_utf8(body)) is not None:
        surrogate = body[at] == 0xED and body[at + 1 : at + 2] >= b"\xa0"
        why = f"byte {at} (0x{body[at]:02x}) is {'half of a surrogate pair' if surrogate else 'no UTF-8'}"
    elif (half := _HALF.search(body)) is not None:
        why = f"{half[0].decode()} at byte {half.start()} is half of a surrogate pair, and no character"
    elif _LIKE_CSV.match(body):
        why = "it looks like CSV, which POST /invocations takes as text/csv"
    return Malformed(f"The body is no valid JSON: {why}")


def _first_no_utf8(body: bytes) -> int | None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None


def twice(body: bytes) -> Malformed:
    """Return the error of a body that has a key twice, with its name."""
    names = repeated(body)
    shown = ", ".join(repr(name[:NAME_CHARS]) for name in names[:NAMES_SHOWN]) or "a key"
    more = " and others" if len(names) > NAMES_SHOWN else ""
    return Malformed(
        f"The body names {shown}{more} twice in one object",
        problems=[Problem(where=name, what="stands twice in one object") for name in names[:MAX_PROBLEMS]],
    )


def other_shape(body: bytes, text: str, *, known: Collection[str], known_in_row: Collection[str]) -> MainstayError:
    """Return what the decoder's `text` says of a body, with the value seen and what is allowed instead.

    `known` are the names that the body's object may have, `known_in_row` those of each object in its list. A body that
    is no JSON at all is Malformed, however much of it the decoder read before it stopped.
    """
    try:
        content = _loads(body)
        nested_keys(content)
    except Malformed as error:
        return error
    found = _PATH.search(text)
    path, what = (found.group(1), text[: found.start()]) if found else ("", text[:200])
    path = path.partition("[...]")[0]  # deeper, keys are not named
    row = _ROW.match(path)
    example = next((f", or send {SHAPES[name]}" for name in SHAPES if name in known), "")
    problems = _problems(_at(content, path), path[row.end() :] if row else path, what, known_in_row if row else known)
    return ContractViolation(
        f"The request has another shape than documented: {problems[0]}",
        remedy=f"See /docs for the shape{example}.",
        problems=[
            Problem(
                where=one.where,
                what=one.what,
                value=one.value,
                allowed=one.allowed,
                nearest=one.nearest,
                row=int(row.group(1)) if row else None,
            )
            for one in problems
        ],
    )


def _problems(seen: Any, place: str, what: str, known: Collection[str]) -> list[Problem]:
    if "unknown field" in what and isinstance(seen, dict):
        strange = [name for name in seen if name not in known][:MAX_PROBLEMS]
        free = [name for name in known if name not in seen]
        return [
            Problem(
                where=name[:NAME_CHARS],
                what="is no field of a request",
                value=seen[name],
                allowed=list(known),
                nearest=nearest(name, free) or nearest(name, known),
            )
            for name in strange
        ]
    if missing := _MISSING.search(what):
        return [Problem(where=missing.group(1), what="is missing", allowed=ALLOWED.get(missing.group(1)))]
    if place == "inputs" and isinstance(seen, dict):
        name, number = next(((n, big) for n, one in seen.items() if (big := too_big(one)) is not None), (place, None))
        return [Problem(where=name[:NAME_CHARS], what=what, value=number, allowed=_NUMBER)]
    allowed = _NUMBER if too_big(seen) is not None else ALLOWED.get(place or "body")
    return [Problem(where=place or "body", what=what, value=seen, allowed=allowed)]


def _at(content: Any, path: str) -> Any:
    """Return what stands at a path such as `instances[0].id`, None where there is nothing."""
    for name, number in _STEP.findall(path):
        try:
            content = content[int(number) if number else name]
        except (LookupError, TypeError):
            return None
    return content


def too_big(value: Any) -> TooBig | None:
    """Return a number somewhere in a value that a 64-bit float cannot hold, or None."""
    stack = [value]
    while stack:
        top = stack.pop()
        if isinstance(top, TooBig):
            return top
        if isinstance(top, dict):
            stack.extend(top.values())
        elif isinstance(top, list):
            stack.extend(top)
    return None


def _loads(body: bytes, constant: Callable[[str], float] | None = None, **hooks: Any) -> Any:
    """Return a JSON text's content as Python has it; raises Malformed."""
    constant = constant or _refuse
    try:
        return json.loads(body.decode(), parse_int=_whole, parse_float=_fraction, parse_constant=constant, **hooks)
    except ValueError as error:
        raise Malformed(f"The body is no valid JSON: {str(error)[:200]}") from error
    except RecursionError as error:
        raise too_deep() from error


def _whole(digits: str) -> int | TooBig:
    return int(digits) if len(digits) <= _PLAIN_DIGITS else TooBig(digits)


def _fraction(digits: str) -> float | TooBig:
    number = float(digits)
    return number if isfinite(number) else TooBig(digits)


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
