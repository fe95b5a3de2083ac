"""Which version answers a batch, and what the command says when none can."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from loop_kit import Shop
from mainstay.cli.main import app
from mainstay.core.errors import GateFailed, NotFound, NotReady, UsageError
from mainstay.core.releases import Stage
from mainstay.score import run
from mainstay.score.entry import choose
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock


@pytest.fixture
def shop(trained_shop: Shop, tmp_path: Path) -> Shop:
    made = trained_shop.copy(tmp_path / "shop")
    (made.folder / "in.csv").write_text("text,buyer\nripe apple,b1\n,b2\nsteel saw,b3\n")
    return made


def set_stage(shop: Shop, version: int, stage: Stage) -> None:
    with shop.parts().store.begin() as tx:
        tx.exec_driver_sql(f"UPDATE releases SET stage = '{stage.value}' WHERE version = {version}")


def score(shop: Shop, *more: str, out: str = "out.csv") -> Result:
    arguments = ["score", str(shop.folder / "in.csv"), str(shop.folder / out), "-C", str(shop.folder), *more]
    return CliRunner().invoke(app, arguments)


def test_the_champion_answers_unless_another_version_is_named(shop: Shop) -> None:
    store = shop.parts().store
    champion, live = choose(store, "shop", None, force=False)
    assert (champion.name, live) == ("shop@1", True)
    other, live = choose(store, "shop", 2, force=False)
    assert (other.name, live) == ("shop@2", False)


def test_before_the_first_version_nobody_answers() -> None:
    with pytest.raises(NotReady, match="no version of shop answers yet"):
        choose(Store.open("sqlite://", clock=FakeClock()), "shop", None, force=False)


@pytest.mark.parametrize("stage", [Stage.REFUSED, Stage.REGISTERED])
def test_a_version_that_its_gate_has_not_passed_needs_force(shop: Shop, stage: Stage) -> None:
    set_stage(shop, 2, stage)
    with pytest.raises(GateFailed, match=f"shop@2 is {stage.value}") as caught:
        choose(shop.parts().store, "shop", 2, force=False)
    assert "--force" in caught.value.remedy
    assert choose(shop.parts().store, "shop", 2, force=True)[0].version == 2


def test_a_quarantined_version_answers_nobody(shop: Shop) -> None:
    set_stage(shop, 2, Stage.QUARANTINED)
    with pytest.raises(UsageError, match="quarantined"):
        choose(shop.parts().store, "shop", 2, force=True)


def test_a_version_that_there_is_not_is_named(shop: Shop) -> None:
    with pytest.raises(NotFound, match="no version 9"):
        choose(shop.parts().store, "shop", 9, force=False)


def test_the_command_tells_what_became_of_the_rows(shop: Shop) -> None:
    done = score(shop)
    assert done.exit_code == 0, done.output
    assert "3 rows answered by shop@1: 2 ok, 1 refused." in done.stdout
    assert "out.csv.bad.ndjson" in done.stdout
    told = json.loads(score(shop, "--version", "2", "--json", out="two.ndjson").stdout)
    assert (told["bundle"], told["rows"], told["journalled"]) == ("shop@2", 3, 0)
    assert "shop@2 is not the version that answers now" in told["watched"]


@pytest.mark.parametrize(
    ("more", "content", "code", "says"),
    [
        (["--version", "7"], None, 2, "no version 7"),
        (["--version", "other@1"], None, 2, "is of another model"),
        (["--id", "byer"], None, 3, "did you mean 'buyer'?"),
        ([], "text,buyer,colour\na,b,c\n", 3, "colour: is no declared field"),
        ([], "text,bayer\na,b\n", 3, "did you mean 'bayer'?"),
        ([], "", 3, "is empty (0 bytes)"),
    ],
)
def test_what_is_wrong_is_said_with_its_exit_code_and_leaves_nothing(
    shop: Shop, more: list[str], content: str | None, code: int, says: str
) -> None:
    if content is not None:
        (shop.folder / "in.csv").write_text(content)
    done = score(shop, *more)
    assert done.exit_code == code
    assert says in done.stderr
    assert "Remedy:" in done.stderr
    assert "Traceback" not in done.output
    assert list(shop.folder.glob("*out*")) + list(shop.folder.glob(".out*")) == []


def test_an_interrupted_command_says_that_the_same_one_goes_on(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "refuse_dead_model", interrupted)
    done = score(shop)
    assert done.exit_code == 130
    assert "the same command goes on" in done.stderr
    monkeypatch.undo()
    assert score(shop).exit_code == 0
