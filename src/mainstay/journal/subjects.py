"""One random key for each subject, in exactly one place, where it can be destroyed; docs/decisions/0012 says why so.

`.mainstay/subjects/` holds a project key, and tables of 128-byte slots, one slot for each subject: its salted hash, a
random name of its key, and the key, wrapped under the project key. A table is an open-addressing hash table in a file
that never moves: when it is half full the next one, four times as large, is begun, so that no key is ever copied.
Destroying is overwriting the slot where it lies. Readers map the tables, so that a destroyed key is gone from every
process at its next look, without a message. No database: what a database writes aside, and frees, holds the key too.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import msgspec

from mainstay.core.errors import Damaged, EnvironmentFault, JournalFull
from mainstay.journal import files

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FOLDER = "subjects"
PROJECT_KEY, TOMBSTONES = "project.key", "tombstones.ndjson"
KEY_BYTES, NONCE_BYTES, NAME_BYTES = 32, 12, 8
_SLOT = struct.Struct("<16s8sQ12s48s32xI")
"""Subject, name of its key (zeros: none), made at (microseconds), nonce, wrapped key, CRC of what stands before."""
_HEADER = struct.Struct("<8sQQQ96x")
"""Magic, slots, slots taken, keys destroyed so far (of the first table: a change tells caches to forget)."""
_MAGIC = b"MSUBJCT1"
SIZE = _SLOT.size
FIRST_SLOTS, GROWTH = 4096, 4
CACHED = 10_000
"""Keys that one process keeps in memory."""
_NO_NAME = bytes(NAME_BYTES)
_PIECE = 512 * 1024
_DESTROYED = 24
"""Where in the header the count of destroyed keys stands."""
_sync = getattr(os, "fdatasync", os.fsync)


class Tombstone(msgspec.Struct, frozen=True, kw_only=True):
    """That a subject's key was destroyed; holds nothing of the person but the salted hash of the key."""

    v: int = 1
    subject: str
    """Salted hash of the key, hex."""
    name: str
    """Of the destroyed key, hex; empty when the subject had none."""
    at: datetime
    by: str
    reason: str
    records: int
    """How many records named the subject then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A subject's key, ready for use."""

    subject: bytes
    name: bytes
    cipher: AESGCM


