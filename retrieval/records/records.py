"""Records in an index: added, replaced and deleted by id, found by vector and metadata. What a vector store is made of.

An index that an ingest made opens as well, to be read: its passages are then the records.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from retrieval.vectors.faiss_bytes import remove_leftovers
from retrieval.vectors.faiss_file import FAISS_NAME, current, make_faiss, open_faiss, too_much_beside

# Others may write while a search is under way; after so many tries it reads all from one state of SQLite.
_TRIES = 3
# The numbers under so many conditions are kept.
_CONDITIONS = 16
_BEYOND_ALL = 2**62


@dataclass(frozen=True, slots=True)
class ScoredRecord:
    """A record and its cosine to the query, in [-1, 1]."""

    record: Record
    score: float


@dataclass(frozen=True, slots=True)
class _Found:
    scored: ScoredRecord
    vector: NDArray[np.float32]


class RecordIndex:
    """The records in a folder, or in memory. Safe to use from several threads.

    Constructing one does no I/O. Reading a folder without an index finds nothing and makes nothing; adding
    makes the folder. What another process commits is seen by the next search. Every method raises
    IndexMismatchError for an index of another encoder, IndexDamagedError for one that is not what was written,
    and RetrievalError once it is closed.
    """

    def __init__(self, folder: Path | None, encoder_id: str) -> None:
        self.folder = folder
        self.encoder_id = encoder_id
        self._store: PassageStore | None = None
        self._dense: DenseIndex | None = None
        self._known: tuple[int, dict[Condition, NDArray[np.int64]]] = (-1, {})
        self._opening = threading.Lock()
        self._refreshing = threading.Lock()
        self._maintaining = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Ends the index; one in memory is gone then."""
        with self._opening:
            self._closed = True
            if self._store is not None:
                self._store.close()
                self._store = self._dense = None

    def add(self, records: Sequence[Record], vectors: object, going_on: Callable[[], None] = lambda: None) -> None:
        """Adds records with their vectors `[len(records), dimension]` of any length, in one transaction.

        A record of an id that is there already, or stands earlier in the batch, is replaced. `going_on` is
        called between the records and before the commit; what it raises undoes everything. Raises RecordError
        for what cannot be stored, EncoderError for vectors without a direction, and IndexMismatchError for
        those of another dimension and for an index of documents.
        """
        if not records:
            return
        rows = unit_rows(vectors, len(records))
        entries = [record_entry(record, row) for record, row in zip(records, rows, strict=True)]
        store = self._opened(create=True)
        if store is not None:
            store.replace_documents(entries, Binding(self.encoder_id, rows.shape[1], "records"), going_on)

    def delete(self, ids: Sequence[str] | None, going_on: Callable[[], None] = lambda: None) -> int:
        """Deletes the records of these ids, or all with None, in one transaction; says how many there were.

        `going_on` is called before the commit, as in `add`. Raises IndexMismatchError for an index of documents.
        """
        store = self._opened()
        if store is None:
            return 0
        return store.delete_documents(None if ids is None else _possible(ids), "records", going_on)

    def get(self, ids: Sequence[str]) -> list[Record]:
        """The records of these ids, in this order; ids that are not there are left out."""
        store = self._opened()
        if store is None:
            return []
        possible = _possible(ids)
        with store.reading():
            records = _records(store, store.passages_by_id(possible))
        return [records[one] for one in possible if one in records]

    def search(self, vector: object, k: int, where: object = None) -> list[ScoredRecord]:
        """The `k` nearest to a vector `[dimension]` among those that match a filter, or all that do; best first.

        The filter is what `retrieval.store.metadata_filter` describes. Raises FilterError for another, EncoderError
        for a vector without a direction, ValueError for k < 1.
        """
        if k < 1:
            raise ValueError(f"k is {k}; at least 1 is needed")
        return [found.scored for found in self._nearest(unit_rows([vector], 1)[0], k, where)]

    def search_diverse(
        self, vector: object, k: int, *, fetch_k: int, relevance: float, where: object = None
    ) -> list[ScoredRecord]:
        """`k` of the `fetch_k` nearest by maximal marginal relevance, in the order they were chosen.

        `relevance` in [0, 1] weighs nearness to the query against difference from one another. Raises as
        `search`, and ValueError for another `relevance`.
        """
        if k < 1:
            raise ValueError(f"k is {k}; at least 1 is needed")
        if not 0 <= relevance <= 1:
            raise ValueError(f"relevance is {relevance}; a number from 0 to 1 is needed")
        query = unit_rows([vector], 1)[0]
        found = self._nearest(query, max(k, fetch_k), where)
        vectors = np.array([one.vector for one in found], dtype=np.float32).reshape(len(found), len(query))
        return [found[row].scored for row in most_diverse(query, vectors, k, relevance)]

    def _nearest(self, query: NDArray[np.float32], limit: int, where: object) -> list[_Found]:
        condition = parse_filter(where) if where is not None else EVERYTHING
        store = self._opened()
        if store is None:
            return []
        for _ in range(_TRIES):
            dense = self._current_dense(store)
            with store.reading():
                if store.generation != dense.generation:
                    continue
                self._check_binding(store, len(query))
                among = None if condition == EVERYTHING else self._matching(store, condition, dense.generation)
            # Outside of the transaction, so that others may go on: a number is never given again.
            scores, numbers = _ranked(dense, query, limit, among)
            found = _scored(store, numbers, scores)
            if len(found) == min(limit, len(dense) if among is None else len(among)):
                return found
        with store.reading():
            self._check_binding(store, len(query))
            among = store.numbers_where(condition)
            scores, numbers = _ranked(dense, query, limit, among)
            return _scored(store, numbers, scores)

    def _matching(self, store: PassageStore, condition: Condition, generation: int) -> NDArray[np.int64]:
        """The numbers under a condition; kept while nothing changes, since reading all metadata takes longest."""
        known_of, known = self._known
        if known_of != generation or len(known) >= _CONDITIONS:
            known_of, known = self._known = generation, {}
        if condition not in known:
            known[condition] = store.numbers_where(condition)
        return known[condition]

    def maintain(self) -> None:
        """Makes the FAISS index anew where much was added or deleted since it was made; to be called after changes.

        Searches are right without it, but look at each of those records. Takes as long as making an index of all
        records does; meanwhile others search, add and delete.
        """
        store = self._opened()
        if store is None or not self._maintaining.acquire(blocking=False):
            return
        try:
            if self._is_far_behind(store):
                if self._faiss is not None:
                    remove_leftovers(self._faiss)
                made = make_faiss(store, self._faiss, must_write=False)
                with self._refreshing:
                    self._dense = current(made, self._faiss)
        finally:
            self._maintaining.release()

    def _is_far_behind(self, store: PassageStore) -> bool:
        dense = self._dense
        with store.reading():
            record = store.faiss_record() if dense is None else dense.record
            if record is None:
                return self.folder is not None
            last_tombstone, _ = store.deleted_after(_BEYOND_ALL)
            changes = store.last_number - record.last_number + last_tombstone - record.last_tombstone
        return too_much_beside(changes, record.count)

    @property
    def _faiss(self) -> Path | None:
        return self.folder / FAISS_NAME if self.folder is not None else None

    def _current_dense(self, store: PassageStore) -> DenseIndex:
        dense = self._dense
        if dense is None or dense.generation != store.generation:
            with self._refreshing:
                dense = self._dense
                if dense is None or dense.tail.shape[1] != store.dimension:
                    dense = open_faiss(store, self._faiss)
                else:
                    dense = current(dense, self._faiss)
                self._dense = dense
        return dense

    def _check_binding(self, store: PassageStore, dimension: int | None = None) -> None:
        """Raises IndexMismatchError unless the store is empty, or made by this encoder."""
        with store.reading():
            found = store.binding
            wanted = Binding(self.encoder_id, dimension or found.dimension, found.content)
            if found != wanted and store.counts()[0]:
                raise found.refusal(wanted, store.path.parent)

    def _opened(self, *, create: bool = False) -> PassageStore | None:
        """None where there is no index in the folder yet, and none is to be made."""
        with self._opening:
            if self._closed:
                raise RetrievalError(
                    found="the index is closed", expected="an open one", next_step="open it again for further use"
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
        store = PassageStore.open(path, create=create)
        try:
            self._check_binding(store)
        except BaseException:
            store.close()
            raise
        return store


def _ranked(
    dense: DenseIndex, query: NDArray[np.float32], limit: int, among: NDArray[np.int64] | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    if not len(dense):  # and then of no dimension
        return np.zeros(0, np.float32), np.zeros(0, np.int64)
    (scores,), (numbers,) = dense.search(query[None, :], limit, among)
    return scores, numbers


def _scored(store: PassageStore, numbers: NDArray[np.int64], scores: NDArray[np.float32]) -> list[_Found]:
    """Those of the numbered passages that are still there, as records."""
    with store.reading():
        passages = store.passages_by_number(numbers.tolist())
        records = _records(store, {passage.id: passage for passage in passages.values()})
        vectors = store.vectors_by_number(list(passages))
    return [
        _Found(ScoredRecord(records[passages[number].id], min(1.0, max(-1.0, score))), vectors[number])
        for number, score in zip(numbers.tolist(), scores.tolist(), strict=True)
        if number in passages
    ]


def _records(store: PassageStore, passages: Mapping[str, Passage]) -> dict[str, Record]:
    metadata = store.metadata_by_id(list(passages))
    return {one: Record(one, passage.text, json.loads(metadata[one])) for one, passage in passages.items()}


def _possible(ids: Sequence[str]) -> list[str]:
    """Without what can be no record's id, and what SQLite would not take."""
    return [one for one in ids if isinstance(one, str) and not any("\ud800" <= letter <= "\udfff" for letter in one)]


def most_diverse(query: NDArray[np.float32], vectors: NDArray[np.float32], limit: int, relevance: float) -> list[int]:
    """The rows of `vectors` `[n, dimension]` to take, at most `limit` of them, in the order they were chosen.

    Each is the row with the highest `relevance` * cosine to `query` `[dimension]` less (1 - `relevance`) *
    highest cosine to a row chosen before; all are unit vectors. `relevance` in [0, 1]: at 1 it is the plain
    ranking. The first is the nearest row, whatever `relevance` is.
    """
    cosines = vectors @ query
    nearest_chosen = np.full(len(vectors), -np.inf, dtype=np.float32)
    left = np.ones(len(vectors), dtype=bool)
    chosen: list[int] = []
    while left.any() and len(chosen) < limit:
        value = relevance * cosines - (1 - relevance) * nearest_chosen if chosen else cosines
        best = int(np.argmax(np.where(left, value, -np.inf)))
        chosen.append(best)
        left[best] = False
        nearest_chosen = np.maximum(nearest_chosen, vectors @ vectors[best])
    return chosen
