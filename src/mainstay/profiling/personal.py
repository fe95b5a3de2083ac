"""What in a column looks personal: addresses, numbers with check digits, names of fields. No value leaves here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl

from mainstay.profiling.records import Personal

MOST_CHECKED = 20_000
"""Numbers of a column whose check digits are computed."""
LEAST_VALID = 0.5
"""Of the numbers that look like a card, so many must have a right check digit; of any numbers a tenth has."""
_BY_COUNTRY = (
    "AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BR:29 BY:28 CH:21 CR:22 CY:28 CZ:24 DE:22 DK:18 DO:28 EE:20 "
    "EG:29 ES:24 FI:18 FO:18 FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HR:21 HU:28 IE:22 IL:23 IQ:23 IS:26 IT:27 JO:30 "
    "KW:30 KZ:20 LB:28 LC:32 LI:21 LT:20 LU:20 LV:21 MC:27 MD:24 ME:22 MK:19 MR:27 MT:31 MU:30 NL:18 NO:15 PK:24 PL:28 "
    "PS:29 PT:25 QA:29 RO:24 RS:22 SA:24 SC:31 SE:24 SI:19 SK:24 SM:27 ST:25 SV:28 TL:23 TN:24 TR:26 UA:29 VA:22 VG:24 "
    "XK:20"
)
IBAN_LENGTHS = {pair[:2]: int(pair[3:]) for pair in _BY_COUNTRY.split()}
"""Characters of an IBAN by country (ISO 13616 registry)."""
_NAME = re.compile(
    r"(^|[_\-. ])(e-?mail|phone|tel|telephone|mobile|fax|(first|last|full|sur|given|family|user|customer)[_\-. ]?name|"
    r"street|address|birth[_\-. ]?(date|day)|date[_\-. ]?of[_\-. ]?birth|dob|ssn|passport|iban|card[_\-. ]?(no|number)|"
    r"national[_\-. ]?id|tax[_\-. ]?id|ip[_\-. ]?addr(ess)?)($|[_\-. \d])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    what: str
    pattern: str
    """What a number or address looks like, for Polars."""
    how: str
    valid: Callable[[str], bool] | None = None
    """Checks one find; None: its looks are all there is."""


def personal_in(name: str, cells: pl.Series) -> tuple[Personal, ...]:
    """Return what looks personal in a column of texts, identifiers or whole numbers; rows are counted in all of it."""
    found = list(_by_value(cells)) if cells.dtype == pl.String or cells.dtype.is_integer() else []
    if not found and _NAME.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)):
        found.append(Personal(what="name of the field", rows=0, share=0.0, how="its name says so"))
    return tuple(found)


def _by_value(cells: pl.Series) -> Iterator[Personal]:
    whole = cells.dtype != pl.String
    texts = cells.cast(pl.String).drop_nulls()
    counts = texts.value_counts(name="rows") if len(texts) else None
    if counts is None:
        return
    values, rows = counts.to_series(0), counts.to_series(1)
    for rule in (_CARD,) if whole else _RULES:
        hits = values.str.contains(rule.pattern)
        if not hits.any():
            continue
        kept, weight = values.filter(hits), rows.filter(hits)
        if rule.valid is not None:
            kept, weight = _checked(rule, kept, weight)
        if len(kept):
            number = int(weight.sum())
            yield Personal(what=rule.what, rows=number, share=number / len(texts), how=rule.how)


def _checked(rule: _Rule, values: pl.Series, rows: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return the values that hold a valid number; none where most of what looks like one is none."""
    values, rows = values.head(MOST_CHECKED), rows.head(MOST_CHECKED)
    valid = rule.valid or bool
    found = [[valid(one) for one in finds] for finds in values.str.extract_all(rule.pattern).to_list()]
    every = [one for row in found for one in row]
    if not every or sum(every) < LEAST_VALID * len(every):
        return values.clear(), rows.clear()
    mask = pl.Series([any(row) for row in found], dtype=pl.Boolean)
    return values.filter(mask), rows.filter(mask)


def luhn(number: str) -> bool:
    """Return whether the last digit checks the others (ISO/IEC 7812-1, annex B); other signs are left out."""
    digits = [int(sign) for sign in number if sign.isdecimal() and sign.isascii()]
    total = sum(digit if i % 2 == 0 else digit * 2 - 9 * (digit > 4) for i, digit in enumerate(reversed(digits)))
    return len(digits) > 1 and total % 10 == 0


def is_card(number: str) -> bool:
    """Return whether a number is long as a card's, begins as one (3 to 6, Mastercard's 2) and passes `luhn`."""
    digits = "".join(sign for sign in number if sign.isdecimal() and sign.isascii())
    begins = digits[:1] in tuple("3456") or "2221" <= digits[:4] <= "2720"
    return 13 <= len(digits) <= 19 and begins and len(set(digits)) > 1 and luhn(digits)


def is_iban(text: str) -> bool:
    """Return whether a text is an IBAN: its country's length, and 1 as the remainder by 97 (ISO 7064, MOD 97-10)."""
    plain = "".join(text.split()).upper()
    if not plain.isascii() or not plain.isalnum() or IBAN_LENGTHS.get(plain[:2]) != len(plain):
        return False
    turned = plain[4:] + plain[:4]
    return plain[2:4].isdecimal() and int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1


_CARD = _Rule(
    what="card number",
    pattern=r"\b\d(?:[ -]?\d){12,18}\b",
    how="13 to 19 digits that begin as a card does and pass the Luhn check",
    valid=is_card,
)
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_RULES = (
    _Rule(
        what="e-mail address",
        pattern=r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}",
        how="a name, @ and a domain",
    ),
    _Rule(
        what="IBAN",
        pattern=r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b",
        how="a country, its length and right check digits",
        valid=is_iban,
    ),
    _CARD,
    _Rule(
        what="phone number",
        pattern=r"(?:^|[^\w.+])(?:\+\d{1,3}[ ./-]?(?:\(?\d{1,4}\)?[ ./-]?){2,5}\d{2,}|\(\d{3}\) ?\d{3}[ .-]\d{4}|"
        r"\b\d{3}-\d{3}-\d{4}\b|\b0\d{2,4}[/-]\d{5,8}\b|\b0\d{3,4} \d{6,7}\b)",
        how="written as phone numbers are: +…, (nnn) nnn-nnnn, nnn-nnn-nnnn, 0nnn/nnnnnn",
    ),
    _Rule(
        what="IP address",
        pattern=rf"(?:^|[^\d.])(?:{_OCTET}\.){{3}}{_OCTET}(?:$|[^\d.])",
        how="four numbers of 0 to 255",
    ),
)
