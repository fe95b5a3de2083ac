"""Backup while everything runs, restore elsewhere: nothing acknowledged is missing, and what was restored works."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from live_kit import Customer, Running, acknowledged, check_journal, until
from loop_kit import MODEL, Shop
from mainstay.backup import copying, make, manifest, restore
from mainstay.core.errors import Damaged, EnvironmentFault, NotFound, Refused, UsageError
from mainstay.core.routes import BundleRef, Route
from mainstay.journal import files
from mainstay.journal.read import Journal
from mainstay.journal.subjects import Subjects
from mainstay.project import Project
from mainstay.release import manual
from mainstay.serve import keys
from mainstay.serve.route_file import RouteFile, route_path
from mainstay.serve.route_keeper import OVERRIDES, Override, read_overrides
from mainstay.store import audit, feedback, releases
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock
from postgres_kit import fill, running


class Killed(BaseException):
    """The process is dead."""


@pytest.fixture
def shop(trained_shop: Shop, tmp_path: Path) -> Iterator[Shop]:
    made = trained_shop.copy(tmp_path / "shop", clock=FakeClock(datetime.now(UTC)))
    file = made.folder / "mainstay.toml"
    file.write_text(file.read_text().replace('"rows:60"', "") + "[log]\nsegment_mb = 1\n")
    yield made
    made.close()


def promote_second(shop: Shop) -> None:
    with shop.parts().store.begin() as tx:
        manual.promote(tx, model=MODEL, version=2, by="anna", reason="better", now=datetime.now(UTC))


def back_up(folder: Path, dest: Path, **more: Any) -> make.Made:
    project = Project.open(folder, environ={})
    with closing(project.parts):
        return project.backup(dest, by="anna", **more)


def put_back(source: Path, folder: Path, *, force: bool = False) -> restore.Restored:
    return Project.restore(source, folder, by="anna", environ={}, force=force)


def test_a_backup_under_load_holds_everything_acknowledged_before_and_what_is_restored_of_it_works(
    shop: Shop, tmp_path: Path
) -> None:
    promote_second(shop)
    serving = Running(shop.folder)
    customers = [Customer(name, serving.url, pause_s=0.2) for name in ("a", "b")]
    for customer in customers:
        customer.start()
    journal = shop.state / "journal"
    backups: list[tuple[Path, dict[str, str], set[str]]] = []
    try:
        for number in range(2):
            until(lambda: len(files.sealed_names(journal)) > number)  # noqa: B023 - at once
            answered, labelled = acknowledged(customers)
            dest = tmp_path / f"backup-{number}"
            back_up(shop.folder, dest)
            backups.append((dest, answered, labelled))
            assert [one.wrong for one in customers] == [[], []]
        with pytest.raises(EnvironmentFault, match="works on this project"):
            put_back(backups[0][0], shop.folder, force=True)
    finally:
        for customer in customers:
            customer.stop.set()
            customer.join()
        serving.stop()

    for number, (dest, answered, _) in enumerate(backups):
        target = tmp_path / f"restored-{number}"
        done = put_back(dest, target)
        assert (done.model, done.problems) == (MODEL, ())
        check_journal(target / ".mainstay" / "journal", answered)

    # The last one goes on where it was: its loop, its server, its way back.
    dest, answered, labelled = backups[-1]
    target = tmp_path / "restored-1"
    again = Running(target)
    with httpx.Client(base_url=again.url) as client:
        known = next(iter(answered))
        row = {"id": known, "inputs": {"text": "ripe apple jam", "buyer": known}}
        first, second = client.post("predict", json={"instances": [row, row | {"id": "new"}]}).json()["predictions"]
        assert (first["duplicate"], first["label"], second["duplicate"]) == (True, answered[known], False)
        assert second["bundle"] == f"{MODEL}@2"
        project = Project.open(target, environ={})
        assert project.rollback(reason="complaints", by="bert").answering == f"{MODEL}@1"
        row["id"] = "newer"
        assert client.post("predict", json={"instances": [row]}).json()["predictions"][0]["bundle"] == f"{MODEL}@1"
    with project.parts.store.read() as tx:
        assert releases.verify_chain(tx, MODEL) == []
    until(lambda: labelled <= labels_of(project))
    again.stop()
    assert project.parts.store.integrity() == []
    check_journal(target / ".mainstay" / "journal", answered | {"new": second["label"]})
    project.parts.close()


def labels_of(project: Project) -> set[str]:
    with project.parts.store.read() as tx:
        return {one.feedback_id for one in feedback.labels(tx, MODEL, limit=1_000_000)}


def test_a_backup_that_is_killed_anywhere_is_none_and_the_next_one_is(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.customers(5)
    steps = 0
    for name in ("file", "data", "note", "link", "sync"):
        whole = getattr(copying.Copy, name)

        def dying(self: copying.Copy, *args: Any, whole: Any = whole) -> Any:
            nonlocal steps
            steps -= 1
            if steps == 0:
                raise Killed
            return whole(self, *args)

        monkeypatch.setattr(copying.Copy, name, dying)
    dest = tmp_path / "backup"
    killed = 0
    # A dead process tidies nothing up.
    with monkeypatch.context() as patch:
        patch.setattr(make.shutil, "rmtree", lambda *_, **__: None)
        for at in (1, 2, 3, 5, 8, 13, 21, 34, 55):
            steps = at
            with suppress(Killed):
                back_up(shop.folder, tmp_path / f"done-{at}")
                break
            killed += 1
            for folder in (tmp_path / f"done-{at}", tmp_path / f".done-{at}.partial"):
                with pytest.raises(NotFound, match="is no backup"):
                    put_back(folder, tmp_path / "elsewhere")
            (tmp_path / f".done-{at}.partial").rename(tmp_path / f".kept-{at}")
    assert killed > 5
    assert not (tmp_path / "elsewhere").exists()
    # What a dead one left is in nobody's way.
    steps = 7
    with monkeypatch.context() as patch:
        patch.setattr(make.shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(Killed):
            back_up(shop.folder, dest)
    steps = -1
    assert back_up(shop.folder, dest).store == "sqlite"
    assert put_back(dest, tmp_path / "elsewhere").problems == ()
    assert not list(tmp_path.glob(".backup*"))


def test_a_file_that_is_not_as_it_was_written_stops_a_restore_before_it_writes_anything(
    shop: Shop, tmp_path: Path
) -> None:
    shop.customers(5)
    dest, target = tmp_path / "backup", tmp_path / "target"
    back_up(shop.folder, dest)
    for name in ("store.db", "mainstay.toml", next(str(p.relative_to(dest)) for p in dest.rglob("*.seg"))):
        path = dest / name
        whole = path.read_bytes()
        for broken in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
            path.write_bytes(broken)
            with pytest.raises(Damaged) as caught:
                put_back(dest, target)
            assert [problem.where for problem in caught.value.problems] == [name]
        path.unlink()
        with pytest.raises(Damaged):
            put_back(dest, target)
        path.write_bytes(whole)
    about = dest / manifest.FILE
    about.write_bytes(about.read_bytes().replace(b'"model":"shop"', b'"model":"shoe"'))
    with pytest.raises(Damaged, match="was changed after it was written"):
        put_back(dest, target)
    assert not target.exists()


def test_a_state_that_is_there_is_not_overwritten_and_with_force_is_moved_aside_but_for_its_keys(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shop.state / "run"
    run.mkdir(exist_ok=True)
    keys.add(run, "app", scopes=["predict"], rate=0, lifetime=None, now=datetime.now(UTC))
    subjects = Subjects(shop.state / "subjects")
    one, two = b"1" * 16, b"2" * 16
    names = [subjects.key_for(subject).name for subject in (one, two)]
    subjects.sync()
    shop.customers(5)
    with_keys, without = tmp_path / "with", tmp_path / "without"
    back_up(shop.folder, without)
    back_up(shop.folder, with_keys, subject_keys=True)
    assert sorted(p.name for p in (without / "state").rglob("*") if "subjects" in p.parts) == []
    shop.customers(5)
    keys.revoke(run, "app", now=datetime.now(UTC))
    subjects.destroy(one, at=datetime.now(UTC), by="anna", reason="", records=0)
    subjects.close()

    with pytest.raises(UsageError, match="has a state already"):
        put_back(with_keys, shop.folder)
    # Killed between any two renames, the same call goes on.
    whole = Path.rename
    for at in (1, 2, 3):
        left = at

        def dying(path: Path, target: Path) -> Path:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return whole(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", dying)
            with pytest.raises(Killed):
                put_back(with_keys, shop.folder, force=True)
    done = put_back(with_keys, shop.folder, force=True)
    assert done.problems == ()
    assert [key.revoked_at is not None for key in keys.read(run)] == [True]
    back = Subjects(shop.state / "subjects")
    assert (back.find(one, names[0]), back.find(two, names[1]) is not None) == (None, True)
    assert not list(shop.folder.glob(".mainstay.before-*/subjects"))
    events, _ = Journal(shop.state / "journal").read({}, 100)
    assert len(events) == 5
    # Elsewhere the keys come with the backup that holds them, and what the store says is erased is erased there too.
    put_back(with_keys, tmp_path / "elsewhere")
    assert Subjects(tmp_path / "elsewhere" / ".mainstay" / "subjects").find(one, names[0]) is not None
    put_back(without, tmp_path / "without-keys")
    assert not (tmp_path / "without-keys" / ".mainstay" / "subjects").exists()


def forge(dest: Path) -> None:
    """Write a backup's manifest anew over what lies there now, as whoever made it can."""
    made, _ = manifest.read(dest)
    entries = [
        manifest.Entry(path=one.path, size=(dest / one.path).stat().st_size, sha256=digest, mode=one.mode)
        for one in made.files
        for digest in [manifest.digest_of(dest / one.path) if (dest / one.path).is_file() else one.sha256]
    ]
    manifest.write(dest, msgspec.structs.replace(made, files=entries))


