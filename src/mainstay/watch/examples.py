"""Requests that show an incident: those that are most like now and least like then, of many keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mainstay.core.incidents import Finding
from mainstay.core.profiles import Profile
from mainstay.stats.intervals import Floats
from mainstay.stats.words import TellingWord
from mainstay.watch import bins, findings, streams
from mainstay.watch.recall import Seen, is_refusal
from mainstay.watch.window import Outcome

MOST = 20
PER_KEY = 2
"""So many requests of one key at most, and a second one only after all other keys had theirs."""
SHOWN = 3
"""Signals that are named beside an example."""
OUTCOME_SCORE = 10.0
"""What a request scores by being refused, or failed, where that is what moved (nats)."""


def examples(
    found: Sequence[Finding],
    seen: Sequence[Seen],
    profile: Profile,
    *,
    words: Mapping[str, Sequence[TellingWord]],
    wrong: Mapping[str, float],
    most: int = MOST,
) -> list[dict[str, Any]]:
    """Return up to `most` requests, the most telling first: id, time, score, and what about it tells.

    A request's score is the log likelihood ratio of its values under now against then, summed over the signals among
    the findings (in a segment's finding only its own requests), and of its telling words. `wrong`: by id, by how much
    an answer's confidence passed its being right, where a label told. Nothing is shown but what the watch keeps of a
    request: no value of a field that the contract does not let be kept.
    """
    if not seen:
        return []
    parts = _parts(found, seen, profile, words, wrong)
    if not parts:
        return []
    total = np.sum([scores for _, scores in parts], axis=0)
    return [_told(seen[i], float(total[i]), i, parts) for i in _diverse(seen, total, most)]


def _parts(
    found: Sequence[Finding],
    seen: Sequence[Seen],
    profile: Profile,
    words: Mapping[str, Sequence[TellingWord]],
    wrong: Mapping[str, float],
) -> list[tuple[str, Floats]]:
    """Return each signal's part of the scores, shape (requests,)."""
    known = {signal.name: signal for signal in profile.signals if not signal.segment}
    parts: list[tuple[str, Floats]] = []
    done: set[str] = set()
    for finding in found:
        if finding.signal in done:
            continue
        done.add(finding.signal)
        if finding.signal in (streams.REFUSED, streams.FAILED):
            wanted = Outcome.REFUSED if finding.signal == streams.REFUSED else Outcome.FAILED
            parts.append((finding.signal, np.array([OUTCOME_SCORE * (one.row.outcome is wanted) for one in seen])))
        elif finding.signal in (streams.GAP, streams.ERROR):
            parts.append((finding.signal, np.array([5.0 * max(wrong.get(one.event.id, 0.0), 0.0) for one in seen])))
        elif finding.signal in known:
            parts.append((finding.signal, _by_value(finding, seen, bins.bins(known[finding.signal]))))
    for name, told in words.items():
        ratios = {word.word: word.z / 2.0 for word in told}
        parts.append((f"{name}: words", np.array([_by_words(one.row.words.get(name, ()), ratios) for one in seen])))
    return [(name, scores) for name, scores in parts if np.any(scores != 0)]


def _by_value(finding: Finding, seen: Sequence[Seen], laid: bins.Bins) -> Floats:
    scores = np.zeros(len(seen))
    held = [
        i
        for i, one in enumerate(seen)
        if finding.signal in one.row.signals and (not finding.segment or finding.segment in one.row.segments)
    ]
    if held:
        places = laid.of([seen[i].row.signals[finding.signal] for i in held])
        scores[held] = bins.log_ratio(places, laid.before)[places]
    return scores


def _by_words(found: Sequence[str], ratios: Mapping[str, float]) -> float:
    told = sorted((ratios[word] for word in found if word in ratios), reverse=True)
    return sum(told[:5])


def _diverse(seen: Sequence[Seen], total: Floats, most: int) -> list[int]:
    """Return the places of the highest scores above 0, one of each key first, none twice."""
    order = [i for i in np.argsort(-total, kind="stable").tolist() if total[i] > 0]
    taken: list[int] = []
    of_key: Counter[str] = Counter()
    units: set[str] = set()
    for allowed in range(1, PER_KEY + 1):
        for i in order:
            row = seen[i].row
            unit = row.unit or row.id
            if len(taken) >= most or unit in units or of_key[row.key] >= allowed:
                continue
            taken.append(i)
            of_key[row.key] += 1
            units.add(unit)
    return taken


def _told(one: Seen, score: float, place: int, parts: Sequence[tuple[str, Floats]]) -> dict[str, Any]:
    strongest = sorted(((float(scores[place]), name) for name, scores in parts), reverse=True)
    shows = [_shown(one, name) for own, name in strongest[:SHOWN] if own > 0]
    return {
        "id": one.event.id,
        "at": one.event.occurred_at.isoformat(),
        "score": round(score, 2),
        "shows": [text for text in shows if text],
    }


def _shown(one: Seen, name: str) -> str:
    if name == streams.REFUSED and is_refusal(one):
        fields = ", ".join(str(field) for field in one.event.inputs.get("fields", []))
        return f"refused: {one.event.reason or 'no reason'}" + (f" ({fields})" if fields else "")
    if name in (streams.REFUSED, streams.FAILED):
        return f"{one.row.outcome.value}: {one.event.reason or 'no reason'}"
    if name.endswith(": words"):
        return ""  # a word may stand for a person; the words that tell are named with the incident
    value = one.row.signals.get(name)
    if value is None:
        return "its label says otherwise" if name in (streams.GAP, streams.ERROR) else ""
    return f"{name} {value!r}" if isinstance(value, str) else f"{name} {findings.show(name, value)}"
