"""The whole loop, by commands, HTTP and in a browser, as a person runs it: the stories of both examples."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from mainstay.drills import story
from onlooker import PATIENCE_S, Curtain

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT.parent / "shared" / "data" / "banking77"


def play(argv: list[str], summary: Path) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, *argv, "--exit", "--patience", PATIENCE, "--json", str(summary)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(summary.read_text(encoding="utf-8"))


def check(told: dict[str, object]) -> None:
    assert told["missed"] == []
    assert told["quiet_alarms"] == 0
    assert told["messy_statuses"] == [200]
    assert told["clean_before"]["accuracy"] - told["messy_before"]["accuracy"] > 0.20
    assert told["messy_after"]["accuracy"] > told["messy_before"]["accuracy"]
    assert told["incident"]["harm"] == "quality"
    assert told["detect_rows"] <= 200
    assert told["broken_exit"] == 4
    assert told["second_version"] == told["who_answers"]


PATIENCE = "5"
"""Times the stories' own deadlines, which are for whoever looks on."""
PATIENCE_MS = 1000 * PATIENCE_S
LABELS = 5
"""Given by keyboard; far fewer than a retraining needs, so that the story's own labels begin it."""


def the_end(stage: story.Stage) -> None:
    """The demo leaves its project running for whoever wants to look; here it waits for that person."""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(locale="en-GB", timezone_id="UTC", viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_support_desk_story_is_followed_in_a_browser_and_ends_as_it_must(page: Page, tmp_path: Path) -> None:
    """`make demo`, and a person beside it: alarm seen, incident read, labels given, rollout watched, rolled back."""
    summary = tmp_path / "summary.json"
    argv = [str(ROOT / "examples" / "support-desk"), "--work", str(tmp_path / "desk"), "--exit", "--json", str(summary)]
    argv += ["--patience", PATIENCE]
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    curtain = Curtain(story.act_messy, story.act_labels, story.act_broken, the_end)
    try:
        curtain.play(argv, [*story.ACTS, ("Somebody looks around", the_end)])
        stage = curtain.before(story.act_messy)
        page.on("request", lambda r: None if r.url.startswith(stage.web_url) else complaints.append(r.url))
        page.goto(stage.web_url)
        page.locator("h1", has_text="well").wait_for()
        page.evaluate("window.neverLoadedAgain = true")

        curtain.raise_(story.act_messy)
        sees_the_alarm(page, stage)
        curtain.before(story.act_labels)
        reads_what_is_known_by_now(page, stage)
        gives_labels(page, stage)

        curtain.raise_(story.act_labels)
        watches_the_rollout(page)
        curtain.before(story.act_broken)
        curtain.raise_(story.act_broken)
        # Two bad versions: the gate refuses one, the rollout takes the other back while its page is looked at.
        page.locator("#table-events").get_by_text("rolled back").first.wait_for()

        curtain.before(the_end)
        rolls_back(page, stage)
        assert curtain.end() == 0
    except BaseException:
        curtain.leave()
        raise
    told = json.loads(summary.read_text(encoding="utf-8"))
    assert told["who_answers"] == told["first_version"]
    check(told | {"who_answers": told["second_version"]})
    assert complaints == []


def sees_the_alarm(page: Page, stage: story.Stage) -> None:
    """The page that is open tells it by itself; the incident is read and somebody takes it."""
    page.locator("h1", has_text="unwell").wait_for()
    assert page.evaluate("window.neverLoadedAgain"), "the page was loaded anew instead of following"
    page.locator(".incident h3 a").first.click()
    page.wait_for_url("**/incidents/*")
    page.locator("#levels li", has_text="message.unseen").first.wait_for()
    assert page.locator("h1").inner_text().startswith("Answers are probably worse")
    assert "Estimated accuracy" in page.locator(".story").inner_text()
    assert page.locator("#table-examples tbody tr").count() > 0
    page.get_by_label("What did you find, what did you do?").fill("New users write otherwise: they are asked.")
    page.get_by_role("button", name="Add the note").click()
    page.locator(".timeline", has_text="New users write otherwise").wait_for()
    page.get_by_role("link", name="Acknowledge").click()
    page.get_by_role("button", name="Acknowledge").click()
    page.locator(".timeline", has_text="acknowledged").wait_for()


def reads_what_is_known_by_now(page: Page, stage: story.Stage) -> None:
    """What the watch told anew meanwhile stands on the page that was open all the time."""
    until = time.monotonic() + PATIENCE_S
    while page.locator("h1").inner_text() != stage.project.status().incidents[0].title:
        assert time.monotonic() < until
        page.wait_for_timeout(100)


def gives_labels(page: Page, stage: story.Stage) -> None:
    """The queue is filled and worked by keyboard alone; what the story judges by is put off, never labelled."""
    asked = story.rename(stage.files["feedback"] + stage.files["messy"], "m1")
    truth = {message.id: message.truth for message in asked}
    page.get_by_role("link", name="Review", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/review")
    page.locator("#count").focus()
    page.keyboard.press("Enter")
    given = 0
    here = page.locator("#waiting-title code")
    here.wait_for()
    page.wait_for_load_state()  # what takes keys runs after what is seen: one pressed in between is lost
    classes = stage.project.loaded.contract.classes
    while given < LABELS:
        id_ = here.inner_text()
        known = id_ in truth
        page.keyboard.press(str(classes.index(truth[id_]) + 1) if known else "s")
        given += known
        page.wait_for_url(f"**/review?last={id_}")
        here.wait_for()
    assert page.get_by_text(f"{LABELS} of ").is_visible()
    page.keyboard.press("u")  # the last one is taken back, and given again
    page.wait_for_url("**/review?at=*")
    page.get_by_text(f"{LABELS - 1} of ").wait_for()
    page.keyboard.press(str(classes.index(truth[here.inner_text()]) + 1))
    page.get_by_text(f"{LABELS} of ").wait_for()


def watches_the_rollout(page: Page) -> None:
    """A retrained version comes by itself, is compared, gets a part of the traffic, then all of it."""
    page.get_by_role("link", name="Rollout", exact=True).click()
    page.locator(".figure", has_text="support-desk@2").wait_for()
    page.locator("#limits .reach").first.wait_for(state="attached")
    page.locator("[aria-current=step]", has_text="of keys").wait_for()
    page.locator("#none").wait_for()
    page.locator("#table-events").get_by_text("certified").first.wait_for()


def rolls_back(page: Page, stage: story.Stage) -> None:
    """Pressed with a reason; from then on every answer comes from the version before."""
    assert bundles(stage) == {stage.results["second_version"]}
    page.get_by_role("link", name="Roll back to support-desk@1").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/do/rollback*")
    page.keyboard.type("The board wants the old one back.")
    page.get_by_role("button", name="Roll back").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/rollout")
    assert bundles(stage) == {stage.results["first_version"]}
    page.locator("#table-events").get_by_text("The board wants the old one back.").first.wait_for()
    page.get_by_role("link", name="Settings", exact=True).click()
    page.get_by_role("row", name="rollback").get_by_text("The board wants the old one back.").first.wait_for()


def bundles(stage: story.Stage) -> set[str]:
    """Return which versions answer 30 users."""
    asked = {"instances": [{"key": m.key, "inputs": m.inputs} for m in stage.files["quiet"][:30]]}
    answer = httpx.post(stage.predict_url, json=asked, timeout=120, trust_env=False)
    answer.raise_for_status()
    return {one["bundle"] for one in answer.json()["predictions"]}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_banking77_story_ends_as_it_must(tmp_path: Path) -> None:
    if not (PUBLISHED / "train.csv").is_file():
        pytest.skip("the published Banking77 set is not beside the repository (shared/data/banking77)")
    told = play(["examples/banking77/run.py", "--data", str(PUBLISHED)], tmp_path / "summary.json")
    check(told)


def test_banking77_without_its_data_says_where_the_set_is_published() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "MAINSTAY_DATA"}
    done = subprocess.run(
        [sys.executable, "examples/banking77/run.py", "--exit"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=600,
    )
    assert done.returncode == 2
    assert "PolyAI-LDN" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
