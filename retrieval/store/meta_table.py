"""The index's metadata: keys and values, read and written inside the caller's transaction."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retrieval.errors import IndexMismatchError
from retrieval.store.schema import DamagedRowError


def read_meta(connection: sqlite3.Connection, key: str) -> str | None:
    """The value; None if the key does not exist."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row[0] if row is not None else None


def read_number(connection: sqlite3.Connection, key: str) -> int:
    """The value as a number; 0 if the key does not exist. Raises DamagedRowError if it is not a number."""
    value = read_meta(connection, key)
    # Damage may have changed the type of the column.
    if value is not None and not (isinstance(value, str) and value.isdecimal()):
        raise DamagedRowError(f"the {key} is {value!r}")
    return int(value or 0)


def read_texts(connection: sqlite3.Connection, key: str) -> dict[str, tuple[str, ...]]:
    """The value as texts by name; empty if the key does not exist or its value is damaged."""
    try:
        value = json.loads(read_meta(connection, key) or "{}")
    except ValueError:
        return {}
    items = value.items() if isinstance(value, dict) else ()
    return {name: tuple(map(str, texts)) for name, texts in items if isinstance(texts, list)}


def write_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))


def is_empty(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM documents LIMIT 1").fetchone() is None


def read_binding(connection: sqlite3.Connection) -> Binding:
    content: Content = "records" if read_meta(connection, "content") == "records" else "documents"
    return Binding(read_meta(connection, "encoder") or "", read_number(connection, "dimension"), content)


def bump_revision(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE key = 'generation'")


def write_binding(connection: sqlite3.Connection, wanted: Binding) -> None:
    """Bind an empty index. A FAISS file of another binding is useless, so its metadata is deleted."""
    if read_binding(connection) != wanted:
        connection.execute("DELETE FROM meta WHERE key = 'faiss'")
    write_meta(connection, "encoder", wanted.encoder_id)
    write_meta(connection, "dimension", str(wanted.dimension))
    write_meta(connection, "content", wanted.content)


Content = Literal["documents", "records"]


@dataclass(frozen=True, slots=True)
class Binding:
    """The encoder of the vectors, their dimension, and what they represent.

    An ingest deletes every document without a file, so an index never mixes records and documents.
    """

    encoder_id: str
    dimension: int
    content: Content = "documents"

    def mismatch(self, wanted: Binding, folder: Path) -> IndexMismatchError:
        """The error for an index in `folder` that has this binding instead of `wanted`."""
        if self.content == wanted.content:
            found = f"the index was made by the encoder {self.encoder_id} (dimension {self.dimension})"
            expected = f"the encoder {wanted.encoder_id} (dimension {wanted.dimension})"
            next_step = f"delete the folder {folder} and run: softgraft ingest DOMAIN"
            if self.content == "records":
                next_step = "use the embeddings that made it, or choose another folder; nothing was changed"
        elif self.content == "records":
            found = f"the index in {folder} holds records that a program added"
            expected = "an index of documents: an ingest would delete those records"
            next_step = "choose another folder for the documents; nothing was changed"
        else:
            found = f"the index in {folder} holds ingested documents, which change only through their files"
            expected = "an index of records, or an empty folder"
            next_step = "add the text to the documents and run: softgraft ingest DOMAIN; or choose another folder"
        return IndexMismatchError(found=found, expected=expected, next_step=next_step)
