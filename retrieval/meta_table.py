"""What an index knows of itself: keys and values, read and written inside the caller's transaction."""

from __future__ import annotations

import sqlite3

from retrieval.binding import Binding, Content
from retrieval.checksum import DamagedRowError


def read_meta(connection: sqlite3.Connection, key: str) -> str | None:
    """None where the key is not there."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row[0] if row is not None else None


def read_number(connection: sqlite3.Connection, key: str) -> int:
    """0 where the key is not there. Raises DamagedRowError for what is no number."""
    value = read_meta(connection, key)
    if value is not None and not value.isdecimal():
        raise DamagedRowError(f"the {key} is {value!r}")
    return int(value or 0)


def write_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, value),
    )


def is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM documents LIMIT 1").fetchone() is None


def read_binding(connection: sqlite3.Connection) -> Binding:
    content: Content = "records" if read_meta(connection, "content") == "records" else "documents"
    return Binding(read_meta(connection, "encoder") or "", read_number(connection, "dimension"), content)


def next_generation(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'generation'")


def write_binding(connection: sqlite3.Connection, wanted: Binding) -> None:
    """For an empty index. Of vectors of another encoder no FAISS file is of use."""
    if read_binding(connection) != wanted:
        connection.execute("DELETE FROM meta WHERE key = 'faiss'")
    write_meta(connection, "encoder", wanted.encoder_id)
    write_meta(connection, "dimension", str(wanted.dimension))
    write_meta(connection, "content", wanted.content)
