"""Nearest vectors: the FAISS index, plus rows written since it was built, minus rows deleted since."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from retrieval.store.faiss_record import FaissRecord
from retrieval.store.store import PassageStore
from retrieval.vectors.candidates import (
    Floats,
    IdFilter,
    Numbers,
    best_of,
    best_of_both,
    candidates,
    exact_scores,
    exact_search,
    single_thread,
)

# Up to this many included passages, scoring all of them is faster than searching the index.
_SCORE_ALL = {"flat": 2_000, "pq": 20_000}
_VECTORS_PER_BATCH = 50_000


@dataclass(frozen=True, eq=False)
class DenseIndex:
    """Inner product search over the passages of one revision. Immutable, so any thread may search.

    Attributes:
        index: the FAISS index; None if it would be empty.
        tail_numbers: `[t]`, passages newer than the FAISS index.
        tail: `[t, dimension]`, their vectors, fp32.
        deleted: `[d]`, passages in the FAISS index that are deleted.
        last_tombstone: the last deletion included in `deleted`.
    """

    store: PassageStore
    record: FaissRecord
    index: Any | None
    revision: int
    tail_numbers: Numbers
    tail: Floats
    deleted: Numbers
    last_tombstone: int

    def __len__(self) -> int:
        return self.record.count - len(self.deleted) + len(self.tail_numbers)

    def search(self, vectors: Floats, limit: int, include: Numbers | None = None) -> tuple[Floats, Numbers]:
        """Cosines and numbers `[n, min(limit, passages)]` of the best passages for unit queries `[n, dimension]`.

        Best first. `include` `[m]` holds the distinct numbers of the passages that may be returned; None for all.
        """
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if include is not None and len(include) <= _SCORE_ALL[self.record.kind]:
            return self._score_all(vectors, limit, include)
        expected = min(limit, len(self) if include is None else len(include))
        in_index = self._search_index(vectors, limit, include)
        if in_index is not None:
            in_tail = self._search_tail(vectors, limit, include)
            scores, numbers = best_of_both(in_index, in_tail, expected)
            # Otherwise a row of `include` was deleted meanwhile.
            if numbers.shape[1] == expected and (numbers >= 0).all():
                return scores, numbers
        return self._score_batches(vectors, expected, include)

    def _search_index(self, vectors: Floats, limit: int, include: Numbers | None) -> tuple[Floats, Numbers] | None:
        """None if a compressed index yields fewer results than exist: its candidates may be mostly filtered out."""
        if self.index is None:
            return np.zeros((len(vectors), 0), np.float32), np.zeros((len(vectors), 0), np.int64)
        record = self.record
        if include is None:
            id_filter = IdFilter(self.deleted if len(self.deleted) else None, excludes=True)
            remaining, share = record.count - len(self.deleted), 1.0
        else:
            id_filter = IdFilter(include)
            remaining, share = int((include <= record.last_number).sum()), len(include) / record.count
        if record.kind == "flat":
            return exact_search(self.index, vectors, limit, id_filter)
        while share * record.count > 1 / 4:
            numbers = candidates(self.index, vectors, limit, record.effort, share, id_filter)
            scores, numbers = exact_scores(vectors, numbers, self._exact_vectors(numbers, vectors.shape[1]))
            if (numbers[:, : min(limit, remaining)] >= 0).all():
                return scores, numbers
            share /= 4
        return None

    def _search_tail(self, vectors: Floats, limit: int, include: Numbers | None) -> tuple[Floats, Numbers]:
        selected = slice(None) if include is None else np.isin(self.tail_numbers, include)
        numbers, tail = self.tail_numbers[selected], self.tail[selected]
        with single_thread():
            scores = vectors @ tail.T
        return best_of(scores, np.broadcast_to(numbers, scores.shape), min(limit, len(numbers)))

    def _score_all(self, vectors: Floats, limit: int, include: Numbers) -> tuple[Floats, Numbers]:
        """Exact search over the included passages, with vectors from SQLite."""
        by_number = self.store.vectors_by_number([int(number) for number in include])
        numbers = np.fromiter(by_number, dtype=np.int64, count=len(by_number))
        exact = np.stack(list(by_number.values())) if by_number else np.zeros((0, vectors.shape[1]), np.float32)
        scores = vectors @ exact.T
        return best_of(scores, np.broadcast_to(numbers, scores.shape), min(limit, len(numbers)))

    def _score_batches(self, vectors: Floats, limit: int, include: Numbers | None) -> tuple[Floats, Numbers]:
        """Exact search over any number of passages, whatever the kind of index."""
        best = np.zeros((len(vectors), 0), np.float32), np.zeros((len(vectors), 0), np.int64)
        include = np.asarray(self.store.passage_numbers(), np.int64) if include is None else include
        for first in range(0, len(include), _VECTORS_PER_BATCH):
            batch = self._score_all(vectors, limit, include[first : first + _VECTORS_PER_BATCH])
            best = best_of_both(best, batch, limit)
        return best

    def _exact_vectors(self, numbers: Numbers, dimension: int) -> Callable[[Numbers], Floats]:
        by_number = self.store.vectors_by_number(np.unique(numbers[numbers >= 0]).tolist())
        missing = np.full(dimension, np.nan, np.float32)
        return lambda some: np.stack([by_number.get(int(number), missing) for number in some])
