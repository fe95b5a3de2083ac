"""The control room in a real browser: what axe finds, hostile text, keyboard, plots, acts."""

from __future__ import annotations

import asyncio
import csv
import html
import io
import os
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import status_examples as examples
from mainstay.core.showable import showable
from mainstay.web import app as pages
from mainstay.web import server as servers
from room_examples import FakeRoom

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
MODEL = "/models/pump-check"
EVERY = (
    "/",
    "/models",
    MODEL,
    f"{MODEL}/time",
    f"{MODEL}/incidents",
    f"{MODEL}/incidents/17",
    f"{MODEL}/rollout",
    f"{MODEL}/versions",
    f"{MODEL}/versions/3",
    f"{MODEL}/versions/3/card",
    f"{MODEL}/compare?one=2&other=3",
    f"{MODEL}/predictions",
    f"{MODEL}/predictions/r-1?show=explanation",
    f"{MODEL}/predictions/r-1?show=all",
    f"{MODEL}/review",
    f"{MODEL}/data",
    f"{MODEL}/data/deliveries/abababababababab",
    f"{MODEL}/quality",
    f"{MODEL}/scorecard",
    f"{MODEL}/drills",
    f"{MODEL}/settings",
    f"{MODEL}/do/rollback?subject=pump-check@2",
    "/models/none",
)
NAUGHTY = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "'><svg onload=alert(1)>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "${7*7}#{7*7}",
    "</textarea><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "&lt;b&gt;&amp;amp;",
    '=HYPERLINK("http://x.invalid")',
    "+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd",
    "\u202egnp.exe\u202c",
    "\u200b\u200b\ufeff",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334",
    "田中さんにあげて下さい",
    "الكل في المجمو عة",
    "👩‍👩‍👧‍👦 🇺🇸",
    "' OR 1=1 --",
    "w" * 300,
)


@contextmanager
def served(*rooms: FakeRoom) -> Iterator[str]:
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    server = servers.server_of(pages.create_app({room.name: room for room in rooms}, host="127.0.0.1"))
    thread = threading.Thread(target=asyncio.run, args=(servers.serve(server, bound),))
    thread.start()
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(120)
        bound.close()


@contextmanager
def opened(browser: Browser, address: str, **options: Any) -> Iterator[tuple[Page, list[str]]]:
    context = browser.new_context(bypass_csp=False, **options)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith((address, "data:", "blob:")) else complaints.append(r.url))
    try:
        yield page, complaints
    finally:
        context.close()


OF_COLOUR = ("color-contrast", "link-in-text-block")
"""The rules that a theme can break: all that it changes are colours."""
LOOKS = [(width, scheme) for width in (1440, 390) for scheme in ("light", "dark")]
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
  let least = 21;
  for (const node of document.querySelectorAll("#page *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || node.closest("svg, .u-over") || !node.checkVisibility()) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(ground(node))];
    least = Math.min(least, (Math.max(a, b) + .05) / (Math.min(a, b) + .05));
  }
  return Math.round(100 * least) / 100;
}"""
UNSEEN = """() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
  .filter((node) => node.checkVisibility() && node.type !== "hidden")
  .filter((node) => {
    node.focus({focusVisible: true, preventScroll: true});
    const style = getComputedStyle(node);
    const seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    return document.activeElement !== node || !seen;
  }).map((node) => node.outerHTML.slice(0, 120))"""
MOUSE_ALONE = """() => [...document.querySelectorAll("#page [onclick], #page [role=button]:not(button, a, [tabindex])")]
  .map((node) => node.outerHTML.slice(0, 120))"""


def findings(page: Page, rules: Sequence[str] = ()) -> tuple[list[str], int]:
    """Return what axe finds that is serious or critical, and how many rules a page keeps; of all rules, or of some."""
    options = {"resultTypes": ["violations", "passes"]} | ({"runOnly": list(rules)} if rules else {})
    found = page.evaluate("(options) => axe.run(document, options)", options)
    wrong = [
        f"{one['id']}: {node['target']} {node['failureSummary'][:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]
    return wrong, len(found["passes"])


def test_every_page_is_for_everybody_in_both_themes_and_widths(browser: Browser) -> None:
    """axe finds nothing serious, text has a contrast of 4.5 and more, and focus is seen wherever it can be."""
    found: dict[str, Any] = {}
    told: list[str] = []
    with (
        served(FakeRoom(), FakeRoom(name="churn", read=examples.empty)) as address,
        opened(browser, address) as (page, _),
    ):
        for path in EVERY:
            page.goto(address + path)
            page.evaluate(AXE)
            kept, least = [], []
            for width, scheme in LOOKS:
                page.set_viewport_size({"width": width, "height": 900})
                page.emulate_media(color_scheme=scheme)
                wrong, passed = findings(page, OF_COLOUR if scheme == "dark" else ())
                contrast = page.evaluate(CONTRAST)
                if wrong or contrast < 4.5:
                    found[f"{path} {width} {scheme}"] = (wrong, contrast)
                kept += [] if scheme == "dark" else [passed]
                least.append(contrast)
            if wrong := page.evaluate(UNSEEN) + page.evaluate(MOUSE_ALONE):
                found[path] = wrong
            told.append(f"| `{path}` | {min(kept)} | 0 | {min(least):.2f} |")
    assert found == {}
    if report := os.environ.get("MAINSTAY_AXE_REPORT"):
        Path(report).write_text(REPORT + "\n".join(told) + "\n", encoding="utf-8")


REPORT = """# What axe finds on the pages

