"""The core of a vector store: records added, replaced and deleted by id, searched by vector and metadata.

An index of documents can be opened read-only: its passages are then the records.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Passage
from retrieval.errors import RetrievalError
from retrieval.records.record import Record, record_entry, unit_rows
from retrieval.store.meta_table import Binding
from retrieval.store.metadata_filter import EVERYTHING, Condition, parse_filter
from retrieval.store.store import DATABASE_NAME, PassageStore
from retrieval.vectors.dense import DenseIndex
from retrieval.vectors.faiss_file import (
    FAISS_NAME,
    open_faiss,
    rebuild_faiss,
    refreshed,
    remove_leftovers,
    too_many_changes,
)

# Others may write during a search; after this many attempts it reads everything in one transaction.
_ATTEMPTS = 3
_CACHED_CONDITIONS = 16
_AFTER_ALL_TOMBSTONES = 2**62


@dataclass(frozen=True, slots=True)
class ScoredRecord:
    """A record and its cosine to the query, in [-1, 1]."""

    record: Record
    score: float


_Match = tuple[ScoredRecord, NDArray[np.float32]]


class RecordIndex:
    """The records in a folder, or in memory. Thread-safe.

    The constructor does no I/O. A folder without an index reads as empty; `add` creates it. A search sees whatever
    other processes have committed before it. Every method raises IndexMismatchError if another encoder made the
    index, IndexDamagedError if it is not what was written, and RetrievalError after `close`.
    """

    def __init__(self, folder: Path | None, encoder_id: str) -> None:
        self.folder = folder
        self.encoder_id = encoder_id
        self._store: PassageStore | None = None
        self._dense: DenseIndex | None = None
        # Per revision: reading all metadata takes most of the time of a filtered search.
        self._matching = lru_cache(_CACHED_CONDITIONS)(_numbers_where)
        self._opening = threading.Lock()
        self._refreshing = threading.Lock()
        self._maintaining = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Close the index. An index in memory is discarded."""
        with self._opening:
            self._closed = True
            if self._store is not None:
                self._store.close()
                self._store = self._dense = None

    def add(
        self, records: Sequence[Record], vectors: object, check_cancelled: Callable[[], None] = lambda: None
    ) -> None:
        """Add records with their vectors `[records, dimension]`, of any length, in one transaction.

        A record replaces an earlier one with the same id. `check_cancelled` is called between the records and before
        the commit; if it raises, nothing is written. Raises RecordError if a record cannot be stored, EncoderError if a
        vector has no direction, and IndexMismatchError if the dimension differs or the index holds documents.
        """
        if not records:
            return
        rows = unit_rows(vectors, len(records))
        entries = [record_entry(record, row) for record, row in zip(records, rows, strict=True)]
        store = self._opened(create=True)
        if store is not None:
            store.replace_documents(entries, Binding(self.encoder_id, rows.shape[1], "records"), check_cancelled)

    def delete(self, ids: Sequence[str] | None, check_cancelled: Callable[[], None] = lambda: None) -> int:
        """Delete the records with these ids (None: all) in one transaction. Returns the number of deleted records.

        `check_cancelled` is as in `add`. Raises IndexMismatchError if the index holds documents.
        """
        store = self._opened()
        if store is None:
            return 0
        return store.delete_documents(None if ids is None else _valid_ids(ids), "records", check_cancelled)

    def get(self, ids: Sequence[str]) -> list[Record]:
        """The records with these ids, in this order, without those that do not exist."""
        store = self._opened()
        if store is None:
            return []
        valid = _valid_ids(ids)
        with store.reading():
            records = _records(store, store.passages_by_id(valid))
        return [records[one] for one in valid if one in records]

    def search(self, vector: object, k: int, where: object = None) -> list[ScoredRecord]:
        """The `k` records nearest to a vector `[dimension]`, best first, among those that match a filter.

        Raises FilterError if the filter `where` (see `retrieval.store.metadata_filter`) is invalid, EncoderError if the
        vector has no direction, and ValueError if `k` is below 1.
        """
        if k < 1:
            raise ValueError(f"k is {k}; expected at least 1")
        return [scored for scored, _ in self._nearest(unit_rows([vector], 1)[0], k, where)]

    def search_diverse(
        self, vector: object, k: int, *, fetch_k: int, relevance: float, where: object = None
    ) -> list[ScoredRecord]:
        """`k` of the `fetch_k` nearest records by maximal marginal relevance, in the order of selection.

        `relevance` in [0, 1] weighs the similarity to the query against the difference between the records. Raises as
        `search`, and ValueError if `relevance` is out of range.
        """
        if k < 1:
            raise ValueError(f"k is {k}; expected at least 1")
        if not 0 <= relevance <= 1:
            raise ValueError(f"relevance is {relevance}; expected a number from 0 to 1")
        query = unit_rows([vector], 1)[0]
        matches = self._nearest(query, max(k, fetch_k), where)
        vectors = np.array([vector for _, vector in matches], dtype=np.float32).reshape(len(matches), len(query))
        return [matches[row][0] for row in most_diverse(query, vectors, k, relevance)]

    def _nearest(self, query: NDArray[np.float32], limit: int, where: object) -> list[_Match]:
        condition = parse_filter(where) if where is not None else EVERYTHING
        store = self._opened()
        if store is None:
            return []
        for _ in range(_ATTEMPTS):
            dense = self._current_dense(store)
            with store.reading():
                if store.revision != dense.revision:
                    continue
                self._check_binding(store, len(query))
                include = None if condition == EVERYTHING else self._matching(store, condition, dense.revision)
            # Outside the transaction, so that writers can continue: numbers are never reused.
            scores, numbers = _search(dense, query, limit, include)
            matches = _matches(store, numbers, scores)
            if len(matches) == min(limit, len(dense) if include is None else len(include)):
                return matches
        with store.reading():
            self._check_binding(store, len(query))
            scores, numbers = _search(dense, query, limit, store.numbers_where(condition))
            return _matches(store, numbers, scores)

    def maintain(self) -> None:
        """Rebuild the FAISS index after many changes. Call it after adding or deleting records.

        Searches are correct without it, but score each changed record. Other threads can search and write meanwhile.
        """
        store = self._opened()
        if store is None or not self._maintaining.acquire(blocking=False):
            return
        try:
            if self._needs_rebuild(store):
                if self._faiss is not None:
                    remove_leftovers(self._faiss)
                rebuilt = rebuild_faiss(store, self._faiss, must_write=False)
                with self._refreshing:
                    self._dense = refreshed(rebuilt, self._faiss)
        finally:
            self._maintaining.release()

    def _needs_rebuild(self, store: PassageStore) -> bool:
        dense = self._dense
        with store.reading():
            record = store.faiss_record() if dense is None else dense.record
            if record is None:
                return self.folder is not None
            last_tombstone, _ = store.deleted_after(_AFTER_ALL_TOMBSTONES)
            changes = store.last_number - record.last_number + last_tombstone - record.last_tombstone
        return too_many_changes(changes, record.count)

    @property
    def _faiss(self) -> Path | None:
        return self.folder / FAISS_NAME if self.folder is not None else None

    def _current_dense(self, store: PassageStore) -> DenseIndex:
        dense = self._dense
        if dense is None or dense.revision != store.revision:
            with self._refreshing:
                dense = self._dense
                if dense is None or dense.tail.shape[1] != store.dimension:
                    dense = open_faiss(store, self._faiss)
                else:
                    dense = refreshed(dense, self._faiss)
                self._dense = dense
        return dense

    def _check_binding(self, store: PassageStore, dimension: int | None = None) -> None:
        with store.reading():
            bound = store.binding
            wanted = Binding(self.encoder_id, dimension or bound.dimension, bound.content)
            if bound != wanted and store.counts()[0]:
                raise bound.mismatch(wanted, store.path.parent)

    def _opened(self, *, create: bool = False) -> PassageStore | None:
        """None if the folder has no index yet, unless `create` is set."""
        with self._opening:
            if self._closed:
                raise RetrievalError(
                    found="the index is closed", expected="an open index", next_step="open the index again"
                )
            if self._store is None:
                self._store = self._open(create)
            return self._store

    def _open(self, create: bool) -> PassageStore | None:
        if self.folder is None:
            return PassageStore.in_memory()
        path = self.folder / DATABASE_NAME
        if not create and not path.exists():
            return None
        with ExitStack() as stack:
            store = stack.enter_context(PassageStore.open(path, create=create))
            self._check_binding(store)
            stack.pop_all()
        return store


