"""Nearest vectors: the FAISS index, what was written since it was made, and without what was deleted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.store.faiss_record import FaissRecord
from retrieval.store.store import PassageStore
from retrieval.vectors.candidates import Allowed, best_of, candidates, one_thread, rescored
from retrieval.vectors.index_kind import parameters

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]

# Up to so many allowed passages, scoring them all is faster than looking for them.
_FEW = 2_000
_MANY = 20_000
_AT_ONCE = 50_000


@dataclass(frozen=True, eq=False)
class DenseIndex:
    """Inner products over the passages of one generation. Immutable, so any thread may search.

    Attributes:
        store: where the whole vectors are.
        record: of the FAISS index.
        index: the FAISS index; None where it would be empty.
        generation: of the passages.
        tail_numbers: `[t]`, passages that are newer than the FAISS index.
        tail: `[t, dimension]`, their vectors, fp32.
        dead: `[d]`, passages in the FAISS index that are deleted.
        last_tombstone: the last one heeded.
    """

    store: PassageStore
    record: FaissRecord
    index: Any | None
    generation: int
    tail_numbers: Numbers
    tail: Floats
    dead: Numbers
    last_tombstone: int

    def __len__(self) -> int:
        return self.record.count - len(self.dead) + len(self.tail_numbers)

    def search(self, vectors: Floats, limit: int, among: Numbers | None = None) -> tuple[Floats, Numbers]:
        """The best `limit` for each query, best first.

        Args:
            vectors: `[n, dimension]`, unit queries.
            limit: how many.
            among: `[m]`, different numbers of the passages that may be found; all without it.

        Returns:
            Cosines and passage numbers, both `[n, found]`, with `found` the lesser of `limit` and how many there are.
        """
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if among is not None and len(among) <= (_FEW if self.record.kind == "flat" else _MANY):
            return self._all_of(vectors, limit, among)
        wanted = min(limit, len(self) if among is None else len(among))
        in_index = self._in_index(vectors, limit, among)
        if in_index is None:
            return self._everything(vectors, wanted, among)
        in_tail = self._in_tail(vectors, limit, among)
        scores, numbers = best_of(np.hstack([in_index[0], in_tail[0]]), np.hstack([in_index[1], in_tail[1]]), wanted)
        if numbers.shape[1] < wanted or (numbers < 0).any():
            # A row of `among` was deleted since.
            return self._everything(vectors, wanted, among)
        return scores, numbers

    def _in_index(self, vectors: Floats, limit: int, among: Numbers | None) -> tuple[Floats, Numbers] | None:
        """None where fewer are found than there are: a graph may lead nowhere when most of it may not be found."""
        if self.index is None:
            return np.zeros((len(vectors), 0), np.float32), np.zeros((len(vectors), 0), np.int64)
        record = self.record
        allowed = self._alive if among is None else Allowed(only=among)
        if record.kind == "flat":
            exactly = parameters("flat", 0, allowed.selector)
            with one_thread():
                found: tuple[Floats, Numbers] = self.index.search(vectors, min(limit, record.count), params=exactly)
            return found
        left = record.count - len(self.dead) if among is None else np.count_nonzero(among <= record.last_number)
        # Of what is near, only a share may be found.
        share = 1.0 if among is None else len(among) / record.count
        while share * record.count > 1 / 4:
            numbers = candidates(record.kind, self.index, vectors, limit, record.effort, share, allowed)
            scores, numbers = rescored(vectors, numbers, self._whole(numbers, vectors.shape[1]))
            if (numbers[:, : min(limit, left)] >= 0).all():
                return scores, numbers
            share /= 4
        return None

    def _in_tail(self, vectors: Floats, limit: int, among: Numbers | None) -> tuple[Floats, Numbers]:
        allowed = slice(None) if among is None else np.isin(self.tail_numbers, among)
        numbers, tail = self.tail_numbers[allowed], self.tail[allowed]
        with one_thread():
            scores = vectors @ tail.T
        return best_of(scores, np.broadcast_to(numbers, scores.shape), min(limit, len(numbers)))

    def _all_of(self, vectors: Floats, limit: int, among: Numbers) -> tuple[Floats, Numbers]:
        found = self.store.vectors_by_number([int(number) for number in among])
        numbers = np.fromiter(found, dtype=np.int64, count=len(found))
        whole = np.stack(list(found.values())) if found else np.zeros((0, vectors.shape[1]), np.float32)
        scores = vectors @ whole.T
        return best_of(scores, np.broadcast_to(numbers, scores.shape), min(limit, len(numbers)))

    def _everything(self, vectors: Floats, limit: int, among: Numbers | None) -> tuple[Floats, Numbers]:
        """Exact, from SQLite, whatever the kind of index."""
        best = np.zeros((len(vectors), 0), np.float32), np.zeros((len(vectors), 0), np.int64)
        numbers = np.asarray(self.store.passage_numbers(), np.int64) if among is None else among
        for first in range(0, len(numbers), _AT_ONCE):
            scores, found = self._all_of(vectors, limit, numbers[first : first + _AT_ONCE])
            best = best_of(np.hstack([best[0], scores]), np.hstack([best[1], found]), limit)
        return best

    def _whole(self, numbers: Numbers, dimension: int) -> Callable[[Numbers], Floats]:
        wanted = np.unique(numbers[numbers >= 0])
        found = self.store.vectors_by_number([int(number) for number in wanted])
        missing = np.full(dimension, np.nan, np.float32)
        return lambda some: np.stack([found.get(int(number), missing) for number in some])

    @cached_property
    def _alive(self) -> Allowed:
        return Allowed(but=self.dead if len(self.dead) else None)
