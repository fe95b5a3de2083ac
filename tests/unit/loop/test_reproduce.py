"""A version trained again from its lineage: to the byte, within a tolerance, or not, with what is known of why."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from loop_kit import MODEL, Shop
from mainstay import reproduce
from mainstay.core.errors import EnvironmentFault, NotFound, Refused
from mainstay.core.releases import Release
from mainstay.store import releases


def version(shop: Shop) -> Release:
    with shop.parts().store.read() as tx:
        return releases.get(tx, MODEL, 1)


def again(shop: Shop, **more: Any) -> reproduce.Reproduced:
    return reproduce.reproduce(shop.parts(), version(shop), **more)


def test_a_version_comes_out_again_to_the_last_byte_and_nothing_of_the_project_changes(shop: Shop) -> None:
    shop.parts()
    before = {path: path.stat().st_mtime_ns for path in shop.folder.rglob("*") if path.is_file()}
    found = again(shop)
    assert found.identical
    assert (found.files, found.largest, found.same_code) == ((), 0.0, True)
    reproduce.refuse_difference(found)
    after = {path: path.stat().st_mtime_ns for path in shop.folder.rglob("*") if path.is_file()}
    assert {path for path in after if after[path] != before.get(path)} <= {shop.state / "store.db"}


def test_other_code_comes_out_otherwise_and_is_named(shop: Shop) -> None:
    code = shop.folder / "model.py"
    code.write_text(code.read_text() + "\n\ndef other():\n    return 1\n")
    found = again(shop)
    assert not found.identical
    assert not found.same_code
    assert found.holds  # what was added changes no answer
    assert "lineage.json" in found.files
    parameters = shop.folder / "mainstay.toml"
    parameters.write_text(parameters.read_text().replace("C = 1.0", "C = 0.001"))
    shop.close()
    worse = again(shop)
    assert worse.largest > 0.01
    with pytest.raises(EnvironmentFault, match="differ by up to") as caught:
        reproduce.refuse_difference(worse)
    assert "the code is another one" in caught.value.remedy
    assert again(shop, tolerance=1.0).holds


def test_the_code_is_that_of_the_recorded_commit(shop: Shop) -> None:
    def git(*asked: str) -> str:
        name = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        return subprocess.run(
            ["git", "-C", str(shop.folder), *name, *asked], capture_output=True, text=True, check=True
        ).stdout.strip()

    git("init", "-q")
    git("add", "model.py", "mainstay.toml")
    git("commit", "-qm", "as it was")
    commit = git("rev-parse", "HEAD")
    (shop.folder / "model.py").write_text("def build(params):\n    raise ValueError('changed since')\n")
    root = shop.folder.parent / "laid-out"
    assert reproduce._lay_out(shop.parts(), root, commit) == f"commit {commit[:12]}"
    assert "changed since" not in (root / "model.py").read_text()
    # A commit that git does not have, or with changes beside it: the code of now.
    for unknown in ("0" * 40, commit + "+", ""):
        other = shop.folder.parent / f"other-{len(unknown)}-{unknown[:3]}"
        assert reproduce._lay_out(shop.parts(), other, unknown) == "the project as it is now"
        assert "changed since" in (other / "model.py").read_text()


def test_what_was_not_trained_here_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, release = shop.parts(), version(shop)
    bundle = parts.open_bundle(release.digest, original=True)
    monkeypatch.setattr(type(bundle), "json", lambda self, name: {"adopted": True})
    with pytest.raises(Refused, match="adopted"):
        reproduce.reproduce(parts, release)


def test_a_snapshot_that_is_gone_is_told(shop: Shop) -> None:
    for path in (shop.state / "snapshots").iterdir():
        path.rename(path.with_name("gone-" + path.name))
    with pytest.raises(NotFound):
        again(shop)
