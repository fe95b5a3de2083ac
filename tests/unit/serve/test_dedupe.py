"""Ids: what is known, what has to be looked up, and who may answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mainstay.core.errors import IdReused
from mainstay.serve.dedupe import Claims, Ids


class Lookups:
    def __init__(self, **units: str) -> None:
        self.units = units
        self.asked: list[str] = []

    def find(self, id_: str) -> Any:
        self.asked.append(id_)
        return type("Event", (), {"unit": self.units[id_]})() if id_ in self.units else None


def test_a_worker_that_knows_the_whole_journal_looks_nothing_up() -> None:
    journal = Lookups()
    assert Ids(journal, alone=True, fresh=True).find("a", "u") is None
    assert journal.asked == []


def test_an_id_that_looks_like_one_that_was_made_is_looked_up() -> None:
    journal = Lookups(**{"w0-17-00c0ffee": "u"})
    ids = Ids(journal, alone=True, fresh=True)
    assert [ids.at_hand([id_]) for id_ in ("w0-17-00c0ffee", "order-17", "a-1-00c0ffee-b")] == [False, True, True]
    with pytest.raises(IdReused):
        ids.find("w0-17-00c0ffee", "other")
    assert journal.asked == ["w0-17-00c0ffee"]


@pytest.mark.parametrize(("alone", "fresh"), [(False, True), (True, False)])
def test_other_writers_and_an_older_journal_are_looked_up(alone: bool, fresh: bool) -> None:
    ids = Ids(Lookups(a="u"), alone=alone, fresh=fresh)
    assert ids.find("a", "u") is not None
    with pytest.raises(IdReused):
        ids.find("a", "other")


def test_ids_that_left_the_memory_are_looked_up() -> None:
    journal = Lookups(a="u")
    ids = Ids(journal, alone=True, fresh=True, remembered=2)
    ids.note([("a", "u"), ("b", "v")])
    assert ids.find("c", "w") is None
    assert journal.asked == []
    ids.note([("c", "w")])
    assert ids.find("a", "u") is not None


OTHER = """
import sys
from pathlib import Path
from mainstay.serve.dedupe import Claims
claims = Claims(Path(sys.argv[1]))
print(claims.take("a"), claims.take("b"), flush=True)
sys.stdin.read()
"""


def test_an_id_is_one_workers_until_it_gives_it_back_or_dies(tmp_path: Path) -> None:
    path = tmp_path / "ids.lock"
    mine = Claims(path)
    assert mine.take("a")
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "False True\n"
    assert not mine.take("b")
    other.kill()
    other.communicate()
    assert mine.take("b")
    mine.give_back(["a", "b"])
    mine.close()
