"""Who is let in."""

from __future__ import annotations

import json
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from mainstay.api.errors import TooMany, Unauthenticated, headers_of
from mainstay.api.keys import FORWARDING, Keys, Scope
from mainstay.core.errors import Damaged, NotFound, Refused, StaleTransition, UsageError
from mainstay.serve import keys as kept
from mainstay.testing.clock import FakeClock


def write(path: Path, **scopes: list[str]) -> None:
    keys = [{"name": name, "hash": sha256(name.encode()).hexdigest(), "scopes": held} for name, held in scopes.items()]
    path.write_text(json.dumps({"keys": keys}))


@pytest.fixture
def made(tmp_path: Path) -> tuple[Keys, Path, FakeClock]:
    clock = FakeClock()
    return Keys(tmp_path / "keys.json", clock), tmp_path / "keys.json", clock


def bearer(key: str) -> dict[bytes, bytes]:
    return {b"authorization": b"Bearer " + key.encode()}


@pytest.mark.parametrize("scope", [Scope.PREDICT, Scope.FEEDBACK, Scope.READ, None])
def test_on_loopback_without_keys_predict_feedback_and_read_are_open(made: Any, scope: Scope | None) -> None:
    keys, path, clock = made
    keys.check({}, scope)
    write(path)
    clock.advance(seconds=2)
    keys.check(bearer("anything"), scope)


def test_on_loopback_without_keys_all_else_needs_the_token_of_this_start(tmp_path: Path) -> None:
    hash_ = kept.make_token(tmp_path)
    token = (tmp_path / "admin.token").read_text().strip()
    assert (tmp_path / "admin.token").stat().st_mode & 0o777 == 0o600
    keys = Keys(tmp_path / "keys.json", FakeClock(), admin_token=hash_)
    keys.check(bearer(token), Scope.ADMIN)
    with pytest.raises(Unauthenticated, match="admin token"):
        keys.check({}, Scope.ADMIN)
    with pytest.raises(Unauthenticated, match="not whole"):
        keys.check(bearer(token[:-1]), Scope.ADMIN)
    after = Keys(tmp_path / "keys.json", FakeClock(), admin_token=kept.make_token(tmp_path))
    with pytest.raises(Unauthenticated, match="not known"):
        after.check(bearer(token), Scope.ADMIN)


def test_without_a_token_there_is_no_admin(made: Any) -> None:
    for headers in ({}, bearer(""), {b"x-api-key": b""}, bearer("admin.token")):
        with pytest.raises(Unauthenticated):
            made[0].check(headers, Scope.ADMIN)


@pytest.mark.parametrize("scope", list(Scope))
def test_beyond_loopback_without_keys_nothing_but_probes_is_open(tmp_path: Path, scope: Scope) -> None:
    keys = Keys(tmp_path / "keys.json", FakeClock(), host="0.0.0.0")
    keys.check({}, None)
    with pytest.raises(Unauthenticated) as caught:
        keys.check({}, scope)
    assert "mainstay keys add" in caught.value.remedy
    with pytest.raises(Unauthenticated, match="has no API keys"):
        keys.check(bearer(kept.new_key()), scope)


@pytest.mark.parametrize("header", sorted(FORWARDING))
def test_through_a_proxy_a_server_on_loopback_needs_a_key(tmp_path: Path, header: bytes) -> None:
    through, clock = {header: b"203.0.113.9"}, FakeClock()
    keys = Keys(tmp_path / "keys.json", clock)
    for scope in (*Scope, None):
        with pytest.raises(Refused, match="proxy") as caught:
            keys.check(through, scope)
        assert header.decode() in caught.value.message
    key = kept.add(tmp_path, "app", scopes=["predict"], rate=0, lifetime=None, now=clock.now())
    clock.advance(seconds=1)
    keys.check(through | bearer(key), Scope.PREDICT)
    keys.check(through, None)
    with pytest.raises(Unauthenticated):
        keys.check(through, Scope.PREDICT)


