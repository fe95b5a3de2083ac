"""A card as one self-contained page: no script, no network."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, Template

from mainstay.modelcard.records import ModelCard

HERE = Path(__file__).parent


def document(card: ModelCard) -> str:
    """Return the page."""
    return _template().render(card=card)


@cache
def _template() -> Template:
    return Environment(loader=FileSystemLoader(HERE), autoescape=True).get_template("card.html")
