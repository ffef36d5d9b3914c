"""The passage store: documents, passages, full-text index and vectors in one SQLite file, the source of truth."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Document, Passage
from retrieval.errors import UnknownDocumentError
from retrieval.store import meta_table
from retrieval.store.database import Database, connect, damaged_error, open_database, select_in
from retrieval.store.document_rows import (
    DOCUMENT_COLUMNS,
    PASSAGE_COLUMNS,
    Entry,
    delete_rows,
    document_of,
    metadata_table,
    passage_of,
    replace_rows,
)
from retrieval.store.faiss_record import INDEX_CHOICES, FaissRecord, IndexChoice
from retrieval.store.meta_table import Binding, Content, bump_revision, is_empty, read_binding
from retrieval.store.metadata_filter import Condition

DATABASE_NAME = "index.sqlite"


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """The properties that decide whether a document has to be ingested again."""

    id: str
    source: str
    source_digest: str
    converter: str
    splitter: str


def recorded_encoder(index_dir: Path) -> str:
    """The id of the encoder that made the index in a folder; "" if there is no index, or an empty one.

    Raises IndexDamagedError and IndexMismatchError as `PassageStore.open`.
    """
    path = index_dir / DATABASE_NAME
    if not path.is_file():
        return ""
    with PassageStore.open(path) as store:
        return store.binding.encoder_id if store.counts()[0] else ""


class PassageStore:
    """Documents with their passages and vectors. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Self:
        """Open the database file at `path`.

        Raises NotIngestedError if there is none, unless `create` is set, IndexDamagedError if the file is not an index,
        and IndexMismatchError if a newer release wrote it.
        """
        return cls(open_database(path, create=create))

    @classmethod
    def in_memory(cls) -> Self:
        """A new, empty store without a file; `close` discards it."""
        return cls(connect(Path(":memory:")))

    @property
    def path(self) -> Path:
        return self._database.path

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A context in which all reads see one state of the index."""
        return self._database.reading()

    def _rows(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self.reading() as connection:
            return connection.execute(statement, parameters).fetchall()

    # Binding, revision and FAISS metadata

    def bind_encoder(self, encoder_id: str, dimension: int) -> None:
        """Bind an empty index to documents and an encoder, or check the binding. Raises IndexMismatchError."""
        with self._database.writing() as connection:
            self._bind(connection, Binding(encoder_id, dimension))

    def check_encoder(self, encoder_id: str, dimension: int) -> None:
        """Raises IndexMismatchError if another encoder made the vectors of the index."""
        bound = self.binding
        if (bound.encoder_id, bound.dimension) != (encoder_id, dimension):
            raise bound.mismatch(Binding(encoder_id, dimension, bound.content), self.path.parent)

    @property
    def binding(self) -> Binding:
        """What the index is bound to. An empty index may be bound again."""
        with self.reading() as connection:
            return read_binding(connection)

    def _bind(self, connection: sqlite3.Connection, wanted: Binding) -> None:
        if is_empty(connection):
            meta_table.write_binding(connection, wanted)
        elif (bound := read_binding(connection)) != wanted:
            raise bound.mismatch(wanted, self.path.parent)

    @property
    def dimension(self) -> int:
        return self.binding.dimension

    @property
    def revision(self) -> int:
        """Number of transactions that changed documents."""
        with self.reading() as connection:
            return meta_table.read_number(connection, "generation")

    @property
    def index_choice(self) -> IndexChoice:
        """The configured kind of FAISS index; `auto` if none is stored, or one that this release does not have."""
        with self.reading() as connection:
            stored = meta_table.read_meta(connection, "index_choice")
        return next((choice for choice in INDEX_CHOICES if choice == stored), "auto")

    def choose_index(self, choice: IndexChoice) -> None:
        """Store the configured kind of FAISS index."""
        if choice != self.index_choice:
            with self._database.writing() as connection:
                meta_table.write_meta(connection, "index_choice", choice)

    def unread_parts(self) -> dict[str, tuple[str, ...]]:
        """By file, what the last ingest could not read of it."""
        with self.reading() as connection:
            return meta_table.read_texts(connection, "unread")

    def record_unread_parts(self, parts: Mapping[str, tuple[str, ...]]) -> None:
        """Store what an ingest could not read, in place of what was stored before."""
        if parts != self.unread_parts():
            with self._database.writing() as connection:
                meta_table.write_meta(connection, "unread", json.dumps(parts))

    def faiss_record(self) -> FaissRecord | None:
        """Metadata of the FAISS file that was last written; None if there is none or it is damaged."""
        with self.reading() as connection:
            return FaissRecord.from_json(meta_table.read_meta(connection, "faiss") or "")

    def record_faiss(self, record: FaissRecord) -> None:
        """Store the metadata of a FAISS file, unless that of a newer file is stored already."""
        with self._database.writing() as connection:
            before = self.faiss_record()
            if before is None or before.revision <= record.revision:
                meta_table.write_meta(connection, "faiss", record.to_json())
                connection.execute("DELETE FROM tombstones WHERE place <= ?", (record.last_tombstone,))

    # Writing

    def replace_document(
        self, document: Document, splitter: str, passages: Sequence[Passage], vectors: NDArray[np.float32]
    ) -> None:
        """Write a document, its passages and vectors `[passages, dimension]` in one transaction.

        A document with the same id is replaced. Raises ValueError if the parts do not belong together.
        """
        self.replace_documents([Entry(document, splitter, passages, vectors)], self.binding)

    def replace_documents(
        self, entries: Sequence[Entry], binding: Binding, check_cancelled: Callable[[], None] = lambda: None
    ) -> None:
        """`replace_document` for all entries in one transaction, which also binds an empty index.

        `check_cancelled` is called before each entry and before the commit; if it raises, nothing is written.
        Raises IndexMismatchError if the index has another binding, ValueError as `replace_document`.
        """
        for entry in entries:
            entry.check(binding.dimension)
        with self._database.writing() as connection:
            self._bind(connection, binding)
            for entry in entries:
                check_cancelled()
                replace_rows(connection, entry)
            bump_revision(connection)
            check_cancelled()

    def delete_documents(
        self, doc_ids: Iterable[str] | None, content: Content, check_cancelled: Callable[[], None] = lambda: None
    ) -> int:
        """Delete these documents (None: all) in one transaction. Returns the number of deleted documents.

        `check_cancelled` is called before the commit. Raises IndexMismatchError if the index holds another content.
        """
        with self._database.writing() as connection:
            if doc_ids is None:
                doc_ids = self.document_ids()
            if (bound := read_binding(connection)).content != content and not is_empty(connection):
                raise bound.mismatch(replace(bound, content=content), self.path.parent)
            deleted = sum(delete_rows(connection, doc_id) for doc_id in doc_ids)
            if deleted:
                bump_revision(connection)
            check_cancelled()
        return deleted

    def delete_document(self, doc_id: str) -> bool:
        """Delete a document with its passages and vectors; False if there is none."""
        return self.delete_documents([doc_id], "documents") > 0

    # Reading

    def stored_documents(self) -> dict[str, StoredDocument]:
        rows = self._rows("SELECT id, source, source_digest, converter, splitter FROM documents")
        return {row[0]: StoredDocument(*row) for row in rows}

    def document(self, doc_id: str) -> Document:
        """Raises UnknownDocumentError if there is no document with this id."""
        with self.reading() as connection:
            row = connection.execute(f"SELECT {DOCUMENT_COLUMNS} FROM documents WHERE id = ?", (doc_id,)).fetchone()
            if row is not None:
                return replace(document_of(row), metadata=self._document_metadata(doc_id))
        raise UnknownDocumentError(
            found=f"there is no document {doc_id!r} in the index",
            expected="the id of an indexed document",
            next_step="check the id, or ingest again if its file is new",
        )

    def _document_metadata(self, doc_id: str) -> dict[str, Any]:
        """Every passage of a document has its metadata. Raises IndexDamagedError if it is no JSON object."""
        rows = self._rows("SELECT metadata FROM passages WHERE doc_id = ? LIMIT 1", (doc_id,))
        try:
            return dict(json.loads(rows[0][0])) if rows else {}
        except (TypeError, ValueError) as error:
            raise damaged_error(self.path, f"the metadata of {doc_id!r} is no JSON object") from error

    def counts(self) -> tuple[int, int]:
        """Number of documents and of passages."""
        ((documents, passages),) = self._rows(
            "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM passages)"
        )
        return documents, passages

    def document_ids(self) -> list[str]:
        return [id_ for (id_,) in self._rows("SELECT id FROM documents ORDER BY id")]

    def passage_numbers(self) -> list[int]:
        """The internal numbers of all passages, ordered by document and position."""
        return [number for (number,) in self._rows("SELECT number FROM passages ORDER BY doc_id, start")]

    def passages_by_number(self, numbers: Sequence[int]) -> dict[int, Passage]:
        """The passages with these numbers, without those that do not exist."""
        return dict(self._passages("number", numbers))

    def passages_by_id(self, ids: Sequence[str]) -> dict[str, Passage]:
        """The passages with these ids, without those that do not exist."""
        return {passage.id: passage for _, passage in self._passages("id", ids)}

    def passages_by_document(self, doc_ids: Sequence[str]) -> list[Passage]:
        """All passages of these documents, ordered by document and position."""
        passages = (passage for _, passage in self._passages("doc_id", doc_ids))
        return sorted(passages, key=lambda passage: (passage.doc_id, passage.start))

    def _passages(self, column: str, keys: Sequence[int] | Sequence[str]) -> list[tuple[int, Passage]]:
        with self.reading() as connection:
            rows = select_in(connection, f"SELECT {PASSAGE_COLUMNS} FROM passages WHERE {column}", keys)
            return [(row[0], passage_of(row)) for row in rows]

    def metadata_by_id(self, ids: Sequence[str]) -> dict[str, str]:
        """The metadata (a JSON object) of the passages with these ids; for documents, the passage's own columns."""
        with self.reading() as connection:
            return dict(select_in(connection, f"SELECT id, metadata FROM {metadata_table(connection)} WHERE id", ids))

    def numbers_where(self, condition: Condition) -> NDArray[np.int64]:
        """The numbers `[n]`, ascending, of the passages whose metadata (see `metadata_by_id`) matches."""
        with self.reading() as connection:
            statement = f"SELECT number FROM {metadata_table(connection)} WHERE {condition.sql} ORDER BY number"
            return np.array(self._rows(statement, condition.parameters), np.int64).reshape(-1)

    def vectors_by_number(self, numbers: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        """Vectors `[dimension]` of the passages with these numbers, without those that do not exist.

        Raises IndexDamagedError if a passage has no valid vector.
        """
        with self.reading() as connection:
            rows = select_in(connection, "SELECT number, vector, checksum FROM vectors WHERE number", numbers)
            vectors = dict(self._vectors(rows))
            missing = [number for number in numbers if number not in vectors]
            orphans = select_in(connection, "SELECT id FROM passages WHERE number", missing)
        if orphans:
            raise damaged_error(self.path, f"passage {orphans[0][0]!r} has no vector")
        return vectors

    def vectors_by_digest(self, digests: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Vectors by the digest of the embedded text, from whichever document has it."""
        with self.reading() as connection:
            tables = "passages JOIN vectors USING (number)"
            statement = f"SELECT embedded_digest, vector, checksum FROM {tables} WHERE embedded_digest"
            return dict(self._vectors(select_in(connection, statement, digests)))

    def _vectors(self, rows: Iterable[tuple[Any, Any, Any]]) -> Iterator[tuple[Any, NDArray[np.float32]]]:
        """The first column and the vector of rows with a blob and its checksum. Raises IndexDamagedError."""
        dimension = self.dimension
        for key, blob, checksum in rows:
            # Damage may have changed the type of a column.
            if not isinstance(blob, bytes) or zlib.crc32(blob) != checksum or len(blob) != 4 * dimension:
                raise damaged_error(self.path, "a vector does not match its checksum")
            yield key, np.frombuffer(blob, dtype="<f4").astype(np.float32, copy=False)

    @property
    def last_number(self) -> int:
        """The highest passage number; later passages get higher ones. 0 without passages."""
        return int(self._rows("SELECT coalesce(max(number), 0) FROM vectors")[0][0])

    def vectors_after(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Numbers `[n]` and vectors `[n, dimension]` of the passages after this number. Raises IndexDamagedError."""
        with self.reading() as connection:
            ((count,),) = self._rows("SELECT count(*) FROM passages WHERE number > ?", (number,))
            numbers, vectors = np.empty(count, np.int64), np.empty((count, self.dimension), np.float32)
            statement = "SELECT number, vector, checksum FROM vectors JOIN passages USING (number) WHERE number > ?"
            found = 0
            for row in self._vectors(connection.execute(f"{statement} ORDER BY number", (number,))):
                if found < count:
                    numbers[found], vectors[found] = row
                found += 1
        if found != count:
            raise damaged_error(self.path, f"{found} vectors for {count} passages")
        return numbers, vectors

    def deleted_after(self, place: int) -> tuple[int, NDArray[np.int64]]:
        """The last tombstone, and the numbers `[n]` of the passages deleted after the tombstone `place`."""
        with self.reading():
            rows = self._rows("SELECT number FROM tombstones WHERE place > ? ORDER BY place", (place,))
            # SQLite remembers the last tombstone even when the table is empty.
            end = self._rows("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'tombstones'")
        (last,), *numbers = *end, *rows
        if not all(isinstance(number, int) for number in (last, *(number for (number,) in numbers))):
            raise damaged_error(self.path, "a tombstone has no number")
        return last, np.array(numbers, dtype=np.int64).reshape(-1)
