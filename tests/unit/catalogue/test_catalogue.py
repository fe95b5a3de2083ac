"""What `mainstay features` lists and compares, on a project whose store is empty but for what a test puts there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mainstay.catalogue import costs
from mainstay.catalogue.compare import hold_beside
from mainstay.core.contracts import Contract, Field, FieldType, Pii, Task
from mainstay.core.errors import NotEnoughEvidence, NotReady, ProjectFileError, UsageError
from mainstay.core.events import Arm, Event, Kind
from mainstay.journal.vault import Vault
from mainstay.models.inputs import InputSpec
from mainstay.models.load import LoadedModel
from mainstay.project import Project
from mainstay.testing.models import CLASSES, PROFILE, VOCABULARY, WordModel

TOML = """\
mainstay = 1
[project]
name = "shop-desk"
task = "binary"
[data]
train = "train.csv"
test = { share = 0.2 }
time = "at"
key = "who"
[fields.amount]
type = "number"
[fields.note]
type = "text"
pii = "hash"
[fields.who]
type = "identifier"
[fields.at]
type = "timestamp"
[target]
field = "kept"
classes = ["yes", "no"]
[train.pipelines]
plain = { build = "model:build", uses = ["euros"] }
old = { build = "model:build", features = "old:features" }
"""
FEATURES = """
import mainstay


@mainstay.feature(owner="payments", description="In euros", cost_us=0.5)
def euros(amount: float) -> float:
    return amount * 0.9


@mainstay.feature(owner="desk", description="Characters of the note")
def size(note: str) -> int:
    return len(note or "")


@mainstay.feature(owner="desk", description="Of a field that is not here")
def elsewhere(other: str) -> int:
    return 1
