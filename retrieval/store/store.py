"""The truth: documents, passages, their words and their vectors, in one SQLite file."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Document, Passage
from retrieval.errors import RetrievalError
from retrieval.store.database import Database, damaged, open_database, open_database_in_memory, translated
from retrieval.store.document_rows import (
    DOCUMENT_COLUMNS,
    PASSAGE_COLUMNS,
    Entry,
    delete_rows,
    deleted_rows,
    document_of,
    passage_of,
    replace_rows,
    rows_with_metadata,
)
from retrieval.store.faiss_record import INDEX_CHOICES, FaissRecord, IndexChoice
from retrieval.store.meta_table import (
    Binding,
    Content,
    is_empty,
    next_generation,
    read_binding,
    read_meta,
    read_number,
    write_binding,
    write_meta,
)
from retrieval.store.metadata_filter import Condition

DATABASE_NAME = "index.sqlite"

# SQLite takes a limited number of parameters in a statement.
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """What tells whether a document has to be made again."""

    id: str
    source: str
    source_digest: str
    converter: str
    splitter: str


class PassageStore:
    """Documents with their passages and vectors. Safe to use from several threads.

    Constructing one does no I/O; `PassageStore.open` does.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database: Database | None = None

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> Self:
        """Opens the database file at `path`.

        Raises NotIngestedError where there is none and `create` is not set, IndexDamagedError for what
        is no index, IndexMismatchError for one of a newer format.
        """
        store = cls(path)
        store._database = open_database(path, create=create)
        return store

    @classmethod
    def in_memory(cls) -> Self:
        """A new, empty store without a file; closing it discards it."""
        store = cls(Path(":memory:"))
        store._database = open_database_in_memory()
        return store

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A context in which everything read comes from one state of the index."""
        return self._opened().reading()

    # The encoder and the generation

    def bind_encoder(self, encoder_id: str, dimension: int) -> None:
        """Ties an empty index to documents and an encoder, or checks that it is tied to these.

        Raises IndexMismatchError.
        """
        with self._opened().writing() as connection:
            self._bind(connection, Binding(encoder_id, dimension))

    def check_encoder(self, encoder_id: str, dimension: int) -> None:
        """Raises IndexMismatchError where the vectors in the index are another encoder's."""
        found = self.binding
        if (found.encoder_id, found.dimension) != (encoder_id, dimension):
            raise found.refusal(Binding(encoder_id, dimension, found.content), self.path.parent)

    @property
    def binding(self) -> Binding:
        """What the index is bound to; an empty one may be bound anew."""
        with self.reading() as connection:
            return read_binding(connection)

    def _bind(self, connection: sqlite3.Connection, wanted: Binding) -> None:
        if is_empty(connection):
            write_binding(connection, wanted)
        elif (found := read_binding(connection)) != wanted:
            raise found.refusal(wanted, self.path.parent)

    @property
    def encoder_id(self) -> str | None:
        with self.reading() as connection:
            return read_meta(connection, "encoder")

    @property
    def dimension(self) -> int:
        with self.reading() as connection:
            return read_number(connection, "dimension")

    @property
    def generation(self) -> int:
        """Counts the transactions that changed documents."""
        with self.reading() as connection:
            return read_number(connection, "generation")

    @property
    def index_choice(self) -> IndexChoice:
        """The kind of FAISS index that was asked for."""
        with self.reading() as connection:
            found = read_meta(connection, "index_choice")
        return next((choice for choice in INDEX_CHOICES if choice == found), "auto")

    def choose_index(self, choice: IndexChoice) -> None:
        """Remember which kind of FAISS index is asked for."""
        if choice != self.index_choice:
            with self._opened().writing() as connection:
                write_meta(connection, "index_choice", choice)

    def faiss_record(self) -> FaissRecord | None:
        """What is known of the FAISS file that was last written."""
        with self.reading() as connection:
            text = read_meta(connection, "faiss")
        return FaissRecord.from_json(text) if text is not None else None

    def record_faiss(self, record: FaissRecord) -> None:
        """Notes the FAISS file just written, unless a newer one has been noted meanwhile."""
        with self._opened().writing() as connection:
            before = FaissRecord.from_json(read_meta(connection, "faiss") or "")
            if before is None or before.generation <= record.generation:
                write_meta(connection, "faiss", record.to_json())
                connection.execute("DELETE FROM tombstones WHERE place <= ?", (record.last_tombstone,))

    # Writing: one document, one transaction; or many in one

    def replace_document(
        self,
        document: Document,
        splitter: str,
        passages: Sequence[Passage],
        vectors: NDArray[np.float32],
    ) -> None:
        """Writes a document, its passages and their vectors `[len(passages), dimension]`; all or nothing.

        A document of the same id is replaced. Raises ValueError where passages, document and vectors do
        not belong together.
        """
        entry = Entry(document, splitter, passages, vectors)
        entry.check(self.dimension)
        with self._opened().writing() as connection:
            replace_rows(connection, entry)
            next_generation(connection)

    def replace_documents(
        self, entries: Sequence[Entry], binding: Binding, going_on: Callable[[], None] = lambda: None
    ) -> None:
        """`replace_document` for each entry in turn, all in one transaction, which also binds an empty index.

        `going_on` is called before each entry and before the commit; what it raises undoes everything.
        Raises IndexMismatchError where the index is bound otherwise, ValueError as `replace_document`.
        """
        for entry in entries:
            entry.check(binding.dimension)
        with self._opened().writing() as connection:
            self._bind(connection, binding)
            for entry in entries:
                going_on()
                replace_rows(connection, entry)
            next_generation(connection)
            going_on()

    def delete_documents(
        self, doc_ids: Iterable[str] | None, content: Content, going_on: Callable[[], None] = lambda: None
    ) -> int:
        """Removes these documents (None: all) in one transaction and says how many there were.

        `going_on` is called before the commit; what it raises undoes everything. Raises IndexMismatchError where
        the index holds another content.
        """
        with self._opened().writing() as connection:
            there = [row[0] for row in connection.execute("SELECT id FROM documents")] if doc_ids is None else doc_ids
            if (found := read_binding(connection)).content != content and not is_empty(connection):
                raise found.refusal(replace(found, content=content), self.path.parent)
            deleted = sum(delete_rows(connection, doc_id) for doc_id in there)
            if deleted:
                next_generation(connection)
            going_on()
        return deleted

    def delete_document(self, doc_id: str) -> bool:
        """Removes a document with everything made of it; False where there is none."""
        with self._opened().writing() as connection:
            deleted = delete_rows(connection, doc_id)
            if deleted:
                next_generation(connection)
        return deleted

    # Reading

    def stored_documents(self) -> list[StoredDocument]:
        with self.reading() as connection:
            rows = connection.execute("SELECT id, source, source_digest, converter, splitter FROM documents")
            return [StoredDocument(*row) for row in rows]

    def document(self, doc_id: str) -> Document:
        """Raises RetrievalError where there is none of that id."""
        with self.reading() as connection:
            row = connection.execute(f"SELECT {DOCUMENT_COLUMNS} FROM documents WHERE id = ?", (doc_id,)).fetchone()
        if row is None:
            raise RetrievalError(
                found=f"there is no document {doc_id!r} in the index",
                expected="the id of an indexed document",
                next_step="check the id, or ingest again if its file is new",
            )
        with translated(self.path):
            return document_of(row)

    def counts(self) -> tuple[int, int]:
        """How many documents and passages there are."""
        with self.reading() as connection:
            documents = connection.execute("SELECT count(*) FROM documents").fetchone()[0]
            return documents, connection.execute("SELECT count(*) FROM passages").fetchone()[0]

    def document_ids(self) -> list[str]:
        with self.reading() as connection:
            return [row[0] for row in connection.execute("SELECT id FROM documents ORDER BY id")]

    def passage_numbers(self) -> list[int]:
        """The internal numbers of all passages, by document and then by position."""
        with self.reading() as connection:
            rows = connection.execute("SELECT number FROM passages ORDER BY doc_id, start")
            return [row[0] for row in rows]

    def passages_by_number(self, numbers: Sequence[int]) -> dict[int, Passage]:
        """Those of the numbered passages that there are."""
        return dict(self._passages("number", numbers))

    def passages_by_id(self, ids: Sequence[str]) -> dict[str, Passage]:
        """Those passages of these ids that there are."""
        return {passage.id: passage for _, passage in self._passages("id", ids)}

    def passages_by_document(self, doc_ids: Sequence[str]) -> list[Passage]:
        """Every passage of these documents, by document and then by position."""
        found = (passage for _, passage in self._passages("doc_id", doc_ids))
        return sorted(found, key=lambda passage: (passage.doc_id, passage.start))

    def metadata_by_id(self, ids: Sequence[str]) -> dict[str, str]:
        """The metadata (a JSON object) of those passages of these ids that there are.

        Where the index holds documents it is made of the passage's own columns.
        """
        with self.reading() as connection:
            rows = rows_with_metadata(connection)
            return dict(self._select(f"SELECT id, metadata FROM {rows} WHERE id", ids))

    def numbers_where(self, condition: Condition) -> NDArray[np.int64]:
        """The numbers `[n]`, ascending, of the passages whose metadata, as `metadata_by_id` gives it, matches."""
        with self.reading() as connection:
            rows = rows_with_metadata(connection)
            statement = f"SELECT number FROM {rows} WHERE {condition.sql} ORDER BY number"
            numbers = [row[0] for row in connection.execute(statement, condition.parameters)]
        return np.array(numbers, dtype=np.int64)

    def vectors_by_number(self, numbers: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        """Vectors `[dimension]` of those of the numbered passages that there are. Raises IndexDamagedError."""
        rows = self._select("SELECT number, vector, checksum FROM vectors WHERE number", numbers)
        dimension = self.dimension
        found = {number: self._vector(blob, checksum, dimension) for number, blob, checksum in rows}
        missing = [number for number in numbers if number not in found]
        if missing and (alone := [row[0] for row in self._select("SELECT id FROM passages WHERE number", missing)]):
            raise damaged(self.path, f"passage {alone[0]!r} has no vector")
        return found

    def vectors_by_digest(self, digests: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Vectors of passages with the same embedded text, whichever document they are in."""
        rows = self._select(
            "SELECT embedded_digest, vector, checksum FROM passages JOIN vectors USING (number) WHERE embedded_digest",
            digests,
        )
        dimension = self.dimension
        return {digest: self._vector(blob, checksum, dimension) for digest, blob, checksum in rows}

    @property
    def last_number(self) -> int:
        """The highest number of a passage; those written later have higher ones. 0 without passages."""
        with self.reading() as connection:
            return int(connection.execute("SELECT coalesce(max(number), 0) FROM vectors").fetchone()[0])

    def vectors_after(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Numbers `[n]` and vectors `[n, dimension]` of passages with a higher number. Raises IndexDamagedError."""
        with self.reading() as connection:
            dimension = self.dimension
            rows = connection.execute(
                "SELECT number, vector, checksum FROM vectors WHERE number > ? ORDER BY number", (number,)
            ).fetchall()
        vectors = [self._vector(blob, checksum, dimension) for _, blob, checksum in rows]
        return np.array([row[0] for row in rows], np.int64), np.array(vectors, np.float32).reshape(-1, dimension)

    def deleted_after(self, place: int) -> tuple[int, NDArray[np.int64]]:
        """Passages deleted since a place in the list of deletions: its end now, and their numbers `[n]`."""
        with self.reading() as connection:
            last, numbers = deleted_rows(connection, place)
        return last, np.array(numbers, dtype=np.int64)

    def all_vectors(self) -> tuple[int, NDArray[np.int64], NDArray[np.float32]]:
        """The generation, passage numbers `[n]` and vectors `[n, dimension]`. Raises IndexDamagedError."""
        with self.reading() as connection:
            generation, dimension = self.generation, self.dimension
            _, count = self.counts()
            numbers = np.empty(count, dtype=np.int64)
            vectors = np.empty((count, dimension), dtype=np.float32)
            filled = 0
            for number, blob, checksum in connection.execute(
                "SELECT number, vector, checksum FROM vectors JOIN passages USING (number) ORDER BY number"
            ):
                if filled == count:
                    raise damaged(self.path, "more vectors than passages")
                numbers[filled] = number
                vectors[filled] = self._vector(blob, checksum, dimension)
                filled += 1
        if filled != count:
            raise damaged(self.path, f"{filled} vectors for {count} passages")
        return generation, numbers, vectors

    def _passages(self, column: str, keys: Sequence[int] | Sequence[str]) -> list[tuple[int, Passage]]:
        rows = self._select(f"SELECT {PASSAGE_COLUMNS} FROM passages WHERE {column}", keys)
        with translated(self.path):
            return [(row[0], passage_of(row)) for row in rows]

    def _select(self, statement: str, keys: Sequence[int] | Sequence[str]) -> Iterator[tuple[Any, ...]]:
        for first in range(0, len(keys), _AT_ONCE):
            some = keys[first : first + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            with self.reading() as connection:
                rows = connection.execute(f"{statement} IN ({marks})", tuple(some)).fetchall()
            yield from rows

    def _vector(self, blob: bytes, checksum: int, dimension: int) -> NDArray[np.float32]:
        # A damage may have changed the type of a column.
        if not isinstance(blob, bytes) or zlib.crc32(blob) != checksum or len(blob) != 4 * dimension:
            raise damaged(self.path, "a vector does not match its checksum")
        return np.frombuffer(blob, dtype="<f4").astype(np.float32, copy=False)

    def _opened(self) -> Database:
        if self._database is None:
            raise RuntimeError("this store is not open: use PassageStore.open")
        return self._database
