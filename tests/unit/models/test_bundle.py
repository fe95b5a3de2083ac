from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from mainstay.core.errors import Damaged, EnvironmentFault
from mainstay.models.bundle import BundleParts, open_bundle, write_bundle


def test_the_same_parts_give_the_same_digest_in_any_folder(tmp_path: Path, parts: BundleParts) -> None:
    first = write_bundle(tmp_path / "a", parts)
    second = write_bundle(tmp_path / "b", parts)
    assert first.digest == second.digest
    assert first.path == tmp_path / "a" / first.digest


def test_writing_twice_keeps_the_one_bundle_and_leaves_no_rest(tmp_path: Path, parts: BundleParts) -> None:
    digest = write_bundle(tmp_path, parts).digest
    assert write_bundle(tmp_path, parts).digest == digest
    assert [path.name for path in tmp_path.iterdir()] == [digest]


def test_other_lineage_gives_another_digest(tmp_path: Path, parts: BundleParts) -> None:
    other = replace(parts, lineage={"train": "def"})
    assert write_bundle(tmp_path, parts).digest != write_bundle(tmp_path, other).digest


def test_every_file_that_changes_is_named_when_the_bundle_is_opened(tmp_path: Path, parts: BundleParts) -> None:
    bundle = write_bundle(tmp_path, parts)
    for name in [*bundle.files, "manifest.json"]:
        path = bundle.path / name
        before = path.read_bytes()
        path.write_bytes(before + b" ")
        with pytest.raises(Damaged, match=path.name):
            open_bundle(bundle.path, bundle.digest)
        path.write_bytes(before)
    assert open_bundle(bundle.path, bundle.digest).files == bundle.files


def test_a_file_that_is_gone_is_named(tmp_path: Path, parts: BundleParts) -> None:
    bundle = write_bundle(tmp_path, parts)
    (bundle.path / "model/model.pkl").unlink()
    with pytest.raises(Damaged, match=r"model\.pkl"):
        open_bundle(bundle.path, bundle.digest)


def test_a_file_that_changes_after_opening_is_not_read(tmp_path: Path, parts: BundleParts) -> None:
    bundle = write_bundle(tmp_path, parts)
    (bundle.path / "model/model.pkl").write_bytes(b"something else")
    with pytest.raises(Damaged, match=r"model\.pkl"):
        bundle.read("model/model.pkl")


def test_a_damaged_bundle_is_replaced_when_it_is_written_again(tmp_path: Path, parts: BundleParts) -> None:
    bundle = write_bundle(tmp_path, parts)
    (bundle.path / "contract.json").write_text("{}")
    assert write_bundle(tmp_path, parts).json("contract.json")["target"] == "kind"


def test_an_absent_bundle_is_damaged_not_a_traceback(tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="cannot be read"):
        open_bundle(tmp_path / "nothing", "0" * 64)


def test_a_folder_that_is_a_file_is_an_environment_fault(tmp_path: Path, parts: BundleParts) -> None:
    (tmp_path / "bundles").write_text("in the way")
    with pytest.raises(EnvironmentFault, match="could not be written"):
        write_bundle(tmp_path / "bundles", parts)


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "model/../../evil", ""])
def test_a_manifest_that_names_a_file_elsewhere_is_damaged_whatever_its_digest(
    tmp_path: Path, parts: BundleParts, name: str
) -> None:
    bundle = write_bundle(tmp_path, parts)
    manifest = json.loads((bundle.path / "manifest.json").read_bytes())
    (tmp_path / "evil").write_bytes(b"")
    manifest["files"][name] = sha256(b"").hexdigest()
    forged = json.dumps(manifest).encode()
    (bundle.path / "manifest.json").write_bytes(forged)
    with pytest.raises(Damaged, match="leads out of it"):
        open_bundle(bundle.path, sha256(forged).hexdigest())
