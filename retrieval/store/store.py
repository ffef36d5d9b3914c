"""The passage store: documents, passages, full-text index and vectors in one SQLite file, the source of truth."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Document, Passage
from retrieval.errors import RetrievalError
from retrieval.store.database import (
    Database,
    damaged_error,
    open_database,
    open_database_in_memory,
    select_in,
)
from retrieval.store.document_rows import (
    DOCUMENT_COLUMNS,
    PASSAGE_COLUMNS,
    Entry,
    delete_rows,
    deleted_rows,
    document_of,
    metadata_table,
    passage_of,
    replace_rows,
)
from retrieval.store.faiss_record import INDEX_CHOICES, FaissRecord, IndexChoice
from retrieval.store.meta_table import (
    Binding,
    Content,
    bump_revision,
    is_empty,
    read_binding,
    read_meta,
    read_number,
    write_binding,
    write_meta,
)
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


class PassageStore:
    """Documents with their passages and vectors. Thread-safe. The constructor does no I/O; `open` does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database: Database | None = None

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Self:
        """Open the database file at `path`.

        Raises:
            NotIngestedError: if there is none, unless `create` is set.
            IndexDamagedError: if the file is not an index.
            IndexMismatchError: if a newer release wrote it.
        """
        store = cls(path)
        store._database = open_database(path, create=create)
        return store

    @classmethod
    def in_memory(cls) -> Self:
        """A new, empty store without a file; `close` discards it."""
        store = cls(Path(":memory:"))
        store._database = open_database_in_memory()
        return store

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A context in which all reads see one state of the index."""
        return self._opened().reading()

    # Binding, revision and FAISS metadata

    def bind_encoder(self, encoder_id: str, dimension: int) -> None:
        """Bind an empty index to documents and an encoder, or check the binding. Raises IndexMismatchError."""
        with self._opened().writing() as connection:
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
            write_binding(connection, wanted)
        elif (bound := read_binding(connection)) != wanted:
            raise bound.mismatch(wanted, self.path.parent)

    @property
    def dimension(self) -> int:
        with self.reading() as connection:
            return read_number(connection, "dimension")

    @property
    def revision(self) -> int:
        """Number of transactions that changed documents."""
        with self.reading() as connection:
            return read_number(connection, "generation")

    @property
    def index_choice(self) -> IndexChoice:
        """The configured kind of FAISS index; `auto` if none is stored, or one that this release does not have."""
        with self.reading() as connection:
            stored = read_meta(connection, "index_choice")
        return next((choice for choice in INDEX_CHOICES if choice == stored), "auto")

    def choose_index(self, choice: IndexChoice) -> None:
        """Store the configured kind of FAISS index."""
        if choice != self.index_choice:
            with self._opened().writing() as connection:
                write_meta(connection, "index_choice", choice)

    def faiss_record(self) -> FaissRecord | None:
        """Metadata of the FAISS file that was last written; None if there is none or it is damaged."""
        with self.reading() as connection:
            text = read_meta(connection, "faiss")
        return FaissRecord.from_json(text) if text is not None else None

    def record_faiss(self, record: FaissRecord) -> None:
        """Store the metadata of a FAISS file, unless that of a newer file is stored already."""
        with self._opened().writing() as connection:
            before = FaissRecord.from_json(read_meta(connection, "faiss") or "")
            if before is None or before.revision <= record.revision:
                write_meta(connection, "faiss", record.to_json())
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
        with self._opened().writing() as connection:
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

        `check_cancelled` is called before the commit; if it raises, nothing is deleted. Raises IndexMismatchError if
        the index holds another content.
        """
        with self._opened().writing() as connection:
            if doc_ids is None:
                doc_ids = [row[0] for row in connection.execute("SELECT id FROM documents")]
            if (bound := read_binding(connection)).content != content and not is_empty(connection):
                raise bound.mismatch(replace(bound, content=content), self.path.parent)
            deleted = sum(delete_rows(connection, doc_id) for doc_id in doc_ids)
            if deleted:
                bump_revision(connection)
            check_cancelled()
        return deleted

    def delete_document(self, doc_id: str) -> bool:
        """Delete a document with its passages and vectors; False if there is none."""
        with self._opened().writing() as connection:
            deleted = delete_rows(connection, doc_id)
            if deleted:
                bump_revision(connection)
        return deleted

    # Reading

    def stored_documents(self) -> list[StoredDocument]:
        with self.reading() as connection:
            rows = connection.execute("SELECT id, source, source_digest, converter, splitter FROM documents")
            return [StoredDocument(*row) for row in rows]

    def document(self, doc_id: str) -> Document:
        """Raises RetrievalError if there is no document with this id."""
        with self.reading() as connection:
            row = connection.execute(f"SELECT {DOCUMENT_COLUMNS} FROM documents WHERE id = ?", (doc_id,)).fetchone()
            if row is not None:
                return document_of(row)
        raise RetrievalError(
            found=f"there is no document {doc_id!r} in the index",
            expected="the id of an indexed document",
            next_step="check the id, or ingest again if its file is new",
        )

    def counts(self) -> tuple[int, int]:
        """Number of documents and of passages."""
        with self.reading() as connection:
            documents = connection.execute("SELECT count(*) FROM documents").fetchone()[0]
            return documents, connection.execute("SELECT count(*) FROM passages").fetchone()[0]

    def document_ids(self) -> list[str]:
        with self.reading() as connection:
            return [row[0] for row in connection.execute("SELECT id FROM documents ORDER BY id")]

    def passage_numbers(self) -> list[int]:
        """The internal numbers of all passages, ordered by document and position."""
        with self.reading() as connection:
            rows = connection.execute("SELECT number FROM passages ORDER BY doc_id, start")
            return [row[0] for row in rows]

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

    def metadata_by_id(self, ids: Sequence[str]) -> dict[str, str]:
        """The metadata (a JSON object) of the passages with these ids.

        In an index of documents it consists of the passage's own columns.
        """
        with self.reading() as connection:
            return dict(select_in(connection, f"SELECT id, metadata FROM {metadata_table(connection)} WHERE id", ids))

    def numbers_where(self, condition: Condition) -> NDArray[np.int64]:
        """The numbers `[n]`, ascending, of the passages whose metadata (see `metadata_by_id`) matches."""
        with self.reading() as connection:
            statement = f"SELECT number FROM {metadata_table(connection)} WHERE {condition.sql} ORDER BY number"
            numbers = [row[0] for row in connection.execute(statement, condition.parameters)]
        return np.array(numbers, dtype=np.int64)

    def vectors_by_number(self, numbers: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        """Vectors `[dimension]` of the passages with these numbers, without those that do not exist.

        Raises IndexDamagedError if a passage has no valid vector.
        """
        with self.reading() as connection:
            rows = select_in(connection, "SELECT number, vector, checksum FROM vectors WHERE number", numbers)
            dimension = self.dimension
            vectors = {number: self._vector(blob, checksum, dimension) for number, blob, checksum in rows}
            missing = [number for number in numbers if number not in vectors]
            orphans = select_in(connection, "SELECT id FROM passages WHERE number", missing)
        if orphans:
            raise damaged_error(self.path, f"passage {orphans[0][0]!r} has no vector")
        return vectors

    def vectors_by_digest(self, digests: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Vectors by the digest of the embedded text, from whichever document has it."""
        statement = (
            "SELECT embedded_digest, vector, checksum FROM passages JOIN vectors USING (number) WHERE embedded_digest"
        )
        with self.reading() as connection:
            rows = select_in(connection, statement, digests)
            dimension = self.dimension
        return {digest: self._vector(blob, checksum, dimension) for digest, blob, checksum in rows}

    @property
    def last_number(self) -> int:
        """The highest passage number; later passages get higher ones. 0 without passages."""
        with self.reading() as connection:
            return int(connection.execute("SELECT coalesce(max(number), 0) FROM vectors").fetchone()[0])

    def vectors_after(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Numbers `[n]` and vectors `[n, dimension]` of the passages after this number. Raises IndexDamagedError."""
        with self.reading() as connection:
            dimension = self.dimension
            rows = connection.execute(
                "SELECT number, vector, checksum FROM vectors WHERE number > ? ORDER BY number", (number,)
            ).fetchall()
        vectors = [self._vector(blob, checksum, dimension) for _, blob, checksum in rows]
        return np.array([row[0] for row in rows], np.int64), np.array(vectors, np.float32).reshape(-1, dimension)

    def deleted_after(self, place: int) -> tuple[int, NDArray[np.int64]]:
        """The last tombstone, and the numbers `[n]` of the passages deleted after the tombstone `place`."""
        with self.reading() as connection:
            last, numbers = deleted_rows(connection, place)
        return last, np.array(numbers, dtype=np.int64)

    def all_vectors(self) -> tuple[int, NDArray[np.int64], NDArray[np.float32]]:
        """The revision, passage numbers `[n]` and vectors `[n, dimension]`. Raises IndexDamagedError."""
        with self.reading() as connection:
            revision, dimension = self.revision, self.dimension
            _, count = self.counts()
            numbers = np.empty(count, dtype=np.int64)
            vectors = np.empty((count, dimension), dtype=np.float32)
            filled = 0
            for number, blob, checksum in connection.execute(
                "SELECT number, vector, checksum FROM vectors JOIN passages USING (number) ORDER BY number"
            ):
                if filled == count:
                    raise damaged_error(self.path, "more vectors than passages")
                numbers[filled] = number
                vectors[filled] = self._vector(blob, checksum, dimension)
                filled += 1
        if filled != count:
            raise damaged_error(self.path, f"{filled} vectors for {count} passages")
        return revision, numbers, vectors

    def _passages(self, column: str, keys: Sequence[int] | Sequence[str]) -> list[tuple[int, Passage]]:
        with self.reading() as connection:
            rows = select_in(connection, f"SELECT {PASSAGE_COLUMNS} FROM passages WHERE {column}", keys)
            return [(row[0], passage_of(row)) for row in rows]

    def _vector(self, blob: bytes, checksum: int, dimension: int) -> NDArray[np.float32]:
        # Damage may have changed the type of a column.
        if not isinstance(blob, bytes) or zlib.crc32(blob) != checksum or len(blob) != 4 * dimension:
            raise damaged_error(self.path, "a vector does not match its checksum")
        return np.frombuffer(blob, dtype="<f4").astype(np.float32, copy=False)

    def _opened(self) -> Database:
        if self._database is None:
            raise RuntimeError("the store is not open; use PassageStore.open")
        return self._database
