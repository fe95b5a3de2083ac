"""The scripts of letters: Latin, Cyrillic, Han. By ranges of code points; marks, digits and signs belong to none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache

Ranges = tuple[tuple[int, int], ...]
RANGES: Mapping[str, Ranges] = {
    "Latin": (
        (0x41, 0x5A),
        (0x61, 0x7A),
        (0xC0, 0xD6),
        (0xD8, 0xF6),
        (0xF8, 0x2AF),
        (0x1D00, 0x1D25),
        (0x1D62, 0x1D65),
        (0x1D6B, 0x1D77),
        (0x1D79, 0x1D9A),
        (0x1E00, 0x1EFF),
        (0x2090, 0x209C),
        (0x2184, 0x2184),
        (0x2C60, 0x2C7C),
        (0x2C7E, 0x2C7F),
        (0xA722, 0xA76F),
        (0xA771, 0xA787),
        (0xA78B, 0xA7D9),
        (0xA7F5, 0xA7F7),
        (0xA7FA, 0xA7FF),
        (0xAB30, 0xAB5A),
        (0xAB60, 0xAB64),
        (0xAB66, 0xAB68),
        (0xFB00, 0xFB06),
        (0xFF21, 0xFF3A),
        (0xFF41, 0xFF5A),
        (0x1DF00, 0x1DF1E),
    ),
    "Greek": (
        (0x370, 0x3E1),
        (0x3F0, 0x3FF),
        (0x1D26, 0x1D2A),
        (0x1D66, 0x1D6A),
        (0x1F00, 0x1FFC),
        (0xAB65, 0xAB65),
    ),
    "Coptic": (
        (0x3E2, 0x3EF),
        (0x2C80, 0x2CF3),
    ),
    "Cyrillic": (
        (0x400, 0x52F),
        (0x1C80, 0x1C88),
        (0x1D2B, 0x1D2B),
        (0xA640, 0xA69B),
    ),
    "Armenian": (
        (0x531, 0x588),
        (0xFB13, 0xFB17),
    ),
    "Hebrew": (
        (0x5D0, 0x5F2),
        (0xFB1D, 0xFB4F),
    ),
    "Arabic": (
        (0x620, 0x6FF),
        (0x750, 0x77F),
        (0x870, 0x8C9),
        (0xFB50, 0xFEFC),
        (0x1EE00, 0x1EEBB),
    ),
    "Syriac": (
        (0x710, 0x74F),
        (0x860, 0x86A),
    ),
    "Thaana": ((0x780, 0x7B1),),
    "Devanagari": (
        (0x904, 0x97F),
        (0xA8F2, 0xA8FE),
    ),
    "Bengali": ((0x980, 0x9FC),),
    "Gurmukhi": ((0xA05, 0xA74),),
    "Gujarati": ((0xA85, 0xAF9),),
    "Odia": ((0xB05, 0xB71),),
    "Tamil": ((0xB83, 0xBD0),),
    "Telugu": ((0xC05, 0xC61),),
    "Kannada": ((0xC80, 0xCF2),),
    "Malayalam": ((0xD04, 0xD7F),),
    "Sinhala": ((0xD85, 0xDC6),),
    "Thai": ((0xE01, 0xE46),),
    "Lao": ((0xE81, 0xEDF),),
    "Tibetan": ((0xF00, 0xF8C),),
    "Myanmar": (
        (0x1000, 0x108E),
        (0xA9E0, 0xA9FE),
        (0xAA60, 0xAA7F),
    ),
    "Georgian": (
        (0x10A0, 0x10FA),
        (0x10FD, 0x10FF),
        (0x1C90, 0x1CBF),
        (0x2D00, 0x2D2D),
    ),
    "Hangul": (
        (0x1100, 0x11FF),
        (0x3131, 0x318E),
        (0xA960, 0xA97C),
        (0xAC00, 0xD7FB),
        (0xFFA0, 0xFFDC),
    ),
    "Ethiopic": (
        (0x1200, 0x138F),
        (0x2D80, 0x2DDE),
        (0xAB01, 0xAB2E),
        (0x1E7E0, 0x1E7FE),
    ),
    "Cherokee": (
        (0x13A0, 0x13FD),
        (0xAB70, 0xABBF),
    ),
    "Khmer": ((0x1780, 0x17DC),),
    "Mongolian": ((0x1820, 0x18AA),),
    "Hiragana": (
        (0x3041, 0x309F),
        (0x1B001, 0x1B001),
        (0x1B11F, 0x1B11F),
        (0x1B150, 0x1B152),
    ),
    "Katakana": (
        (0x30A1, 0x30FA),
        (0x30FD, 0x30FF),
        (0x31F0, 0x31FF),
        (0xFF66, 0xFF6F),
        (0xFF71, 0xFF9F),
        (0x1AFF0, 0x1B000),
        (0x1B120, 0x1B122),
        (0x1B164, 0x1B167),
    ),
    "Bopomofo": (
        (0x3105, 0x312F),
        (0x31A0, 0x31BF),
    ),
    "Han": (
        (0x3400, 0x9FFF),
        (0xF900, 0xFAD9),
        (0x20000, 0x2EBE0),
        (0x2F800, 0x2FA1D),
        (0x30000, 0x3134A),
    ),
}
"""Where the letters of the scripts in daily use lie (Unicode 14, by the names of its letters), both ends inclusive.

Letters of other scripts, of styles for mathematics, and signs made of letters belong to none."""


def scripts_of(text: str) -> frozenset[str]:
    """Return the scripts that a text has a letter of."""
    if text.isascii():
        return frozenset({"Latin"}) if _pattern(frozenset({"Latin"})).search(text) else frozenset()
    return frozenset(name for name in RANGES if _pattern(frozenset({name})).search(text))


def finder(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what finds every letter of these scripts in a text."""
    return _pattern(frozenset(names)).findall


def outside(known: Iterable[str]) -> frozenset[str]:
    """Return the scripts that are not among `known`."""
    return frozenset(RANGES) - frozenset(known)


@cache
def _pattern(names: frozenset[str]) -> re.Pattern[str]:
    ranges = "".join(f"{chr(low)}-{chr(high)}" for name in sorted(names) for low, high in RANGES[name])
    return re.compile(f"[{ranges}]" if ranges else "(?!)")
