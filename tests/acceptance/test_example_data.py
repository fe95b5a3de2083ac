"""What the support-desk example says of its own messages holds."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

DATA = Path(__file__).parents[2] / "examples" / "support-desk" / "data"
COUNTS = {
    "clean_train": 800,
    "clean_test": 240,
    "clean_traffic": 240,
    "messy_feedback": 350,
    "messy_traffic": 480,
    "messy_judged": 250,
}


def rows(name: str) -> list[dict[str, str]]:
    with (DATA / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def pieces(text: str) -> frozenset[str]:
    folded = re.sub(r"\s+", " ", text.lower().strip())
    return frozenset(folded[i : i + 5] for i in range(max(1, len(folded) - 4)))


def test_every_file_has_its_rows_with_label_and_segments() -> None:
    for name, count in COUNTS.items():
        found = rows(name)
        assert len(found) == count
        assert len({row["intent"] for row in found}) == 8
        assert all(row["channel"] and row["locale"] and row["tenure_months"].isdigit() for row in found)


def test_no_message_is_a_near_twin_of_another_in_any_file() -> None:
    """Character 5-gram Jaccard under 0.5, over all pairs that share a piece."""
    known: list[tuple[str, frozenset[str]]] = []
    holders: dict[str, list[int]] = {}
    twins = []
    for name in COUNTS:
        for row in rows(name):
            mine = pieces(row["message"])
            shared = Counter(other for piece in mine for other in holders.get(piece, ()))
            for other, both in shared.items():
                if both / (len(mine) + len(known[other][1]) - both) >= 0.5:
                    twins.append((row["message"], known[other][0]))
            for piece in mine:
                holders.setdefault(piece, []).append(len(known))
            known.append((row["message"], mine))
    assert len(known) == sum(COUNTS.values())
    assert twins == []


def test_no_judged_customer_writes_in_another_file() -> None:
    judged = {row["customer_id"] for row in rows("messy_judged")}
    others = {row["customer_id"] for name in COUNTS if name != "messy_judged" for row in rows(name)}
    assert judged & others == set()
