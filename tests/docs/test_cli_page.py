from __future__ import annotations

from pathlib import Path

from mainstay.cli import document

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_page_of_commands_is_what_their_help_says() -> None:
    assert document.page() == PAGE.read_text(encoding="utf-8"), "run: python -m mainstay.cli.document > docs/cli.md"
