from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from delivery_rows import NOW, rows
from mainstay.config.load import Loaded, load
from mainstay.core.errors import ProjectFileError
from mainstay.core.verdicts import Verdict
from mainstay.data.prepare import prepare
from mainstay.data.snapshot import Snapshots
from mainstay.delivery import entry

TOML = """
mainstay = 1
[project]
name = "desk"
task = "multiclass"
[data]
train = "train.parquet"
test = "test.parquet"
time = "at"
key = "who"
[fields.text]
type = "text"
[fields.channel]
type = "category"
[fields.tenure]
type = "integer"
[fields.at]
type = "timestamp"
role = "ignored"
[fields.who]
type = "identifier"
role = "ignored"
[target]
field = "topic"
classes = ["billing", "delivery", "login"]
[train.pipelines]
words = { build = "model:build", input = "text" }
"""


def project(folder: Path, train: pl.DataFrame, more: str = "") -> Loaded:
    (folder / "mainstay.toml").write_text(TOML + more, encoding="utf-8")
    train.write_parquet(folder / "train.parquet")
    rows(120, 1, first_day=40).write_parquet(folder / "test.parquet")
    return load(folder, environ={})


def examined(loaded: Loaded, now: datetime = NOW) -> entry.Examined:
    snapshots = Snapshots(loaded.state / "snapshots")
    prepared = prepare(loaded, snapshots, now)
    reports = [part.report for part in prepared.report.parts]
    return entry.examine(loaded, snapshots, prepared.train, prepared.test, reports=reports, now=now)


def test_the_report_is_kept_beside_the_state_for_people_and_machines(tmp_path: Path) -> None:
    nearly = pl.when(pl.int_range(pl.len()) < 3).then(pl.col("channel")).otherwise("topic")
    loaded = project(tmp_path, rows(400, 0).with_columns(channel=nearly))
    found = examined(loaded)
    assert found.page is not None
    assert "leakage" in found.page.read_text(encoding="utf-8").lower()
    kept = json.loads(found.page.with_name("report.json").read_text(encoding="utf-8"))
    assert [one["verdict"] for one in kept["checks"] if one["name"] == "leakage"] == ["fail"]
    assert found.told[0].startswith("data, leakage: channel tells the target by itself")
    assert found.told[-1] == f"what the data are like: {found.page.relative_to(tmp_path)}"
    assert [check.applies for check in found.checks] == [False, False]


def test_the_same_delivery_is_looked_at_once_and_another_limit_looks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = rows(200, 0)
    first = examined(project(tmp_path, train))
    looked: list[int] = []
    really = entry.check_delivery
    monkeypatch.setattr(entry, "check_delivery", lambda *a, **k: looked.append(1) or really(*a, **k))
    assert examined(load(tmp_path, environ={})).report == first.report
    assert looked == []
    examined(project(tmp_path, train, "[delivery]\nmissing = 0.2\n"))
    assert looked == [1]
    assert first.page is not None
    first.page.with_name("report.json").write_text("{", encoding="utf-8")
    examined(project(tmp_path, train, "[delivery]\nmissing = 0.2\n"))
    assert looked == [1, 1]


def test_the_second_delivery_is_held_beside_the_first(tmp_path: Path) -> None:
    examined(project(tmp_path, rows(400, 0)), datetime(2026, 5, 1, tzinfo=UTC))
    moved = rows(400, 5).with_columns(tenure=pl.col("tenure") // 4)
    found = examined(project(tmp_path, moved, '[gate]\ndelivery = ["drift"]\n'))
    (check, _) = found.checks
    assert check.verdict is Verdict.FAIL
    assert "tenure" in check.reason
    assert found.report is not None
    assert found.report["rows"]["last"] == 400
    assert found.page is not None
    assert "<svg" in found.page.read_text(encoding="utf-8").partition("Drift")[2]


def test_what_decides_is_declared_and_what_is_off_is_not_looked_at(tmp_path: Path) -> None:
    off = examined(project(tmp_path, rows(200, 0), "[delivery]\nenabled = false\n"))
    assert (off.report, off.page, off.told) == (None, None, [])
    assert not off.checks[0].applies
    on = examined(project(tmp_path, rows(200, 0), '[gate]\ndelivery = ["balance", "leakage"]\n'))
    assert on.checks[0].verdict is Verdict.PASS


def test_a_look_writes_nothing(tmp_path: Path) -> None:
    loaded = project(tmp_path, rows(200, 0), '[gate]\ndelivery = ["balance"]\n')
    before = sorted(tmp_path.rglob("*"))
    found = entry.look_now(loaded, Snapshots(loaded.state / "snapshots"), NOW)
    assert found.verdict is Verdict.PASS
    assert "</html>" in found.html
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('[delivery]\nenabled = false\n[gate]\ndelivery = ["balance"]\n', "asks for it"),
        ('[delivery]\npersonal = ["txt"]\n', "text"),
        ('[gate]\ndelivery = ["leaks"]\n', "leakage"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path: Path, more: str, told: str) -> None:
    with pytest.raises(ProjectFileError) as raised:
        project(tmp_path, rows(50, 0), more)
    assert told in " ".join(map(str, raised.value.problems))


def test_questions_about_time_need_a_time(tmp_path: Path) -> None:
    (tmp_path / "mainstay.toml").write_text(
        TOML.replace('time = "at"\n', "") + '[gate]\ndelivery = ["time_travel"]\n', encoding="utf-8"
    )
    with pytest.raises(ProjectFileError, match="problem"):
        load(tmp_path, environ={})
