"""Pictures of the control room for docs/images, of a made-up model: empty, busy, and in an incident.

    python tools/screenshots.py [--into docs/images] [--only review]

Each page at 1440 and 390 px, in both themes. `--only`: those whose name holds the text.

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
from io import BytesIO
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from PIL import Image  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

import status_examples as examples  # noqa: E402
from mainstay.web import app as pages  # noqa: E402
from mainstay.web import server as servers  # noqa: E402
from room_examples import FakeRoom  # noqa: E402

MODEL = "/models/pump-check"
PAGES = (
    ("models", "/"),
    ("overview-empty", "/models/support-desk"),
    ("overview-busy", "/models/churn"),
    ("overview-incident", MODEL),
    ("over-time", f"{MODEL}/time"),
    ("incident", f"{MODEL}/incidents/17"),
    ("rollout", f"{MODEL}/rollout"),
    ("version", f"{MODEL}/versions/3"),
    ("prediction", f"{MODEL}/predictions/r-1?show=explanation"),
    ("review", f"{MODEL}/review?last=r-9"),
)
SCHEMES = ("light", "dark")
COLOURS = 128
"""Of a picture's palette: pages have few, and files a third of the size."""
HEIGHTS = {1440: 1000, 390: 844}


def main(arguments: Sequence[str] | None = None) -> int:
    """Make all pictures; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--only", default="")
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
        shoot(f"http://127.0.0.1:{bound.getsockname()[1]}", given.into, given.only)
    finally:
        server.should_exit = True
        thread.join(10)
    return 0


def shoot(address: str, into: Path, only: str = "") -> None:
    """Take every picture."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        for (width, height), scheme in product(HEIGHTS.items(), SCHEMES):
            size = {"width": width, "height": height}
            context = browser.new_context(viewport=size, color_scheme=scheme, locale="en-GB", timezone_id="UTC")
            page = context.new_page()
            for name, path in PAGES:
                file = into / f"control-room-{name}-{width}-{scheme}.png"
                if only not in file.name:
                    continue
                page.goto(address + path)
                if "time" in path:
                    page.locator("#plots[data-drawn]").wait_for()
                picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
                picture.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
                print(f"{file.name} {file.stat().st_size // 1024} kB")
            context.close()
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
