"""Who may look and act in the control room: sessions, forms, keys, other users of the machine."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from mainstay.api.keys import Keys
from mainstay.serve import keys as kept
from mainstay.testing.clock import FakeClock
from mainstay.web import app as pages
from mainstay.web import peers, routes
from mainstay.web.acts import ACTS
from mainstay.web.sessions import COOKIE, LASTS
from room_examples import NOW, FakeRoom

ABORT = "/models/pump-check/do/abort"
HTML = {"accept": "text/html"}


class Visit:
    """A browser: keeps cookies, follows nothing by itself."""

    def __init__(self, shell: pages.Shell, **headers: str) -> None:
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(shell, raise_app_exceptions=False, client=("127.0.0.1", 40000)),
            base_url="http://127.0.0.1:8081",
            headers=HTML | headers,
        )

    def get(self, path: str, **more: Any) -> httpx.Response:
        return asyncio.run(self.client.get(path, **more))

    def post(self, path: str, data: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        return asyncio.run(self.client.post(path, data=data, **more))

    def token(self, path: str) -> str:
        return re.findall(r'name="csrf" value="([0-9a-f]+)"', self.get(path).text)[0]


def local(room: FakeRoom | None = None, ours: bool | None = True) -> tuple[Visit, FakeRoom]:
    room = room or FakeRoom()
    shell = pages.create_app({room.name: room}, host="127.0.0.1")
    shell.inner.access._is_ours = lambda host, port: ours
    return Visit(shell), room


@pytest.fixture
def elsewhere(tmp_path: Path) -> tuple[Callable[..., Visit], dict[str, str], FakeRoom, Callable[[], None]]:
    """Return what opens browsers elsewhere, the keys by scope, the room, and what revokes the key named read."""
    clock = FakeClock(NOW)
    keys = {
        scope: kept.add(tmp_path, scope, scopes=[scope], rate=0, lifetime=None, now=NOW)
        for scope in ("read", "admin", "predict")
    }
    room = FakeRoom()
    door = Keys(tmp_path / "keys.json", clock, host="0.0.0.0")
    shell = pages.create_app({room.name: room}, host="0.0.0.0", keys={room.name: door})

    def revoke() -> None:
        kept.revoke(tmp_path, "read", now=NOW)
        clock.sleep(1.0)

    return (lambda **headers: Visit(shell, **headers)), keys, room, revoke


def abort(visit: Visit, **more: Any) -> httpx.Response:
    data = {"csrf": visit.token(f"{ABORT}?subject=4"), "subject": "4", "reason": "slow"}
    return visit.post(ABORT, data, **more)


def test_an_act_is_done_once_its_form_was_sent_and_leads_to_where_it_shows() -> None:
    visit, room = local()
    answer = abort(visit, headers={"origin": "http://127.0.0.1:8081", "sec-fetch-site": "same-origin"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/models/pump-check/rollout")
    assert [done[0] for done in room.done] == ["abort"]


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://localhost"},
    ],
)
def test_a_form_of_another_place_does_nothing(headers: dict[str, str]) -> None:
    visit, room = local()
    assert abort(visit, headers=headers).status_code == 403
    assert room.done == []


@pytest.mark.parametrize("token", ["", "0" * 64, "é"])
def test_a_form_without_the_session_s_token_does_nothing(token: str) -> None:
    visit, room = local()
    assert visit.post(ABORT, {"csrf": token, "subject": "4", "reason": "x"}).status_code == 403
    assert room.done == []


def test_an_act_that_needs_a_reason_is_not_done_without_one() -> None:
    visit, room = local()
    data = {"csrf": visit.token(f"{ABORT}?subject=4"), "subject": "4", "reason": "  "}
    assert visit.post(ABORT, data).status_code == 400
    assert room.done == []


def test_a_process_of_another_user_reads_on_loopback_and_does_nothing() -> None:
    visit, room = local(ours=False)
    assert visit.get("/").status_code == 200
    assert abort(visit).status_code == 403
    assert room.done == []


def test_the_kernel_tells_whose_connection_it_is() -> None:
    if not Path("/proc/net/tcp").exists():
        pytest.skip("only Linux tells")
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as peer:
        assert peers.uid_of(*peer.getsockname()) == os.getuid()
        assert peers.is_this_user(*peer.getsockname()) is True
    assert peers.uid_of("127.0.0.1", 1) is None
    assert peers.uid_of("no address", 1) is None


def test_a_get_changes_nothing_whatever_its_address() -> None:
    visit, room = local()
    for act in ACTS:
        assert visit.get(f"/models/pump-check/do/{act.name}?subject=17&reason=x&csrf=x").status_code == 200
    assert room.done == []


def test_from_elsewhere_a_browser_is_led_to_the_login_and_back(elsewhere: Any) -> None:
    visits, keys, _, _ = elsewhere
    visit = visits()
    asked = visit.get("/models/pump-check/time?from=2026-03-09T06:00")
    assert asked.status_code == 303
    assert asked.headers["location"].startswith("/login?next=%2Fmodels%2Fpump-check%2Ftime")
    form = visit.get(asked.headers["location"])
    assert 'type="password"' in form.text
    where = re.findall(r'name="next" value="([^"]+)"', form.text)[0]
    answer = visit.post("/login", {"csrf": visit.token("/login"), "key": keys["read"], "next": where})
    assert (answer.status_code, answer.headers["location"]) == (303, "/models/pump-check/time?from=2026-03-09T06:00")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(COOKIE)
    assert {"HttpOnly", "SameSite=Strict", "Path=/", f"Max-Age={int(LASTS.total_seconds())}"} <= set(cookie.split("; "))
    assert keys["read"] not in cookie
    assert visit.get("/models/pump-check").status_code == 200


def test_behind_tls_the_cookie_is_sent_over_tls_alone(elsewhere: Any) -> None:
    visits, keys, _, _ = elsewhere
    visit = visits(**{"x-forwarded-proto": "https"})
    answer = visit.post("/login", {"csrf": visit.token("/login"), "key": keys["read"]})
    assert answer.headers["set-cookie"].endswith("Secure")


@pytest.mark.parametrize("where", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_the_login_leads_to_no_other_server(elsewhere: Any, where: str) -> None:
    visits, keys, _, _ = elsewhere
    visit = visits()
    answer = visit.post("/login", {"csrf": visit.token("/login"), "key": keys["read"], "next": where})
    assert answer.headers["location"] == "/"


def logged_in(visits: Callable[..., Visit], key: str) -> Visit:
    visit = visits()
    assert visit.post("/login", {"csrf": visit.token("/login"), "key": key}).status_code == 303
    return visit


def test_a_key_for_reading_sees_pages_and_does_nothing_and_admin_does(elsewhere: Any) -> None:
    visits, keys, room, _ = elsewhere
    assert abort(logged_in(visits, keys["read"])).status_code == 403
    assert room.done == []
    assert abort(logged_in(visits, keys["admin"])).status_code == 303
    assert room.done == [("abort", "slow", "admin")]


def test_a_revoked_key_ends_its_sessions(elsewhere: Any) -> None:
    visits, keys, _, revoke = elsewhere
    visit = logged_in(visits, keys["read"])
    assert visit.get("/").status_code == 200
    revoke()
    assert visit.get("/").status_code == 303


def test_leaving_ends_the_session_whoever_kept_the_cookie(elsewhere: Any) -> None:
    visits, keys, _, _ = elsewhere
    visit = logged_in(visits, keys["read"])
    cookie = visit.client.cookies[COOKIE]
    assert visit.post("/logout", {"csrf": visit.token("/")}).status_code == 303
    assert visits(cookie=f"{COOKIE}={cookie}").get("/").status_code == 303


def test_a_token_of_one_session_opens_no_form_of_another(elsewhere: Any) -> None:
    visits, keys, room, _ = elsewhere
    one, other = logged_in(visits, keys["admin"]), logged_in(visits, keys["admin"])
    data = {"csrf": one.token(f"{ABORT}?subject=4"), "subject": "4", "reason": "x"}
    assert other.post(ABORT, data).status_code == 403
    assert room.done == []


def test_guessing_keys_is_slowed_down(elsewhere: Any) -> None:
    visits, _, _, _ = elsewhere
    visit = visits()
    token = visit.token("/login")
    codes = [visit.post("/login", {"csrf": token, "key": f"guess{i}"}).status_code for i in range(12)]
    assert codes == [401] * 10 + [429] * 2


def test_every_route_asks_who_is_there(elsewhere: Any) -> None:
    visits, keys, _, _ = elsewhere
    paths = ["/", "/events", "/metrics", "/healthz", f"{ABORT}?subject=4"]
    for one in (*routes.PAGES, *routes.DOCUMENTS):
        paths.append(one.path.replace("{id:path}", "r-1").format(model="pump-check", number="3", delivery="ab"))
    for path in paths:
        assert visits().get(path).status_code in (303, 401), path
        assert visits(authorization=f"Bearer {keys['predict']}").get(path).status_code == 403, path


def test_several_models_are_shown_to_whom_their_own_keys_let_in(tmp_path: Path) -> None:
    rooms, doors, keys = {}, {}, {}
    for name in ("a", "b"):
        keys[name] = kept.add(tmp_path / name, "k", scopes=["read"], rate=0, lifetime=None, now=NOW)
        rooms[name] = FakeRoom(name=name)
        doors[name] = Keys(tmp_path / name / "keys.json", FakeClock(NOW), host="0.0.0.0")
    shell = pages.create_app(rooms, host="0.0.0.0", keys=doors)
    visit = Visit(shell, authorization=f"Bearer {keys['b']}")
    assert visit.get("/").status_code == 200
    assert "/models/a" not in visit.get("/models").text
    assert visit.get("/models/b").status_code == 200
    assert visit.get("/models/a").status_code in (303, 401)


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}, 403),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, 200),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}, 200),
        ({"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}, 200),
        ({}, 200),
    ],
)
def test_a_page_elsewhere_may_lead_here_and_causes_no_work_by_itself(told: dict[str, str], status: int) -> None:
    room = FakeRoom()
    visit = Visit(pages.create_app({room.name: room}, host="127.0.0.1"), **told)
    assert visit.get("/models/pump-check/predictions/r-1?show=all").status_code == status