class Subjects:
    """All subjects' keys of a project. Opens when first used. Thread-safe; several processes may use one folder."""

    def __init__(self, folder: Path, *, random: Callable[[int], bytes] = os.urandom) -> None:
        self.folder = Path(folder)
        self._random = random
        self._tables: list[_Table] = []
        self._wrap: AESGCM | None = None
        self._keys: dict[bytes, Key] = {}
        self._destroyed = -1
        self._unsynced: set[int] = set()
        self._dead: tuple[int, frozenset[bytes]] = (0, frozenset())
        self._lock = threading.RLock()
        self._held = 0

    @property
    def exists(self) -> bool:
        """Return whether any key was ever made here."""
        return (self.folder / PROJECT_KEY).exists()

    def key_for(self, subject: bytes) -> Key:
        """Return the subject's key, made now if there is none; it is durable once `sync` has returned.

        Several processes that meet a new subject at once get the same key. Raises JournalFull when it cannot be made.
        """
        if self._destroyed_count() != self._destroyed:
            self.forget()
        key = self._keys.get(subject)
        return key if key is not None else self._meet(subject)

    def find(self, subject: bytes, name: bytes) -> Key | None:
        """Return the key of that name, or None: destroyed, or never here."""
        with self._lock:
            if self._destroyed_count() != self._destroyed:
                self.forget()
            key = self._keys.get(subject)
            if key is None and self.exists:
                self._open()
                key = self._read(subject, refresh=True)
                if key is not None:
                    self._remember(key)
            return key if key is not None and key.name == name else None

    def has(self, subject: bytes) -> bool:
        """Return whether the subject has a key now."""
        with self._lock:
            self._open()
            return self._read(subject, refresh=True) is not None

    def sync(self) -> None:
        """Make every key durable that `key_for` has returned; costs nothing when none is new. Raises OSError."""
        if not self._unsynced:
            return
        with self._lock:
            numbers, self._unsynced = self._unsynced, set()
        try:
            for number in numbers:
                _sync(self._tables[number].file)
        except OSError:
            with self._lock:
                self._unsynced |= numbers
            raise

    def forget(self) -> None:
        """Drop every key from this process's memory."""
        with self._lock:
            self._keys.clear()
            self._destroyed = self._destroyed_count()

    def refresh(self) -> None:
        """Drop the keys from memory if one was destroyed meanwhile, and make the next table before it is needed.

        For a thread beside the one that answers; costs nothing while there is nothing to do.
        """
        if not self._tables:
            return
        if self._destroyed_count() != self._destroyed:
            self.forget()
        newest, number = self._tables[-1], len(self._tables)
        if newest.taken * 5 >= newest.slots * 2 and not self._table_path(number).exists():
            self._make_table(number)

    def destroy(self, subject: bytes, *, at: datetime, by: str, reason: str, records: int) -> Tombstone:
        """Destroy the subject's key for good; the tombstone is durable before, so that a kill between is made good.

        Returns the tombstone; one without a name when there was no key.
        """
        with self._guarded():
            self._open()
            found = self._place(subject)
            name = found[0].name_at(found[1]) if found is not None else _NO_NAME
            tombstone = Tombstone(
                subject=subject.hex(),
                name=name.hex() if name != _NO_NAME else "",
                at=at,
                by=by,
                reason=reason,
                records=records,
            )
            self._write_tombstone(tombstone)
            if found is not None and name != _NO_NAME:
                self._overwrite(*found, subject)
        return tombstone

    def tombstones(self) -> list[Tombstone]:
        """Return every tombstone of this folder, oldest first; a torn last line is none."""
        found = []
        try:
            lines = (self.folder / TOMBSTONES).read_bytes().splitlines()
        except FileNotFoundError:
            return []
        for line in lines:
            with contextlib.suppress(msgspec.MsgspecError):
                found.append(msgspec.json.decode(line, type=Tombstone))
        return found

    def enforce(self, tombstones: Sequence[Tombstone]) -> int:
        """Destroy every key that a tombstone names and that is here all the same, as after a restore; return how many.

        Tombstones that this folder does not have are kept in it.
        """
        if not tombstones:
            return 0
        count = 0
        with self._guarded():
            self._open(enforce=False)
            known = {(one.subject, one.name) for one in self.tombstones()}
            for one in tombstones:
                if (one.subject, one.name) not in known:
                    self._write_tombstone(one)
                subject = bytes.fromhex(one.subject)
                found = self._place(subject)
                if one.name and found is not None and found[0].name_at(found[1]).hex() == one.name:
                    self._overwrite(*found, subject)
                    count += 1
        return count

    def names_destroyed(self) -> frozenset[bytes]:
        """Return the names of all destroyed keys; the file is read again when it has grown."""
        try:
            size = (self.folder / TOMBSTONES).stat().st_size
        except FileNotFoundError:
            size = 0
        if size != self._dead[0]:
            self._dead = size, frozenset(bytes.fromhex(one.name) for one in self.tombstones() if one.name)
        return self._dead[1]

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """Keep everybody from making or destroying a key inside the block, so that the folder can be copied."""
        with self._guarded():
            yield

    def close(self) -> None:
        """Let go of files and keys."""
        with self._lock:
            for table in self._tables:
                table.close()
            self._tables, self._keys, self._wrap = [], {}, None

    # inside

    def _meet(self, subject: bytes) -> Key:
        with self._lock:
            try:
                self._open()
                key = self._read(subject) or self._make(subject)
            except OSError as error:
                raise JournalFull(f"no key can be kept in {self.folder}: {error.strerror}") from error
            # Whoever made it may not have synced it yet, and its record must not be durable before the key is.
            found = self._place(subject)
            if found is not None:
                self._unsynced.add(self._tables.index(found[0]))
            self._remember(key)
            return key

    def _remember(self, key: Key) -> None:
        while len(self._keys) >= CACHED:
            del self._keys[next(iter(self._keys))]
        self._keys[key.subject] = key

    def _read(self, subject: bytes, *, refresh: bool = False) -> Key | None:
        found = self._place(subject)
        if found is None and refresh and self._has_new_table():
            self._open_tables()
            found = self._place(subject)
        return None if found is None else self._unwrap(*found, subject)

    def _unwrap(self, table: _Table, slot: int, subject: bytes) -> Key | None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        held = table.read(slot)
        if held is None or held[1] == _NO_NAME:
            return None
        _, name, _, nonce, wrapped = held
        try:
            plain = self._wrapping().decrypt(nonce, wrapped, subject + name)
        except InvalidTag as error:
            raise Damaged(
                f"a key in {self.folder} cannot be unwrapped: {PROJECT_KEY} is not the one that it was made under",
                remedy=f"Restore the folder {self.folder} as a whole.",
            ) from error
        return Key(subject=subject, name=name, cipher=AESGCM(plain))

    def _wrapping(self) -> AESGCM:
        if self._wrap is None:
            raise EnvironmentFault(f"{self.folder} was closed")
        return self._wrap

    def _make(self, subject: bytes) -> Key:
        with self._guarded():
            found = self._place(subject)
            key = self._unwrap(*found, subject) if found is not None else None
            if key is not None:
                return key
            if found is None and self._has_new_table():
                self._open_tables()
                found = self._place(subject)
                key = self._unwrap(*found, subject) if found is not None else None
                if key is not None:
                    return key
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            table, slot = found or self._free(subject)
            plain, name = self._random(KEY_BYTES), self._random(NAME_BYTES)
            nonce = self._random(NONCE_BYTES)
            wrapped = self._wrapping().encrypt(nonce, plain, subject + name)
            table.write(slot, subject, name, nonce, wrapped)
            if found is None:
                table.count_taken()
            return Key(subject=subject, name=name, cipher=AESGCM(plain))

    def _place(self, subject: bytes) -> tuple[_Table, int] | None:
        for table in reversed(self._tables):
            slot = table.find(subject)
            if slot is not None:
                return table, slot
        return None

    def _free(self, subject: bytes) -> tuple[_Table, int]:
        newest = self._tables[-1]
        if newest.taken * 2 >= newest.slots:
            self._make_table(len(self._tables))
            self._open_tables()
            newest = self._tables[-1]
        return newest, newest.free(subject)

    def _overwrite(self, table: _Table, slot: int, subject: bytes) -> None:
        table.destroy(slot, subject, self._random)
        first = self._tables[0]
        os.pwrite(first.file, struct.pack("<Q", first.destroyed + 1), _DESTROYED)
        _sync(first.file)
        self.forget()

    def _write_tombstone(self, tombstone: Tombstone) -> None:
        path = self.folder / TOMBSTONES
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(handle).st_size
            begin = b"\n" if size and os.pread(handle, 1, size - 1) != b"\n" else b""
            os.write(handle, begin + msgspec.json.encode(tombstone) + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
        files.sync_folder(self.folder)

    def _destroyed_count(self) -> int:
        return self._tables[0].destroyed if self._tables else 0

    def _open(self, *, enforce: bool = True) -> None:
        """Open the folder, made at the first call; destroy what its own tombstones say is destroyed."""
        if self._tables and self._wrap is not None:
            return
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        _make_folder(self.folder)
        self._wrap = AESGCM(_read_or_make(self.folder / PROJECT_KEY, self._random))
        if not self._table_path(0).exists():
            self._make_table(0)
        self._open_tables()
        self._destroyed = self._destroyed_count()
        if enforce:
            self.enforce(self.tombstones())

    def _make_table(self, number: int) -> None:
        """Make a table; its blocks are written without the lock, so that nobody waits for them."""
        path = self._table_path(number)
        draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            _write_table(draft, FIRST_SLOTS * GROWTH**number)
            with self._guarded():
                if not path.exists():
                    draft.rename(path)
                    files.sync_folder(self.folder)
        finally:
            draft.unlink(missing_ok=True)

    def _open_tables(self) -> None:
        while (path := self._table_path(len(self._tables))).exists():
            self._tables.append(_Table(path))

    def _has_new_table(self) -> bool:
        return self._table_path(len(self._tables)).exists()

    def _table_path(self, number: int) -> Path:
        return self.folder / f"keys-{number}.tbl"

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Hold the folder's lock, between threads and processes; within one thread again and again."""
        with self._lock:
            _make_folder(self.folder)
            held = self._held
            self._held = held + 1
            lock = -1
            try:
                if not held:
                    lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                    fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                self._held = held
                if lock >= 0:
                    os.close(lock)


class _Table:
    """One file of slots, mapped for reading, written in place."""

    __slots__ = ("_map", "file", "slots")

    slots: int

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._map = mmap.mmap(self.file, 0, access=mmap.ACCESS_READ)
        magic, self.slots, _, _ = _HEADER.unpack_from(self._map, 0)
        if magic != _MAGIC or len(self._map) != (self.slots + 1) * SIZE:
            raise Damaged(f"{path} is no table of keys, or is cut off", remedy="Restore its folder as a whole.")

    @property
    def taken(self) -> int:
        return int.from_bytes(self._map[16:24], "little")

    @property
    def destroyed(self) -> int:
        return int.from_bytes(self._map[_DESTROYED : _DESTROYED + 8], "little")

    def find(self, subject: bytes) -> int | None:
        """Return the subject's slot, or None."""
        slot = self._probe(subject, subject)
        return slot if self._map[(slot + 1) * SIZE : (slot + 1) * SIZE + 16] == subject else None

    def free(self, subject: bytes) -> int:
        """Return the empty slot where the subject belongs."""
        return self._probe(subject, bytes(16))

    def _probe(self, subject: bytes, wanted: bytes) -> int:
        """Return the first slot from the subject's own on that holds `wanted` or nothing; half of them are empty."""
        slot, empty = int.from_bytes(subject[:8], "little") % self.slots, bytes(16)
        while True:
            at = (slot + 1) * SIZE
            held = self._map[at : at + 16]
            if held in (wanted, empty):
                return slot
            slot = (slot + 1) % self.slots

    def name_at(self, slot: int) -> bytes:
        held = self.read(slot)
        return _NO_NAME if held is None else held[1]

    def read(self, slot: int) -> tuple[bytes, bytes, int, bytes, bytes] | None:
        """Return a slot's content; None for one that is not whole: its writing was cut off before anybody used it."""
        for _ in range(3):  # another process may be writing it now
            data = self._map[(slot + 1) * SIZE : (slot + 2) * SIZE]
            subject, name, made, nonce, wrapped, checksum = _SLOT.unpack(data)
            if crc32(data[:-4]) == checksum:
                return subject, name, made, nonce, wrapped
        return None

    def write(self, slot: int, subject: bytes, name: bytes, nonce: bytes, wrapped: bytes) -> None:
        data = _SLOT.pack(subject, name, 0, nonce, wrapped, 0)[:-4]
        os.pwrite(self.file, data + struct.pack("<I", crc32(data)), (slot + 1) * SIZE)

    def destroy(self, slot: int, subject: bytes, random: Callable[[int], bytes]) -> None:
        """Overwrite the key where it lies, twice, each time down to the disk; the subject's hash keeps the slot."""
        os.pwrite(self.file, random(SIZE - 16 - 4), (slot + 1) * SIZE + 16)
        _sync(self.file)
        self.write(slot, subject, _NO_NAME, bytes(NONCE_BYTES), bytes(48))
        _sync(self.file)

    def count_taken(self) -> None:
        os.pwrite(self.file, struct.pack("<Q", self.taken + 1), 16)

    def close(self) -> None:
        self._map.close()
        os.close(self.file)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"the folder {folder} cannot be made: {error.strerror}") from error


def _write_table(path: Path, slots: int) -> None:
    """Write an empty table, every block of it, so that no later key meets a full disk; a little at a time."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        offset = os.write(handle, _HEADER.pack(_MAGIC, slots, 0, 0))
        while offset < (slots + 1) * SIZE:
            offset += os.write(handle, bytes(min(_PIECE, (slots + 1) * SIZE - offset)))
            _sync(handle)
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_or_make(path: Path, random: Callable[[int], bytes]) -> bytes:
    """Return the project key; processes that make it at once get the same."""
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, random(KEY_BYTES))
            os.fsync(handle)
        finally:
            os.close(handle)
        try:
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink()
        files.sync_folder(path.parent)
    try:
        key = path.read_bytes()
    except OSError as error:
        raise EnvironmentFault(
            f"the project key {path} cannot be read: {error.strerror}", remedy="Give this user the right to read it."
        ) from error
    if len(key) != KEY_BYTES:
        raise Damaged(f"{path} has {len(key)} bytes; {KEY_BYTES} are expected", remedy="Restore it, with its folder.")
    return key
