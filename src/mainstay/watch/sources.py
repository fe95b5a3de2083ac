"""Who sends what: fields that refusals name, and the mix of keys, before and since the start."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median

from mainstay.core.contracts import Contract
from mainstay.core.events import Event, Kind
from mainstay.journal.personal import OWN_NAMES, UNDECLARED
from mainstay.watch.compare import KEY_CHARS
from mainstay.watch.recall import Recalled, Seen, is_refusal

LEAST = 20
"""Fewer requests since the start say nothing of where they come from."""
SURE_Z = 4.0
"""Shares of requests differ when they are so many standard errors apart."""
LARGE = 0.1
"""Share of all requests from which one key, or one way in, is named (0 to 1)."""
MOST = 3


def schema(recalled: Recalled, contract: Contract) -> list[str]:
    """Return what refusals since the start say of fields that they did not say before, one sentence each."""
    now, before = _named(recalled.since), _named(recalled.before)
    n, m = len(recalled.since), len(recalled.before)
    out: list[str] = []
    for name, count in now.most_common():
        if not _more(count, n, before[name], m) or len(out) >= MOST:
            continue
        was = f", {before[name] / m:.0%} before" if m else ""
        out.append(f"{_what(name, recalled.since, contract)} in {count / n:.0%} of the requests{was}")
    return out


def _named(seen: Sequence[Seen]) -> Counter[str]:
    return Counter(str(name) for one in seen if is_refusal(one) for name in one.event.inputs.get("fields", ()))


def _what(name: str, seen: Sequence[Seen], contract: Contract) -> str:
    if name == UNDECLARED:
        return "a field that the contract does not declare is sent"
    if name in OWN_NAMES:
        return f"requests are refused for their `{name}`"
    rules = Counter(rule for one in seen for rule in _rules(one.event, name))
    rule = rules.most_common(1)[0][0] if rules else ""
    if contract.field(name) is None:
        return f"`{name}`, which the contract does not declare, is sent"
    return f"`{name}` {rule}" if rule else f"`{name}` is refused"


def _rules(event: Event, name: str) -> list[str]:
    """Return what the record of a refusal says is wrong with a field; records of before it was kept say nothing."""
    rules = event.inputs.get("rules")
    return [str(rules[name])] if isinstance(rules, Mapping) and name in rules else []


def refusals(recalled: Recalled) -> list[str]:
    """Return by how much the share of refused requests changed, and for what reasons; empty where it did not."""
    now = [one for one in recalled.since if is_refusal(one)]
    before = sum(is_refusal(one) for one in recalled.before)
    n, m = len(recalled.since), len(recalled.before)
    if not _more(len(now), n, before, m):
        return []
    reasons = Counter(one.event.reason or "no reason" for one in now).most_common(MOST)
    was = f", {before / m:.1%} before" if m else ""
    told = ", ".join(f"{count} × {reason}" for reason, count in reasons)
    return [f"{len(now) / n:.0%} of the requests are refused{was}: {told}"]


def traffic(recalled: Recalled, known_keys: Mapping[str, int]) -> list[str]:
    """Return what changed about who sends: a key that came to send much more, another way in, another pace.

    Keys are told by the beginning of their salted hash. `known_keys`: shortened hashes that earlier blocks held.
    """
    out = []
    n, m = len(recalled.since), len(recalled.before)
    now, before = _keys(recalled.since), _keys(recalled.before)
    for key, count in now.most_common(MOST):
        if key and count >= LARGE * n and _more(count, n, before[key], m):
            new = "" if before[key] or key in known_keys else ", a key that was not seen before"
            was = f", {before[key] / m:.0%} before" if m else ""
            out.append(f"one key ({key[:8]}…) sends {count / n:.0%} of the requests{was}{new}")
    told = sum(one.event.kind is Kind.EXTERNAL for one in recalled.since)
    told_before = sum(one.event.kind is Kind.EXTERNAL for one in recalled.before)
    if m and told >= LARGE * n and _more(told, n, told_before, m):
        out.append(f"{told / n:.0%} of the requests are told as events by another system, {told_before / m:.0%} before")
    pace, pace_before = _per_minute(recalled.since), _per_minute(recalled.before)
    if pace and pace_before and not 1 / 3 < pace / pace_before < 3:
        out.append(f"{pace:,.0f} requests a minute came, {pace_before:,.0f} before")
    return out


def _keys(seen: Sequence[Seen]) -> Counter[str]:
    return Counter(one.row.key[:KEY_CHARS] for one in seen)


def _per_minute(seen: Sequence[Seen]) -> float:
    if len(seen) < LEAST:
        return 0.0
    gaps = [(b.event.received_at - a.event.received_at).total_seconds() for a, b in pairwise(seen)]
    middle = median(gaps)  # a night between two requests is no slower pace
    return 60.0 / middle if middle > 0 else 0.0


def _more(count: int, n: int, before: int, m: int) -> bool:
    """Return whether a share of requests rose beyond chance: two proportions, pooled, SURE_Z standard errors.

    Without requests before, it is new when it is more than one in ten.
    """
    if n < LEAST or not count:
        return False
    if not m:
        return count >= LARGE * n
    pooled = (count + before) / (n + m)
    error = math.sqrt(pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m))
    return error > 0 and count / n - before / m > SURE_Z * error
