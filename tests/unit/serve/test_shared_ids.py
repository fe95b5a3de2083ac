"""Ids across hosts, over a Redis that is a dictionary: what one host answered the other does not answer again."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest

from mainstay.core.errors import EnvironmentFault, IdReused, Overloaded, ProjectFileError
from mainstay.core.events import Kind
from mainstay.serve.metrics import Metrics
from mainstay.serve.shared_ids import PATIENCE_S, Held, SharedIds, connect
from mainstay.testing.clock import FakeClock
from serve_kit import Kit, one


class Dictionary:
    """Redis without a network."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.salt: str | None = None
        self.away = False
        self.trips = 0

    def claim(self, keys: Sequence[str], value: Mapping[str, bytes], lapse_ms: int) -> list[tuple[bool, bytes | None]]:
        self._trip()
        told = []
        for key in keys:
            free = key not in self.held
            told.append((free, self.held.setdefault(key, value[key])))
        return told

    def settle(self, changes: Sequence[tuple[str, bytes, bytes]], keep_ms: int) -> None:
        self._trip()
        for key, own, answer in changes:
            if self.held.get(key, own) == own:
                self.held.pop(key, None)
                if answer:
                    self.held[key] = answer

    def same_salt(self, digest: str) -> bool:
        self._trip()
        self.salt = self.salt or digest
        return self.salt == digest

    def _trip(self) -> None:
        self.trips += 1
        if self.away:
            raise ConnectionError("gone")


def host(redis: Dictionary, salt: str = "s") -> tuple[Kit, SharedIds]:
    made: list[SharedIds] = []

    def share(clock: FakeClock, metrics: Metrics) -> SharedIds:
        shared = SharedIds(redis, salt=salt, keep_s=60, deadline_s=1, clock=clock, metrics=metrics)
        shared._try_once()  # what `start` does, without its thread
        made.append(shared)
        return shared

    return Kit(share=share), made[0]


def count(kit: Kit, name: str) -> float:
    return sum(c["value"] for c in kit.metrics.as_dict()["counters"] if c["name"] == name)


def test_what_one_host_answered_the_other_gives_again_and_does_not_write() -> None:
    redis = Dictionary()
    (east, _), (west, _) = host(redis), host(redis)
    [first] = east.predict(one("snow", id="a"))
    [again] = west.predict(one("snow", id="a"))
    assert again == first | {"duplicate": True}
    assert (len(east.writer.of(Kind.PREDICTION)), len(west.writer.of(Kind.PREDICTION))) == (1, 0)
    assert count(west, "ids_answered_elsewhere_total") == 1


def test_a_reused_id_is_refused_on_the_other_host_too() -> None:
    redis = Dictionary()
    (east, _), (west, _) = host(redis), host(redis)
    east.predict(one("snow", id="a"))
    with pytest.raises(IdReused):
        west.predict(one("sun", id="a"))


def test_nothing_personal_is_kept_there() -> None:
    redis = Dictionary()
    east, _ = host(redis)
    east.predict(one("a secret", id="a"))
    assert b"secret" not in b"".join(redis.held.values())


def test_requests_without_an_id_cost_nothing() -> None:
    redis = Dictionary()
    east, _ = host(redis)
    before = redis.trips
    east.predict(one("snow"), one("sun"))
    assert redis.trips == before
    east.predict(one("snow", id="a"), one("sun", id="b"))
    assert redis.trips == before + 2


def test_a_call_waits_for_the_host_that_is_answering_its_id_and_gets_that_answer() -> None:
    redis = Dictionary()
    (east, _), (west, _) = host(redis), host(redis)
    group = east.handler.begin([east.call(one("snow", id="a"))], _turn(east))
    waiting, behind = west.call(one("snow", id="a")), west.call(one("snow", id="a"))
    assert west.work(waiting, behind) == [None, None]
    assert west.back == [waiting, behind]
    east.handler.write(group)
    bodies = [msgspec.json.decode(body)["predictions"][0] for body in west.work(waiting, behind)]
    assert [body["duplicate"] for body in bodies] == [True, True]
    assert west.writer.of(Kind.PREDICTION) == []


