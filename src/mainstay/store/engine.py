"""Open the store, bring its schema up to date under a lock, and hand out transactions.

SQLite runs with a rollback journal, full synchronisation and BEGIN IMMEDIATE for writes (docs/decisions/0002). On
PostgreSQL a write transaction takes one advisory lock, so that writes are serialised there as they are on SQLite: the
control state is small, and one order of events is worth more here than parallel writes.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, exc, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool, StaticPool

from mainstay.config.folders import make_private
from mainstay.core import errors
from mainstay.core.ports import Clock
from mainstay.store import faults

HEAD = "0018"
"""Newest migration; a test holds it equal to migrations/."""
BUSY_TIMEOUT_S = 10
_PATIENCE = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""Of libpq: a server that vanished without a word (its machine, the network) is given up after 20 to 25 seconds and not
after the system's two hours. A server that hangs goes on answering on this level, and is waited for."""
_BOUNDS = "SET LOCAL lock_timeout = '60s'; SET LOCAL idle_in_transaction_session_timeout = '45s'"
"""Of a write transaction on PostgreSQL: a process that stands still within one is thrown out by the server, and whoever
waits for its lock is told so. SQLite has no such server: there the process must go on, or end."""
_WRITE_LOCK = 0x4D41_494E
_SCHEMA_LOCK = 0x4D41_494F
_NEWER = "Use the version of Mainstay that wrote it, or a newer one; or restore the backup made before the upgrade."


class Store:
    """One open store. Transactions may be taken from any thread; one at a time for an in-memory store."""

    def __init__(self, engine: Engine, *, clock: Clock, where: str) -> None:
        self.engine = engine
        self.clock = clock
        self.where = where
        self._fences = threading.local()

    @classmethod
    def open(cls, url: str, *, clock: Clock) -> Store:
        """Open the store at `url`, creating or migrating it first.

        `sqlite:///FOLDER` means FOLDER/store.db; `sqlite://` is in memory, for tests. A store that cannot be read, is
        damaged, or was written by a newer version raises `EnvironmentFault`.
        """
        address = _address(url)
        store = cls(_engine(address), clock=clock, where=address.render_as_string(hide_password=True))
        try:
            with store._said():
                _migrate(store.engine, address, store.where)
                if address.get_backend_name() == "sqlite" and not _in_memory(address):
                    store.engine = _engine(_existing(address))
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def look(cls, url: str, *, clock: Clock) -> Store:
        """Open a store that is there, only to look at it: nothing is made, migrated or written."""
        address = _address(url)
        if address.get_backend_name() == "sqlite" and not _in_memory(address):
            address = _existing(address).update_query_dict({"mode": "ro"})
        store = cls(_engine(address), clock=clock, where=_address(url).render_as_string(hide_password=True))
        try:
            with store.read() as tx:
                found = _revision(tx)
        except BaseException:
            store.close()
            raise
        if found != HEAD:
            store.close()
            raise errors.EnvironmentFault(
                f"the store {store.where} has schema {found!r}; this version works with {HEAD!r}",
                remedy="`mainstay status` brings an older schema up to date; a newer one needs a newer Mainstay.",
            )
        return store

    @classmethod
    def is_empty(cls, url: str, *, clock: Clock) -> bool:
        """Return whether a database that is there holds nothing of ours; raises StoreUnavailable while it is away."""
        address = _address(url)
        store = cls(_engine(address), clock=clock, where=address.render_as_string(hide_password=True))
        try:
            with store.read() as tx:
                return not inspect(tx).has_table("releases")
        finally:
            store.close()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Give a write transaction: committed at the end of the block, rolled back by any exception."""
        with self._said(), self.engine.connect() as opened:
            tx = opened.execution_options(mainstay_write=True)
            with tx.begin():
                if tx.dialect.name == "postgresql":
                    tx.exec_driver_sql(_BOUNDS)
                    tx.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _WRITE_LOCK})
                self._ask_fence(tx)
                yield tx
                # Once more: one that took long renews what it holds as it ends, or others would take turns with it.
                self._ask_fence(tx)

    @contextmanager
    def fenced(self, fence: Callable[[Connection], None]) -> Iterator[None]:
        """Let every write transaction of this thread ask `fence` first, which raises where it may not write any more.

        It is asked after the lock that serialises writes was taken, so that its answer holds until the commit.
        """
        before = getattr(self._fences, "ask", None)
        self._fences.ask = fence
        try:
            yield
        finally:
            self._fences.ask = before

    def _ask_fence(self, tx: Connection) -> None:
        fence = getattr(self._fences, "ask", None)
        if fence is not None:
            fence(tx)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give one consistent view that cannot write. Keep it short: on SQLite it holds up commits."""
        options: dict[str, Any] = {"mainstay_write": False}
        if self.engine.dialect.name == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._said(), self.engine.connect() as opened:
            tx = opened.execution_options(**options)
            with tx.begin():
                yield tx

    def integrity(self) -> list[str]:
        """Return what is wrong with the stored state, one sentence each; empty when all is well."""
        from mainstay.store import integrity

        with self.read() as tx:
            return integrity.problems(tx)

    def close(self) -> None:
        """Give back all connections."""
        self.engine.dispose()

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except (exc.IntegrityError, exc.ProgrammingError):
            raise
        except exc.DBAPIError as error:
            raise faults.from_driver(error, self.where) from error
        except exc.StatementError as error:
            if isinstance(error.orig, errors.MainstayError):
                raise error.orig from error
            raise


