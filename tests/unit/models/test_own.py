"""Code in a bundle runs only where this project's key signed it, whatever else was tampered with."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from mainstay.core.errors import Damaged, MainstayError, Refused
from mainstay.core.routes import BundleRef, Route
from mainstay.journal.personal import Hasher
from mainstay.models import own
from mainstay.models.bundle import MANIFEST, Bundle, open_bundle
from mainstay.models.runner.outside import RunnerRules
from mainstay.models.runner.runner import Limits
from mainstay.serve.live import ModelSlot, side_loader
from mainstay.serve.route_file import RouteFile, route_path
from mainstay.testing.models import make_bundle

RULES = RunnerRules(which="never", limits=Limits(deadline_s=1.0, memory_mb=2000))


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "bundles")


def permit(bundle: Bundle, **more: object) -> Bundle:
    return own.permit(bundle, state=bundle.path.parent.parent, **more)  # type: ignore[arg-type]


def unsigned(bundle: Bundle) -> Bundle:
    (bundle.path.parent.parent / "signed" / bundle.digest).unlink()
    return bundle


def forged(bundle: Bundle) -> str:
    """Change the pickle, rewrite the manifest with it, and rename the folder: a bundle that is whole in itself."""
    (bundle.path / own.PICKLE).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    manifest = json.loads((bundle.path / MANIFEST).read_text())
    manifest["files"][own.PICKLE] = sha256((bundle.path / own.PICKLE).read_bytes()).hexdigest()
    data = json.dumps(manifest).encode()
    (bundle.path / MANIFEST).write_bytes(data)
    digest = sha256(data).hexdigest()
    bundle.path.rename(bundle.path.with_name(digest))
    return digest


def test_what_this_project_wrote_may_run(bundle: Bundle) -> None:
    assert permit(bundle) is bundle
    assert own.is_signed(bundle.path.parent.parent, bundle.digest)


def test_without_a_signature_it_may_not_and_the_remedy_is_named(bundle: Bundle) -> None:
    with pytest.raises(Refused, match=r"model/model\.pkl") as caught:
        permit(unsigned(bundle))
    assert "mainstay trust" in caught.value.remedy
    own.sign(bundle.path.parent.parent, bundle.digest)
    permit(bundle)


def test_another_projects_signature_counts_for_nothing(bundle: Bundle, tmp_path: Path) -> None:
    other = make_bundle(tmp_path / "other" / "bundles")
    assert other.digest == bundle.digest
    shutil.copy(tmp_path / "other" / "signed" / other.digest, tmp_path / "signed" / bundle.digest)
    with pytest.raises(Refused):
        permit(bundle)


def test_one_bundles_signature_does_not_stand_for_another(bundle: Bundle, tmp_path: Path) -> None:
    other = make_bundle(tmp_path / "bundles", lineage={"number": 2})
    shutil.copy(tmp_path / "signed" / bundle.digest, tmp_path / "signed" / other.digest)
    with pytest.raises(Refused):
        permit(other)


def test_no_pickle_at_all_may_be_loaded_where_the_project_says_never(bundle: Bundle) -> None:
    with pytest.raises(Refused, match="never"):
        permit(bundle, pickles="never")


def test_an_image_vouches_for_its_own_digest_alone(bundle: Bundle) -> None:
    unsigned(bundle)
    own.permit(bundle, state=None, trusted=[bundle.digest])
    with pytest.raises(Refused):
        own.permit(bundle, state=None, trusted=["0" * 64])


def test_bundles_from_before_there_were_signatures_are_taken_in_once(bundle: Bundle, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "signed")
    assert own.take_in(tmp_path) == [bundle.digest]
    permit(bundle)
    later = unsigned(make_bundle(tmp_path / "bundles", lineage={"number": 2}))
    assert own.take_in(tmp_path) == []
    with pytest.raises(Refused):
        permit(later)


def test_a_new_project_takes_in_nothing_that_comes_later(tmp_path: Path) -> None:
    assert own.take_in(tmp_path) == []
    later = unsigned(make_bundle(tmp_path / "bundles"))
    assert own.take_in(tmp_path) == []
    with pytest.raises(Refused):
        permit(later)


# what a worker does with an artefact that is not the one that was released


def slot(folder: Path, ref: BundleRef) -> ModelSlot:
    load = side_loader(
        folder / "bundles",
        Hasher("00" * 32),
        runners=RULES,
        permit=lambda bundle: own.permit(bundle, state=folder),
    )
    route(folder, ref)
    return ModelSlot("weather", RouteFile(route_path(folder, "weather")), load, warm_up=False)


def route(folder: Path, ref: BundleRef, epoch: int = 1) -> None:
    RouteFile(route_path(folder, "weather")).write(Route(model="weather", epoch=epoch, champion=ref))


def changed_file(bundle: Bundle) -> str:
    with (bundle.path / own.PICKLE).open("ab") as file:
        file.write(b" ")
    return bundle.digest


def swapped_folder(bundle: Bundle) -> str:
    other = make_bundle(bundle.path.parent, lineage={"number": 2})
    shutil.rmtree(bundle.path)
    other.path.rename(bundle.path)
    return bundle.digest


def rewritten_manifest(bundle: Bundle) -> str:
    digest = forged(bundle)
    (bundle.path.parent / digest).rename(bundle.path)
    return bundle.digest


TAMPERED = {
    "a changed file": (changed_file, "digest"),
    "a swapped folder": (swapped_folder, "digest"),
    "a manifest rewritten with the file": (rewritten_manifest, "digest"),
    "a route file that names a foreign digest": (forged, "did not sign"),
    "a route file that names nothing": (lambda bundle: "f" * 64, "cannot be read"),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_what_was_tampered_with_is_not_loaded_and_what_answers_stays(tmp_path: Path, how: str) -> None:
    good = make_bundle(tmp_path / "bundles", lineage={"number": 1})
    found = slot(tmp_path, BundleRef(version=1, digest=good.digest))
    assert found.load_missing()
    tamper, why = TAMPERED[how]
    digest = tamper(make_bundle(tmp_path / "bundles", lineage={"number": 7}))
    route(tmp_path, BundleRef(version=2, digest=digest), epoch=2)
    found.load_missing()
    assert found.live is not None
    assert found.live.champion.ref.version == 1
    assert why in found.failed[digest]


def test_a_file_that_changes_after_it_was_verified_is_seen_when_it_is_read(bundle: Bundle) -> None:
    opened = open_bundle(bundle.path, bundle.digest)
    changed_file(bundle)
    with pytest.raises(Damaged):
        opened.read(own.PICKLE)


def test_a_side_that_is_refused_is_told_as_an_error_of_ours(bundle: Bundle, tmp_path: Path) -> None:
    load = side_loader(
        tmp_path / "bundles", Hasher("00" * 32), runners=RULES, permit=lambda one: own.permit(one, state=None)
    )
    with pytest.raises(MainstayError):
        load("weather", BundleRef(version=1, digest=bundle.digest))
