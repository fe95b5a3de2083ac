"""`mainstay compare` as people use it: two files, a verdict, a page in a real browser, exit codes, bad files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

from mainstay.cli.main import app

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOSTILE = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"
Run = Callable[..., Result]


def rows(seed: int, number: int = 900, *, shift: float = 0.0, new: str = "mail") -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    words = rng.choice(["now", "soon"], number)
    return pl.DataFrame(
        {
            "hour": rng.integers(0, 24, number),
            "amount": rng.lognormal(3, 0.5, number) * (1 + shift),
            "channel": rng.choice(["app", "chat", new], number),
            "note": [f"please look at order {rng.integers(999)} again {word}" for word in words],
            "hurt": [HOSTILE] * (number // 2) + ["calm"] * (number - number // 2),
            "order_id": np.arange(seed * 10_000, seed * 10_000 + number),
        }
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    rows(1).write_csv(tmp_path / "march.csv")
    rows(2).write_parquet(tmp_path / "april.parquet")
    rows(3, shift=0.4, new="fax").write_ndjson(tmp_path / "may.ndjson")
    rows(4, 12).write_csv(tmp_path / "few.csv")
    return tmp_path


@pytest.fixture
def run(files: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(files)
    return lambda *words: CliRunner().invoke(app, ["compare", *words])


@pytest.mark.parametrize(
    ("file", "verdict", "code"),
    [("april.parquet", "same", 0), ("may.ndjson", "different", 4), ("few.csv", "not_enough", 5)],
)
def test_the_exit_code_tells_the_verdict_only_when_asked_to(run: Run, file: str, verdict: str, code: int) -> None:
    plain = run("march.csv", file, "--json")
    assert plain.exit_code == 0
    assert json.loads(plain.stdout)["verdict"] == verdict
    assert run("march.csv", file, "--fail-on-difference").exit_code == code


def test_the_answer_begins_with_the_verdict_and_names_what_moved(run: Run) -> None:
    said = run("march.csv", "may.ndjson").stdout
    assert said.startswith("Different: 2 of 5 fields moved, led by amount.\n")
    assert "A model trained on march.csv would see" in said
    assert "fax" in said
    assert "an identifier" in said
    assert "<script>" not in said.splitlines()[0]


def test_the_document_holds_every_field_with_sizes_and_intervals(run: Run) -> None:
    found = json.loads(run("march.csv", "may.ndjson", "--json", "--ignore", "hurt").stdout)
    amount = next(f for f in found["fields"] if f["name"] == "amount")
    assert (amount["status"], amount["kind"]) == ("moved", "number")
    mean = amount["aspects"][0]["effects"][0]
    assert mean["low"] < mean["value"] < mean["high"]
    assert amount["aspects"][0]["adjusted"] < 0.01
    assert next(f for f in found["fields"] if f["name"] == "hurt")["status"] == "not_compared"


OVERLAP = """() => {
  const boxes = [...document.querySelectorAll('svg')].flatMap(svg => {
    const own = [...svg.querySelectorAll('text')].map(t => t.getBoundingClientRect()).filter(r => r.width);
    return own.flatMap((a, i) => own.slice(i + 1).filter(b =>
      a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 2 && b.top < a.bottom - 2));
  });
  return boxes.length;
}"""


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_the_page_stands_alone_fits_the_screen_and_runs_nothing_of_the_data(
    run: Run, files: Path, browser: Browser, scheme: Any, width: int
) -> None:
    assert run("march.csv", "may.ndjson", "--html", "report.html").exit_code == 0
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    asked: list[str] = []
    told: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.goto((files / "report.html").as_uri())
    assert asked == [(files / "report.html").as_uri()]
    assert told == []
    assert page.title().startswith("Different: 2 of 5 fields moved")
    assert page.locator("h1").inner_text() == page.title()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OVERLAP) == 0
    assert page.locator("article").count() == 6
    assert page.locator("svg text", has_text="<script>document.t").count() == 1
    page.close()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("march.csv", "absent.csv"), 3, "there is no absent.csv"),
        (("march.csv", "empty.csv"), 3, "empty.csv is empty (0 bytes)"),
        (("march.csv", "head.csv"), 3, "head.csv holds no rows"),
        (("march.csv", "other.csv"), 3, "no column in common; march.csv has hour, amount"),
        (("march.csv", "latin.csv"), 3, "latin.csv is not UTF-8"),
        (("march.csv", "cut.parquet"), 3, "cut.parquet is half-written"),
        (("march.csv", "table.xlsx"), 3, "of no known kind: .xlsx"),
        (("march.csv", "april.parquet", "--key", "order_di"), 2, "Did you mean 'order_id'?"),
        (("march.csv", "april.parquet", "--target", "zzz"), 2, "target = 'zzz' is no column"),
        (("march.csv", "april.parquet", "--kind", "hour"), 2, "has no column and kind"),
        (("march.csv", "april.parquet", "--kind", "hour=clock"), 2, "is no kind; allowed"),
        (("march.csv", "april.parquet", "--alpha", "7"), 2, "alpha = 7.0"),
        (("march.csv", "april.parquet", "--html", "no/such/folder/r.html"), 6, "cannot be written"),
    ],
)
def test_bad_files_and_options_leave_with_a_reason_and_a_remedy(
    run: Run, files: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    (files / "empty.csv").write_text("")
    (files / "head.csv").write_text("hour,amount\n")
    (files / "other.csv").write_text("a,b\n1,2\n")
    (files / "latin.csv").write_bytes("hour,name\n1,Jos\xe9\n".encode("latin-1"))
    (files / "cut.parquet").write_bytes((files / "april.parquet").read_bytes()[:500])
    (files / "table.xlsx").write_text("x")
    found = run(*words)
    assert found.exit_code == code
    assert said in found.output
    assert "Remedy: " in found.output
    assert "Traceback" not in found.output
    assert "[data]" not in found.output
    assert not list(files.glob("*.part"))


def test_columns_of_one_side_are_named_and_the_rest_is_compared(run: Run, files: Path) -> None:
    rows(2).drop("amount").with_columns(extra=pl.lit(1)).write_csv(files / "other.csv")
    found = json.loads(run("march.csv", "other.csv", "--json").stdout)
    by_name = {f["name"]: f["status"] for f in found["fields"]}
    assert by_name["amount"] == "broken"
    assert by_name["extra"] == "not_compared"
    assert by_name["channel"] == "same"
    assert found["verdict"] == "different"
