from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.core.errors import ProjectFileError
from mainstay.features.files import catalogue

ONE = """
import mainstay


@mainstay.feature(owner="desk", description="{what}")
def {name}(note: str) -> int:
    return len(note or "")
"""


def write(path: Path, *names: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(ONE.format(name=name, what=name) for name in names), encoding="utf-8")


def test_without_a_path_features_py_beside_the_project_file_is_read(tmp_path: Path) -> None:
    assert catalogue(tmp_path, ()).features == {}
    write(tmp_path / "features.py", "size")
    assert sorted(catalogue(tmp_path, ()).features) == ["size"]


def test_a_shared_folder_serves_several_projects(tmp_path: Path) -> None:
    write(tmp_path / "shared" / "texts.py", "size", "words")
    write(tmp_path / "shared" / "money.py", "euros")
    for project in ("a", "b"):
        write(tmp_path / project / "features.py", f"only_{project}")
        found = catalogue(tmp_path / project, ("features.py", "../shared"))
        assert sorted(found.features) == ["euros", f"only_{project}", "size", "words"]
        shared = [(file.name, file.shared) for file in found.files]
        assert shared == [("features.py", False), ("../shared/money.py", True), ("../shared/texts.py", True)]
        assert list(found.of(["words", "size"], setting="uses")) == ["../shared/texts.py"]


def test_the_same_name_in_the_project_and_in_the_shared_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "shared" / "texts.py", "size")
    write(tmp_path / "a" / "features.py", "words", "size")
    with pytest.raises(ProjectFileError, match=r"'size' is defined twice: \.\./shared/texts\.py:5 and features\.py:12"):
        catalogue(tmp_path / "a", ("features.py", "../shared"))


def test_a_path_that_is_not_there_and_an_unknown_name_are_told(tmp_path: Path) -> None:
    with pytest.raises(ProjectFileError, match="names 'shred', and there is no"):
        catalogue(tmp_path, ("shred",))
    write(tmp_path / "features.py", "size")
    with pytest.raises(ProjectFileError, match=r"uses 'siez', and no feature .* did you mean 'size'"):
        catalogue(tmp_path, ()).of(["siez"], setting="train.pipelines.a.uses")


@pytest.mark.parametrize("line", ["import texts", "from texts import x", "from . import texts"])
def test_a_file_that_leans_on_its_neighbour_is_refused(tmp_path: Path, line: str) -> None:
    write(tmp_path / "shared" / "texts.py", "size")
    write(tmp_path / "shared" / "money.py", "euros")
    money = tmp_path / "shared" / "money.py"
    money.write_text(money.read_text() + f"\n\ndef later():\n    {line}\n", encoding="utf-8")
    with pytest.raises(ProjectFileError, match="must stand alone"):
        catalogue(tmp_path / "shared", (".",))


def test_a_file_is_read_once_however_often_it_is_named(tmp_path: Path) -> None:
    write(tmp_path / "features.py", "size")
    assert len(catalogue(tmp_path, ("features.py", ".", "./features.py")).files) == 1