def test_who_waits_too_long_is_told_so_and_others_of_the_batch_are_answered() -> None:
    redis = Dictionary()
    (east, _), (west, _) = host(redis), host(redis)
    east.handler.begin([east.call(one("snow", id="a"))], _turn(east))  # and never goes on
    waiting = west.call(one("snow", id="a"))
    west.clock.advance(seconds=PATIENCE_S + 1)
    told, other = west.work(waiting, west.call(one("sun", id="b")))
    assert isinstance(told, Overloaded)
    assert b'"b"' in other


def test_a_claim_of_an_answer_that_did_not_come_to_disk_is_given_back() -> None:
    redis = Dictionary()
    (east, _), (west, _) = host(redis), host(redis)
    east.writer.full = True
    [failed] = east.work(east.call(one("snow", id="a")))
    assert isinstance(failed, Exception)
    assert redis.held == {}
    assert west.predict(one("snow", id="a"))[0]["duplicate"] is False


def test_while_redis_is_away_every_call_is_answered_and_only_the_first_one_waits_for_it() -> None:
    redis = Dictionary()
    (east, shared), (west, _) = host(redis), host(redis)
    redis.away = True
    trips = redis.trips
    for number in range(5):
        assert east.predict(one("snow", id=f"n{number}"))[0]["duplicate"] is False
    assert redis.trips == trips + 1
    assert east.predict(one("snow", id="n0"))[0]["duplicate"] is True
    assert count(east, "ids_unshared_total") == 5
    assert "gone" in (shared.trouble or "")
    redis.away = False
    assert shared._try_once()
    east.predict(one("snow", id="later"))
    assert west.predict(one("snow", id="later"))[0]["duplicate"] is True


def test_redis_that_goes_while_a_batch_is_under_way_costs_nobody_the_answer() -> None:
    redis = Dictionary()
    east, _ = host(redis)
    group = east.handler.begin([east.call(one("snow", id="a"))], _turn(east))
    redis.away = True
    east.handler.write(group)
    [(_, body)] = east.handler.finish(group).outcomes
    assert b'"duplicate":false' in body


def test_a_claim_of_ones_own_from_a_batch_that_was_abandoned_is_taken_up_again() -> None:
    redis = Dictionary()
    east, _ = host(redis)
    call = east.call(one("snow", id="a"))
    east.handler.begin([call], _turn(east))
    [body] = east.work(call)
    assert b'"duplicate":false' in body


def test_what_somebody_else_wrote_in_an_ids_place_is_no_requests_fault() -> None:
    redis = Dictionary()
    east, _ = host(redis)
    redis.held["mainstay:weather:id:a"] = b"\xff nonsense"
    assert east.predict(one("snow", id="a"))[0]["duplicate"] is False
    assert count(east, "ids_unshared_total") == 1


def test_hosts_of_different_salts_are_told_to_have_one() -> None:
    redis = Dictionary()
    (_, first), (west, second) = host(redis), host(redis, salt="other")
    assert first.trouble is None
    assert "different salts" in (second.trouble or "")
    assert west.predict(one("snow", id="a"))[0]["duplicate"] is False


def test_what_is_held_is_read_back_as_it_was() -> None:
    held = Held(unit="u", owner="o")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(held), type=Held) == held


def _turn(kit: Kit) -> Any:
    from mainstay.serve.pending import Turn

    return Turn(kit.pending)


def test_a_missing_package_and_an_address_that_is_none_are_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProjectFileError, match="is no address of a Redis") as caught:
        connect("redis://user:secret@host:port/0")
    assert "secret" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(EnvironmentFault) as missing:
        connect("redis://127.0.0.1:6379/0")
    assert missing.value.remedy == "pip install 'mainstay[redis]'"