def _address(url: str) -> URL:
    try:
        address = make_url(url)
    except exc.ArgumentError as error:
        raise errors.UsageError(
            f"the store's address is no URL: {url!r}; allowed: sqlite:///FOLDER or postgresql://USER@HOST/NAME",
            remedy="Correct [store] url in mainstay.toml.",
        ) from error
    kind = address.get_backend_name()
    if kind == "postgresql":
        return address.set(drivername="postgresql+psycopg")
    if kind != "sqlite":
        raise errors.UsageError(
            f"the store cannot live in {kind!r}; allowed: sqlite, postgresql", remedy="Correct [store] url."
        )
    if address.database and address.database != ":memory:":
        path = Path(address.database)
        if path.is_dir() or not path.suffix:
            path = path / "store.db"
        return address.set(database=str(path))
    return address


def _existing(address: URL) -> URL:
    """Return the address of the same file, which must be there: one that was moved away is not made anew, empty."""
    return address.set(database=f"file:{quote(str(address.database))}", query={"mode": "rw", "uri": "true"})


def _in_memory(address: URL) -> bool:
    return address.get_backend_name() == "sqlite" and address.database in (None, "", ":memory:")


def _engine(address: URL) -> Engine:
    if address.get_backend_name() == "postgresql":
        try:
            return create_engine(address, pool_size=5, pool_pre_ping=True, connect_args=_PATIENCE)
        except ModuleNotFoundError as error:
            raise errors.EnvironmentFault(
                "the PostgreSQL driver is not installed", remedy="Run: pip install 'mainstay[postgres]'"
            ) from error
    arguments: dict[str, Any] = {"timeout": BUSY_TIMEOUT_S}
    if _in_memory(address):
        engine = create_engine(address, poolclass=StaticPool, connect_args=arguments | {"check_same_thread": False})
    else:
        engine = create_engine(address, poolclass=NullPool, connect_args=arguments)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver must not open transactions by itself: _begin_sqlite says which kind.
    connection.isolation_level = None
    for pragma in ("journal_mode = DELETE", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").fetchall()


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("mainstay_write", True)
    connection.exec_driver_sql(f"PRAGMA query_only = {0 if write else 1}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _migrate(engine: Engine, address: URL, where: str) -> None:
    if address.get_backend_name() == "sqlite" and not _in_memory(address):
        _migrate_file(engine, Path(str(address.database)), where)
        return
    with engine.begin() as tx:
        if tx.dialect.name == "postgresql":
            tx.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _SCHEMA_LOCK})
        _upgrade(tx, where)


def _migrate_file(engine: Engine, path: Path, where: str) -> None:
    try:
        make_private(path.parent)
        with path.with_name(path.name + ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            new = not path.exists()
            with engine.begin() as tx:
                _upgrade(tx, where)
            if new:
                path.chmod(0o600)
    except OSError as error:
        raise errors.EnvironmentFault(
            f"the store {path} cannot be opened: {error.strerror}",
            remedy="Check that the folder exists and that this user may write there.",
        ) from error


def _upgrade(tx: Connection, where: str) -> None:
    found = _revision(tx)
    if found == HEAD:
        return
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise errors.EnvironmentFault(
            f"the store {where} has schema {found!r}, which this version does not know; known: up to {HEAD!r}",
            remedy=_NEWER,
        )
    if found is None and inspect(tx).has_table("releases"):
        raise errors.EnvironmentFault(
            f"the database {where} has tables but no schema version: it was not made by Mainstay, or was made by hand",
            remedy="Give the store a database of its own.",
        )
    config.attributes["connection"] = tx
    command.upgrade(config, "head")


def _revision(tx: Connection) -> str | None:
    if not inspect(tx).has_table("alembic_version"):
        return None
    row = tx.execute(text("SELECT version_num FROM alembic_version")).first()
    return None if row is None else str(row[0])