def test_a_server_whose_last_key_was_revoked_stays_closed(tmp_path: Path) -> None:
    clock = FakeClock()
    keys = Keys(tmp_path / "keys.json", clock)
    key = kept.add(tmp_path, "app", scopes=["predict"], rate=0, lifetime=None, now=clock.now())
    keys.check(bearer(key), Scope.PREDICT)
    kept.revoke(tmp_path, "app", now=clock.now())
    clock.advance(seconds=1)
    with pytest.raises(Unauthenticated, match="revoked"):
        keys.check(bearer(key), Scope.PREDICT)
    with pytest.raises(Unauthenticated):
        keys.check({}, Scope.READ)


def test_a_key_is_good_until_it_expires(tmp_path: Path) -> None:
    clock = FakeClock()
    keys = Keys(tmp_path / "keys.json", clock)
    key = kept.add(tmp_path, "app", scopes=["read"], rate=0, lifetime=timedelta(days=1), now=clock.now())
    keys.check(bearer(key), Scope.READ)
    clock.advance(days=1)
    with pytest.raises(Unauthenticated, match="was good until"):
        keys.check(bearer(key), Scope.READ)


def test_a_key_may_ask_as_often_as_its_rate_says(tmp_path: Path) -> None:
    clock = FakeClock()
    keys = Keys(tmp_path / "keys.json", clock, workers=2)
    key = kept.add(tmp_path, "app", scopes=["predict"], rate=20, lifetime=None, now=clock.now())
    for _ in range(10):  # its share of two workers, for a second at once
        keys.check(bearer(key), Scope.PREDICT)
    with pytest.raises(TooMany) as caught:
        keys.check(bearer(key), Scope.PREDICT)
    assert dict(headers_of(caught.value)) == {
        b"retry-after": b"1",
        b"ratelimit-limit": b"20",
        b"ratelimit-remaining": b"0",
        b"ratelimit-reset": b"1",
    }
    clock.advance(seconds=0.1)
    keys.check(bearer(key), Scope.PREDICT)


