"""The gate is tested itself: every known-bad candidate is refused by the check meant for it, and a good one passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mainstay import selftest
from mainstay.config.settings import AuditSettings, EvaluateSettings, GateSettings, Settings, WorstSliceSettings
from mainstay.core.contracts import Contract, Field, FieldType, Role
from mainstay.core.trials import Measured, Round
from mainstay.core.verdicts import Check, Verdict
from mainstay.models import answers
from mainstay.release.metrics import Labelled
from mainstay.testing.models import make_contract, make_loaded
from mainstay.train.audit import check as fairness
from mainstay.train.audit import measure as audit
from mainstay.train.fit import Rows

ROWS = [
    {
        "text": "a day of snow" if i % 2 else "sun all day",
        "place": "north" if i % 3 else "south",
        "sex": "f" if i % 4 < 2 else "m",
    }
    for i in range(720)
]
TRUTH = ["cold" if i % 2 else "warm" for i in range(720)]


def contract(**changes: Any) -> Contract:
    fields = (
        *make_contract().fields[:2],
        Field(name="sex", type=FieldType.CATEGORY, values=("f", "m"), roles=(Role.PROTECTED,)),
    )
    return make_contract(**({"fields": fields, "key": None} | changes))


def project(folder: Path, contract: Contract, settings: Settings) -> selftest.Project:
    (folder / "model").write_bytes(b"x")

    def beyond(model: Any) -> list[Any]:
        rows = Rows(values=ROWS, truth=np.array(TRUTH))
        found = audit.measure(contract, answers.answer(model, ROWS), rows, settings)
        return [fairness.check(found, settings.gate.fairness)]

    return selftest.Project(
        settings=settings,
        contract=contract,
        good=make_loaded(contract=contract),
        bundle=folder,
        test=Labelled(rows=ROWS, truth=TRUTH),
        beyond=beyond,
        served=served,
    )


def served(estimator: Any) -> Measured:
    """Stand for a server: the slow one is slow there, the greedy one takes what it takes."""
    ms = 1.5 * selftest.SLOW_MS if type(estimator) is selftest.Slow else 1.0
    same = Check(name="real_server", question="?", verdict=Verdict.PASS, reason="")
    took = 20.0 + (selftest.GREEDY_MB if type(estimator) is selftest.Greedy else 0)
    return Measured(
        answers=same, rounds=[Round(answered_ms=[ms] * 150, empty_ms=[0.2] * 50)], memory_mb=took, empty_mb=90.0
    )


def settings(**gate: Any) -> Settings:
    return Settings(
        gate=GateSettings(**gate),
        audit=AuditSettings(favourable="cold"),
        evaluate=EvaluateSettings(slices_min_rows=20),
    )


STRICT = settings(floors={"accuracy": 0.9}, worst_slice=WorstSliceSettings(not_worse_by=0.2))


def test_a_strict_gate_refuses_every_one_by_the_check_meant_for_it_and_passes_the_good_one(tmp_path: Path) -> None:
    tried = selftest.run(project(tmp_path, contract(), STRICT))
    assert [one for one in tried if not one.holds] == []
    names = (
        "as_it_is leaking constant shuffled nan swapped unstable one_segment one_slice biased trained_on_test "
        "test_in_training slow greedy huge"
    )
    assert [one.name for one in tried] == names.split()
    by = {one.name: one for one in tried}
    assert by["as_it_is"].verdict is Verdict.PASS
    assert {one.name for one in tried if one.why_not} == {"trained_on_test", "test_in_training"}
    assert "worst_slice" in by["one_slice"].refused_by
    assert "fairness" in by["biased"].refused_by


def test_a_gate_without_floors_has_holes_and_the_remedy_names_the_setting(tmp_path: Path) -> None:
    by = {one.name: one for one in selftest.run(project(tmp_path, contract(), settings()))}
    for name in ("constant", "shuffled", "swapped"):
        assert not by[name].holds
        assert "[gate] floors" in by[name].remedy
    assert by["nan"].holds


def test_what_cannot_be_made_of_a_project_says_why(tmp_path: Path) -> None:
    plain = contract(fields=(Field(name="text", type=FieldType.TEXT),))
    by = {one.name: one for one in selftest.run(project(tmp_path, plain, settings(floors={"accuracy": 0.9})))}
    assert "no segment" in by["one_segment"].why_not
    assert "no protected group" in by["biased"].why_not
    assert "declare [gate] worst_slice" in by["one_slice"].why_not
    assert by["one_segment"].holds


def test_a_gate_that_refuses_the_good_one_does_not_hold(tmp_path: Path) -> None:
    tried = selftest.run(project(tmp_path, contract(), settings(floors={"accuracy": 1.1})))
    assert not tried[0].holds
    assert "floors" in tried[0].remedy
