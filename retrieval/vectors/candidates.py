"""Candidates of a compressed FAISS index, and their exact scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]

# Rescored candidates per result, and at least in all.
_CANDIDATES_PER_RESULT = 4
_MIN_CANDIDATES = 64


@dataclass(frozen=True, eq=False)
class IdFilter:
    """The passages that a search may return: those with these numbers, or all others. None sets no limit."""

    numbers: Numbers | None = None
    excludes: bool = False

    @cached_property
    def selector(self) -> Any | None:
        """The filter as a FAISS IDSelector."""
        import faiss

        if self.numbers is None:
            return None
        selector = faiss.IDSelectorBatch(np.ascontiguousarray(self.numbers))
        return faiss.IDSelectorNot(selector) if self.excludes else selector

    def apply(self, numbers: Numbers) -> Numbers:
        """The same numbers, with -1 in place of each that the filter removes."""
        if self.numbers is None:
            return numbers
        return np.where(_isin(numbers, self.numbers) != self.excludes, numbers, -1)


NO_FILTER = IdFilter()


def _isin(numbers: Numbers, elements: Numbers) -> NDArray[np.bool_]:
    """`np.isin` for few numbers and many elements, where it is up to seven times slower."""
    if not len(elements):
        return np.zeros(numbers.shape, bool)
    elements = np.sort(elements)
    positions = np.minimum(np.searchsorted(elements, numbers), len(elements) - 1)
    present: NDArray[np.bool_] = elements[positions] == numbers
    return present


def exact_search(index: Any, vectors: Floats, limit: int, id_filter: IdFilter = NO_FILTER) -> tuple[Floats, Numbers]:
    """Scores and numbers `[n, limit]` of a `flat` index."""
    import faiss

    selector = id_filter.selector
    parameters = faiss.SearchParameters(sel=selector) if selector is not None else None
    with single_thread():
        results: tuple[Floats, Numbers] = index.search(vectors, min(limit, index.ntotal), params=parameters)
    return results


def candidates(
    index: Any, vectors: Floats, limit: int, effort: int, share: float = 1.0, id_filter: IdFilter = NO_FILTER
) -> Numbers:
    """Numbers `[n, candidates]` (-1: none) that a `pq` index estimates to be nearest to unit queries `[n, dimension]`.

    `effort` is the number of candidates, from `index_kind.tune`. If only a share of the near vectors passes the filter,
    the search goes correspondingly deeper: a `pq` index takes no selector, so the filter is applied afterwards.
    """
    count = int(index.ntotal)
    depth = max(_CANDIDATES_PER_RESULT * limit, _MIN_CANDIDATES, effort)
    depth = min(count, round(depth * min(float(count), 1 / max(share, 1e-9))))
    with single_thread():
        return id_filter.apply(index.search(vectors, depth)[1])


def exact_scores(vectors: Floats, numbers: Numbers, exact: Callable[[Numbers], Floats]) -> tuple[Floats, Numbers]:
    """Candidates `[n, c]` (-1: none) sorted by their exact inner products with the queries `[n, dimension]`.

    `exact` returns the vectors of numbers, and NaN for passages deleted meanwhile, whose number becomes -1.
    """
    scores = np.full(numbers.shape, -np.inf, np.float32)
    kept = numbers.copy()
    for row, (query, candidate_row) in enumerate(zip(vectors, numbers, strict=True)):
        present = candidate_row >= 0
        if present.any():
            scores[row, present] = exact(candidate_row[present]) @ query
    missing = ~np.isfinite(scores)
    kept[missing], scores[missing] = -1, -np.inf
    return best_of(scores, kept, numbers.shape[1])


def best_of(scores: Floats, numbers: Numbers, limit: int) -> tuple[Floats, Numbers]:
    """The best `limit` of each row of scores and numbers `[n, c]`, best first."""
    # Equal scores are ordered by number, so that the order does not depend on where a vector is stored.
    order = np.lexsort((numbers, -scores), axis=1)[:, :limit]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(numbers, order, 1)


def best_of_both(one: tuple[Floats, Numbers], other: tuple[Floats, Numbers], limit: int) -> tuple[Floats, Numbers]:
    """`best_of` two results."""
    return best_of(np.hstack([one[0], other[0]]), np.hstack([one[1], other[1]]), limit)


@contextmanager
def single_thread() -> Iterator[None]:
    """Run FAISS in one thread: it distributes queries over threads, so a single one gains nothing and waits for them.

    The setting belongs to the calling thread and also affects torch, so it is restored.
    """
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
