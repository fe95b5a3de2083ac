"""The overview page in a real browser, served by the real application."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import status_examples as examples
from mainstay.status.records import Status
from mainstay.web import app as pages
from mainstay.web import server as servers
from room_examples import FakeRoom

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = '<script>document.title = "owned"</script><img src=x onerror="document.title=\'owned\'">'
LONG = " " + "w" * 300
SCHEMES = ("light", "dark")
WIDTHS = (1440, 390)


@contextmanager
def served(read: Callable[[], Status], room: FakeRoom | None = None) -> Iterator[str]:
    room = room or FakeRoom(read=read)
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    server = servers.server_of(pages.create_app({room.name: room}, host="127.0.0.1"))
    thread = threading.Thread(target=asyncio.run, args=(servers.serve(server, bound),))
    thread.start()
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(120)
        bound.close()


@contextmanager
def looked_at(browser: Browser, address: str, **options: Any) -> Iterator[tuple[Page, list[str]]]:
    """Open the page; the list holds everything the browser complained about or asked of another server."""
    page = browser.new_page(**options)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(address) else complaints.append(request.url))
    try:
        page.goto(address)
        yield page, complaints
    finally:
        page.close()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("status", [examples.empty, examples.well, examples.unwell], ids=lambda made: made.__name__)
def test_the_page_fits_its_width_and_asks_no_other_server(
    browser: Browser, status: Callable[[], Status], scheme: str, width: int
) -> None:
    options = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme}
    with served(status) as address, looked_at(browser, address, **options) as (page, complaints):
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.locator("h1").inner_text() == status().summary.health.value
        folder = os.environ.get("MAINSTAY_SCREENSHOTS")
        if folder:
            page.screenshot(path=Path(folder) / f"{status.__name__}-{width}-{scheme}.png", full_page=True)
        assert complaints == []


@pytest.mark.parametrize("width", WIDTHS)
def test_hostile_and_endless_text_is_shown_and_does_nothing(browser: Browser, width: int) -> None:
    def status() -> Status:
        return examples.unwell(HOSTILE + LONG)

    with (
        served(status) as address,
        looked_at(browser, address, viewport={"width": width, "height": 900}) as (page, complaints),
    ):
        assert page.title() == "pump-check: unwell"
        assert page.locator("main script, main img").count() == 0
        assert HOSTILE in page.locator("main").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert complaints == []


CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const channel = (c) => { c /= 255; return c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const found = parse(getComputedStyle(node).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const weak = [];
  for (const node of document.querySelectorAll("main *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || node.closest("svg")) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(ground(node))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) weak.push(`${node.className || node.tagName}: ${ratio.toFixed(2)}`);
  }
  return weak;
}"""


@pytest.mark.parametrize("scheme", SCHEMES)
def test_all_text_has_the_contrast_that_wcag_aa_asks_for(browser: Browser, scheme: str) -> None:
    with served(examples.unwell) as address, looked_at(browser, address, color_scheme=scheme) as (page, _):
        assert page.evaluate(CONTRAST) == []


def test_the_page_follows_by_itself_and_keeps_what_was_opened(browser: Browser) -> None:
    room = FakeRoom()
    with served(room.read, room) as address, looked_at(browser, address) as (page, complaints):
        page.locator("#past summary").click()
        room.wait_for_the_feed()
        room.read, room.beat = (lambda: examples.unwell(" now")), "2"
        page.locator(".why", has_text="before now").wait_for(timeout=60_000)
        assert page.locator("#past").get_attribute("open") is not None
        assert complaints == []


def test_a_server_that_went_away_is_told_on_the_page(browser: Browser) -> None:
    with served(examples.well) as address:
        page = browser.new_page()
        page.goto(address)
    page.wait_for_selector("#lost:not([hidden])", timeout=30_000)
    assert page.locator("#lost").inner_text().startswith("Mainstay does not answer.")
    page.close()
