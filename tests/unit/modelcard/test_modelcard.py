"""A model card says what is held about a version, says what is not, and shows text as text."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from mainstay.config.settings import CardSettings, Settings
from mainstay.core.contracts import Field, FieldType, Pii, Role, Task
from mainstay.core.releases import Release, Stage
from mainstay.modelcard import html, make, markdown
from mainstay.modelcard.records import ModelCard, Part
from mainstay.modelcard.training import training
from mainstay.status.records import Answering, CostLine, CostReport, Estimate, Health, Quality, Status, Summary
from mainstay.testing.models import make_contract

AT = datetime(2026, 6, 1, 9, 30, tzinfo=UTC)
METRIC = {"value": 0.91, "low": 0.88, "high": 0.94}
EVALUATION = {
    "rows": 240,
    "metrics": {"accuracy": METRIC},
    "slices": {"place=north": {"rows": 80, "value": 0.8, "low": 0.7, "high": 0.9}},
    "classes": {"warm": {"rows": 120, "recall": 0.9, "precision": None}},
    "beats": {
        "metric": "accuracy",
        "trivial": {"value": 0.5, "gain": 0.41, "low": 0.35, "high": 0.47},
        "simple": {"value": None, "gain": None, "low": None, "high": None, "why_not": "no feature"},
    },
    "stress": {
        "metric": "accuracy",
        "judged_at": 0.3,
        "says": {"typos": "a key slips"},
        "kept": [
            {"kind": "typos", "strength": s, "kept": 0.9, "low": 0.8, "high": 1.0, "refused": 0.1} for s in (0.3, 1)
        ],
    },
    "behaviour": [{"kind": "minimum", "name": "snow is cold", "cases": 4, "right": 3, "at_least": 1.0}],
    "audit": {
        "favourable": "warm",
        "protected": {
            "sex": {
                "groups": {
                    "sex=f": {
                        "rows": 100,
                        "base_rate": 0.4,
                        "selection_rate": 0.31,
                        "true_positive_rate": None,
                        "false_positive_rate": 0.1,
                        "accuracy": 0.9,
                    }
                }
            }
        },
    },
    "proxies": {
        "sex": {"auc": 0.917, "carried_by": [{"feature": "relationship", "auc_lost": 0.4}]},
        "age": {"auc": None},
    },
}


def release(**facts: Any) -> Release:
    given = {
        "evaluation": EVALUATION,
        "gate": {
            "verdict": "pass",
            "checks": [{"name": "floors", "verdict": "pass", "reason": "0.91", "applies": True}],
        },
        "runtime": {"runtime": "compiled", "why": "equal"},
    }
    return Release(
        model="m",
        version=3,
        digest="d" * 64,
        stage=Stage.CERTIFIED,
        since=AT,
        created_at=AT,
        pipeline="words",
        reason="it passed",
        facts=given | facts,
    )


STATUS = Status(
    model="m",
    at=AT,
    summary=Summary(health=Health.WELL, since=AT, why="well"),
    answering=Answering(name="m@3", version=3, since=AT, why="it passed"),
    quality=Quality(estimated=Estimate(value=0.87), real=Estimate(value=0.85, n=40), unknown="120 labels would tell"),
    cost=CostReport(
        days=30,
        currency="EUR",
        priced=True,
        lines=(
            CostLine(
                bundle="m@3",
                rows=12_000,
                cpu_s=34.0,
                memory_gb_h=1.5,
                gpu_s=0,
                source_calls=0,
                cpu=1,
                memory=1,
                gpu=0,
                sources=0,
                total=2.5,
                per_1000_rows=0.2,
            ),
        ),
        total=2.5,
    ),
)


def card(**changes: Any) -> ModelCard:
    fields = (
        Field(name="text", type=FieldType.TEXT, max_chars=100),
        Field(name="degrees", type=FieldType.NUMBER, min=-60, required=False),
        Field(name="who", type=FieldType.IDENTIFIER, pii=Pii.HASH, roles=(Role.IGNORED,)),
    )
    given: dict[str, Any] = {
        "contract": make_contract(fields=fields, key="who"),
        "settings": Settings(),
        "lineage": {"train": "t" * 64, "train_rows": 800, "test": "s" * 64, "seed": 7, "params": {"C": 1.0}},
        "environment": ["numpy==2.4"],
        "status": STATUS,
    }
    return make.of(changes.pop("release", release()), **(given | changes))


def part(card: ModelCard, title: str) -> Part:
    return next(one for one in card.parts if one.title == title)


def cells(card: ModelCard, title: str) -> list[list[str]]:
    return [list(row) for table in part(card, title).tables for row in table.rows]


def test_every_part_says_what_is_held() -> None:
    found = card()
    assert [one.title for one in found.parts] == [
        "Model",
        "Intended use",
        "Data",
        "Training",
        "Quality",
        "Segments",
        "Under stress",
        "Behaviour",
        "Fairness",
        "Gate",
        "Limits",
        "Cost",
    ]
    assert ["parameters", "C = 1.0"] in cells(found, "Model")
    assert ["who", "identifier", "ignored", "", "hashed", ""] in cells(found, "Data")
    assert ["degrees", "number", "feature", "-60 to", "as it is", "no"] in cells(found, "Data")
    assert ["accuracy", "0.910", "0.880 to 0.940"] in cells(found, "Quality")
    assert ["an answer that looks at nothing", "0.500", "+0.410", "+0.350 to +0.470"] in cells(found, "Quality")
    assert ["a simple linear model", "unknown", "unknown", ""] in cells(found, "Quality")
    assert cells(found, "Under stress") == [["typos", "a key slips", "0.900", "0.800 to 1.000", "10%"]]
    assert cells(found, "Behaviour") == [["minimum", "snow is cold", "3 of 4", "100%"]]
    assert ["sex=f", "100", "0.400", "0.310", "unknown", "0.100", "0.900"] in cells(found, "Fairness")
    assert "AUC of 0.917 (0.5: not at all), by relationship" in part(found, "Fairness").lists[0]
    assert cells(found, "Cost") == [["12,000", "34", "1.50", "2.50"]]
    assert "120 labels would tell" in part(found, "Quality").says


def test_what_the_project_declares_stands_in_it_and_what_it_does_not_is_said() -> None:
    assert all("not declared" in row[1] for row in cells(card(), "Intended use"))
    said = CardSettings(intended_use="Sorting letters", not_for="Firing people", owner="desk@x", limits=("No Welsh.",))
    found = card(settings=Settings(card=said))
    assert ["for", "Sorting letters"] in cells(found, "Intended use")
    assert part(found, "Limits").lists[0] == "No Welsh."


def test_of_a_version_of_which_nothing_was_measured_that_is_said() -> None:
    bare = replace(release(), facts={})
    empty = replace(STATUS, answering=None, cost=None)
    found = card(release=bare, status=empty)
    text = markdown.document(found)
    for sentence in ("The gate was not asked.", "It was not measured.", "No segment is declared"):
        assert sentence in text
    assert "Cost" not in [one.title for one in found.parts]


def test_a_regression_answers_with_a_number() -> None:
    contract = make_contract(task=Task.REGRESSION, classes=())
    assert "answers with a number" in card(contract=contract).summary


@pytest.mark.parametrize(
    "naughty", ["<script>alert(1)</script>", "a|b\n| c |", "[x](javascript:alert(1))", "\x1b[31mred"]
)
def test_text_is_text_in_both_forms(naughty: str) -> None:
    settings = Settings(card=CardSettings(intended_use=naughty, limits=(naughty,)))
    found = card(settings=settings)
    page, text = html.document(found), markdown.document(found)
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert "\x1b" not in text
    rows = [line for line in text.splitlines() if line.startswith("| for |")]
    assert len(rows) == 1
    assert rows[0].replace("\\|", "").count("|") == 3
    assert not re.search(r"(?<!\\)(\]\(|<)", text)


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = html.document(card())
    for wanted in ("http://", "https://", "<script", "src=", "@import", "url("):
        assert wanted not in page


def test_how_it_was_trained_is_told() -> None:
    measured = {"before": 0.4, "after": 0.3, "change": -0.1, "low": -0.15, "high": -0.05}
    part = training(
        {
            "comparison": {
                "taken": "small",
                "metric": "accuracy",
                "why": "small is the first declared. It is a tie: small is not shown to be worse.",
                "how": "5 folds by buyer",
                "rows": 100,
                "scores": [
                    {"name": "large", "value": 0.9, "worse": 0.0, "low": 0.0, "high": 0.0, "us_per_row": 9.0},
                    {"name": "small", "value": 0.89, "worse": 0.01, "low": -0.01, "high": 0.03, "us_per_row": None},
                ],
            },
            "evaluation": {
                "weights": {"half_life_days": 9.0, "rows": 80, "effective_rows": 50.4, "classes": {}},
                "probabilities": {"method": "sigmoid", "why": "so", "rows": 80, "measures": {"ece": measured}},
                "decision": {"why": "the declared costs decide"},
                "costs": {"value": 1.5, "low": 1.0, "high": 2.0, "rows": 40, "most_probable": 3.0},
            },
        }
    )
    text = " ".join([*part.lists, *(cell for table in part.tables for row in table.rows for cell in row)])
    for told in (
        "small (taken)",
        "It is a tie",
        "80 rows count as 50 equal ones",
        "sigmoid",
        "costs decide",
        "-0.1000",
    ):
        assert told in text
    assert training({}).says
