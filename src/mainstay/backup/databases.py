"""Copy the databases while others write to them, and put them back."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from mainstay.core import errors

SQLITE = "sqlite:///"
POSTGRES = ("postgresql", "postgres")


def file_of(url: str) -> Path | None:
    """Return the file of a SQLite address; None for another kind."""
    return Path(url.removeprefix(SQLITE)) if url.startswith(SQLITE) else None


def is_postgres(url: str) -> bool:
    """Return whether the address is PostgreSQL's."""
    return urlsplit(url).scheme.partition("+")[0] in POSTGRES


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database as it is at one moment; writers wait as long as the copy takes.

    Raises StoreUnavailable when it cannot be read, Damaged when the copy is not whole.
    """
    try:
        # For writing: what a killed process left in the middle of a transaction is taken back first.
        with (
            closing(sqlite3.connect(f"file:{quote(str(source))}?mode=rw", uri=True, timeout=10)) as read,
            closing(sqlite3.connect(target)) as out,
        ):
            read.backup(out)
            found = [str(row[0]) for row in out.execute("PRAGMA quick_check")]
            out.execute("PRAGMA journal_mode = DELETE").fetchall()
    except sqlite3.Error as error:
        raise errors.StoreUnavailable(
            f"{source} cannot be copied: {error}", remedy="`mainstay doctor` looks what is wrong with it."
        ) from error
    if found != ["ok"]:
        raise errors.Damaged(
            f"{source} is not whole: {found[0]}", remedy="Restore the last backup that is; keep this file aside."
        )


def dump_postgres(url: str, target: Path, environ: Mapping[str, str]) -> None:
    """Dump a PostgreSQL database as it is at one moment, by pg_dump; raises EnvironmentFault where that cannot be."""
    tool = _tool(
        "pg_dump", "or take the database's own backup and leave it out here: mainstay backup … --without-store"
    )
    _run([tool, "--format=custom", "--no-owner", f"--file={target}"], url, environ, "dumped")


def load_postgres(source: Path, url: str, environ: Mapping[str, str]) -> None:
    """Put a dump back in one transaction, in the place of the tables that are there; by pg_restore."""
    tool = _tool("pg_restore", "")
    options = ["--no-owner", "--exit-on-error", "--single-transaction", "--clean", "--if-exists"]
    _run([tool, *options, str(source)], url, environ, "restored")


def _tool(name: str, otherwise: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise errors.EnvironmentFault(
            f"the store is in PostgreSQL, and {name} is not installed",
            remedy=f"Install PostgreSQL's client (Debian: apt-get install postgresql-client){', ' if otherwise else ''}"
            f"{otherwise}.",
        )
    return found


def _run(argv: Sequence[str], url: str, environ: Mapping[str, str], done: str) -> None:
    address, password = _without_password(url)
    env = {**os.environ, **environ, **({"PGPASSWORD": password} if password else {}), "PGCONNECT_TIMEOUT": "10"}
    # The last argument is the file of a restore; the address goes before it, without the password, which others see.
    command = [argv[0], f"--dbname={address}", *argv[1:]]
    result = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode:
        raise errors.StoreUnavailable(
            f"the store in PostgreSQL could not be {done}: {result.stderr.strip()[-1000:]}",
            remedy="Mend what it names; nothing of the store was changed.",
        )


def _without_password(url: str) -> tuple[str, str]:
    """Return an address as PostgreSQL's tools read it, and the password that it held."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    return urlunsplit(("postgresql", f"{name}@{host}" if name else host, *parts[2:])), unquote(password)