def test_an_address_may_be_limited_where_no_key_is_asked_for(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys.json", FakeClock(), rate_per_client=1)
    keys.check({}, Scope.PREDICT, "10.0.0.1")
    keys.check({}, Scope.PREDICT, "10.0.0.2")
    with pytest.raises(TooMany):
        keys.check({}, Scope.PREDICT, "10.0.0.1")
    keys.check({}, None, "10.0.0.1")


def test_a_rotated_key_stays_good_for_a_while(tmp_path: Path) -> None:
    clock = FakeClock()
    keys = Keys(tmp_path / "keys.json", clock)
    old = kept.add(tmp_path, "app", scopes=["read"], rate=5, lifetime=timedelta(days=90), now=clock.now())
    clock.advance(days=80)
    new = kept.rotate(tmp_path, "app", grace=timedelta(hours=1), now=clock.now())
    keys.check(bearer(old), Scope.READ)
    keys.check(bearer(new), Scope.READ)
    clock.advance(hours=1)
    with pytest.raises(Unauthenticated):
        keys.check(bearer(old), Scope.READ)
    clock.advance(days=80)
    keys.check(bearer(new), Scope.READ)
    assert [key.rate for key in kept.read(tmp_path)] == [5, 5]


def test_no_key_lies_in_the_file_and_others_cannot_read_it(tmp_path: Path) -> None:
    key = kept.add(tmp_path, "app", scopes=["read"], rate=0, lifetime=None, now=FakeClock().now())
    content = (tmp_path / "keys.json").read_text()
    assert key not in content
    assert key[4:20] not in content
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600
    assert len(key) == len("mst_") + 64 + 8


def test_a_key_is_never_repeated_in_what_is_answered(tmp_path: Path) -> None:
    key = kept.add(tmp_path, "app", scopes=["read"], rate=0, lifetime=None, now=FakeClock().now())
    keys = Keys(tmp_path / "keys.json", FakeClock())
    for sent, scope in ((key[:-3], Scope.READ), (key, Scope.ADMIN), (kept.new_key(), Scope.READ)):
        with pytest.raises((Unauthenticated, Refused)) as caught:
            keys.check(bearer(sent), scope)
        told = f"{caught.value.message} {caught.value.remedy} {headers_of(caught.value)}"
        assert sent not in told
        assert sent[4:16] not in told


def test_names_scopes_and_keys_that_are_none_are_refused(tmp_path: Path) -> None:
    now = FakeClock().now()
    for name in ("", "a b", "a:b", "x" * 64, "é"):
        with pytest.raises(UsageError):
            kept.add(tmp_path, name, scopes=["read"], rate=0, lifetime=None, now=now)
    with pytest.raises(UsageError):
        kept.add(tmp_path, "app", scopes=[], rate=0, lifetime=None, now=now)
    kept.add(tmp_path, "app", scopes=["read"], rate=0, lifetime=None, now=now)
    with pytest.raises(StaleTransition) as caught:
        kept.add(tmp_path, "app", scopes=["read"], rate=0, lifetime=None, now=now)
    assert "keys rotate app" in caught.value.remedy
    with pytest.raises(NotFound, match="known: app"):
        kept.revoke(tmp_path, "other", now=now)


def test_the_environment_gives_keys_whole_or_hashed(tmp_path: Path) -> None:
    plain, hidden = kept.new_key(), kept.new_key()
    value = f"shop:predict+feedback:{plain}, watch:read:sha256={kept.hash_of(hidden)}"
    given = kept.from_environment({kept.VARIABLE: value})
    assert [(key.name, key.scopes) for key in given] == [("shop", ["predict", "feedback"]), ("watch", ["read"])]
    keys = Keys(tmp_path / "keys.json", FakeClock(), host="0.0.0.0", given=given)
    keys.check(bearer(plain), Scope.FEEDBACK)
    keys.check(bearer(hidden), Scope.READ)
    with pytest.raises(Unauthenticated, match="none was sent"):
        keys.check({}, Scope.READ)


@pytest.mark.parametrize(
    "value", ["secret", "a:predict:short-secret", "a:all:" + "x" * 40, "a:predict:sha256=abc", ":read:" + "x" * 40]
)
def test_a_wrong_entry_of_the_environment_is_told_without_showing_it(value: str) -> None:
    with pytest.raises(UsageError, match="Entry 1 of MAINSTAY_API_KEYS") as caught:
        kept.from_environment({kept.VARIABLE: value})
    assert "secret" not in caught.value.message
    assert "xxx" not in caught.value.message


def test_a_new_key_is_told_from_one_that_was_cut_off() -> None:
    key = kept.new_key(lambda count: "ab" * count)
    assert not kept.is_cut_off(key)
    assert not kept.is_cut_off("of another kind, which may be any length")
    for cut in (key[:-1], key[:40], key.replace("b", "c", 1)):
        assert kept.is_cut_off(cut)


def test_a_key_opens_what_its_scopes_name(made: Any) -> None:
    keys, path, _ = made
    write(path, app=["predict", "feedback"], boss=["admin"])
    keys.check(bearer("app"), Scope.PREDICT)
    keys.check({b"x-api-key": b"app"}, Scope.FEEDBACK)
    keys.check(bearer("boss"), Scope.READ)
    with pytest.raises(Refused, match="read is needed"):
        keys.check(bearer("app"), Scope.READ)


def test_no_key_and_a_strange_one_are_unauthenticated(made: Any) -> None:
    keys, path, _ = made
    write(path, app=["predict"])
    for headers in ({}, bearer("other"), {b"authorization": b"Basic app"}, {b"x-api-key": b" "}):
        with pytest.raises(Unauthenticated):
            keys.check(headers, Scope.PREDICT)


def test_a_revoked_key_is_out_within_a_second(made: Any) -> None:
    keys, path, clock = made
    write(path, app=["predict"], other=["read"])
    keys.check(bearer("app"), Scope.PREDICT)
    write(path, other=["read"])
    clock.advance(seconds=1.1)
    with pytest.raises(Unauthenticated):
        keys.check(bearer("app"), Scope.PREDICT)


def test_an_unreadable_key_file_lets_nobody_in(made: Any) -> None:
    keys, path, _ = made
    path.write_text("{")
    with pytest.raises(Damaged):
        keys.check(bearer("app"), Scope.PREDICT)
