"""Deliveries with one thing wrong at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from mainstay.core.contracts import Contract, Field, FieldType, Role, Task

NOW = datetime(2026, 6, 1, tzinfo=UTC)
START = datetime(2026, 1, 1, tzinfo=UTC)
CLASSES = ("billing", "delivery", "login")
BILLING = "invoice charged twice amount bank statement paid tax fee money price"
DELIVERY = "parcel courier late box driver street arrived tracking van door shipped"
LOGIN = "password account locked reset code browser email screen sign forgot access"
FILLING = "the my i please can you why is it not and to for still again today"
TOPICS = {name: told.split() for name, told in zip(CLASSES, (BILLING, DELIVERY, LOGIN), strict=True)}
FILLERS = FILLING.split()
FIELDS = (
    Field(name="text", type=FieldType.TEXT),
    Field(name="channel", type=FieldType.CATEGORY),
    Field(name="tenure", type=FieldType.INTEGER, required=False),
    Field(name="at", type=FieldType.TIMESTAMP, required=False, roles=(Role.IGNORED,)),
    Field(name="who", type=FieldType.IDENTIFIER, roles=(Role.IGNORED,)),
)
CONTRACT = Contract(task=Task.MULTICLASS, fields=FIELDS, target="topic", classes=CLASSES, key="who", time="at")


def rows(count: int, seed: int, *, first_day: int = 0) -> pl.DataFrame:
    """Return messages whose topic their words tell."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(CLASSES, count)
    texts = [
        " ".join(rng.permutation([*rng.choice(TOPICS[label], 4, replace=False), *rng.choice(FILLERS, 6)]))
        for label in labels
    ]
    return pl.DataFrame(
        {
            "text": texts,
            "channel": rng.choice(["app", "chat", "mail"], count),
            "tenure": rng.integers(0, 600, count),
            "at": [START + timedelta(days=first_day, hours=int(h)) for h in rng.integers(0, 24 * 30, count)],
            "who": [f"c{seed}-{i}" for i in range(count)],
            "topic": labels,
        }
    )
