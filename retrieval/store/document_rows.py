"""The rows of one document in all tables, written and deleted together."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Document, Mark, Passage, embedded_digest
from retrieval.store.meta_table import read_binding
from retrieval.store.schema import DamagedRowError, row_checksum
from retrieval.store.terms import searchable

DOCUMENT_COLUMNS = (
    "id, title, text, group_name, source, source_digest, converter, page_starts, writing, marks, splitter, row_checksum"
)
PASSAGE_COLUMNS = (
    "number, id, doc_id, title, heading, text, start, end, page, markup, embedded_digest, metadata, row_checksum"
)
_DOCUMENT_METADATA = "'doc_id', doc_id, 'title', title, 'heading', heading, 'page', page, 'start', start, 'end', end"


@dataclass(frozen=True, slots=True)
class Entry:
    """A document, its passages, one vector per passage, and optionally one metadata JSON object per passage."""

    document: Document
    splitter: str
    passages: Sequence[Passage]
    vectors: NDArray[np.float32]
    metadata: Sequence[str] = ()

    def check(self, dimension: int) -> None:
        """Raises ValueError if the parts do not belong together."""
        if self.vectors.shape != (len(self.passages), dimension):
            raise ValueError(f"vectors {self.vectors.shape} for {len(self.passages)} passages of dimension {dimension}")
        if self.metadata and len(self.metadata) != len(self.passages):
            raise ValueError(f"metadata of {len(self.metadata)} passages for {len(self.passages)} passages")
        for passage in self.passages:
            span = self.document.text[passage.start : passage.end]
            if passage.doc_id != self.document.id or span != passage.text:
                raise ValueError(f"passage {passage.id} is not a span of document {self.document.id!r}")


def replace_rows(connection: sqlite3.Connection, entry: Entry) -> None:
    """Write a document inside the caller's transaction. A document with the same id is replaced."""
    delete_rows(connection, entry.document.id)
    *columns, page_starts, writing, marks, own_metadata = astuple(entry.document)
    row = (*columns, json.dumps(page_starts), writing, json.dumps(marks), entry.splitter)
    connection.execute(
        f"INSERT INTO documents ({DOCUMENT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*row, row_checksum(*row)),
    )
    # A record has its own metadata; every passage of a document has that of the document.
    metadata = entry.metadata or [json.dumps(own_metadata, ensure_ascii=False)] * len(entry.passages)
    for passage, vector, text in zip(entry.passages, entry.vectors, metadata, strict=True):
        _insert_passage(connection, passage, vector, text)


def delete_rows(connection: sqlite3.Connection, doc_id: str) -> bool:
    """Delete a document with its passages and vectors; False if there is none."""
    rows = connection.execute("SELECT number FROM passages WHERE doc_id = ? ORDER BY number", (doc_id,)).fetchall()
    connection.executemany("INSERT INTO tombstones (number) VALUES (?)", rows)
    connection.executemany("DELETE FROM passages_fts WHERE rowid = ?", rows)
    connection.executemany("DELETE FROM vectors WHERE number = ?", rows)
    connection.execute("DELETE FROM passages WHERE doc_id = ?", (doc_id,))
    return connection.execute("DELETE FROM documents WHERE id = ?", (doc_id,)).rowcount > 0


def document_of(row: Sequence[Any]) -> Document:
    """The document in a row of `DOCUMENT_COLUMNS`. Raises DamagedRowError if the checksum is wrong."""
    *columns, checksum = row
    if row_checksum(*columns) != checksum:
        raise DamagedRowError(f"document {row[0]!r} does not match its checksum")
    *texts, page_starts, writing, marks, _ = columns
    parts = (tuple(json.loads(page_starts)), writing, tuple(Mark(*one) for one in json.loads(marks)))
    return Document(*(*texts, *parts))


def passage_of(row: Sequence[Any]) -> Passage:
    """The passage in a row of `PASSAGE_COLUMNS`. Raises DamagedRowError if the checksum is wrong."""
    _, *columns, checksum = row
    if row_checksum(*columns) != checksum:
        raise DamagedRowError(f"passage {row[1]!r} does not match its checksum")
    return Passage(*columns[:-2])


def _insert_passage(
    connection: sqlite3.Connection, passage: Passage, vector: NDArray[np.float32], metadata: str
) -> None:
    row = (*astuple(passage), embedded_digest(passage), metadata)
    number = connection.execute(
        f"INSERT INTO passages ({PASSAGE_COLUMNS}) VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*row, row_checksum(*row)),
    ).lastrowid
    blob = np.ascontiguousarray(vector, dtype="<f4").tobytes()
    connection.execute("INSERT INTO vectors VALUES (?, ?, ?)", (number, blob, zlib.crc32(blob)))
    words, bigrams = zip(*map(searchable, (passage.title, passage.heading, passage.text)), strict=True)
    connection.execute(
        "INSERT INTO passages_fts (rowid, title, heading, text, bigrams) VALUES (?, ?, ?, ?, ?)",
        (number, *words, " ".join(bigrams)),
    )


def metadata_table(connection: sqlite3.Connection) -> str:
    """The table or subquery with the columns id, number and metadata."""
    if read_binding(connection).content == "records":
        return "passages"
    return f"(SELECT id, number, json_patch(json_object({_DOCUMENT_METADATA}), metadata) AS metadata FROM passages)"
