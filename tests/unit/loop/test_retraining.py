from __future__ import annotations

import polars as pl
import pytest
from typer.testing import CliRunner

from loop_kit import WORDS, Shop
from mainstay import candidate, retraining
from mainstay.cli.main import app
from mainstay.core.errors import NotEnoughEvidence
from mainstay.core.verdicts import Verdict


def declare(shop: Shop, **retrain: str) -> None:
    file = shop.folder / "mainstay.toml"
    lines = "".join(f"{name} = {value}\n" for name, value in retrain.items())
    file.write_text(file.read_text().replace("[retrain]\n", f"[retrain]\n{lines}"))


def labelled(shop: Shop, count: int, *, flipped: int) -> None:
    """Let users ask, and tell the truth of all but the last `flipped`."""
    asked = shop.customers(count)
    truth = {
        event.id: max(sorted(WORDS), key=lambda kind: sum(word in event.inputs["text"] for word in WORDS[kind]))
        for event in asked
    }
    for number, event in enumerate(asked):
        right = truth[event.id]
        wrong = next(kind for kind in WORDS if kind != right)
        shop.label([event.id], value=wrong if number >= count - flipped else right)
    shop.turns(1)


def check_of(delivered: candidate.Delivered, name: str) -> Verdict | None:
    return next((c.verdict for c in delivered.gate_report.checks if c.name == name and c.applies), None)


def test_labels_of_traffic_that_are_surely_too_noisy_are_refused_and_good_ones_are_not(shop: Shop) -> None:
    declare(shop, max_label_noise="0.1")
    labelled(shop, 120, flipped=0)
    clean = candidate.deliver_candidate(shop.parts(), pipelines=("third",), release=False)
    assert check_of(clean, "label_noise") is Verdict.PASS
    labelled(shop, 120, flipped=90)
    noisy = candidate.deliver_candidate(shop.parts(), pipelines=("third",), release=False)
    assert check_of(noisy, "label_noise") is Verdict.FAIL
    again = candidate.judge(shop.parts(), shop.releases()[noisy.release.version])
    assert next(c.verdict for c in again.checks if c.name == "label_noise") is Verdict.FAIL


def test_suspects_are_left_out_where_that_is_declared_and_the_version_says_how_many(shop: Shop) -> None:
    declare(shop, suspects='"leave_out"')
    labelled(shop, 160, flipped=60)
    made = candidate.deliver_candidate(shop.parts(), pipelines=("third",), release=False)
    facts = made.release.facts["evaluation"]["label_noise"]
    kept = shop.parts().snapshots.open(made.release.snapshot)
    assert facts["left_out"] >= 0.5 * 60 * 0.7  # about seven of ten labels are fitted, the others compare
    assert kept.lineage["suspects_left_out"] == facts["left_out"]
    assert check_of(made, "label_noise") is None  # told: no limit was declared


def test_beside_the_champion_more_than_test_rows_is_told_and_what_compare_on_names_is_judged(shop: Shop) -> None:
    labelled(shop, 100, flipped=0)
    parts = shop.parts()
    version = shop.releases()[2]
    told = {check.name: check for check in candidate.judge(parts, version).checks}
    assert told["not_worse"].applies
    assert told["not_worse_on_recent"].applies
    assert not told["not_worse_on_stress"].applies
    assert told["not_worse_on_stress"].numbers["rows"] > 100
    assert "no golden set" in told["not_worse_on_golden"].reason
    file = shop.folder / "mainstay.toml"
    file.write_text(
        file.read_text()
        .replace("[gate]\n", '[gate]\ncompare_on = ["stress", "golden", "recent"]\n')
        .replace("[data]\n", '[data]\ngolden = { share = 0.3, by = "row" }\n')
    )
    judged = {check.name: check for check in candidate.judge(shop.parts(), version).checks}
    assert not judged["not_worse"].applies
    assert not judged["segments"].applies
    assert judged["not_worse_on_stress"].applies
    assert judged["not_worse_on_golden"].applies
    assert judged["not_worse_on_golden"].numbers["rows"] >= 50
    assert {"low", "high"} <= set(judged["not_worse_on_golden"].numbers["accuracy"])


def test_where_only_recent_traffic_is_judged_and_there_is_none_nothing_passes(shop: Shop) -> None:
    file = shop.folder / "mainstay.toml"
    file.write_text(file.read_text().replace("[gate]\n", '[gate]\ncompare_on = ["recent"]\n'))
    report = candidate.judge(shop.parts(), shop.releases()[2])
    assert report.verdict is Verdict.NOT_ENOUGH
    assert "not_worse_on_recent" in report.why


def test_a_training_by_hand_is_held_by_its_guards_and_let_go_with_a_reason(shop: Shop) -> None:
    parts = shop.parts()
    with pytest.raises(NotEnoughEvidence, match="min_labels"):
        retraining.by_hand(parts, by="ann")
    labelled(shop, 60, flipped=0)
    with pytest.raises(NotEnoughEvidence, match="nothing_under_way"):
        retraining.by_hand(parts, by="ann")  # version 2 waits for its rollout
    made = retraining.by_hand(parts, by="ann", anyway="the other one was forgotten")
    assert made.release.pipeline == "third"
    with parts.store.read() as tx:
        from mainstay.store import audit

        told = [entry for entry in audit.list_(tx) if entry.what == "retrain anyway"]
    assert [(e.who, e.detail["reason"]) for e in told] == [("ann", "the other one was forgotten")]


def test_the_command_tells_what_the_loop_would_do(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled(shop, 80, flipped=0)
    parts = shop.parts()
    monkeypatch.setattr("mainstay.project.Project.parts", parts)
    told = CliRunner().invoke(app, ["retrain", "--check", "--project", str(shop.folder)])
    assert told.exit_code == 0
    assert "rows:60" in told.stdout
    assert "The loop waits (nothing_under_way)" in told.stdout.replace("\n", " ")


def test_traffic_that_says_the_same_as_a_frozen_test_row_is_not_learned_from(shop: Shop) -> None:
    labelled(shop, 100, flipped=0)
    before = candidate.deliver_candidate(shop.parts(), pipelines=("third",), release=False)
    learned = shop.parts().snapshots.open(before.release.snapshot).frame()
    pasted = learned.filter(pl.col("_origin") == "traffic").head(3)
    file = shop.folder / "test.csv"
    tests = pl.read_csv(file)
    again = pl.concat([tests, pasted.select("text", buyer=pl.lit("somebody"), kind="kind")])
    again.write_csv(file)
    after = candidate.deliver_candidate(shop.parts(), pipelines=("third",), release=False)
    kept = shop.parts().snapshots.open(after.release.snapshot).frame().filter(pl.col("_origin") == "traffic")
    said = [set(text.split()) for text in pasted.get_column("text").to_list()]
    assert all(set(text.split()) not in said for text in kept.get_column("text").to_list())
    gone = learned.filter(pl.col("_origin") == "traffic").height - kept.height
    assert gone >= 3
    assert any(f"{gone} rows say nearly the same as a frozen test row" in line for line in after.warnings)
