"""Rows of any kind are asked, looked at and shown: no gap, extreme or repeated value makes the look fail."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from delivery_rows import NOW
from mainstay.config.settings import Settings
from mainstay.core.contracts import Contract, Field, FieldType, Pii, Role, Task
from mainstay.data.cells import DTYPES
from mainstay.data.frame_check import check_frame
from mainstay.delivery import page
from mainstay.delivery.check import check_delivery
from mainstay.profiling import page as profile_page
from mainstay.profiling import plain
from mainstay.profiling.profile import profile

TEXTS = ("", "   ", "\U0001f600", "hello world", "日本語 テキスト", "\x00a", "a b c d e f g h")
SEEDS = 40


def column(luck: random.Random, kind: FieldType, rows: int) -> pl.Series:
    many, gaps = luck.choice([1, 2, 5, 50, 10**6]), luck.choice([0, 0, 0.1, 0.9, 1])
    extreme = luck.random() < 0.1

    def value() -> Any:
        number = luck.randrange(many)
        if luck.random() < gaps:
            return None
        return {
            FieldType.NUMBER: lambda: 1e308 if extreme else luck.choice([number * 1.0, luck.gauss(0, 1)]),
            FieldType.INTEGER: lambda: 2**62 if extreme else luck.choice([number, -number]),
            FieldType.BOOLEAN: lambda: number % 2 == 0,
            FieldType.TIMESTAMP: lambda: NOW + timedelta(days=number % 4000 - 2000, microseconds=number),
            FieldType.TEXT: lambda: luck.choice([*TEXTS, " ".join(f"w{luck.randrange(many)}" for _ in range(9))]),
        }.get(kind, lambda: luck.choice(["", "a b", f"x{number}", "É"]))()

    return pl.Series([value() for _ in range(rows)], dtype=DTYPES[kind])


def contract_of(luck: random.Random) -> Contract:
    fields = tuple(
        Field(
            name=luck.choice(["f", "^f", "*", "a b", "é"]) + str(i),
            type=luck.choice(list(FieldType)),
            required=False,
            pii=luck.choice([Pii.KEEP, Pii.HASH, Pii.DROP]),
            roles=(luck.choice([Role.FEATURE, Role.FEATURE, Role.SEGMENT, Role.IGNORED]),),
        )
        for i in range(luck.randrange(1, 6))
    )
    task = luck.choice(list(Task))
    classes = {Task.BINARY: ("yes", "no"), Task.MULTICLASS: tuple("abcde")}.get(task, ())
    times = [one.name for one in fields if one.type is FieldType.TIMESTAMP]
    return Contract(
        task=task,
        fields=fields,
        target="y",
        classes=classes,
        key=luck.choice([None, fields[0].name]),
        time=times[0] if times and luck.random() < 0.7 else None,
    )


def frame_of(luck: random.Random, contract: Contract, rows: int) -> pl.DataFrame:
    truth = [luck.choice(contract.classes) if contract.classes else luck.gauss(0, 1) for _ in range(rows)]
    return pl.DataFrame({one.name: column(luck, one.type, rows) for one in contract.fields} | {"y": truth})


@pytest.mark.parametrize("seed", range(SEEDS))
def test_rows_of_any_kind_are_asked_everything_looked_at_and_shown(seed: int) -> None:
    luck = random.Random(seed)
    contract = contract_of(luck)
    train, test = (
        frame_of(luck, contract, luck.choice([1, 2, 9, 60, 200])),
        frame_of(luck, contract, luck.choice([1, 60])),
    )
    last = luck.choice([None, frame_of(luck, contract, luck.choice([1, 50]))])
    report, compared = check_delivery(
        train,
        contract,
        settings=Settings(),
        now=NOW,
        test=test,
        last=last,
        reports=[check_frame(contract, train, with_target=True)],
    )
    assert "</html>" in page.document(report, compared)
    json.dumps(report.as_dict(), allow_nan=False)
    found = profile(train, target="y" if train["y"].n_unique() > 1 else None, now=NOW)
    assert "</html>" in profile_page.document(found)
    assert plain.report(found)
