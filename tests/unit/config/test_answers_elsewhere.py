"""A project whose model answers elsewhere may begin without a contract, and trains nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstay.config import load as config
from mainstay.core.errors import ProjectFileError

LEAST = 'mainstay = 1\n[project]\nname = "fraud"\nanswers = "elsewhere"\n[target]\nfield = "truth"\n'


def load(folder: Path, text: str) -> config.Loaded:
    (folder / "mainstay.toml").write_text(text)
    return config.load(folder, environ={})


def test_it_needs_neither_fields_nor_classes(tmp_path: Path) -> None:
    found = load(tmp_path, LEAST)
    assert (found.contract.fields, found.contract.classes, found.settings.attach.learn_requests) == ((), (), 500)


def test_here_it_needs_both(tmp_path: Path) -> None:
    with pytest.raises(ProjectFileError) as caught:
        load(tmp_path, LEAST.replace("elsewhere", "here"))
    assert {problem.where.rpartition(", ")[2] for problem in caught.value.problems} >= {"fields", "target.classes"}


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ('[retrain]\non = ["rows:100"]\n', "retrain.on"),
        ('[attach]\nconfidence = "sure"\n', "attach.confidence"),
        ('[attach]\npii = { email = "keep" }\n', "attach.pii.email"),
        ("[attach]\nlearn_requests = 5\n", "attach.learn_requests"),
    ],
)
def test_what_means_nothing_is_named(tmp_path: Path, more: str, where: str) -> None:
    with pytest.raises(ProjectFileError) as caught:
        load(tmp_path, LEAST + more)
    assert where in {problem.where.rpartition(", ")[2] for problem in caught.value.problems}