def test_a_backup_that_somebody_forged_leads_nowhere_else_and_makes_no_program_of_a_file(
    shop: Shop, tmp_path: Path
) -> None:
    shop.customers(5)
    dest, elsewhere = tmp_path / "backup", tmp_path / "elsewhere"
    back_up(shop.folder, dest)
    segment = next((dest / "state").rglob("*.seg"))
    for path in (dest / "store.db", segment):
        path.chmod(0o6777)
    forge(dest)
    put_back(dest, elsewhere)
    for path in [elsewhere, *elsewhere.rglob("*")]:
        assert path.stat().st_mode & 0o7002 == 0

    precious = tmp_path / "precious"
    precious.write_text("mine")
    file = dest / "mainstay.toml"
    plain = file.read_text()
    file.write_text(plain + f'[store]\nurl = "sqlite:///{precious}"\n')
    forge(dest)
    with pytest.raises(Refused, match="outside of"):
        put_back(dest, tmp_path / "third")
    assert (precious.read_text(), (tmp_path / "third").exists()) == ("mine", False)
    file.write_text(plain)

    (dest / "state" / "bundles").rename(tmp_path / "bundles")
    (dest / "state" / "bundles").symlink_to(tmp_path / "bundles")
    forge(dest)
    with pytest.raises(Damaged) as caught:
        put_back(dest, tmp_path / "third")
    assert {str(problem.what) for problem in caught.value.problems} == {"is a link, or lies behind one"}
    (dest / "state" / "bundles").unlink()
    (tmp_path / "bundles").rename(dest / "state" / "bundles")

    segment.unlink()
    os.mkfifo(segment)
    forge(dest)
    with pytest.raises(Damaged) as caught:  # and does not wait for whoever would write into it
        put_back(dest, tmp_path / "third")
    assert [str(problem.what) for problem in caught.value.problems] == ["is no plain file"]


