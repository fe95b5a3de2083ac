"""Gate checks on what a version stands on: how old its data are, and under which licences its packages come."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from importlib import metadata

from mainstay.core.verdicts import Check, Verdict

_OSI = re.compile(r"^License :: (?:OSI Approved :: )?(.+)$")
MOST_TOLD = 5


def licence_of(package: str) -> str:
    """Return the licence that an installed package declares, in its own words; empty where it declares none."""
    try:
        about = metadata.metadata(package)
    except metadata.PackageNotFoundError:
        return ""
    if "License-Expression" in about:
        return str(about["License-Expression"])
    named = [
        found[1]
        for one in about.get_all("Classifier") or ()
        if (found := _OSI.match(one)) and found[1] != "OSI Approved"
    ]
    if named:
        return ", ".join(named)
    text = str(about["License"]).strip() if "License" in about else ""
    return text.splitlines()[0][:100] if text and text != "UNKNOWN" else ""


def pinned(lock: Sequence[str], differences: Sequence[str]) -> Check:
    """Tell which environment a version needs, by a digest of its packages, and what is another one here."""
    question = "Which environment does it need, and is that the one here?"
    digest = hashlib.sha256("\n".join(sorted(lock)).encode()).hexdigest()
    told = f"{len(lock)} packages, sha256 {digest[:16]}" if lock else "no package is recorded"
    here = f"another here: {', '.join(differences[:MOST_TOLD])}" if differences else "the same here"
    return Check(
        name="environment",
        question=question,
        verdict=Verdict.NOT_ENOUGH,
        reason=f"{told}; {here}" if lock else told,
        numbers={"sha256": digest if lock else None, "packages": list(lock), "differences": list(differences)},
        applies=False,
    )


def licences(lock: Sequence[str], allowed: Sequence[str], *, of: Callable[[str], str] = licence_of) -> Check:
    """Ask whether every package that a version needs comes under an allowed licence.

    `lock`: lines `name==version`; `allowed`: words of which a licence's name must hold one, whatever their case. A
    package that declares none proves nothing. Without `allowed` the licences are told and nothing is judged.
    """
    question = "Do all packages that it needs come under an allowed licence?"
    names = [line.partition("==")[0] for line in lock if "==" in line and not line.startswith("python==")]
    found = {name: of(name) for name in names}
    unknown = [name for name, licence in found.items() if not licence]
    bad = [f"{n} ({licence})" for n, licence in found.items() if licence and not _holds(licence, allowed)]
    if not allowed:
        told = ", ".join(f"{name} ({licence or 'none declared'})" for name, licence in found.items())
        why = f"no licence is named in [gate] licences: nothing was asked; {told or 'no package is locked'}"
        return Check(
            name="licences", question=question, verdict=Verdict.NOT_ENOUGH, reason=why, numbers=found, applies=False
        )
    verdict = Verdict.FAIL if bad else Verdict.NOT_ENOUGH if unknown or not names else Verdict.PASS
    reason = f"{len(names)} packages, all under {', '.join(allowed)}"
    if bad:
        reason = f"not allowed: {', '.join(bad[:MOST_TOLD])}"
    elif unknown:
        reason = f"no licence is declared by {', '.join(unknown[:MOST_TOLD])}"
    elif not names:
        reason = "no package is locked"
    return Check(name="licences", question=question, verdict=verdict, reason=reason, numbers=found)


def staleness(newest: datetime | None, now: datetime, max_days: float | None) -> Check:
    """Ask whether the newest training row is young enough, by the project's time field."""
    question = "Is the newest row that it was trained on young enough?"
    told = (
        "no training row carries a time ([data] time)" if newest is None else f"the newest row is of {newest:%Y-%m-%d}"
    )
    if max_days is None:
        why = f"no age is named in [gate] max_data_age_days: nothing was asked; {told}"
        return Check(name="staleness", question=question, verdict=Verdict.NOT_ENOUGH, reason=why, applies=False)
    if newest is None:
        return Check(name="staleness", question=question, verdict=Verdict.NOT_ENOUGH, reason=told)
    days = (now - newest) / timedelta(days=1)
    numbers: Mapping[str, float] = {"days": days, "max_days": max_days}
    verdict = Verdict.PASS if days <= max_days else Verdict.FAIL
    reason = f"{told}, {days:.1f} days old, allowed {max_days:g}"
    return Check(name="staleness", question=question, verdict=verdict, reason=reason, numbers=numbers)


def _holds(licence: str, allowed: Sequence[str]) -> bool:
    return any(word.lower() in licence.lower() for word in allowed)
