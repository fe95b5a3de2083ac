from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mainstay.core.errors import ProjectFileError
from mainstay.train.code import project_code


def load(root: Path, reference: str = "model:build") -> object:
    with project_code(root) as code:
        return code.function(reference, setting="train.pipelines.p.build")[1]


def test_an_import_error_names_file_line_and_remedy(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("\nimport not_there_at_all\n")
    with pytest.raises(ProjectFileError, match=r"model\.py:2.*not_there_at_all") as caught:
        load(tmp_path)
    assert "Install" in caught.value.remedy


def test_a_syntax_error_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("x = 1\ndef build(:\n")
    with pytest.raises(ProjectFileError, match=r"model\.py:2"):
        load(tmp_path)


def test_an_error_deep_inside_names_the_last_line_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("import json\n\njson.loads('no')\n")
    (tmp_path / "model.py").write_text("import helper\n")
    with pytest.raises(ProjectFileError, match=r"helper\.py:3: JSONDecodeError"):
        load(tmp_path)


def test_an_absent_file_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(ProjectFileError, match=r"train\.pipelines\.p\.build.*model\.py does not exist"):
        load(tmp_path)


def test_an_absent_function_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("def build_words(params): ...\n")
    with pytest.raises(ProjectFileError, match="did you mean 'build_words'"):
        load(tmp_path, "model:build_word")


def test_code_that_exits_does_not_end_the_process(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(ProjectFileError, match="SystemExit"):
        load(tmp_path)


def test_two_projects_with_files_of_the_same_name_stay_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "helper.py").write_text(f"NAME = {name!r}\n")
        (tmp_path / name / "model.py").write_text("from helper import NAME\ndef build(params): return NAME\n")
    assert [load(tmp_path / name)({}) for name in ("one", "two")] == ["one", "two"]  # type: ignore[operator]


def test_the_process_is_as_before_afterwards(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("def build(params): ...\n")
    before = (set(sys.modules), list(sys.meta_path), list(sys.path))
    load(tmp_path)
    assert (set(sys.modules), list(sys.meta_path), list(sys.path)) == before
    assert not (tmp_path / "__pycache__").exists()


def test_a_file_named_like_the_standard_library_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise RuntimeError\n")
    (tmp_path / "model.py").write_text("import json\ndef build(params): return json.dumps(1)\n")
    assert load(tmp_path)({}) == "1"  # type: ignore[operator]
