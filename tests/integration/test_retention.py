"""What [log] keep_days and max_gb delete of the journal, killed between any two steps, and what they never delete."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from loop_kit import MODEL, Shop
from mainstay import loop, retention
from mainstay.cli import status as printed
from mainstay.core.events import Event, Kind
from mainstay.journal import files, seal
from mainstay.journal import retention as steps
from mainstay.journal.read import Journal
from mainstay.journal.retention import Held, Policy, choose
from mainstay.journal.writer import SegmentWriter
from mainstay.store import audit, blocks, kept
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
READERS = ("feedback", "watch")


class Killed(BaseException):
    """The process is dead."""


class Place:
    """As much of a project as deletes: a journal, a store, settings, a clock."""

    def __init__(self, folder: Path, *, keep_days: float | None = None, max_gb: float | None = None) -> None:
        self.journal = Journal(folder / "journal")
        self.clock = FakeClock(NOW)
        self.store = Store.open(f"sqlite:///{folder}/store.db", clock=self.clock)
        self.model = MODEL
        self.policy(keep_days=keep_days, max_gb=max_gb)

    @property
    def settings(self) -> Any:
        return self

    def policy(self, *, keep_days: float | None = None, max_gb: float | None = None) -> None:
        self.log = type("Log", (), {"keep_days": keep_days, "max_gb": max_gb})

    def day(self, day: int, *, rows: int = 10, worker: str = "w0") -> list[str]:
        """Write and seal one segment of a day in January; return the ids."""
        at = datetime(2026, 1, day, 9, tzinfo=UTC)
        with SegmentWriter(self.journal.folder, worker, durability="os", segment_mb=1) as out:
            events = [event(out.next_seq + n, at, worker) for n in range(rows)]
            out.commit(events)
        seal.seal_closed(self.journal.folder)
        return [one.id for one in events]

    def read_all(self, readers: Sequence[str] = READERS) -> None:
        _, place = self.journal.read({}, 100_000)
        with self.store.begin() as tx:
            for reader in readers:
                blocks.set_cursor(tx, reader, place)

    def turn(self) -> list[str]:
        return retention.turn(self, READERS)  # type: ignore[arg-type]

    def ids(self) -> list[str]:
        events, _ = Journal(self.journal.folder).read({}, 100_000)
        return [one.id for one in events]

    def files(self) -> list[str]:
        sealed = files.sealed(self.journal.folder)
        return sorted(p.name for p in sealed.rglob("*") if p.is_file())

    def audited(self) -> list[audit.Entry]:
        with self.store.read() as tx:
            return audit.of_kind(tx, retention.WHAT)

    def kept(self) -> kept.Kept:
        with self.store.read() as tx:
            found = kept.get(tx, MODEL)
        assert found is not None
        return found[0]


def event(seq: int, at: datetime, worker: str = "w0") -> Event:
    return Event(
        model=MODEL,
        worker=worker,
        seq=seq,
        id=f"{worker}-{seq}",
        kind=Kind.PREDICTION,
        occurred_at=at,
        received_at=at,
        key_hash="k",
        unit="u",
        latency_us=1,
    )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.store.close()


def test_whole_days_over_their_age_go_and_the_audit_and_the_status_say_so(place: Place) -> None:
    old, new = place.day(9), place.day(10)
    place.read_all()
    place.policy(keep_days=10)
    # The 9th was over at midnight of the 10th, ten days and twelve hours ago; the 10th nine days and a half.
    told = place.turn()
    assert told == [
        f"10 journal records up to 2026-01-09 were deleted by policy ({place.kept().deleted_bytes / 1e6:.1f} MB)"
    ]
    assert place.ids() == new
    assert place.journal.find(old[0]) is None
    assert [name for name in place.files() if "gone" in name or "000001-" in name] == []
    [entry] = place.audited()
    assert (entry.who, entry.detail["records"], entry.detail["from"], entry.detail["to"]) == (
        "loop",
        10,
        "2026-01-09",
        "2026-01-09",
    )
    state = place.kept()
    assert (state.deleted_records, state.deleted_at, state.records, state.oldest) == (10, NOW, 10, date(2026, 1, 10))


def test_nothing_goes_without_a_policy(place: Place) -> None:
    ids = place.day(1)
    place.read_all()
    assert place.turn() == []
    assert place.ids() == ids
    assert place.kept().keep_days is None


def test_the_oldest_go_until_the_size_holds_over_all_workers(place: Place) -> None:
    ids = [place.day(day, worker=worker) for day in (1, 2, 3) for worker in ("w0", "w1")]
    place.read_all()
    sizes = {one.path.name: one.bytes for one in steps.held(place.journal.folder)}
    place.policy(max_gb=(sum(sizes.values()) - 1) / 1e9)
    place.turn()
    assert sorted(place.ids()) == sorted(id_ for one in ids[1:] for id_ in one)
    place.policy(max_gb=max(sizes.values()) * 2.5 / 1e9)
    place.turn()
    assert sorted(place.ids()) == sorted(id_ for one in ids[4:] for id_ in one)


def test_what_a_reader_has_not_read_and_what_is_not_sealed_never_goes(place: Place) -> None:
    read, unread = place.day(1), place.day(2)
    with SegmentWriter(place.journal.folder, "w1", durability="os", segment_mb=1) as out:
        out.commit([event(out.next_seq, datetime(2026, 1, 1, tzinfo=UTC), "w1")])
        with place.store.begin() as tx:
            blocks.set_cursor(tx, "feedback", {"w0": 20, "w1": 1})
            blocks.set_cursor(tx, "watch", {"w0": 10, "w1": 1})
        place.policy(keep_days=1)
        place.turn()
        assert place.ids() == ["w1-1", *unread]
        assert place.kept().held_back == 1
        assert read[0] not in place.ids()
        with place.store.begin() as tx:
            blocks.set_cursor(tx, "watch", {"w0": 20})
        place.clock.advance(seconds=61)
        place.turn()
        assert place.ids() == ["w1-1"]


def test_a_reader_that_never_read_keeps_everything(place: Place) -> None:
    ids = place.day(1)
    place.read_all(["feedback"])
    place.policy(keep_days=1)
    place.turn()
    assert place.ids() == ids


def test_a_worker_that_lost_its_last_segment_to_the_policy_uses_no_number_again(place: Place) -> None:
    place.day(1)
    place.read_all()
    place.policy(keep_days=1)
    place.turn()
    assert place.ids() == []
    assert place.day(19) == [f"w0-{seq}" for seq in range(11, 21)]


def every_step(of: Any, names: Sequence[str]) -> list[tuple[Any, str]]:
    return [(of, name) for name in names]


def test_killed_between_any_two_steps_the_next_turn_ends_where_one_would_and_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(name: str) -> Place:
        made = Place(tmp_path / name, keep_days=10)
        for day, worker in itertools.product((1, 2, 15), ("w0", "w1")):
            made.day(day, worker=worker)
        made.read_all()
        return made

    whole = build("whole")
    whole.turn()
    expected = (whole.ids(), whole.files(), whole.kept().deleted_records)
    assert expected[2] == 40
    deaths = 0
    for at in itertools.count(1):
        place = build(f"killed-{at}")
        left = at

        def dying(act: Callable[..., Any]) -> Callable[..., Any]:
            def step(*args: Any, **more: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    raise Killed
                return act(*args, **more)

            return step

        with monkeypatch.context() as patch:
            for name in ("rename", "unlink", "rmdir"):
                patch.setattr(Path, name, dying(getattr(Path, name)))
            patch.setattr(files, "sync_folder", dying(files.sync_folder))
            patch.setattr(place.store, "begin", dying(place.store.begin))
            died = True
            with suppress(Killed):
                place.turn()
                died = False
        # A reader in between sees whole segments, and none twice.
        seen = place.ids()
        assert sorted(seen) == sorted(set(seen))
        assert set(expected[0]) <= set(seen)
        place.clock.advance(seconds=61)
        place.turn()
        assert (place.ids(), place.files(), place.kept().deleted_records) == expected, at
        assert sum(entry.detail["records"] for entry in place.audited()) == 40
        place.store.close()
        if not died:
            break
        deaths += 1
    assert deaths > 15
    whole.store.close()


def test_of_each_worker_the_oldest_go_first_also_when_days_went_back() -> None:
    """A clock that was ahead: the first segment says a later day than the one behind it."""

    def one(first: int, day: int) -> Held:
        newest = date(2026, 1, day)
        return Held(
            worker="w0",
            first=first,
            last=first + 9,
            rows=10,
            bytes=100,
            oldest=newest,
            newest=newest,
            path=Path(f"{first}"),
            parts=(),
        )

    policy = Policy(keep_days=5)
    ahead, behind = one(1, 19), one(11, 2)
    assert choose([ahead, behind], policy, now=NOW, active=0, read={"w0": 99}) == ([], [])
    going, _ = choose([ahead, behind], policy, now=NOW + timedelta(days=9), active=0, read={"w0": 99})
    assert going == [ahead, behind]


def test_the_pace_is_told_once_ten_minutes_were_seen(place: Place) -> None:
    place.turn()
    assert place.kept().bytes_per_day is None
    place.day(20, rows=50)
    place.clock.advance(seconds=3600)
    place.turn()
    state = place.kept()
    assert state.bytes_per_day == pytest.approx(state.bytes * 24)


def test_the_loop_deletes_and_status_tells_it(trained_shop: Shop, tmp_path: Path) -> None:
    shop = trained_shop.copy(tmp_path / "shop", clock=FakeClock(trained_shop.clock.now()))
    with (shop.folder / "mainstay.toml").open("a") as file:
        file.write("[log]\nkeep_days = 3\n")
    shop.customers(30)
    seal.seal_closed(shop.state / "journal")
    shop.turns(2)
    clock = shop.clock
    assert isinstance(clock, FakeClock)
    clock.advance(seconds=5 * 86400)
    [first] = [line for report in shop.turns(1) for line in report.done if "deleted by policy" in line]
    assert first.startswith("30 journal records up to ")
    from mainstay.project import Project

    project = Project.open(shop.folder, environ={})
    project.parts.clock = clock
    lines = [line for line in printed.lines(project.status()) if str(line).startswith("journal")]
    assert len(lines) == 1
    assert "policy: keep_days = 3; last deleted" in str(lines[0])
    assert "in all 30 records" in str(lines[0])
    assert loop.turn(shop.parts()).failed == {}
    project.parts.close()
    shop.close()
