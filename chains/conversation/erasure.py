"""Removing the text of deleted conversations from the database file and its write-ahead log.

SQLite's `secure_delete` overwrites deleted content with zeros, but only in new versions of the pages. The old versions
stay in the file until the log is copied into it, and in the log until it is truncated; a program that is reading
prevents both. So a deletion stores a mark in the same transaction, and the mark is removed after the truncation. A
database with a mark has text that is still to be erased, whoever was killed in between.
"""

from __future__ import annotations

import hashlib
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

from chains.errors import ErasureIncompleteError

# Maximum wait for programs that are reading the database. Reading takes milliseconds, a backup longer.
WAIT_SECONDS = 5.0
# The mark of data that no conversation owns.
OTHER_DATA = b"other data"


def thread_mark(thread_id: str) -> bytes:
    """The mark of a conversation: a digest, because an id may be a name."""
    return hashlib.blake2b(thread_id.encode(), digest_size=16).digest()


def add_mark(cursor: sqlite3.Cursor, mark: bytes) -> None:
    cursor.execute("INSERT OR IGNORE INTO erasures (mark) VALUES (?)", (mark,))


def marks(cursor: sqlite3.Cursor) -> set[bytes]:
    """The marks of all unfinished erasures."""
    return {row[0] for row in cursor.execute("SELECT mark FROM erasures").fetchall()}


def erase(connection: sqlite3.Connection, *, wait_seconds: float) -> bool:
    """Overwrite deleted content in the file, truncate the log and remove the marks. False if a reader prevents it.

    The result is SQLite's own: this process must not open the files, since closing them would release its locks.

    Args:
        connection: without an open transaction, with `secure_delete` on.
        wait_seconds: maximum wait for other programs that read or write.
    """
    with closing(connection.cursor()) as cursor:
        [before] = cursor.execute("PRAGMA busy_timeout").fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {int(wait_seconds * 1000)}")
        [is_busy, _, _] = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {before}")
        [overwrites] = cursor.execute("PRAGMA secure_delete").fetchone()
        if is_busy or overwrites != 1:
            return False
        cursor.execute("DELETE FROM erasures")
        connection.commit()
    return True


def incomplete(path: Path, thread_id: str) -> ErasureIncompleteError:
    """The error of a conversation that is deleted, but whose text is still in a file."""
    log = path.with_name(f"{path.name}-wal")
    names = f"{path} and {log}" if log.is_file() and log.stat().st_size else str(path)
    return ErasureIncompleteError(
        found=f"the conversation {thread_id!r} is deleted, but its text is still in {names}, "
        "because another program is reading the database",
        expected=f"that no other program reads it for {WAIT_SECONDS:g} seconds, so that the text can be overwritten",
        next_step="when that program has ended, run again: "
        f"softgraft threads delete DOMAIN {shlex.quote(thread_id)} --yes",
    )
