"""`mainstay check --data`: the look without training, for people, machines and pipelines."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from delivery_rows import rows
from mainstay.cli.main import app
from mainstay.core.errors import ExitCode

TOML = """
mainstay = 1
[project]
name = "desk"
task = "multiclass"
[data]
train = "train.parquet"
test = "test.parquet"
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
CODE = """
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


def build(params):
    return make_pipeline(CountVectorizer(), LogisticRegression())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mainstay.toml").write_text(TOML, encoding="utf-8")
    (tmp_path / "model.py").write_text(CODE, encoding="utf-8")
    rows(300, 0).write_parquet(tmp_path / "train.parquet")
    rows(90, 1).write_parquet(tmp_path / "test.parquet")
    return tmp_path


def asked(folder: Path, *options: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["check", "--project", str(folder), *options])
    return done.exit_code, done.stdout


def test_it_prints_every_question_and_writes_the_page(folder: Path) -> None:
    code, said = asked(folder, "--data", "--html", str(folder / "delivery.html"))
    assert code == ExitCode.DONE
    assert "label_noise" in said
    assert "</html>" in (folder / "delivery.html").read_text(encoding="utf-8")
    assert not (folder / ".mainstay" / "deliveries").exists()


def test_a_machine_gets_the_answers_and_an_exit_code_where_they_decide(folder: Path) -> None:
    seen = pl.concat([rows(90, 1), rows(300, 0).head(30).with_columns(text=pl.col("text") + " thanks")])
    seen.write_parquet(folder / "test.parquet")
    code, said = asked(folder, "--data", "--json")
    assert code == ExitCode.DONE
    found = {one["name"]: one["verdict"] for one in json.loads(said)["data"]["checks"]}
    assert found["near_duplicates"] == "fail"
    path = folder / "mainstay.toml"
    path.write_text(TOML + '[gate]\ndelivery = ["near_duplicates"]\n', encoding="utf-8")
    assert asked(folder, "--data", "--json")[0] == ExitCode.GATE_FAILED
    path.write_text(TOML + '[gate]\nresults = ["none.json"]\n', encoding="utf-8")
    assert asked(folder, "--data")[0] == ExitCode.NOT_ENOUGH_EVIDENCE
    assert asked(folder)[0] == ExitCode.DONE


def test_a_page_of_data_that_were_not_asked_for_is_a_mistake(folder: Path) -> None:
    assert asked(folder, "--html", "x.html")[0] == ExitCode.USAGE
