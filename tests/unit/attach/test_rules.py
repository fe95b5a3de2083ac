"""What is written down keeps the project's rules: contract, personal fields, key; a project may begin empty."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mainstay.attach.rows import Row
from mainstay.attach.rules import Rules, begin_project, model_name, read_rules
from mainstay.config import load as config
from mainstay.core.contracts import Pii
from mainstay.core.errors import ProjectFileError
from mainstay.core.events import Event, Kind

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
TOML = """
mainstay = 1
[project]
name = "fraud"
task = "binary"
answers = "elsewhere"
[data]
key = "customer"
time = "at"
[fields.amount]
type = "number"
max = 1000
on_range = "flag"
[fields.country]
type = "category"
values = ["de", "fr"]
on_unknown = "flag"
[fields.email]
type = "text"
pii = "drop"
required = false
[fields.ip]
type = "text"
pii = "hash"
required = false
[fields.customer]
type = "identifier"
role = "ignored"
pii = "hash"
[fields.at]
type = "timestamp"
required = false
role = "ignored"
[target]
field = "truth"
"""
GOOD = {"amount": 3, "country": "de", "email": "a@example.org", "ip": "10.1.2.3", "customer": 42}


def rules(folder: Path, text: str = TOML, **early: Pii) -> Rules:
    folder.mkdir(exist_ok=True)
    if text:
        (folder / "mainstay.toml").write_text(text)
    return read_rules(folder, early=early, learn=500)


def event(found: Rules, inputs: dict[str, Any], **more: Any) -> Event:
    return found.event(Row(kind=Kind.EXTERNAL, at=NOW, id="r-1", inputs=inputs, **more))


def test_values_are_as_the_contract_has_them_and_personal_ones_are_not_kept(tmp_path: Path) -> None:
    found = event(rules(tmp_path), GOOD, label=True)
    assert set(found.inputs) == {"amount", "country", "ip", "customer"}
    assert (found.inputs["amount"], found.label, found.reason, found.model) == (3.0, "True", None, "fraud")
    assert "10.1.2.3" not in str(found)
    assert "example" not in str(found)
    assert len(found.key_hash) == 32


def test_the_key_of_the_call_wins_over_the_declared_field(tmp_path: Path) -> None:
    found = rules(tmp_path)
    assert event(found, GOOD, key="42").key_hash == event(found, GOOD).key_hash
    assert event(found, GOOD, key="43").key_hash != event(found, GOOD).key_hash


def test_the_same_request_is_the_same_unit(tmp_path: Path) -> None:
    found = rules(tmp_path)
    assert event(found, GOOD).unit == event(found, dict(reversed(GOOD.items()))).unit
    assert event(found, GOOD).unit != event(found, GOOD | {"amount": 4}).unit


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": "12"}, "amount"),
        ({"amount": None}, "amount"),
        ({"country": 3}, "country"),
        ({"amount": float("nan")}, "amount"),
    ],
)
def test_what_breaks_the_contract_is_said_and_the_rest_is_kept(tmp_path: Path, change: Any, field: str) -> None:
    found = event(rules(tmp_path), GOOD | change)
    assert found.reason is not None
    assert found.reason.startswith(f"breaks the contract: {field}")
    assert field not in found.inputs
    assert [caveat.field for caveat in found.warnings] == [field]


def test_what_is_only_flagged_is_a_warning(tmp_path: Path) -> None:
    found = event(rules(tmp_path), GOOD | {"amount": 5_000, "country": "xx"})
    assert (found.reason, [w.field for w in found.warnings]) == (None, ["amount", "country"])


def test_a_field_that_nobody_declared_is_not_written(tmp_path: Path) -> None:
    found = event(rules(tmp_path), GOOD | {"passport": "X1234"})
    assert ("X1234" in str(found), found.reason) == (False, None)


def test_the_event_time_is_the_declared_field(tmp_path: Path) -> None:
    found = event(rules(tmp_path), GOOD | {"at": "2026-01-04T08:00:00Z"})
    assert (found.occurred_at, found.received_at) == (datetime(2026, 1, 4, 8, tzinfo=UTC), NOW)


def test_truth_names_the_target_and_the_same_truth_is_the_same_feedback(tmp_path: Path) -> None:
    found = rules(tmp_path)
    told = [found.event(Row(kind=Kind.FEEDBACK, at=NOW, id="r-1", truth=True)).feedback for _ in range(2)]
    assert told[0] is not None
    assert (told[0].name, told[0].value, told[0].id) == ("truth", "true", "r-1")
    assert told[0] == told[1]


def test_a_project_begins_where_there_is_none(tmp_path: Path) -> None:
    found = rules(tmp_path / "my fraud", text="", email=Pii.DROP)
    loaded = config.load(tmp_path / "my fraud", environ={})
    assert (found.model, loaded.settings.project.answers.value) == ("my-fraud", "elsewhere")
    assert loaded.settings.attach.pii == {"email": Pii.DROP}
    assert event(found, {"email": "x", "anything": 1}).inputs == {"anything": 1}


def test_a_project_that_came_meanwhile_is_kept(tmp_path: Path) -> None:
    (tmp_path / "mainstay.toml").write_text(TOML)
    begin_project(tmp_path, early={}, learn=5)
    assert (tmp_path / "mainstay.toml").read_text() == TOML
    assert [path.name for path in tmp_path.iterdir()] == ["mainstay.toml"]


def test_a_project_file_that_is_wrong_is_told(tmp_path: Path) -> None:
    with pytest.raises(ProjectFileError):
        rules(tmp_path, text="mainstay = 1\n[project]\nname = 5\n")


@pytest.mark.parametrize(
    ("folder", "expected"), [("fraud", "fraud"), ("my fraud!", "my-fraud-"), ("__x", "x"), ("ü", "model")]
)
def test_the_folder_names_the_model(folder: str, expected: str) -> None:
    assert model_name(Path("/srv") / folder) == expected
