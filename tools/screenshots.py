"""Pictures of the control room for docs/images, of a made-up model: empty, busy, and in an incident.

    python tools/screenshots.py [--into docs/images]

Needs Chromium and Playwright (`make setup`). The rooms are those of the tests (tests/room_examples.py).
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from playwright.sync_api import sync_playwright  # noqa: E402

import status_examples as examples  # noqa: E402
from mainstay.web import app as pages  # noqa: E402
from mainstay.web import server as servers  # noqa: E402
from room_examples import FakeRoom  # noqa: E402

MODEL = "/models/pump-check"
SHOTS = (
    ("models", "/", 1440, "light"),
    ("models", "/", 390, "dark"),
    ("overview-incident", MODEL, 1440, "light"),
    ("overview-incident", MODEL, 390, "dark"),
    ("overview-well", "/models/churn", 1440, "dark"),
    ("overview-empty", "/models/support-desk", 390, "light"),
    ("over-time", f"{MODEL}/time", 1440, "light"),
    ("over-time", f"{MODEL}/time", 1440, "dark"),
    ("over-time", f"{MODEL}/time", 390, "light"),
    ("incident", f"{MODEL}/incidents/17", 1440, "light"),
    ("incident", f"{MODEL}/incidents/17", 390, "dark"),
    ("rollout", f"{MODEL}/rollout", 1440, "light"),
    ("version", f"{MODEL}/versions/3", 1440, "dark"),
    ("prediction", f"{MODEL}/predictions/r-1?show=explanation", 1440, "light"),
)
HEIGHTS = {1440: 1000, 390: 844}


def main(arguments: Sequence[str] | None = None) -> int:
    """Make all pictures; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=ROOT / "docs" / "images")
    given = parser.parse_args(arguments)
    given.into.mkdir(parents=True, exist_ok=True)
    rooms = {
        room.name: room
        for room in (
            FakeRoom(),
            FakeRoom(name="churn", read=examples.well),
            FakeRoom(name="support-desk", read=examples.empty),
        )
    }
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    server = servers.server_of(pages.create_app(rooms, host="127.0.0.1"))
    thread = threading.Thread(target=asyncio.run, args=(servers.serve(server, bound),))
    thread.start()
    try:
        shoot(f"http://127.0.0.1:{bound.getsockname()[1]}", given.into)
    finally:
        server.should_exit = True
        thread.join(10)
    return 0


def shoot(address: str, into: Path) -> None:
    """Take every picture."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        for name, path, width, scheme in SHOTS:
            size = {"width": width, "height": HEIGHTS[width]}
            context = browser.new_context(viewport=size, color_scheme=scheme, locale="en-GB", timezone_id="UTC")
            page = context.new_page()
            page.goto(address + path)
            if "time" in path:
                page.locator("#plots[data-drawn]").wait_for()
            file = into / f"control-room-{name}-{width}-{scheme}.png"
            page.screenshot(path=file)
            print(f"{file.name} {file.stat().st_size // 1024} kB")
            context.close()
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
