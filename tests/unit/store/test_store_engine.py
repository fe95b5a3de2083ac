"""Opening a store says clearly what is wrong with it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from mainstay.core import errors
from mainstay.store.engine import Store
from mainstay.testing.clock import FakeClock


def _open(url: str) -> Store:
    return Store.open(url, clock=FakeClock())


def test_a_folder_means_the_file_store_db_in_it(tmp_path: Path) -> None:
    _open(f"sqlite:///{tmp_path}/state").close()
    assert (tmp_path / "state" / "store.db").stat().st_mode & 0o777 == 0o600


def test_sqlite_runs_with_a_rollback_journal_and_full_synchronisation(tmp_path: Path) -> None:
    store = _open(f"sqlite:///{tmp_path}/store.db")
    with store.begin() as tx:
        found = {
            name: tx.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
        assert found == {"journal_mode": "delete", "synchronous": 2, "foreign_keys": 1}
        assert tx.execute(text("PRAGMA busy_timeout")).scalar() == 10_000


def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database at all" * 400)
    with pytest.raises(errors.Damaged, match="not a database") as caught:
        _open(f"sqlite:///{tmp_path}/store.db")
    assert "backup" in caught.value.remedy


def test_a_database_cut_in_half_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    _open(f"sqlite:///{path}").close()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(errors.Damaged, match="malformed"):
        _ = _open(f"sqlite:///{path}").integrity()


def test_a_strangers_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with sqlite3.connect(path) as stranger:
        stranger.execute("CREATE TABLE releases (x)")
    stranger.close()
    with pytest.raises(errors.EnvironmentFault, match="no schema version"):
        _open(f"sqlite:///{path}")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(errors.EnvironmentFault, match=r"file/store\.db cannot be opened"):
        _open(f"sqlite:///{tmp_path}/file/store.db")


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/db", ""])
def test_an_address_that_cannot_be_is_a_usage_error(url: str) -> None:
    with pytest.raises(errors.UsageError, match="store"):
        _open(url)


def test_a_server_that_does_not_answer_is_unavailable_and_its_password_is_not_told() -> None:
    with pytest.raises(errors.StoreUnavailable) as caught:
        _open("postgresql://user:hunter2@127.0.0.1:1/db")
    assert "hunter2" not in caught.value.message


def test_a_store_in_memory_works_for_tests() -> None:
    store = _open("sqlite://")
    assert store.integrity() == []
    store.close()


def test_a_store_that_stays_locked_is_unavailable_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mainstay.store.engine.BUSY_TIMEOUT_S", 0)
    store = _open(f"sqlite:///{tmp_path}/store.db")
    with store.begin(), pytest.raises(errors.StoreUnavailable, match="held by another"), store.begin():
        pass


def test_a_current_store_opens_without_loading_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    _open(url).close()
    code = (
        "import sys; from mainstay.store.engine import Store; from mainstay.testing.clock import FakeClock;"
        f"Store.open({url!r}, clock=FakeClock()); sys.exit('alembic' in sys.modules)"
    )
    path = os.pathsep.join(sys.path)
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": path}, check=False).returncode == 0