def test_tombstones_travel_and_win_over_keys_of_an_older_backup(shop: Shop, tmp_path: Path) -> None:
    subjects = Subjects(shop.state / "subjects")
    subject = b"1" * 16
    name = subjects.key_for(subject).name
    subjects.sync()
    older, newer = tmp_path / "older", tmp_path / "newer"
    back_up(shop.folder, older, subject_keys=True)
    subjects.destroy(subject, at=datetime.now(UTC), by="anna", reason="", records=0)
    back_up(shop.folder, newer)
    target = tmp_path / "target"
    put_back(newer, target)
    put_back(older, target, force=True)
    assert Subjects(target / ".mainstay" / "subjects").find(subject, name) is None


def test_a_rollback_that_the_store_does_not_have_yet_is_in_the_backup(shop: Shop, tmp_path: Path) -> None:
    promote_second(shop)
    known = shop.releases()
    one, two = (BundleRef(version=n, digest=known[n].digest) for n in (1, 2))
    ahead = Route(model=MODEL, epoch=9, champion=one, previous=two)
    run = shop.state / "run"
    run.mkdir(exist_ok=True)
    held = Override(route=ahead, out=two, by="bert", reason="complaints")
    (run / OVERRIDES).write_bytes(msgspec.json.encode({MODEL: held}))
    back_up(shop.folder, tmp_path / "backup")
    put_back(tmp_path / "backup", tmp_path / "target")
    run = tmp_path / "target" / ".mainstay" / "run"
    assert read_overrides(run / OVERRIDES)[MODEL] == held
    assert RouteFile(route_path(run, MODEL)).read() == ahead


