"""`mainstay backtest` as a new user meets it: a file, an answer, a page; and every mistake with its way out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from mainstay.cli.main import app

START = datetime(2025, 9, 1, tzinfo=UTC)
Run = Callable[..., Result]


def history(count: int = 3_000, *, change: int | None = 2_000) -> pl.DataFrame:
    """Two numbers, a category and a calendar column, 60 rows an hour; from `change` on `amount` is broken upstream."""
    rng = np.random.default_rng(8)
    amount = np.round(rng.lognormal(3, 0.5, count), 2)
    if change is not None:
        amount[change:] = np.where(rng.random(count - change) < 0.3, 0.0, amount[change:])
    moments = [START + timedelta(minutes=n) for n in range(count)]
    return pl.DataFrame(
        {
            "timestamp": moments,
            "amount": amount,
            "weight": rng.normal(70, 10, count),
            "channel": rng.choice(["app", "chat"], count),
            "hour": [moment.hour for moment in moments],
            "country": ["CH"] * count,
        }
    )


def write(frame: pl.DataFrame, path: Path) -> None:
    frame.with_columns(pl.col("timestamp").dt.to_string("iso:strict")).write_csv(path)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    write(history(), tmp_path / "history.csv")
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, ["backtest", *words])


def test_a_file_with_a_time_column_is_answered_without_a_project(run: Run, tmp_path: Path) -> None:
    done = run("history.csv", "--time", "timestamp")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("Mainstay would have told you ")
    assert "`amount`" in done.stdout
    assert "hour, which only say where in the calendar" in done.stdout
    assert "country, which are the same in every row" in done.stdout
    assert "--truth" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.csv"]


def test_known_events_give_delay_precision_and_recall_as_text_data_and_page(run: Run, tmp_path: Path) -> None:
    began = START + timedelta(minutes=2_000)
    (tmp_path / "events.csv").write_text(
        f"start,end,name\n{began.isoformat()},,the upstream job broke\n2025-09-01,2025-09-02,before the replay\n"
    )
    done = run(
        "history.csv", "--time", "timestamp", "--truth", "events.csv", "--json", "--html", "report.html",
        "--reference", "50%",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["score"]["recall"], found["score"]["precision"]) == (1.0, 1.0)
    assert found["known"][0]["event"]["name"] == "the upstream job broke"
    assert found["known"][0]["delay_rows"] <= 500  # a note is told after 200
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "the upstream job broke" in page
    assert not re.findall(r"""(?:src|href)=|url\(|@import|<script""", page)
    assert len(page) < 1_000_000


def test_a_quiet_history_is_told_as_quiet(run: Run, tmp_path: Path) -> None:
    write(history(change=None), tmp_path / "quiet.csv")
    done = run("quiet.csv", "--time", "timestamp")
    assert done.exit_code == 0
    assert done.stdout.startswith("Mainstay would have told you nothing in 1.4 days.")


def test_a_setting_of_the_watch_can_be_tried_and_another_one_cannot(run: Run) -> None:
    done = run("history.csv", "--time", "timestamp", "--set", "watch.false_pages.expected=2")
    assert "Set otherwise: watch.false_pages.expected = 2." in done.stdout
    assert "The budget of 2 false alerts in 30 days" in done.stdout
    wrong = run("history.csv", "--time", "timestamp", "--set", "serve.port=1")
    assert wrong.exit_code == 2
    assert "no setting of the watch" in wrong.stderr
    unknown = run("history.csv", "--time", "timestamp", "--set", "watch.materiel.number_sigma=0.1")
    assert unknown.exit_code == 2
    assert "materiel" in unknown.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("gone.csv", "--time", "timestamp"), 3, "there is no gone.csv"),
        (("no_time.csv",), 2, "no column of no_time.csv holds times; it has amount, weight, channel, hour, country"),
        (("history.csv", "--time", "timestmp"), 2, "Did you mean 'timestamp'?"),
        (("unparsable.csv", "--time", "timestamp"), 3, "cells of 'timestamp' in unparsable.csv are no time"),
        (("short.csv", "--time", "timestamp"), 5, "10 of the 30 rows of short.csv are the reference"),
        (("constant.csv", "--time", "timestamp"), 3, "no column is left to watch: a and b are the same in every row"),
        (("history.csv", "--reference", "2030-01-01"), 5, "The rows are of 2025-09-01 00:00 to 2025-09-03"),
        (("history.csv", "--reference", "soon"), 2, "neither a date, nor a part, nor a file"),
        (("history.csv", "--every", "often"), 2, "--every 'often' is no length of time"),
        (("history.csv", "--label", "channel"), 2, "needs what was answered"),
        (("history.csv", "--kind", "amount=money"), 2, "'money' (of 'amount') is no kind"),
        (("history.csv", "--truth", "history.csv"), 2, "the known events have no column 'start'"),
        (("--time", "timestamp"), 2, "--time speaks of a file, and none is named"),
        ((), 2, "there is no mainstay.toml"),
    ],
)
def test_a_mistake_is_told_with_its_way_out(
    run: Run, tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    frame = history(200, change=None)
    frame.drop("timestamp").write_csv(tmp_path / "no_time.csv")
    frame.with_columns(pl.lit("31/12/2025 at noon").alias("timestamp")).write_csv(tmp_path / "unparsable.csv")
    write(frame[:30], tmp_path / "short.csv")
    write(frame.select("timestamp", pl.lit(1).alias("a"), pl.lit("x").alias("b")), tmp_path / "constant.csv")
    done = run(*words)
    assert done.exit_code == code, done.output
    assert said in done.stderr.replace("\n", " ")
    assert "Remedy: " in done.stderr or code == 2
    assert "Traceback" not in done.stderr


def test_rows_out_of_order_give_the_answer_of_those_in_order(run: Run, tmp_path: Path) -> None:
    write(history().sample(fraction=1.0, shuffle=True, seed=1), tmp_path / "mixed.csv")
    known, mixed = (json.loads(run(f, "--time", "timestamp", "--json").stdout) for f in ("history.csv", "mixed.csv"))
    assert known["told"] == mixed["told"]
    assert "The rows were not in order of `timestamp`; they were put in order." in mixed["notes"]
