"""docs/configuration.md is what the settings table says."""

from __future__ import annotations

from pathlib import Path

from mainstay.config.document import render

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_configuration_page_is_made_from_the_settings_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run `make docs`"
