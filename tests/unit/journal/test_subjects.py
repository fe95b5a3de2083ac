"""Keys of subjects: one each, in one place, durable before they are used, and gone when they are destroyed."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import pytest

from mainstay.core.errors import Damaged, JournalFull
from mainstay.core.events import Event, Kind
from mainstay.journal import subjects as keys
from mainstay.journal.read import Journal
from mainstay.journal.subjects import PROJECT_KEY, SIZE, Subjects, Tombstone
from mainstay.journal.vault import TAG, Gone, Vault, is_sealed, subject_of
from mainstay.journal.writer import SegmentWriter

NOW = datetime(2026, 11, 27, tzinfo=UTC)


def subject(number: int) -> bytes:
    return number.to_bytes(4, "little") * 4


def destroy(where: Subjects, who: bytes) -> Tombstone:
    return where.destroy(who, at=NOW, by="test", reason="asked for", records=0)


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())


def _key_name(folder: str) -> bytes:
    return Subjects(Path(folder)).key_for(subject(1)).name


def test_processes_that_meet_a_new_subject_at_once_get_one_key(tmp_path: Path) -> None:
    with get_context("spawn").Pool(4) as pool:
        names = set(pool.map(_key_name, [str(tmp_path)] * 16))
    assert len(names) == 1


def test_threads_that_meet_new_subjects_at_once_get_one_key_each(tmp_path: Path) -> None:
    one, two = Subjects(tmp_path), Subjects(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: (n // 8, (one, two)[n % 2].key_for(subject(1 + n // 8)).name), range(400)))
    assert len(set(found)) == 50


def test_a_key_is_found_again_by_another_process_and_by_its_name_alone(tmp_path: Path) -> None:
    made = Subjects(tmp_path).key_for(subject(1))
    again = Subjects(tmp_path)
    assert again.find(subject(1), made.name) is not None
    assert again.find(subject(1), b"another.") is None
    assert again.find(subject(2), made.name) is None


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    assert Subjects(tmp_path / "subjects").find(subject(1), b"12345678") is None
    assert not (tmp_path / "subjects").exists()


def test_only_this_user_may_read_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "subjects"
    destroy(Subjects(folder), Subjects(folder).key_for(subject(1)).subject)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_tables_grow_and_no_key_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "FIRST_SLOTS", 16)
    where, other = Subjects(tmp_path), Subjects(tmp_path)
    other.key_for(subject(1))
    first = {number: where.key_for(subject(number)).name for number in range(1, 201)}
    assert len(list(tmp_path.glob("keys-*.tbl"))) == 4  # 16, 64, 256 and 1,024 slots, the first ones half full
    assert {number: other.key_for(subject(number)).name for number in range(1, 201)} == first
    assert all(Subjects(tmp_path).find(subject(number), first[number]) for number in (1, 100, 200))


def test_the_next_table_is_made_before_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "FIRST_SLOTS", 16)
    where = Subjects(tmp_path)
    for number in range(1, 8):
        where.key_for(subject(number))
        where.refresh()
        assert (tmp_path / "keys-1.tbl").exists() is (number == 7)
    first = where.key_for(subject(1)).name
    for number in range(8, 20):
        where.key_for(subject(number))
    assert where.key_for(subject(1)).name == first
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".keys")]


def test_a_destroyed_key_leaves_no_byte_of_it_behind(tmp_path: Path) -> None:
    where = Subjects(tmp_path)
    where.key_for(subject(1)), where.key_for(subject(2))
    table = (tmp_path / "keys-0.tbl").read_bytes()
    place = table.index(subject(1))
    name, nonce, wrapped = (
        table[place + 16 : place + 24],
        table[place + 32 : place + 44],
        table[place + 44 : place + 92],
    )
    tombstone = destroy(where, subject(1))
    left = everything(tmp_path)
    assert tombstone.name == name.hex()
    assert nonce not in left
    assert all(wrapped[start : start + 8] not in left for start in range(0, 48, 8))
    assert left.count(subject(2)) == 1


def test_a_destroyed_key_is_gone_from_every_process_at_its_next_look_and_a_new_one_is_made_later(
    tmp_path: Path,
) -> None:
    worker, command = Subjects(tmp_path), Subjects(tmp_path)
    before = worker.key_for(subject(1))
    destroy(command, subject(1))
    assert worker.find(subject(1), before.name) is None
    after = worker.key_for(subject(1))
    assert after.name != before.name
    assert command.find(subject(1), after.name) is not None


def test_an_idle_process_drops_its_keys_from_memory(tmp_path: Path) -> None:
    worker, command = Subjects(tmp_path), Subjects(tmp_path)
    worker.key_for(subject(1))
    worker.refresh()
    assert worker._keys
    destroy(command, subject(1))
    worker.refresh()
    assert not worker._keys


def test_a_kill_between_tombstone_and_destroying_is_made_good_by_the_next_who_opens(tmp_path: Path) -> None:
    where = Subjects(tmp_path)
    key = where.key_for(subject(1))
    where._write_tombstone(
        Tombstone(subject=subject(1).hex(), name=key.name.hex(), at=NOW, by="", reason="", records=0)
    )
    assert Subjects(tmp_path).find(subject(1), key.name) is None
    assert where.find(subject(1), key.name) is None


def test_tombstones_win_over_an_older_copy_of_the_folder(tmp_path: Path) -> None:
    where = Subjects(tmp_path / "now")
    key, other = where.key_for(subject(1)), where.key_for(subject(2))
    older = tmp_path / "older"
    older.mkdir()
    for path in where.folder.iterdir():
        (older / path.name).write_bytes(path.read_bytes())
    tombstone = destroy(where, subject(1))
    restored = Subjects(older)
    assert restored.find(subject(1), key.name) is not None
    assert restored.enforce([tombstone]) == 1
    assert restored.find(subject(1), key.name) is None
    assert restored.find(subject(2), other.name) is not None
    assert restored.tombstones() == [tombstone]
    assert restored.enforce([tombstone]) == 0


def test_a_tombstone_does_not_touch_the_key_that_was_made_after_it(tmp_path: Path) -> None:
    where = Subjects(tmp_path)
    where.key_for(subject(1))
    tombstone = destroy(where, subject(1))
    later = where.key_for(subject(1))
    assert where.enforce([tombstone]) == 0
    assert where.find(subject(1), later.name) is not None


def test_a_torn_line_of_a_killed_eraser_spoils_neither_the_others_nor_the_next(tmp_path: Path) -> None:
    where = Subjects(tmp_path)
    first = destroy(where, where.key_for(subject(1)).subject)
    with (tmp_path / keys.TOMBSTONES).open("ab") as out:
        out.write(b'{"v":1,"subj')
    second = destroy(where, where.key_for(subject(2)).subject)
    assert where.tombstones() == [first, second]


def test_a_slot_that_is_not_whole_is_nobodys_key(tmp_path: Path) -> None:
    where = Subjects(tmp_path)
    key = where.key_for(subject(1))
    where.close()
    table = tmp_path / "keys-0.tbl"
    data = bytearray(table.read_bytes())
    data[data.index(subject(1)) + 60] ^= 1
    table.write_bytes(data)
    assert Subjects(tmp_path).find(subject(1), key.name) is None


def test_another_project_key_is_said_to_be_the_wrong_one(tmp_path: Path) -> None:
    key = Subjects(tmp_path).key_for(subject(1))
    (tmp_path / PROJECT_KEY).write_bytes(os.urandom(32))
    with pytest.raises(Damaged, match=PROJECT_KEY):
        Subjects(tmp_path).find(subject(1), key.name)


def test_a_key_is_synced_before_the_first_record_that_needs_it_and_only_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    where, other = Subjects(tmp_path), Subjects(tmp_path)
    where.key_for(subject(1))
    monkeypatch.setattr(keys, "_sync", synced.append)
    where.sync()
    where.sync()
    assert len(synced) == 1
    where.key_for(subject(1))
    where.sync()
    assert len(synced) == 1
    other.key_for(subject(1))  # made by another process, which may not have synced it yet
    other.sync()
    assert len(synced) == 2


def test_a_table_is_one_slot_of_128_bytes_for_each_subject(tmp_path: Path) -> None:
    Subjects(tmp_path).key_for(subject(1))
    assert SIZE == 128
    assert (tmp_path / "keys-0.tbl").stat().st_size == (keys.FIRST_SLOTS + 1) * SIZE


WHO, OTHER = "ab" * 16, "cd" * 16


@pytest.mark.parametrize("value", ["grüße \0 😀", 12, 1.5, True, datetime(2026, 1, 5, 9, tzinfo=UTC), ""])
def test_a_sealed_value_opens_to_what_it_was(tmp_path: Path, value: object) -> None:
    sealed = Vault.of(tmp_path, "shop").seal("text", value, WHO)
    assert is_sealed(sealed)
    assert subject_of(sealed[TAG]) == WHO
    assert Vault.of(tmp_path, "shop").open("text", sealed[TAG]) == value


def test_equal_values_are_sealed_to_different_texts(tmp_path: Path) -> None:
    vault = Vault.of(tmp_path, "shop")
    assert len({vault.seal("text", "same", WHO)[TAG] for _ in range(100)}) == 100


def test_a_sealed_value_cannot_be_moved_to_another_field_model_or_person(tmp_path: Path) -> None:
    vault = Vault.of(tmp_path, "shop")
    token = vault.seal("text", "secret", WHO)[TAG]
    another = vault.seal("text", "mine", OTHER)[TAG]
    assert vault.open("note", token) is Gone.LOST
    assert Vault(vault.subjects, "bank").open("text", token) is Gone.LOST
    mine, theirs = vault_bytes(another), vault_bytes(token)
    assert vault.open("text", token_of(mine[:25] + theirs[25:])) is Gone.LOST
    assert vault.open("text", token) == "secret"


@pytest.mark.parametrize("token", ["", "AQ==", "not base64!", "é", "A" * 200])
def test_what_is_no_sealed_value_is_lost_and_no_error(tmp_path: Path, token: str) -> None:
    assert Vault.of(tmp_path, "shop").open("text", token) is Gone.LOST


def test_erased_and_lost_are_told_apart(tmp_path: Path) -> None:
    vault = Vault.of(tmp_path / "keys", "shop")
    inputs = {"text": vault.seal("text", "secret", WHO), "place": "north"}
    assert vault.opened(inputs) == ({"text": "secret", "place": "north"}, {})
    destroy(vault.subjects, bytes.fromhex(WHO))
    assert vault.opened(inputs) == ({"place": "north"}, {"text": Gone.ERASED})
    assert Vault.of(tmp_path / "none", "shop").opened(inputs) == ({"place": "north"}, {"text": Gone.LOST})


def vault_bytes(token: str) -> bytes:
    from base64 import b64decode

    return b64decode(token)


def token_of(data: bytes) -> str:
    from base64 import b64encode

    return b64encode(data).decode()


def test_no_record_is_written_before_the_keys_that_it_needs_are_durable(tmp_path: Path) -> None:
    order: list[str] = []
    with SegmentWriter(tmp_path / "journal", "w0", before=lambda: order.append("keys")) as out:
        write = out._write

        def noted(data: bytes, first: int) -> None:
            write(data, first)
            order.append("records")

        out._write = noted  # type: ignore[method-assign]
        out.commit([record(out.next_seq)])
        out.commit([record(out.next_seq)])
    assert order == ["keys", "records"] * 2


def test_keys_that_cannot_be_made_durable_keep_their_records_unacknowledged(tmp_path: Path) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    with SegmentWriter(tmp_path / "journal", "w0", before=full) as out, pytest.raises(JournalFull):
        out.commit([record(out.next_seq)])
    assert Journal(tmp_path / "journal").read({}, 10)[0] == []


def record(seq: int) -> Event:
    return Event(model="m", worker="w0", seq=seq, id=f"p{seq}", kind=Kind.PREDICTION, occurred_at=NOW, received_at=NOW)
