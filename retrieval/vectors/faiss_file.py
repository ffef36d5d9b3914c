"""The FAISS file beside the database: derived from it, never trusted, made anew when in doubt.

Between two makings it is not touched: newer rows are an exactly searched tail, deleted ones are passed over.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import RetrievalError
from retrieval.store.faiss_record import FaissRecord, IndexChoice
from retrieval.store.store import PassageStore
from retrieval.vectors import faiss_bytes
from retrieval.vectors.candidates import candidates, rescored
from retrieval.vectors.dense import DenseIndex
from retrieval.vectors.index_kind import FLAT_UP_TO, build, kind_for, tune

FAISS_NAME = "index.faiss"

# What a search may have to look at beside the index before a writer makes it anew.
_LEAST_BESIDE = 1_000
_SHARE_BESIDE = 0.1
_NONE = np.zeros(0, np.int64)


def open_faiss(store: PassageStore, path: Path | None = None) -> DenseIndex:
    """The index of the store's present generation: from `path` where a file of this store is there, else made anew.

    Without a path nothing is written.

    Raises:
        IndexDamagedError: a vector in SQLite fails its checksum.
    """
    record = store.faiss_record()
    index = faiss_bytes.read_checked(path, record.digest) if path and record and record.count else None
    if record is None or not _belongs(index, record, store):
        return make_faiss(store, path, must_write=False)
    return current(DenseIndex(store, record, index, -1, _NONE, _no_vectors(store), _NONE, record.last_tombstone), path)


def current(dense: DenseIndex, path: Path | None = None) -> DenseIndex:
    """The same index with what was written and deleted since, or the one that another writer has made."""
    store = dense.store
    with store.reading():
        generation = store.generation
        if generation == dense.generation:
            return dense
        record = store.faiss_record()
        # By generation: what is in two files may be the same, but with the newer one deletions were cleared.
        if path is not None and record is not None and record.generation > dense.record.generation:
            newer = None
        else:
            newest = int(dense.tail_numbers[-1]) if len(dense.tail_numbers) else dense.record.last_number
            newer = store.vectors_after(newest)
            last_tombstone, deleted = store.deleted_after(dense.last_tombstone)
    if newer is None:
        return open_faiss(store, path)
    numbers = np.concatenate([dense.tail_numbers, newer[0]])
    alive = ~np.isin(numbers, deleted)
    in_index = deleted[deleted <= dense.record.last_number]
    return replace(
        dense,
        generation=generation,
        tail_numbers=numbers[alive],
        tail=np.concatenate([dense.tail, newer[1]])[alive],
        dead=np.concatenate([dense.dead, in_index]),
        last_tombstone=last_tombstone,
    )


def too_much_beside(beside: int, count: int) -> bool:
    """Whether so many new and deleted rows slow a search of an index of `count` enough to make it anew."""
    return beside > max(_LEAST_BESIDE, _SHARE_BESIDE * count)


def keep_faiss(store: PassageStore, path: Path, choice: IndexChoice | None = None) -> DenseIndex:
    """For whoever has written rows: the present index, made anew where too much stands beside it.

    `choice` is remembered for the next time; without one what was chosen before holds. An index of another kind than
    its size asks for is made anew as well; readers go on with the old one until the new one stands.

    Raises:
        RetrievalError: the file cannot be written.
    """
    if choice is not None:
        store.choose_index(choice)
    faiss_bytes.remove_leftovers(path)
    if store.faiss_record() is None or not path.is_file():
        return make_faiss(store, path)
    dense = open_faiss(store, path)
    beside = len(dense.tail_numbers) + len(dense.dead)
    wanted = kind_for(store.index_choice, len(dense))
    # Just below the limit an index keeps its kind, so that it does not change it with every document.
    settled = store.index_choice == "auto" and dense.record.kind != "flat" and len(dense) > FLAT_UP_TO // 2
    if too_much_beside(beside, dense.record.count) or (wanted != dense.record.kind and not settled):
        return make_faiss(store, path)
    return dense


def make_faiss(store: PassageStore, path: Path | None, *, must_write: bool = True) -> DenseIndex:
    """Make the index of all rows, and write it to `path` if there is one.

    Who may read but not write is served from memory unless `must_write`.

    Raises:
        IndexDamagedError: a vector in SQLite fails its checksum.
        RetrievalError: the file cannot be written.
    """
    with store.reading():
        generation, numbers, vectors = store.all_vectors()
        last_tombstone, _ = store.deleted_after(-1)
        last_number, choice = store.last_number, store.index_choice
    kind = kind_for(choice, len(numbers))
    index = build(kind, vectors, numbers)

    def search(queries: NDArray[np.float32], limit: int, effort: int) -> NDArray[np.int64]:
        found = candidates(kind, index, queries, limit, effort)
        return rescored(queries, found, lambda some: vectors[np.searchsorted(numbers, some)])[1][:, :limit]

    effort, recall = tune(kind, index, vectors, numbers, search)
    record = FaissRecord(generation, "", kind, len(numbers), last_number, last_tombstone, effort, round(recall, 4))
    if path is not None:
        try:
            record = replace(record, digest=faiss_bytes.write(path, index))
            store.record_faiss(record)
        except RetrievalError:
            if must_write:
                raise
    kept = index if len(numbers) else None
    return DenseIndex(store, record, kept, generation, _NONE, _no_vectors(store), _NONE, last_tombstone)


def _no_vectors(store: PassageStore) -> NDArray[np.float32]:
    return np.zeros((0, store.dimension), np.float32)


def _belongs(index: Any | None, record: FaissRecord, store: PassageStore) -> bool:
    if record.count == 0:
        return True
    return index is not None and (index.d, index.ntotal) == (store.dimension, record.count)
