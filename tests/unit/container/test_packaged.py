"""The folder that an image holds."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from mainstay.config import load as config
from mainstay.container import packaged as packages
from mainstay.core.errors import Damaged, EnvironmentFault
from mainstay.models.load import load


def test_a_packaged_version_opens_and_its_project_file_says_how_to_serve_and_the_bundles_contract(
    packaged: Path,
) -> None:
    about, bundle = packages.open_packaged(packaged)
    assert about.name == "weather@4"
    loaded = config.load(packaged, environ={})
    assert loaded.contract == load(bundle).contract
    serve = loaded.settings.serve
    assert (serve.host, serve.port, serve.workers) == ("0.0.0.0", 8080, 2)


def test_the_environment_wins_over_the_packaged_file(packaged: Path) -> None:
    assert config.load(packaged, environ={"MAINSTAY_SERVE__WORKERS": "3"}).settings.serve.workers == 3


def test_the_project_file_names_no_data_no_store_and_no_address(packaged: Path) -> None:
    text = (packaged / "mainstay.toml").read_text()
    assert [
        word for word in ("train", "store", "registry", "alerts", "csv") if f"[{word}" in text or f"{word} =" in text
    ] == []


def test_every_user_can_read_it_and_nobody_but_the_owner_write(packaged: Path) -> None:
    modes = {stat.S_IMODE(path.stat().st_mode) for path in packaged.rglob("*") if path.is_file()}
    folders = {stat.S_IMODE(path.stat().st_mode) for path in (packaged, *packaged.rglob("*")) if path.is_dir()}
    assert (modes, folders) == ({0o644}, {0o755})


def test_a_damaged_file_is_named_with_the_version_and_the_remedy(packaged: Path) -> None:
    (model,) = packaged.rglob("model.pkl")
    model.write_bytes(b"another")
    with pytest.raises(Damaged, match=r"weather@4 cannot be served: .*model\.pkl has digest") as caught:
        packages.open_packaged(packaged)
    assert "mainstay package" in caught.value.remedy


def test_a_bundle_that_is_not_the_one_that_was_named_is_refused(packaged: Path) -> None:
    told = json.loads((packaged / packages.NAME).read_text())
    (packaged / "bundles" / told["digest"]).rename(packaged / "bundles" / ("0" * 64))
    (packaged / packages.NAME).write_text(json.dumps(told | {"digest": "0" * 64}))
    with pytest.raises(Damaged, match="is expected"):
        packages.open_packaged(packaged)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("{", Damaged, "not as it was written"),
        ("[]", Damaged, "not as it was written"),
        (None, EnvironmentFault, "holds no"),
    ],
)
def test_a_folder_that_holds_no_packaged_version_is_refused(
    packaged: Path, text: str | None, error: type[Exception], said: str
) -> None:
    (packaged / packages.NAME).unlink()
    if text is not None:
        (packaged / packages.NAME).write_text(text)
    with pytest.raises(error, match=said):
        packages.open_packaged(packaged)


def test_a_newer_format_is_refused(packaged: Path) -> None:
    told = json.loads((packaged / packages.NAME).read_text())
    (packaged / packages.NAME).write_text(json.dumps(told | {"v": 2}))
    with pytest.raises(EnvironmentFault, match="is of format 2; this Mainstay reads format 1"):
        packages.open_packaged(packaged)
