"""What becomes of a version that is packaged, with the trials of its server played by hand."""

from __future__ import annotations

import subprocess
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mainstay.config.settings import Settings
from mainstay.container import context, needs, tried
from mainstay.core.errors import Damaged, EnvironmentFault, UsageError
from mainstay.core.releases import Release, Stage
from mainstay.models.load import load
from mainstay.testing.models import make_bundle

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Trials:
    """Stands for the server: comes up only where it finds what it `wants`, and says what it lacks."""

    def __init__(self, *wants: str, says: bool = True, loads: Collection[str] = ("jinja2", "yaml", "sklearn")) -> None:
        self.wants, self.says, self.loads = wants, says, loads
        self.given: list[frozenset[str]] = []

    def environment(self, folder: Path, names: Collection[str]) -> Path:
        self.given.append(frozenset(names))
        return folder / "python"

    def server(self, packaged: Path, model: str, rows: Any, expected: Any, **more: Any) -> tried.Tried:
        assert (packaged / "packaged.json").exists()
        if not self.given:
            return tried.Tried(ok=True, why="", modules=frozenset(self.loads))
        assert not any(name.startswith("PYTHON") for name in more["environ"])
        lacks = [name for name in self.wants if name not in self.given[-1]]
        modules = {"pyyaml": "yaml", "scikit-learn": "sklearn"}
        said = f"No module named '{modules.get(lacks[0], lacks[0])}'" if lacks and self.says else "it crashed"
        return tried.Tried(ok=not lacks, why=said, modules=frozenset())


@pytest.fixture
def parts(tmp_path: Path) -> Any:
    bundle = make_bundle(tmp_path / "bundles", lineage={"train": "t1"})
    root = tmp_path / "project"
    root.mkdir()
    return SimpleNamespace(
        bundles=tmp_path / "bundles",
        digest=bundle.digest,
        open_model=lambda digest: load(bundle),
        settings=Settings(),
        loaded=SimpleNamespace(root=root),
        environ={"PYTHONPATH": "somewhere", "PATH": "/bin"},
        clock=None,
    )


def write(parts: Any, trials: Trials, monkeypatch: pytest.MonkeyPatch, out: Path) -> context.Context:
    monkeypatch.setattr(tried, "linked_environment", trials.environment)
    monkeypatch.setattr(tried, "try_packaged", trials.server)
    release = Release(
        model="weather",
        version=4,
        digest=parts.digest,
        stage=Stage.CERTIFIED,
        since=NOW,
        created_at=NOW,
        snapshot="t1",
    )
    return context.write_context(parts, release, out=out)


def test_the_folder_holds_all_that_a_build_needs_and_nothing_else(
    parts: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = write(parts, Trials(), monkeypatch, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    files = {"Dockerfile", ".dockerignore", "packaged", "wheels", "requirements.txt"}
    assert names - {"requirements-unhashed.txt"} == files
    assert (made.name, made.rows, made.notes) == ("weather@4", 1, ())
    assert [path.name for path in tmp_path.glob(".package-*")] == []
    lines = (tmp_path / "out" / "requirements.txt").read_text()
    assert all(f"{pin.name}=={pin.version}" in lines for pin in made.packages if pin.hashes)


def test_packages_that_turn_out_to_be_missing_are_added_one_after_the_other(
    parts: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trials = Trials("pyyaml", "scikit-learn")
    made = write(parts, trials, monkeypatch, tmp_path / "out")
    smallest = trials.given[0]
    assert smallest & {"pyyaml", "scikit-learn"} == set()
    assert trials.given[1:] == [
        smallest | {"pyyaml"},
        smallest | {"pyyaml"} | needs.required(["scikit-learn"]),
    ]
    assert {pin.name for pin in made.packages} == trials.given[-1]
    assert made.notes == ()


def test_a_server_that_does_not_say_what_it_lacks_gets_all_that_it_loads_and_that_is_told(
    parts: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = write(parts, Trials("pyyaml", says=False), monkeypatch, tmp_path / "out")
    assert {"pyyaml", "scikit-learn"} <= {pin.name for pin in made.packages}
    assert any("did not suffice (it crashed)" in note for note in made.notes)


def test_a_server_that_does_not_answer_with_all_of_them_leaves_nothing(
    parts: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(EnvironmentFault, match="weather@4 does not answer once packaged: it crashed"):
        write(parts, Trials("not-to-be-had", says=False), monkeypatch, tmp_path / "deep" / "out")
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_damaged_bundle_is_found_before_anything_is_started(
    parts: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (pickle,) = parts.bundles.rglob("model.pkl")
    pickle.write_bytes(b"another")
    trials = Trials()
    with pytest.raises(Damaged, match=r"model\.pkl has digest"):
        write(parts, trials, monkeypatch, tmp_path / "out")
    assert (trials.given, (tmp_path / "out").exists()) == ([], False)


def test_an_older_context_is_replaced_and_a_strange_folder_is_not(
    parts: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(parts, Trials(), monkeypatch, tmp_path / "out")
    (tmp_path / "out" / "old").write_text("")
    write(parts, Trials(), monkeypatch, tmp_path / "out")
    assert not (tmp_path / "out" / "old").exists()

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match="holds something else than a packaged version; nothing was written"):
        write(parts, Trials(), monkeypatch, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_an_environment_of_links_holds_the_named_packages_and_ours_alone(tmp_path: Path) -> None:
    python = tried.linked_environment(tmp_path / "env", ["msgspec"])
    code = """
import importlib.util as util, mainstay.core.errors, msgspec
print([name for name in ("msgspec", "mainstay", "numpy", "pip", "yaml") if util.find_spec(name)])
"""
    said = subprocess.run([str(python), "-c", code], env={}, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "['msgspec', 'mainstay']"