"""
OLD = "import polars as pl\n\n\ndef features(frame):\n    return frame.with_columns(twice=pl.col('amount') * 2)\n"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Project]:
    root = tmp_path / "desk"
    root.mkdir()
    rows = [f"{n},note {n},c-{n % 5},2026-01-{n % 28 + 1:02},{'yes' if n % 3 else 'no'}" for n in range(60)]
    for name, text in {
        "mainstay.toml": TOML,
        "features.py": FEATURES,
        "old.py": OLD,
        "model.py": "def build(params):\n    from sklearn.dummy import DummyClassifier\n    return DummyClassifier()\n",
        "train.csv": "\n".join(["amount,note,who,at,kept", *rows]) + "\n",
    }.items():
        (root / name).write_text(text, encoding="utf-8")
    project = Project.open(root, environ={})
    yield project
    project.parts.close()


def test_each_feature_is_listed_with_owner_cost_and_use(desk: Project) -> None:
    found = {one.name: one for one in desk.features().features}
    euros = found["euros"]
    assert (euros.owner, euros.description, euros.inputs, euros.dtype) == (
        "payments",
        "In euros",
        ("amount",),
        "number",
    )
    assert (euros.cost_us, euros.pipelines, euros.versions, euros.place) == (0.5, ("plain",), (), "features.py:5")
    assert euros.measured is not None
    assert euros.measured.rows == 60
    assert 0 < euros.measured.together_us < euros.measured.alone_us
    assert found["size"].pipelines == ()
    assert (found["elsewhere"].measured, found["elsewhere"].why_unmeasured) == (None, "the project has no field other")


def test_a_feature_that_is_dearer_than_declared_is_told(desk: Project) -> None:
    file = desk.loaded.root / "features.py"
    file.write_text(FEATURES.replace("cost_us=0.5", "cost_us=0.001"), encoding="utf-8")
    assert [one.name for one in desk.features().features if one.dearer] == ["euros"]


def test_a_function_over_the_frame_is_listed_with_the_columns_it_makes(desk: Project) -> None:
    (code,) = desk.features().code
    assert (code.pipeline, code.function, code.columns) == ("old", "old:features", ("twice",))
    assert code.measured is not None


def test_without_data_costs_are_unknown_and_the_rest_is_listed(desk: Project) -> None:
    (desk.loaded.root / "train.csv").unlink()
    found = desk.features()
    assert len(found.features) == 3
    assert all(one.measured is None and "there is no train.csv" in one.why_unmeasured for one in found.features)


def test_two_definitions_are_refused(desk: Project) -> None:
    file = desk.loaded.root / "features.py"
    file.write_text(FEATURES + FEATURES.partition("import mainstay")[2], encoding="utf-8")
    with pytest.raises(ProjectFileError, match=r"'(euros|elsewhere|size)' is defined twice: features\.py:\d+ and"):
        desk.features()


def test_check_tells_of_two_definitions_that_no_pipeline_uses(desk: Project) -> None:
    assert desk.check().facts["features"] == "3 in features.py"
    file = desk.loaded.root / "features.py"
    file.write_text(FEATURES + FEATURES.partition("import mainstay")[2].replace("euros", "francs"), encoding="utf-8")
    told = [str(problem) for problem in desk.check().problems if problem.where == "features"]
    assert len(told) == 1
    assert "'size' is defined twice" in told[0]


def test_a_slow_feature_is_measured_on_fewer_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(0, 10**12, 200_000_000))
    monkeypatch.setattr(costs, "process_time_ns", lambda: next(ticks))
    asked: list[int] = []
    cost, why = costs.measure(lambda rows: asked.append(rows.height), pl.DataFrame({"a": range(200)}))
    assert why == ""
    assert cost is not None
    assert (cost.rows, cost.alone_us) == (1, 200_000.0)
    assert max(asked) == 1


def test_without_a_version_there_is_nothing_to_compare(desk: Project) -> None:
    with pytest.raises(NotReady, match="no version"):
        desk.compare_features()


def test_the_export_holds_values_and_leaves_out_what_rests_on_personal_fields(desk: Project, tmp_path: Path) -> None:
    made = desk.export_feast(tmp_path / "feast")
    assert (made.entity, made.view, made.service, made.features) == (
        "who",
        "shop_desk_features",
        "shop_desk",
        ("euros",),
    )
    values = pl.read_parquet(tmp_path / "feast" / "data" / "shop_desk_features.parquet")
    assert values.columns == ["who", "at", "euros"]
    assert values.filter(pl.col("who") == "c-1").sort("at")["euros"][0] == pytest.approx(0.9 * 56)
    assert any(note.startswith("size was left out: it is made of note") for note in made.notes)
    assert any(note.startswith("elsewhere was left out: the project has no field") for note in made.notes)
    assert desk.export_feast(tmp_path / "feast").rows == made.rows  # its own folder it writes anew
    with pytest.raises(UsageError, match="is not empty"):
        desk.export_feast(desk.loaded.root)


CONTRACT = Contract(
    task=Task.MULTICLASS,
    fields=(
        Field(name="text", type=FieldType.TEXT),
        Field(name="degrees", type=FieldType.NUMBER, required=False),
        Field(name="secret", type=FieldType.CATEGORY, required=False, pii=Pii.HASH, roles=()),
    ),
    target="weather",
    classes=CLASSES,
)


def model(code: Callable[[pl.DataFrame], pl.DataFrame]) -> LoadedModel:
    return LoadedModel(
        estimator=WordModel(),
        contract=CONTRACT,
        classes=CLASSES,
        spec=InputSpec(input="seen", features="features", takes=("text", "degrees")),
        features=code,
        vocabulary=VOCABULARY,
        profile=PROFILE,
    )


def served(count: int = 8) -> list[Event]:
    now = datetime(2026, 1, 5, tzinfo=UTC)
    return [
        Event(
            model="weather",
            worker="w0",
            seq=n + 1,
            id=f"p{n}",
            kind=Kind.PREDICTION,
            occurred_at=now,
            received_at=now,
            bundle="weather@1",
            served_arm=Arm.CHAMPION,
            inputs={"text": f"sun {n}", "degrees": float(n)},
        )
        for n in range(count)
    ]


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault.of(tmp_path / "subjects", "weather")


def alone(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(seen=pl.col("text").str.to_uppercase(), warm=pl.col("degrees") > 5)


def test_features_that_are_served_as_trained_agree(vault: Vault) -> None:
    found = hold_beside(model(alone), served(), vault, version="weather@1", now=lambda rows: alone(pl.DataFrame(rows)))
    assert (found.rows, found.left_out, found.differing, found.notes) == (8, 0, (), ())
    assert {"text", "degrees", "seen", "warm"} <= set(found.compared)


def test_a_feature_that_looks_at_other_rows_differs_by_company_with_examples_and_share(vault: Vault) -> None:
    def centred(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(seen=pl.col("text"), warm=pl.col("degrees") - pl.col("degrees").mean())

    found = hold_beside(model(centred), served(), vault, version="weather@1")
    (one,) = found.differing
    assert (one.name, one.what, one.rows, one.share) == ("warm", "company", 8, 1.0)
    assert (one.examples[0].id, one.examples[0].served, one.examples[0].trained) == ("p0", 0.0, -3.5)


def test_code_that_changed_since_differs_by_code(vault: Vault) -> None:
    def later(rows: Any) -> pl.DataFrame:
        return alone(pl.DataFrame(rows)).with_columns(warm=pl.col("degrees") > 6).drop("seen")

    found = hold_beside(model(alone), served(), vault, version="weather@1", now=later)
    assert [(one.name, one.what, one.share) for one in found.differing] == [("warm", "code", 1 / 8)]
    assert found.differing[0].examples[0].id == "p6"
    assert found.notes == ("the project's code of now makes no seen",)


def test_code_that_fails_now_is_told_and_the_rest_compared(vault: Vault) -> None:
    def broken(rows: Any) -> pl.DataFrame:
        raise ValueError("no such column")

    found = hold_beside(model(alone), served(), vault, version="weather@1", now=broken)
    assert found.notes == ("the project's code of now was not compared: ValueError: no such column",)
    assert found.differing == ()


def test_rows_whose_record_lacks_what_the_model_takes_are_left_out(vault: Vault) -> None:
    events = served(3)
    events[1] = type(events[1])(**{**{f: getattr(events[1], f) for f in events[1].__struct_fields__}, "inputs": {}})
    found = hold_beside(model(alone), events, vault, version="weather@1")
    assert (found.rows, found.left_out) == (2, 1)
    with pytest.raises(NotEnoughEvidence, match="of 1 rows the record holds none"):
        hold_beside(model(alone), events[1:2], vault, version="weather@1")
