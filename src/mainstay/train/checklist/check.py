"""The gate's question about declared behaviour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mainstay.core.verdicts import Check, Verdict, combine
from mainstay.train.checklist.declared import FILE

NAME = "behaviour_tests"
QUESTION = f"Does the candidate do what {FILE} says it must do, must not mind, and must follow?"


def check(found: Sequence[Mapping[str, Any]] | None) -> Check:
    """Judge each table: enough of its cases behave, or not; a table without a case proves nothing.

    The cases are the declared ones and no sample of others: there is no interval around them.
    """
    if not found:
        why = f"there is no {FILE}: nothing was asked" if found is None else f"{FILE} declares no table"
        return Check(name=NAME, question=QUESTION, verdict=Verdict.NOT_ENOUGH, reason=why, applies=False)
    verdicts = [_judge(one) for one in found]
    verdict = combine(Check(name=NAME, question="", verdict=one, reason="") for one in verdicts)
    bad = [_told(one) for one, its in zip(found, verdicts, strict=True) if its is verdict is not Verdict.PASS]
    cases = sum(one["cases"] for one in found)
    return Check(
        name=NAME,
        question=QUESTION,
        verdict=verdict,
        reason="; ".join(bad[:3]) or f"all {len(found)} tables hold ({cases} cases)",
        numbers={"tables": [dict(one) for one in found]},
    )


def _judge(found: Mapping[str, Any]) -> Verdict:
    if found["error"]:
        return Verdict.FAIL
    if not found["cases"]:
        return Verdict.NOT_ENOUGH
    return Verdict.PASS if found["right"] >= found["at_least"] * found["cases"] else Verdict.FAIL


def _told(found: Mapping[str, Any]) -> str:
    if found["error"]:
        return f"{found['name']!r}: the model raised {found['error']}"
    if not found["cases"]:
        return f"{found['name']!r}: no row is changed by it"
    text = f"{found['name']!r}: {found['right']} of {found['cases']}, at least {found['at_least']:.0%}"
    if not found["examples"]:
        return text
    one = found["examples"][0]
    if "changed" in one:
        return f"{text}, e.g. {_answer(one['answer'])} turned {_answer(one['then'])} with {one['changed']}"
    return f"{text}, e.g. {_answer(one['answer'])} for {one['inputs']}"


def _answer(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else repr(value)
