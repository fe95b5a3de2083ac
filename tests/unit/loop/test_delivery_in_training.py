"""Training looks at its data first, tells what it found, and lets declared questions decide."""

from __future__ import annotations

import json

import pytest

from loop_kit import Shop
from mainstay import candidate
from mainstay.core.releases import Stage
from mainstay.core.verdicts import Check, Verdict


def declare(shop: Shop, line: str) -> None:
    path = shop.folder / "mainstay.toml"
    path.write_text(path.read_text().replace("[gate]\n", f"[gate]\n{line}\n"))


def check_of(delivered: candidate.Delivered, name: str) -> Check:
    return next(check for check in delivered.gate_report.checks if check.name == name)


def copy_training_into_test(shop: Shop) -> None:
    train, test = shop.folder / "train.csv", shop.folder / "test.csv"
    seen = [line.replace("train", "other") for line in train.read_text().splitlines()[1:13]]
    test.write_text("\n".join([*test.read_text().splitlines(), *seen]) + "\n")


def test_what_was_found_is_told_and_kept_and_decides_nothing_undeclared(shop: Shop) -> None:
    copy_training_into_test(shop)
    delivered = candidate.deliver_candidate(shop.parts(), pipeline="third", release=False)
    check = check_of(delivered, "delivery")
    assert (check.verdict, check.applies) == (Verdict.NOT_ENOUGH, False)
    (told,) = [one for one in delivered.warnings if one.startswith("what the data are like: ")]
    page = shop.folder / told.partition(": ")[2]
    kept = json.loads(page.with_name("report.json").read_text())
    assert kept["rows"]["test"] == 132
    assert "twin" in page.read_text()
    assert delivered.gate_report.passed


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('delivery = ["balance", "label_noise"]', "delivery"),
        ('results = ["target/run_results.json"]', "data_tests"),
    ],
)
def test_a_declared_question_that_does_not_hold_refuses_the_version(shop: Shop, line: str, name: str) -> None:
    declare(shop, line)
    path = shop.folder / "mainstay.toml"
    path.write_text(path.read_text() + "[delivery]\nclass_rows = 200\n")
    delivered = candidate.deliver_candidate(shop.parts(), pipeline="third")
    check = check_of(delivered, name)
    assert check.applies
    assert check.verdict is (Verdict.FAIL if name == "delivery" else Verdict.NOT_ENOUGH)
    assert delivered.release.stage is Stage.REFUSED
    again = candidate.judge(shop.parts(), delivered.release)
    assert next(one for one in again.checks if one.name == name).reason == check.reason