def _search(
    dense: DenseIndex, query: NDArray[np.float32], limit: int, include: NDArray[np.int64] | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    if not len(dense):  # an empty index may have no dimension
        return np.zeros(0, np.float32), np.zeros(0, np.int64)
    (scores,), (numbers,) = dense.search(query[None, :], limit, include)
    return scores, numbers


def _matches(store: PassageStore, numbers: NDArray[np.int64], scores: NDArray[np.float32]) -> list[_Match]:
    with store.reading():
        passages = store.passages_by_number(numbers.tolist())
        records = _records(store, {passage.id: passage for passage in passages.values()})
        vectors = store.vectors_by_number(list(passages))
    return [
        (ScoredRecord(records[passages[number].id], min(1.0, max(-1.0, score))), vectors[number])
        for number, score in zip(numbers.tolist(), scores.tolist(), strict=True)
        if number in passages
    ]


def _records(store: PassageStore, passages: Mapping[str, Passage]) -> dict[str, Record]:
    metadata = store.metadata_by_id(list(passages))
    return {one: Record(one, passage.text, json.loads(metadata[one])) for one, passage in passages.items()}


def _numbers_where(store: PassageStore, condition: Condition, revision: int) -> NDArray[np.int64]:
    return store.numbers_where(condition)


def _valid_ids(ids: Sequence[str]) -> list[str]:
    """Without values that cannot be the id of a record, or that SQLite does not accept."""
    return [one for one in ids if isinstance(one, str) and not any("\ud800" <= letter <= "\udfff" for letter in one)]


def most_diverse(query: NDArray[np.float32], vectors: NDArray[np.float32], limit: int, relevance: float) -> list[int]:
    """Maximal marginal relevance (Carbonell and Goldstein 1998): at most `limit` rows in the order of selection.

    The first of the unit vectors `[n, dimension]` is the nearest to the query `[dimension]`. Each further one maximises
    `relevance` * cosine to the query - (1 - `relevance`) * highest cosine to a selected row.
    """
    cosines = vectors @ query
    nearest_selected = np.full(len(vectors), -np.inf, dtype=np.float32)
    remaining = np.ones(len(vectors), dtype=bool)
    selected: list[int] = []
    while remaining.any() and len(selected) < limit:
        value = relevance * cosines - (1 - relevance) * nearest_selected if selected else cosines
        best = int(np.argmax(np.where(remaining, value, -np.inf)))
        selected.append(best)
        remaining[best] = False
        nearest_selected = np.maximum(nearest_selected, vectors @ vectors[best])
    return selected
