from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mainstay.serve import plan


def full(path: Path, content: bytes) -> None:
    path.with_name(f".{path.name}.draft").touch()
    raise OSError(errno.ENOSPC, "No space left on device")


def test_on_a_full_disk_a_process_says_the_new_in_the_place_of_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "worker-0.json"
    plan.tell_json(file, {"epoch": 4, "models": ["a" * 100]})
    monkeypatch.setattr(plan, "_replace", full)
    for content in ({"epoch": 5}, {"epoch": 1234567, "models": ["a" * 300]}):
        plan.tell_json(file, content)
        assert plan.read_json(file) == content
    assert file.stat().st_size == plan.BLOCK


@pytest.mark.parametrize("before", [None, {"epoch": 4}])
def test_what_does_not_fit_on_a_full_disk_raises_and_leaves_what_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: dict[str, int] | None
) -> None:
    file = tmp_path / "worker-0.json"
    if before is not None:
        plan.tell_json(file, before)
    monkeypatch.setattr(plan, "_replace", full)
    with pytest.raises(OSError, match="No space"):
        plan.tell_json(file, {"much": "x" * 10_000})
    assert plan.read_json(file) == before


def test_another_fault_of_the_disk_is_no_reason_to_write_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "worker-0.json"
    plan.tell_json(file, {"epoch": 4})

    def broken(path: Path, content: bytes) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(plan, "_replace", broken)
    with pytest.raises(OSError, match="Input"):
        plan.tell_json(file, {"epoch": 5})
    assert plan.read_json(file) == {"epoch": 4}
