"""Titles that people give to conversations: a row each, with a checksum like the turns."""

from __future__ import annotations

import hashlib
import sqlite3

from chains.errors import InputError

MAX_LENGTH = 200


def checked_title(title: str) -> str:
    """The title on one line; empty if it is blank.

    Raises:
        InputError: if it has more than `MAX_LENGTH` characters, or is not valid Unicode.
    """
    line = " ".join(title.split())
    if len(line) > MAX_LENGTH or any("\ud800" <= character <= "\udfff" for character in line):
        raise InputError(
            found=f"a title of {len(line)} characters" if len(line) > MAX_LENGTH else "a title with lone surrogates",
            expected=f"valid Unicode of at most {MAX_LENGTH} characters",
            next_step="choose a shorter title" if len(line) > MAX_LENGTH else "choose another title",
        )
    return line


def add_table(cursor: sqlite3.Cursor) -> None:
    cursor.execute("CREATE TABLE titles (thread_id TEXT PRIMARY KEY, title TEXT NOT NULL, digest BLOB NOT NULL)")


def write_title(cursor: sqlite3.Cursor, thread_id: str, title: str) -> bool:
    """Set the title of a conversation, or remove it if it is empty. False if there is no such conversation."""
    cursor.execute(
        "SELECT EXISTS(SELECT 1 FROM checkpoints WHERE thread_id = ?1) OR "
        "EXISTS(SELECT 1 FROM turns WHERE thread_id = ?1)",
        (thread_id,),
    )
    if not cursor.fetchone()[0]:
        return False
    if title:
        row = (thread_id, title, _digest(thread_id, title))
        cursor.execute("INSERT OR REPLACE INTO titles (thread_id, title, digest) VALUES (?, ?, ?)", row)
    else:
        cursor.execute("DELETE FROM titles WHERE thread_id = ?", (thread_id,))
    return True


def read_titles(cursor: sqlite3.Cursor) -> dict[str, str | None]:
    """The title of each conversation that has one; None if it is damaged."""
    cursor.execute("SELECT thread_id, title, digest FROM titles")
    return {
        thread_id: title if isinstance(title, str) and digest == _digest(thread_id, title) else None
        for thread_id, title, digest in cursor.fetchall()
    }


def _digest(thread_id: str, title: str) -> bytes:
    # The length keeps the two apart.
    return hashlib.blake2b(f"{len(thread_id)}:{thread_id}{title}".encode(), digest_size=16).digest()