Written by a test: `MAINSTAY_AXE_REPORT=docs/accessibility.md python -m pytest tests/acceptance/test_control_room.py`.
axe-core over every page of a made-up model in which everything has something to say, in light and dark, at 1440
and 390 px. Of four looks the fewest rules that a page keeps, findings that are serious or critical (in dark by the
rules of colour), and the least contrast of any text with what lies behind it (WCAG AA asks for 4.5).

| page | rules kept | serious or critical | least contrast |
|---|---|---|---|
"""
SILENT = {"/models/none", f"{MODEL}/do/rollback?subject=pump-check@2"}
"""Pages that show nothing that anybody wrote."""
FORMULA = ("=", "+", "@", "\t", "\r", "＝", "＋", "＠")


def test_naughty_strings_are_in_csv_files_what_no_spreadsheet_runs() -> None:
    found = 0
    text = "=1+1 " + " ".join(NAUGHTY)
    room = FakeRoom(read=lambda: examples.unwell(text), text=text)
    with served(room) as address, httpx.Client(base_url=address, trust_env=False, timeout=120) as client:
        for path in EVERY:
            for link in dict.fromkeys(re.findall(r'class="download" href="([^"]+)"', client.get(path).text)):
                answer = client.get(html.unescape(link))
                answer.raise_for_status()
                for row in csv.reader(io.StringIO(answer.text)):
                    assert not [cell for cell in row if cell.startswith(FORMULA)], link
                    found += 1
    assert found > 100


@pytest.mark.parametrize("width", [1440, 390])
def test_naughty_strings_are_text_on_every_page_and_ask_no_other_server(browser: Browser, width: int) -> None:
    text = " ".join(NAUGHTY)
    room = FakeRoom(read=lambda: examples.unwell(text), text=text)
    silent: dict[str, list[str]] = {}
    with (
        served(room) as address,
        opened(browser, address, viewport={"width": width, "height": 900}) as (page, complaints),
    ):
        for path in EVERY:
            page.goto(address + path)
            page.wait_for_load_state("load")
            assert page.title() != "owned"
            assert page.locator("main script, main img, main iframe").count() == 0
            shown = page.locator("main").text_content() or ""
            if missing := [one for one in NAUGHTY if showable(one) not in shown]:
                silent[path] = missing
            assert page.evaluate("document.documentElement.scrollWidth") == width, path
        complaints = [one for one in complaints if "404" not in one]
        assert complaints == []
        assert set(silent) <= SILENT, silent


def test_plots_are_drawn_brushed_and_clicked(browser: Browser) -> None:
    with (
        served(FakeRoom()) as address,
        opened(browser, address, viewport={"width": 1200, "height": 900}) as (page, complaints),
    ):
        page.goto(f"{address}{MODEL}/time")
        page.locator("#plots[data-drawn='5']").wait_for()
        over = page.locator("#plot-quality .u-over")
        box = over.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 200, box["y"] + 60)
        page.mouse.down()
        page.mouse.move(box["x"] + 500, box["y"] + 60, steps=5)
        page.mouse.up()
        page.wait_for_url("**/time?from=*&to=*")
        page.locator("#plots[data-drawn='5']").wait_for()
        with page.expect_download() as download:
            page.locator("[data-download='plot-quality']").click()
        assert download.value.suggested_filename.endswith("quality.png")
        page.locator("#plot-traffic .u-over").click(position={"x": 300, "y": 40})
        page.wait_for_url("**/predictions?from=*&to=*")
        page.go_back()
        page.wait_for_url("**/time?from=*&to=*")
        assert complaints == []


def test_plots_are_read_brushed_and_followed_by_keyboard_alone(browser: Browser) -> None:
    with served(FakeRoom()) as address, opened(browser, address) as (page, complaints):
        page.goto(f"{address}{MODEL}/time")
        page.locator("#plots[data-drawn='5']").wait_for()
        for plot in ("quality", "heat"):
            page.locator(f"#plot-{plot}").focus()
            page.keyboard.press("Home")
            page.keyboard.press("ArrowRight")
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.locator("#plot-quality").focus()
        page.keyboard.press("ArrowRight")
        assert "estimated: 9" in page.locator("#told").inner_text()
        page.keyboard.press("Enter")
        page.wait_for_url("**/predictions?from=*&to=*")
        page.go_back()
        page.locator("#plots[data-drawn='5']").wait_for()
        page.locator("#plot-traffic").focus()
        page.keyboard.press("End")
        for _ in range(5):
            page.keyboard.press("Shift+ArrowLeft")
        page.keyboard.press("Enter")
        page.wait_for_url("**/time?from=*&to=*")
        assert complaints == []


def test_an_incident_draws_then_beside_now_and_follows_what_is_told_anew(browser: Browser) -> None:
    room = FakeRoom()
    with served(room) as address, opened(browser, address) as (page, complaints):
        page.goto(f"{address}{MODEL}/incidents/17")
        page.locator(".figure-plot [data-drawn] canvas").nth(2).wait_for()
        first = page.locator(".figure-plot").first
        assert first.locator(".u-legend .u-label").all_inner_texts()[1:] == ["reference", "since it began"]
        first.get_by_text("As a table").click()
        assert first.locator(".rows tbody tr").all_inner_texts()[0].split() == [
            "brine",
            "40",
            "10.0",
            "%",
            "72",
            "34.0",
            "%",
        ]
        with page.expect_download() as download:
            first.get_by_role("button", name="PNG of medium").click()
        assert download.value.suggested_filename.endswith("shape-0-medium.png")
        with page.expect_download() as download:
            first.get_by_role("link", name="CSV").click()
        assert Path(download.value.path()).read_text().splitlines()[1] == "brine,40,0.1,72,0.339623"
        room.wait_for_the_feed()
        room.text, room.beat = " (changed)", "2"
        page.locator("h1", has_text="(changed)").wait_for(timeout=60_000)
        page.locator(".figure-plot .rows th", has_text="brine (changed)").first.wait_for(state="attached")
        assert page.locator(".figure-plot canvas").count() == 4
        assert complaints == []


def test_an_act_is_confirmed_with_a_reason_by_keyboard_alone(browser: Browser) -> None:
    room = FakeRoom()
    with served(room) as address, opened(browser, address) as (page, complaints):
        page.goto(f"{address}{MODEL}/rollout")
        page.get_by_role("link", name="Abort pump-check@4").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/do/abort*")
        assert page.evaluate("document.activeElement.id") == "reason"
        page.keyboard.type("It is slower")
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        page.wait_for_url("**/rollout")
        assert [done[:2] for done in room.done] == [("abort", "It is slower")]
        assert complaints == []


def test_the_queue_is_worked_by_keys_with_the_guess_hidden_until_asked_for(browser: Browser) -> None:
    room = FakeRoom()
    with served(room) as address, opened(browser, address) as (page, complaints):
        page.goto(f"{address}{MODEL}/review")
        assert page.locator("main strong").count() == 0
        page.keyboard.press("g")
        page.locator("main strong", has_text="fine").wait_for()
        page.wait_for_load_state()  # what takes keys runs after what is seen
        page.keyboard.press("2")
        page.wait_for_url("**/review?last=r-1&guess=1")
        page.keyboard.press("s")
        page.wait_for_url("**/review?last=r-2&guess=1")
        page.keyboard.press("n")
        page.wait_for_url("**/review?last=r-3&guess=1")
        assert [done[:3] for done in room.done] == [
            ("label", "r-1", "worn"),
            ("review_mark", "r-2", "skipped"),
            ("review_mark", "r-3", "unsure"),
        ]
        page.keyboard.press("u")
        page.wait_for_url("**/review?at=r-3&guess=1")
        assert room.done[-1][:2] == ("review_undo", "r-3")
        page.get_by_role("button", name="Draw more").click()
        page.wait_for_url("**/review")
        assert room.done[-1][:2] == ("review_draw", 50)
        assert complaints == []


def test_what_is_typed_stays_while_the_page_follows(browser: Browser) -> None:
    room = FakeRoom()
    with served(room) as address, opened(browser, address) as (page, complaints):
        page.goto(f"{address}{MODEL}/incidents/17")
        page.locator("#note-text").fill("half a sent")
        room.wait_for_the_feed()
        room.text, room.beat = " (changed)", "2"
        page.locator("h1", has_text="(changed)").wait_for(timeout=60_000)
        assert page.locator("#note-text").input_value() == "half a sent"
        assert page.evaluate("document.activeElement.id") == "note-text"
        assert complaints == []


def test_without_javascript_pages_read_and_act(browser: Browser) -> None:
    room = FakeRoom()
    with served(room) as address, opened(browser, address, java_script_enabled=False) as (page, _):
        page.goto(f"{address}{MODEL}/incidents/17")
        assert page.locator(".top time").inner_text().endswith("UTC")
        page.get_by_role("link", name="Acknowledge").click()
        page.get_by_role("button", name="Acknowledge").click()
        page.wait_for_url("**/incidents/17")
        assert room.done[0][:2] == ("move", 17)
