"""The route file: newest whole slot wins, whatever else is torn."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mainstay.core.errors import EnvironmentFault
from mainstay.serve.route_file import SLOT, RouteFile
from serve_kit import CHALLENGER, CHAMPION, make_route


@pytest.fixture
def file(tmp_path: Path) -> RouteFile:
    return RouteFile(tmp_path / "route-weather.bin")


def test_without_a_file_there_is_no_route(file: RouteFile) -> None:
    assert file.read() is None


def test_what_was_written_is_read_back_whole(file: RouteFile) -> None:
    route = make_route(
        challenger=CHALLENGER, previous=CHAMPION, share=0.05, lease_until=datetime(2026, 1, 5, tzinfo=UTC), salt="s"
    )
    file.write(route)
    assert RouteFile(file.path).read() == route


def test_an_open_reader_sees_each_new_route(file: RouteFile) -> None:
    reader = RouteFile(file.path)
    for epoch in range(1, 6):
        file.write(make_route(epoch=epoch))
        assert reader.read() == make_route(epoch=epoch)


def test_the_same_object_is_given_while_nothing_changes(file: RouteFile) -> None:
    file.write(make_route())
    assert file.read() is file.read()


@pytest.mark.parametrize("at", [0, 8, 16, 24, 32, 36, 40, 60])
def test_a_torn_newer_slot_leaves_the_older_route(file: RouteFile, at: int) -> None:
    file.write(make_route(epoch=1))
    file.write(make_route(epoch=2))
    content = bytearray(file.path.read_bytes())
    content[SLOT + at] ^= 0xFF
    file.path.write_bytes(content)
    assert RouteFile(file.path).read() == make_route(epoch=1)


def test_a_half_written_slot_is_not_taken_and_the_whole_one_is(file: RouteFile) -> None:
    file.write(make_route(epoch=1))
    reader = RouteFile(file.path)
    assert reader.read() == make_route(epoch=1)
    file.write(make_route(epoch=2))
    whole = file.path.read_bytes()
    with file.path.open("r+b") as handle:
        handle.seek(SLOT + 45)
        handle.write(b"\0" * 30)
    assert reader.read() == make_route(epoch=1)
    with file.path.open("r+b") as handle:
        handle.write(whole)
    assert reader.read() == make_route(epoch=2)


def test_two_damaged_slots_are_no_route_and_can_be_written_again(file: RouteFile) -> None:
    file.path.write_bytes(b"\xff" * 2 * SLOT)
    assert RouteFile(file.path).read() is None
    file.write(make_route(epoch=3))
    assert RouteFile(file.path).read() == make_route(epoch=3)


def test_a_file_in_the_place_of_the_open_one_is_noticed(file: RouteFile, tmp_path: Path) -> None:
    file.write(make_route(epoch=1))
    reader = RouteFile(file.path)
    assert reader.read() == make_route(epoch=1)
    other = RouteFile(tmp_path / "other.bin")
    other.write(make_route(epoch=9))
    other.path.replace(file.path)
    reader.reopen()
    assert reader.read() == make_route(epoch=9)


def test_a_reader_beside_a_busy_writer_only_ever_sees_whole_and_growing_routes(file: RouteFile) -> None:
    file.write(make_route(epoch=1))
    stop = threading.Event()

    def write() -> None:
        for epoch in range(2, 60):
            file.write(make_route(epoch=epoch, salt="s" * (epoch * 7 % 200)))
        stop.set()

    writer = threading.Thread(target=write)
    reader = RouteFile(file.path)
    writer.start()
    seen = [1]
    while not stop.is_set():
        route = reader.read()
        assert route is not None
        assert route.salt == ("s" * (route.epoch * 7 % 200) if route.epoch > 1 else "")
        seen.append(route.epoch)
    writer.join()
    assert seen == sorted(seen)


def test_a_place_that_cannot_be_written_is_a_clear_fault(tmp_path: Path) -> None:
    (tmp_path / "route").mkdir()
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        RouteFile(tmp_path / "route").write(make_route())
