from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.config.settings import Settings
from mainstay.container import packaged as packages
from mainstay.container.packaged import Packaged
from mainstay.models.load import load
from mainstay.testing.models import make_bundle


@pytest.fixture
def packaged(tmp_path: Path) -> Path:
    """Return a folder with a packaged version."""
    bundle = make_bundle(tmp_path / "bundles", lineage={"train": "t1"})
    about = Packaged(model="weather", version=4, digest=bundle.digest, mainstay="0.1.0", python="3.11")
    settings = Settings.model_validate({"serve": {"port": 7000, "workers": 2, "host": "127.0.0.1"}})
    folder = tmp_path / "packaged"
    packages.write_packaged(folder, about, bundle=bundle, contract=load(bundle).contract, settings=settings)
    return folder
