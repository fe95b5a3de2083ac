"""What encrypted fields cost, in microseconds of processor time, best of five: `.venv/bin/python bench/sealing.py`."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mainstay.core.contracts import Contract, Field, FieldType, Pii, Task
from mainstay.journal.personal import Hasher, compile_journal_copy
from mainstay.journal.vault import TAG, Vault

ROW = {"text": "where is my refund, I have been waiting for two weeks now", "who": "c-1042"}
HASHER = Hasher("00" * 32)
ROWS, SUBJECTS, ERASED = 20_000, 20_000, 200


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


if __name__ == "__main__":
    main()
