"""One SQLite connection, its transactions, and its errors in this package's words."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retrieval.errors import IndexDamagedError, NotIngestedError, RetrievalError
from retrieval.store.checksum import DamagedRowError
from retrieval.store.schema import migrate

_WAIT_SECONDS = 30.0
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_NEXT_STEPS = {
    sqlite3.SQLITE_FULL: "free some disk space and run it again",
    sqlite3.SQLITE_IOERR: "free some disk space if there is little, check the disk, and run it again",
    sqlite3.SQLITE_BUSY: "wait until the other ingest has ended and run it again",
    sqlite3.SQLITE_READONLY: "make the folder writable, or ingest to another one",
    sqlite3.SQLITE_CANTOPEN: "check that the folder exists and is writable",
}


class Database:
    """A connection that several threads may use: each transaction holds it alone."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._lock = threading.RLock()
        self._depth = 0

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """All that is read inside comes from one state of the database. May be nested."""
        with self._lock, translated(self.path):
            if self._depth:
                yield self._connection
                return
            with self._transaction("BEGIN"):
                yield self._connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """All or nothing. Waits for another process's writing to end; not to be nested."""
        with self._lock, translated(self.path), self._transaction("BEGIN IMMEDIATE"):
            yield self._connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self._connection.execute(begin)
        self._depth += 1
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some errors (disk full among them).
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        finally:
            self._depth -= 1


def open_database(path: Path, *, create: bool) -> Database:
    """Opens a database and brings it to the present format; makes a new one only with `create`.

    Raises NotIngestedError where there is none, IndexDamagedError for what is no database,
    IndexMismatchError for a newer format, RetrievalError where it can't be opened.
    """
    if create:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RetrievalError(
                found=f"the folder {path.parent} cannot be made ({error.strerror or error})",
                expected="a place to write the index to",
                next_step="make the folder above writable, or choose another",
            ) from error
    elif not path.is_file():
        raise NotIngestedError(
            found=f"there is no index in {path.parent}",
            expected=f"a file {path.name} there",
            next_step="run: softgraft ingest DOMAIN",
        )
    with translated(path):
        connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            migrate(connection, path.name)
        except BaseException:
            connection.close()
            raise
    return Database(path, connection)


def open_database_in_memory() -> Database:
    """A new, empty database that ends with its connection."""
    path = Path(":memory:")
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA foreign_keys = ON")
    migrate(connection, path.name)
    return Database(path, connection)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors as this package's."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        # The low byte is the primary code; the rest says in which way.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if isinstance(error, DamagedRowError) or code in _DAMAGED or "Could not decode to UTF-8" in str(error):
            raise damaged(path, str(error)) from error
        raise RetrievalError(
            found=f"SQLite could not go on with {path.name} ({error})",
            expected="an index that can be read and written",
            next_step=_NEXT_STEPS.get(code, "run it again; if it happens again, report it"),
        ) from error


def damaged(path: Path, what: str) -> IndexDamagedError:
    """The error for a database that holds something else than was written."""
    return IndexDamagedError(
        found=f"{path.name} is damaged ({what})",
        expected="the index as it was written",
        next_step=f"delete the folder {path.parent} and run: softgraft ingest DOMAIN",
    )
