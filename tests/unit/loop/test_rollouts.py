"""What people do with a rollout, on a project: the same calls as the commands make."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from loop_kit import Shop
from mainstay import rollouts
from mainstay.cli.main import app
from mainstay.core.errors import Damaged, ExitCode
from mainstay.store.tables import release_events


def mainstay(shop: Shop, *arguments: str) -> tuple[int, str]:
    shop.parts().store.close()
    result = CliRunner().invoke(app, [*arguments, "--project", str(shop.folder)])
    return result.exit_code, result.output


def set_rollout(shop: Shop, line: str) -> None:
    file = shop.folder / "mainstay.toml"
    file.write_text(file.read_text().replace("[rollout]", f"[rollout]\n{line}"))


def test_the_commands_show_pause_resume_and_abort(shop: Shop) -> None:
    shop.turns(3)
    code, said = mainstay(shop, "rollout", "show", "--json")
    found = json.loads(said)
    assert (code, found["name"], found["stage"], found["verdict"]) == (0, "shop@2", "shadow", "not_enough")
    assert mainstay(shop, "rollout", "pause", "--reason", "a campaign")[0] == 0
    assert shop.stages()[2] == "held"
    assert mainstay(shop, "rollout", "resume", "--reason", "it is over")[0] == 0
    assert shop.stages()[2] == "shadow"
    assert mainstay(shop, "rollout", "abort", "--reason", "")[0] == ExitCode.USAGE
    assert mainstay(shop, "rollout", "abort", "--reason", "complaints")[0] == 0
    assert shop.stages() == {1: "certified", 2: "rolled_back"}
    assert "No version is on its way" in mainstay(shop, "rollout", "show")[1]
    assert mainstay(shop, "rollout", "start", "2", "--reason", "repaired")[0] == 0
    assert shop.stages()[2] == "shadow"


def test_with_two_approvals_a_second_person_must_agree_before_anything_moves(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_rollout(shop, 'approval = "two"')
    shop.turns(3)
    shop.compare(shop.customers(40), version=2)
    shop.turns(3)
    assert shop.stages()[2] == "held"
    seen = rollouts.show(shop.parts()).evidence
    command = ("rollout", "resume", "--reason", "proved", "--evidence", seen)
    monkeypatch.setattr("mainstay.cli.rollout.who", lambda: "ann")
    assert mainstay(shop, *command)[0] == ExitCode.NOT_ENOUGH_EVIDENCE
    assert shop.stages()[2] == "held"
    monkeypatch.setattr("mainstay.cli.rollout.who", lambda: "bob")
    assert mainstay(shop, *command)[0] == 0
    assert shop.stages()[2] == "canary"


def test_history_is_verified_and_ledger_says_what_was_promised(shop: Shop) -> None:
    shop.turns(2)
    parts = shop.parts()
    _, done = rollouts.promote(parts, 2, by="ann", reason="agreed")
    assert done.stage == "probation"
    code, said = mainstay(shop, "rollout", "ledger", "--json")
    (entry,) = json.loads(said)
    assert (code, entry["version"], entry["champion"], entry["outcome"]) == (0, 2, 1, "")
    assert entry["promised"]["accuracy"]["margin"] == 0.1
    found = rollouts.history(parts)
    assert found.problems == ()
    assert rollouts.history(parts, expect=found.head[:12]).problems == ()
    assert len(rollouts.history(parts, expect="0" * 12).problems) == 1
    with parts.store.begin() as tx:
        tx.execute(update(release_events).where(release_events.c.seq == 3).values(reason="nothing happened"))
    with pytest.raises(Damaged, match="was changed after it was written"):
        rollouts.must_be_whole(rollouts.history(parts))
    assert mainstay(shop, "rollout", "history")[0] == ExitCode.ENVIRONMENT
