"""What several folders of tests share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from loop_kit import Shop


@pytest.fixture(scope="session")
def trained_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Return a shop with two trained versions, to be copied by each test."""
    from loop_kit import make_shop

    made = make_shop(tmp_path_factory.mktemp("trained") / "shop")
    yield made
    made.close()
