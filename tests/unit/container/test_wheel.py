"""A wheel made of what is installed."""

from __future__ import annotations

import base64
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

import mainstay
from mainstay.container import wheel
from mainstay.core.errors import EnvironmentFault, UsageError


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheel.from_installed("mainstay", tmp_path_factory.mktemp("wheel"))


def test_our_own_wheel_holds_every_file_of_the_package_with_its_digest(own: Path) -> None:
    assert own.name == f"mainstay-{mainstay.__version__}-py3-none-any.whl"
    wheel.check_wheel(own)
    with zipfile.ZipFile(own) as archive:
        names = set(archive.namelist())
        info = f"mainstay-{mainstay.__version__}.dist-info"
        assert {f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD", f"{info}/entry_points.txt"} <= names
        assert {"mainstay/py.typed", "mainstay/api/templates/docs.html", "mainstay/serve/handle.py"} <= names
        assert [name for name in names if "__pycache__" in name or name.endswith("direct_url.json")] == []
        lines = archive.read(f"{info}/RECORD").decode().splitlines()
        assert {line.split(",")[0] for line in lines} == names
        for line in lines[:20]:
            name, digest, size = line.split(",")
            data = archive.read(name)
            seen = base64.urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={seen}", str(len(data)))


def test_the_same_files_give_the_same_bytes(own: Path, tmp_path: Path) -> None:
    assert wheel.from_installed("mainstay", tmp_path).read_bytes() == own.read_bytes()


def test_pip_installs_it_and_it_imports(own: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
        str(own),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    code = "import mainstay; print(mainstay.__file__)"
    said = subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": str(target)}, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == str(target / "mainstay" / "__init__.py")


def test_a_compiled_package_keeps_its_tags(tmp_path: Path) -> None:
    made = wheel.from_installed("msgspec", tmp_path)
    assert f"cp{sys.version_info.major}{sys.version_info.minor}" in made.name
    with zipfile.ZipFile(made) as archive:
        assert any(name.startswith("msgspec/_core") for name in archive.namelist())


@pytest.mark.parametrize("content", [b"text", None])
def test_a_file_that_is_no_wheel_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.whl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match="is no wheel"):
        wheel.check_wheel(path)


def test_the_wheel_of_another_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no wheel of a Mainstay that serves packaged versions"):
        wheel.check_wheel(wheel.from_installed("msgspec", tmp_path))


def test_a_package_that_is_not_installed_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="nobody-has-this is not installed"):
        wheel.from_installed("nobody-has-this", tmp_path)