def test_a_backup_refuses_a_folder_with_something_in_it_and_one_inside_the_state(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UsageError, match="is not empty"):
        back_up(shop.folder, tmp_path / "full")
    with pytest.raises(UsageError, match="lies in the state"):
        back_up(shop.folder, shop.state / "backup")
    with pytest.raises(UsageError, match="without-store"):
        back_up(shop.folder, tmp_path / "new", with_store=False)
    (tmp_path / "empty").mkdir()
    back_up(shop.folder, tmp_path / "empty")
    with pytest.raises(UsageError, match="is not empty"):
        back_up(shop.folder, tmp_path / "empty")
    with shop.parts().store.read() as tx:
        [entry] = audit.of_kind(tx, make.WHAT)
    assert entry.detail["to"] == str(tmp_path / "empty")


def test_a_store_in_postgresql_is_dumped_and_put_back(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running() as server:
        url, other = server.new_database(), server.new_database()
        shop.customers(5)
        fill(url, shop.parts().store)
        stages = shop.stages()
        with (shop.folder / "mainstay.toml").open("a") as file:
            file.write(f'[store]\nurl = "{url}"\n')
        dest = tmp_path / "backup"
        assert back_up(shop.folder, dest).store == "postgresql"
        with pytest.raises(Refused, match="a PostgreSQL server"):
            put_back(dest, tmp_path / "target")
        (tmp_path / "target").mkdir()
        shutil.copy(dest / "mainstay.toml", tmp_path / "target")
        with pytest.raises(UsageError, match="has a state already"):
            put_back(dest, tmp_path / "target")
        target = tmp_path / "other"
        target.mkdir()
        (target / "mainstay.toml").write_text((shop.folder / "mainstay.toml").read_text().replace(url, other))
        assert put_back(dest, target).problems == ()
        with closing(Store.open(other, clock=FakeClock())) as store, store.read() as tx:
            assert releases.verify_chain(tx, MODEL) == []
            assert {one.version: one.stage.value for one in releases.all_of(tx, MODEL)} == stages
        assert put_back(dest, target, force=True).problems == ()
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(EnvironmentFault, match="pg_dump is not installed") as caught:
            back_up(shop.folder, tmp_path / "second")
        assert "--without-store" in caught.value.remedy
        assert back_up(shop.folder, tmp_path / "second", with_store=False).store == "left out"
        notes = put_back(tmp_path / "second", tmp_path / "third").notes
        assert any("the store is not in the backup" in note for note in notes)
