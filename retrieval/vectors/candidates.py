"""What an approximate FAISS index takes for near, scored again with whole vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.store.faiss_record import Kind
from retrieval.vectors.index_kind import parameters

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]

# At least so many for each one wanted are scored again.
_AGAIN = 4
_LEAST_AGAIN = 64


@dataclass(frozen=True, eq=False)
class Allowed:
    """Which numbers may be found: those of `only`, or all but those of `but`. None stands for no such limit."""

    only: Numbers | None = None
    but: Numbers | None = None

    @cached_property
    def selector(self) -> Any | None:
        """As FAISS takes it."""
        import faiss

        if self.only is not None:
            return faiss.IDSelectorBatch(np.ascontiguousarray(self.only))
        if self.but is not None:
            return faiss.IDSelectorNot(faiss.IDSelectorBatch(np.ascontiguousarray(self.but)))
        return None

    def without_others(self, numbers: Numbers) -> Numbers:
        """The same numbers, with -1 for each that may not be found."""
        if self.only is not None:
            return np.where(_in_sorted(numbers, self._sorted), numbers, -1)
        if self.but is not None:
            return np.where(_in_sorted(numbers, self._sorted), -1, numbers)
        return numbers

    @cached_property
    def _sorted(self) -> Numbers:
        named = self.only if self.only is not None else self.but
        assert named is not None
        return np.sort(named)


ALL = Allowed()


def candidates(
    kind: Kind, index: Any, vectors: Floats, limit: int, effort: int, share: float = 1.0, allowed: Allowed = ALL
) -> Numbers:
    """Numbers that a compressed index takes for near, in no exact order.

    Args:
        kind: `pq`, `hnsw` or `ivf`.
        index: as `index_kind.build` made it.
        vectors: `[n, dimension]`, unit queries.
        limit: how many will be kept.
        effort: as `index_kind.tune` found it.
        share: which part of what is near may be found; the search goes further by as much.
        allowed: which numbers may be found.

    Returns:
        `[n, candidates]`, -1 for none.
    """
    count = int(index.ntotal)
    deep = max(_AGAIN * limit, _LEAST_AGAIN)
    further = min(float(count), 1 / max(share, 1e-9))
    if kind == "pq":
        # It knows no selector, but going further costs it little.
        deep = min(count, round(max(deep, effort) * further))
        with one_thread():
            return allowed.without_others(index.search(vectors, deep)[1])
    effort = min(count, round(effort * further))
    with one_thread():
        found: Numbers = index.search(vectors, min(deep, count), params=parameters(kind, effort, allowed.selector))[1]
    return found


def rescored(vectors: Floats, numbers: Numbers, whole: Callable[[Numbers], Floats]) -> tuple[Floats, Numbers]:
    """Candidates `[n, c]` (-1: none) in the order of their exact inner products with queries `[n, dimension]`.

    `whole` gives the vectors of numbers, and NaN for what has gone meanwhile, which is then -1.
    """
    scores = np.full(numbers.shape, -np.inf, np.float32)
    kept = numbers.copy()
    for row, (query, some) in enumerate(zip(vectors, numbers, strict=True)):
        there = some >= 0
        if there.any():
            scores[row, there] = whole(some[there]) @ query
    gone = ~np.isfinite(scores)
    kept[gone], scores[gone] = -1, -np.inf
    return best_of(scores, kept, numbers.shape[1])


def _in_sorted(numbers: Numbers, named: Numbers) -> NDArray[np.bool_]:
    if not len(named):
        return np.zeros(numbers.shape, bool)
    places = np.minimum(np.searchsorted(named, numbers), len(named) - 1)
    there: NDArray[np.bool_] = named[places] == numbers
    return there


def best_of(scores: Floats, numbers: Numbers, limit: int) -> tuple[Floats, Numbers]:
    """The best `limit` of each row of scores and numbers `[n, c]`, best first."""
    # By number among equals, so that the order does not depend on where a vector was found.
    order = np.lexsort((numbers, -scores), axis=1)[:, :limit]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(numbers, order, 1)


@contextmanager
def one_thread() -> Iterator[None]:
    """FAISS shares queries, not passages, out over threads: for one query they only wait for each other.

    On a busy machine that waiting takes longer than the search. The setting belongs to the calling
    thread and reaches torch as well, so it is put back.
    """
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
