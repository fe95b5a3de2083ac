from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import BaseModel, ValidationError

from mainstay.config import settings, tree
from mainstay.config.settings import Settings

SECTIONS = [
    one
    for one in vars(settings).values()
    if isinstance(one, type) and issubclass(one, settings.Section) and one is not settings.Section
]
UNITS = {"_s": "seconds", "_ms": "milliseconds", "_mb": "MB", "_kb": "kB", "_gb": "GB", "_hours": "hours"}


def keys() -> Iterator[tuple[str, str, str]]:
    for section in SECTIONS:
        for name, field in section.model_fields.items():
            if tree.model_of(field.annotation) is None:
                yield section.__name__, name, field.description or ""


def test_every_key_has_a_help_text() -> None:
    assert [(section, name) for section, name, text in keys() if not text.strip()] == []


def test_a_key_with_a_unit_in_its_name_says_it_in_its_help() -> None:
    missing = [
        (section, name)
        for section, name, text in keys()
        for ending, unit in UNITS.items()
        if name.endswith(ending) and unit not in text
    ]
    assert missing == []


def test_everything_has_a_default() -> None:
    assert Settings().serve.port == 8080


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_refuses_unknown_keys_and_never_changes(section: type[BaseModel]) -> None:
    assert section.model_config.get("extra") == "forbid"
    assert section.model_config.get("frozen") is True


def test_infinity_is_no_setting() -> None:
    with pytest.raises(ValidationError):
        settings.LoopSettings(interval_s=float("inf"))
