"""Pickles that a project carries load only where its own key signed them."""

from __future__ import annotations

import pickle
import shutil
import stat
from pathlib import Path

import pytest

from mainstay.core.errors import Damaged, EnvironmentFault, NotFound, Refused
from mainstay.models import carried


class Trap:
    """A pickle whose loading leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.trace,)


def project(root: Path, value: object = "an estimator") -> Path:
    path = root / carried.FOLDER / "estimator.pkl"
    path.parent.mkdir(parents=True)
    path.write_bytes(pickle.dumps(value))
    return path


def test_what_the_project_signed_loads(tmp_path: Path) -> None:
    path = project(tmp_path)
    carried.sign(path)
    assert carried.load(path) == "an estimator"


def test_the_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = project(tmp_path)
    carried.sign(path)
    key = tmp_path / ".mainstay" / carried.KEY_NAME
    before = key.read_text()
    carried.sign(path)
    assert key.read_text() == before
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


@pytest.mark.parametrize("how", ["altered", "unsigned", "no key", "another key", "another file"])
def test_a_pickle_that_the_project_did_not_sign_is_not_loaded(tmp_path: Path, how: str) -> None:
    trace = tmp_path / "trace"
    path = project(tmp_path / "a", Trap(trace))
    carried.sign(path)
    if how == "altered":
        path.write_bytes(path.read_bytes() + b"\x00")
    elif how == "unsigned":
        path.with_name("estimator.pkl.sig").unlink()
    elif how == "no key":
        shutil.rmtree(tmp_path / "a" / ".mainstay")
    elif how == "another key":
        other = project(tmp_path / "b", Trap(trace))
        carried.sign(other)
        shutil.copy(path.with_name("estimator.pkl.sig"), other.with_name("estimator.pkl.sig"))
        path = other
    else:
        name = path.with_name("features.pkl")
        name.write_bytes(path.read_bytes())
        shutil.copy(path.with_name("estimator.pkl.sig"), name.with_name("features.pkl.sig"))
        path = name
    with pytest.raises(Refused) as caught:
        carried.load(path)
    assert "mainstay trust" in caught.value.remedy
    assert not trace.exists()


def test_trust_lets_a_copied_project_load(tmp_path: Path) -> None:
    path = project(tmp_path / "a")
    carried.sign(path)
    shutil.copytree(tmp_path / "a" / carried.FOLDER, tmp_path / "b" / carried.FOLDER)
    copy = tmp_path / "b" / carried.FOLDER / "estimator.pkl"
    with pytest.raises(Refused):
        carried.load(copy)
    assert carried.trust(tmp_path / "b") == ["adopted/estimator.pkl"]
    assert carried.load(copy) == "an estimator"


def test_what_is_absent_or_broken_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="carries no pickle"):
        carried.trust(tmp_path)
    path = project(tmp_path)
    carried.sign(path)
    with pytest.raises(NotFound):
        carried.load(path.with_name("other.pkl"))
    path.write_bytes(b"no pickle")
    carried.sign(path)
    with pytest.raises(EnvironmentFault, match="does not load here"):
        carried.load(path)
    (tmp_path / ".mainstay" / carried.KEY_NAME).write_text("zz")
    with pytest.raises(Damaged, match="is no key"):
        carried.load(path)
    (tmp_path / ".mainstay" / carried.KEY_NAME).write_text("ab")
    with pytest.raises(Damaged, match="holds 1 bytes"):
        carried.load(path)
