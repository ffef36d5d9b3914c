"""One SQLite connection: transactions, queries with many keys, and errors translated into this package's errors."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retrieval.errors import IndexDamagedError, NotIngestedError, RetrievalError
from retrieval.store.schema import DamagedRowError, migrate

_LOCK_TIMEOUT_SECONDS = 30.0
# SQLite limits the number of parameters of a statement.
_KEYS_PER_STATEMENT = 5000
_DAMAGE_CODES = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_NEXT_STEPS = {
    sqlite3.SQLITE_FULL: "free some disk space and run it again",
    sqlite3.SQLITE_IOERR: "free some disk space if there is little, check the disk, and run it again",
    sqlite3.SQLITE_BUSY: "wait until the other ingest has ended and run it again",
    sqlite3.SQLITE_READONLY: "make the folder writable, or ingest to another one",
    sqlite3.SQLITE_CANTOPEN: "check that the folder exists and is writable",
}


class Database:
    """A connection that several threads share: a transaction has exclusive use of it."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._lock = threading.RLock()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A read transaction: all reads inside see one state of the database. May be nested."""
        with self._lock, _errors_translated(self.path):
            if self._connection.in_transaction:
                yield self._connection
                return
            with self._transaction("BEGIN"):
                yield self._connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A write transaction. Waits for other writers; must not be nested."""
        with self._lock, _errors_translated(self.path), self._transaction("BEGIN IMMEDIATE"):
            yield self._connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self._connection.execute(begin)
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # SQLite rolls back by itself after some errors, such as a full disk.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def open_database(path: Path, *, create: bool) -> Database:
    """Open a database and migrate it to the current format; create it only if `create` is set.

    Raises NotIngestedError if there is no file, and RetrievalError as `_errors_translated` and `migrate`.
    """
    if create:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RetrievalError(
                found=f"the folder {path.parent} cannot be created ({error.strerror or error})",
                expected="a writable folder for the index",
                next_step="make the parent folder writable, or choose another",
            ) from error
    elif not path.is_file():
        raise NotIngestedError(
            found=f"there is no index in {path.parent}",
            expected=f"a file {path.name} there",
            next_step="run: softgraft ingest DOMAIN",
        )
    return connect(path)


def connect(path: Path) -> Database:
    """Open or create the database at `path`; in memory for `:memory:`."""
    with _errors_translated(path):
        try:
            connection = _opened(path, str(path))
        except sqlite3.OperationalError:
            if not _is_complete_and_read_only(path):
                raise
            connection = _opened(path, f"{path.resolve().as_uri()}?immutable=1", uri=True)
    return Database(path, connection)


def _opened(path: Path, name: str, *, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        name, timeout=_LOCK_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False, uri=uri
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        migrate(connection, path.name)
    except BaseException:
        connection.close()
        raise
    return connection


def _is_complete_and_read_only(path: Path) -> bool:
    """Whether a database is in a folder that this process cannot write, without changes that wait in its log.

    SQLite needs two more files beside a database with a log, even for reading. Where it cannot make them, it must be
    told that nobody changes the database; it would then ignore a log.
    """
    if str(path) == ":memory:" or not path.is_file():
        return False
    effective = os.access in os.supports_effective_ids
    log = path.with_name(f"{path.name}-wal")
    return not os.access(path.parent, os.W_OK, effective_ids=effective) and not log.exists()


def select_in(
    connection: sqlite3.Connection,
    statement: str,
    keys: Sequence[int] | Sequence[str],
    parameters: Sequence[object] = (),
) -> list[tuple[Any, ...]]:
    """The rows of a statement that ends before `IN`, for any number of keys, after its own `parameters`."""
    rows: list[tuple[Any, ...]] = []
    for first in range(0, len(keys), _KEYS_PER_STATEMENT):
        batch = keys[first : first + _KEYS_PER_STATEMENT]
        placeholders = ", ".join("?" * len(batch))
        rows += connection.execute(f"{statement} IN ({placeholders})", (*parameters, *batch))
    return rows


@contextmanager
def _errors_translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        # The low byte is the primary error code.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if isinstance(error, DamagedRowError) or code in _DAMAGE_CODES or "Could not decode to UTF-8" in str(error):
            raise damaged_error(path, str(error)) from error
        raise RetrievalError(
            found=f"SQLite failed on {path.name} ({error})",
            expected="an index that can be read and written",
            next_step=_NEXT_STEPS.get(code, "run it again; if it happens again, report it"),
        ) from error


def damaged_error(path: Path, reason: str) -> IndexDamagedError:
    """The error for a database whose content is not what was written."""
    return IndexDamagedError(
        found=f"{path.name} is damaged ({reason})",
        expected="the index as it was written",
        next_step=f"delete the folder {path.parent} and run: softgraft ingest DOMAIN",
    )
