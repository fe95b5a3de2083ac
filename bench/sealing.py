"""What encrypted fields cost, in microseconds of processor time, best of five: `.venv/bin/python bench/sealing.py`."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from mainstay.core.contracts import Contract, Field, FieldType, Pii, Task
from mainstay.core.events import Event, Kind
from mainstay.journal.personal import Hasher, compile_journal_copy
from mainstay.journal.read import Journal
from mainstay.journal.seal import seal_closed
from mainstay.journal.vault import TAG, Vault
from mainstay.journal.writer import SegmentWriter

ROW = {"text": "where is my refund, I have been waiting for two weeks now", "who": "c-1042"}
HASHER = Hasher("00" * 32)
ROWS, SUBJECTS, RECORDS = 20_000, 20_000, 100_000


def contract(pii: Pii) -> Contract:
    """Return a contract of one text and its key."""
    text = Field(name="text", type=FieldType.TEXT, pii=pii)
    who = Field(name="who", type=FieldType.IDENTIFIER)
    return Contract(task=Task.BINARY, fields=(text, who), target="kind", classes=("a", "b"), key="who")


def microseconds(act: Callable[[], object], times: int) -> float:
    """Return the processor time of one act."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(times):
            act()
        best = min(best, time.process_time() - began)
    return best / times * 1e6


def each(act: Callable[[bytes], object], subjects: Sequence[bytes]) -> float:
    """Return the processor time of an act on each subject, once."""
    began = time.process_time()
    for subject in subjects:
        act(subject)
    return (time.process_time() - began) / len(subjects) * 1e6


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else ".") as folder:
        vault = Vault.of(Path(folder) / "subjects", "bench")
        for pii in Pii:
            copy = compile_journal_copy(contract(pii), HASHER, vault)
            copy(dict(ROW))
            print(f"{pii.value:28}{microseconds(lambda copy=copy: copy(ROW), ROWS):8.2f} us a row")
        token = vault.seal("text", ROW["text"], HASHER.key_hash("c-1042"))[TAG]
        print(f"{'open again':28}{microseconds(lambda: vault.open('text', token), ROWS):8.2f} us a value")
        print(f"{'size':28}{len(ROW['text']):8} characters become {len(token)}")
        subjects = [bytes.fromhex(HASHER.key_hash(str(number))) for number in range(SUBJECTS)]
        print(f"{'a new subject':28}{each(vault.subjects.key_for, subjects):8.2f} us")
        other = Vault.of(Path(folder) / "subjects", "bench")
        print(f"{'met for the first time':28}{each(other.subjects.key_for, subjects[:9000]):8.2f} us")
        began = time.perf_counter()
        vault.subjects.sync()
        print(f"{'sync of all of them':28}{(time.perf_counter() - began) * 1e3:8.2f} ms")
        size = sum(path.stat().st_size for path in (Path(folder) / "subjects").iterdir())
        print(f"{'on disk':28}{size / 1e6:8.1f} MB for {SUBJECTS} subjects")
        records(Path(folder) / "journal", vault)


def records(folder: Path, vault: Vault) -> None:
    """Find and open one subject's records among many that are sealed into Parquet, then destroy the key."""
    now, who = datetime.now(UTC), HASHER.key_hash("7")
    with SegmentWriter(folder, "w0", durability="os") as out:
        for start in range(0, RECORDS, 1000):
            out.commit([event(start + n, out.next_seq + n, now, vault) for n in range(1000)])
    seal_closed(folder)
    began = time.perf_counter()
    found = [vault.opened(one.inputs) for one in Journal(folder).matching("bench", key_hash=who)]
    took = time.perf_counter() - began
    print(f"{'find and open':28}{took * 1e3:8.0f} ms for {len(found)} records among {RECORDS}")
    began = time.perf_counter()
    vault.subjects.destroy(bytes.fromhex(who), at=now, by="bench", reason="", records=len(found))
    print(f"{'destroy a key':28}{(time.perf_counter() - began) * 1e3:8.1f} ms")


def event(number: int, seq: int, now: datetime, vault: Vault) -> Event:
    """Return a record of one of 1,000 subjects."""
    who = HASHER.key_hash(str(number % 1000))
    sealed = {"text": vault.seal("text", ROW["text"], who)}
    given = {"model": "bench", "worker": "w0", "seq": seq, "id": f"w0-{number}", "key_hash": who}
    return Event(**given, kind=Kind.PREDICTION, occurred_at=now, received_at=now, inputs=sealed, label="a")


if __name__ == "__main__":
    main()
