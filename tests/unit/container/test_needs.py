"""Which packages an image gets."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from mainstay.container import needs
from mainstay.container.needs import Pin
from mainstay.testing.models import make_bundle


def test_a_text_model_needs_neither_pandas_nor_mlflow_nor_what_only_commands_use(tmp_path: Path) -> None:
    found = needs.smallest(make_bundle(tmp_path))
    assert {"fastapi", "msgspec", "numpy", "polars", "uvloop", "pydantic-core"} <= found
    unwanted = {"pandas", "pyarrow", "mlflow", "matplotlib", "pandera", "alembic", "sqlalchemy", "typer", "rich"}
    assert found & unwanted == set()


def test_what_a_package_requires_comes_with_it_and_extras_only_where_asked() -> None:
    found = needs.required(["scikit-learn"])
    assert {"scikit-learn", "scipy", "numpy", "joblib", "threadpoolctl"} <= found
    assert "pytest" not in found
    assert needs.required(found) == found


def test_modules_are_traced_to_the_packages_that_hold_them() -> None:
    assert needs.distributions_of(["sklearn.linear_model._base", "yaml", "json", "mainstay.serve"]) == {
        "scikit-learn",
        "pyyaml",
    }


def test_a_server_that_lacks_a_module_names_the_package_to_add() -> None:
    said = "ModuleNotFoundError: No module named 'jinja2'\nImportError: No module named 'nobody.knows'"
    assert needs.missed(said, {"jinja2", "pandas"}) == {"jinja2"}
    assert needs.missed(said, {"pandas"}) == frozenset()


def test_hashes_come_from_locks_of_the_same_version(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    one, two = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    lock.write_text(
        f"numpy==2.0.0 ; python_version >= '3.11' \\\n    --hash={one} \\\n    --hash={two}\n"
        "# via scipy\nScikit_Learn==1.5.0 \\\n    --hash=" + one + "\nbare==1.0\n"
    )
    known = needs.known_hashes([tmp_path / "absent.txt", lock])
    assert known == {("numpy", "2.0.0"): (one, two), ("scikit-learn", "1.5.0"): (one,)}


def test_a_pin_has_the_version_that_is_installed_and_its_hashes() -> None:
    version = metadata.version("numpy")
    one = "sha256:" + "1" * 64
    (pin,) = needs.pins(["numpy"], {("numpy", version): (one,), ("numpy", "0"): ("sha256:0",)})
    assert pin.line() == f"numpy=={version} \\\n    --hash={one}"
    assert Pin(name="a", version="1").line() == "a==1"


def test_feature_code_names_what_it_imports_wherever_it_does() -> None:
    class Held:
        def has(self, name: str) -> bool:
            return name == "features.py"

        def read(self, name: str) -> bytes:
            return b"import polars as pl\n\ndef features(frame):\n    from yaml import safe_load\n    return frame\n"

    assert needs._feature_imports(Held()) == {"polars", "yaml"}  # type: ignore[arg-type]
