from __future__ import annotations

from pathlib import Path

from mainstay.config.load import load
from mainstay.core.fallbacks import Condition, FallbackTo, OnAbstain, Rule, SegmentLimit
from mainstay.models.fallback import limit_of
from mainstay.train.limits import thresholds_of

FILE = """mainstay = 1
[fields.text]
type = "text"
[fields.locale]
type = "category"
values = ["de-DE", "en-GB"]
role = "segment"
[fields.paid]
type = "boolean"
role = "segment"
required = false
[fields.age]
type = "integer"
bins = [0, 3, 12]
role = "segment"
[target]
field = "kind"
classes = ["a", "b"]
[serve]
on_abstain = "fallback"
[[serve.abstain_in]]
segment = { locale = "de-DE", paid = true }
confidence = 0.6
[[serve.abstain_in]]
segment = { age = "<0" }
confidence = 0.7
[[serve.abstain_in]]
segment = { age = "[3,12]" }
confidence = 0.5
[serve.fallback]
to = "rule"
label = "b"
[[serve.fallback.rules]]
when = { text = { words = ["refund"] }, locale = ["de-DE", "en-GB"], age = { min = 3 }, paid = true }
label = "a"
[train.pipelines.plain]
build = "model:build"
"""


def test_rules_and_limits_of_the_project_file_travel_in_the_bundle(tmp_path: Path) -> None:
    (tmp_path / "mainstay.toml").write_text(FILE, encoding="utf-8")
    found = load(tmp_path, environ={})
    limits = thresholds_of(found.settings)
    assert (limits.on_abstain, limits.fallback_to, limits.fallback_label) == (OnAbstain.FALLBACK, FallbackTo.RULE, "b")
    assert limits.abstain_in[0] == SegmentLimit(segment=("locale=de-DE", "paid=true"), confidence=0.6)
    assert limits.fallback_rules == (
        Rule(
            when=(
                Condition(field="text", words=("refund",)),
                Condition(field="locale", among=("de-DE", "en-GB")),
                Condition(field="age", min=3.0),
                Condition(field="paid", among=(True,)),
            ),
            label="a",
        ),
    )
    limit = limit_of(found.contract, limits.abstain_in)
    row = {"text": "x", "locale": "de-DE", "paid": True, "age": 1}
    assert [
        limit(row),
        limit({**row, "paid": False}),
        limit({**row, "age": -1}),
        limit({**row, "paid": None, "age": 12}),
    ] == [
        0.6,
        0.0,
        0.7,
        0.5,
    ]
