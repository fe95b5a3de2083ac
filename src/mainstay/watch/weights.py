"""How the budget's weight is shared: by field first, so that many streams of one field take nothing from others."""

from __future__ import annotations

from collections.abc import Sequence

MAIN = 0.7
"""Of a field's weight, for its value itself (of a text: for its never-seen words); its aspects share the rest."""
WHOLE = frozenset(
    {
        "answer.label",
        "answer.value",
        "answer.confidence",
        "labels.gap",
        "labels.error",
        "requests.refused",
        "requests.failed",
        "rows.reconstruction",
    }
)
"""Streams that weigh as much as a field does."""
SHARED = {"answer": ("answer.low_trust", "answer.abstained", "answer.entropy", "answer.score")}
"""Streams that weigh as much as a field together."""
APART = ".apart"
MAIN_ASPECT = "unseen"


def shares(names: Sequence[str]) -> dict[str, float]:
    """Return the weight of each stream, 1 in all.

    Each field, each answer or quality stream and each rule that tells traffic from the reference has the same weight.
    Of a field, the value has MAIN and its aspects (missing, outside, default, length, …) share the rest equally: they
    make its value log(1/MAIN) = 0.36 nats weaker, and other fields not at all.
    """
    groups: dict[str, list[str]] = {}
    known = set(names)
    for name in dict.fromkeys(names):
        groups.setdefault(_group(name, known), []).append(name)
    each = 1.0 / len(groups) if groups else 0.0
    out: dict[str, float] = {}
    for group, members in groups.items():
        main = _main(group, members)
        aspects = [name for name in members if name != main]
        if main is not None:
            out[main] = each * (MAIN if aspects else 1.0)
        rest = each * (1.0 - MAIN if main is not None else 1.0)
        out |= {name: rest / len(aspects) for name in aspects}
    return out


def _group(name: str, known: set[str]) -> str:
    for group, members in SHARED.items():
        if name in members:
            return f"{group}.*"
    if name in WHOLE or name.endswith(APART) or (name in known and "." not in name):
        return name
    field, _, aspect = name.rpartition(".")
    return field if field and aspect else name


def _main(group: str, members: Sequence[str]) -> str | None:
    if len(members) == 1:
        return members[0]
    return next((name for name in (group, f"{group}.{MAIN_ASPECT}") if name in members), None)
