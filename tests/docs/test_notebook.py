"""The notebook runs as it stands, from its own folder, and tells the story that it promises."""

from __future__ import annotations

import json
import re
from pathlib import Path
from time import monotonic
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook-trap" / "notebook_trap.ipynb"
ASKED = """
import json
print(json.dumps({
    "score": score, "honest": honest_score, "twins": twins, "tests": len(test_texts),
    "statuses": sorted(map(int, set(everybody.status))), "first": quiet.right.mean(), "second": real.right.mean(),
    "nonsense": [reply.status_code for reply in replies.values()],
    "adopted_first": first_week.right.mean(), "adopted_second": second_week.right.mean(),
    "quiet_incidents": len(after_first.incidents), "title": incident.title, "story": list(incident.story),
    "harm": incident.harm.value, "renamed": renamed["error"]["code"], "low": float((second_week.trust == "low").mean()),
    "right_when_low": float(second_week.right[second_week.trust == "low"].mean()),
    "right_when_ok": float(second_week.right[second_week.trust == "ok"].mean()),
    "measured": quality.real and [quality.real.low, quality.real.high, quality.real.n], "left": WORK.exists(),
}))
"""
LONGEST_S = 90.0


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """Execute the notebook and ask its kernel, at the end, for what the story rests on."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(ASKED))
    client = NotebookClient(
        notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    )
    started = monotonic()
    client.execute()
    found: dict[str, Any] = json.loads(notebook.cells[-1].outputs[0].text)
    errors = [out.text for cell in notebook.cells for out in cell.get("outputs", []) if out.get("name") == "stderr"]
    return found | {"seconds": monotonic() - started, "stderr": "".join(errors)}


@pytest.mark.slow
def test_the_score_is_perfect_and_means_nothing(told: dict[str, Any]) -> None:
    assert told["score"] == 1.0
    assert told["twins"] > 0.95 * told["tests"]
    assert 0.85 < told["honest"] < 0.95


@pytest.mark.slow
def test_the_hand_written_service_says_ok_while_its_answers_go_wrong(told: dict[str, Any]) -> None:
    assert told["statuses"] == [200]
    assert told["nonsense"] == [200, 200, 200]
    assert told["first"] > 0.85
    assert told["second"] < 0.75


@pytest.mark.slow
def test_the_adopted_model_gives_the_same_answers(told: dict[str, Any]) -> None:
    assert told["adopted_first"] == told["first"]
    assert told["adopted_second"] == told["second"]


@pytest.mark.slow
def test_its_first_incident_appears_with_the_real_users_and_not_before(told: dict[str, Any]) -> None:
    assert told["quiet_incidents"] == 0
    assert told["harm"] in ("quality", "output")
    assert "never held rose" in " ".join(told["story"])
    assert re.search(r"Label \d+ random requests", " ".join(told["story"]))


@pytest.mark.slow
def test_answers_say_how_far_they_can_be_trusted(told: dict[str, Any]) -> None:
    assert told["low"] > 0.3
    assert told["right_when_low"] < told["right_when_ok"]
    assert told["renamed"] == "contract_violation"


@pytest.mark.slow
def test_a_few_labels_measure_what_was_promised(told: dict[str, Any]) -> None:
    low, high, labels = told["measured"]
    assert labels == 150
    assert low <= told["second"] <= high
    assert high < told["score"]


@pytest.mark.slow
def test_it_leaves_nothing_behind_and_is_quick(told: dict[str, Any]) -> None:
    assert told["left"] is False
    assert told["stderr"] == ""
    assert told["seconds"] < 6 * LONGEST_S  # six times, for a machine that is slow and does other things too


def test_it_is_committed_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) > 12
    assert [cell.outputs for cell in code] == [[]] * len(code)
    assert {cell.execution_count for cell in code} == {None}
