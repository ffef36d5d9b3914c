"""The kinds of FAISS index: choosing, building and tuning them.

`flat` is exact search: it reads every vector for every query. `pq` also reads all vectors, but as one bit per
dimension: 4-bit product quantisation, scanned in registers (André et al. 2017), which finds candidates many times
faster. The candidates are rescored with the exact vectors, so compression does not change the order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.store.faiss_record import IndexChoice, IndexKind

# Measured by benchmarks/search/speed.py (docs/retrieval.md).
FLAT_UP_TO = 20_000
# Above the promised 0.98: real questions are further from passages than the sample that recall is measured on.
RECALL = 0.995
RECALL_AT = 10

# FAISS warns below 39 training vectors per centroid.
_MIN_FOR_PQ = 40 * 16
_TRAINING_VECTORS = 20_000
_TUNING_QUERIES = 200
_MIN_EFFORT, _MAX_EFFORT = 192, 4096
_SEED = 7

Search = Callable[[NDArray[np.float32], int, int], NDArray[np.int64]]


def kind_for(choice: IndexChoice, count: int) -> IndexKind:
    """The kind of an index of `count` vectors. `auto` is exact up to `FLAT_UP_TO`; `pq` needs vectors to train on."""
    if choice == "auto":
        return "flat" if count <= FLAT_UP_TO else "pq"
    return choice if count >= _MIN_FOR_PQ else "flat"


def build(kind: IndexKind, vectors: NDArray[np.float32], numbers: NDArray[np.int64]) -> Any:
    """A FAISS index of unit vectors `[n, dimension]`, identified by their passage numbers `[n]`."""
    import faiss

    count, dimension = vectors.shape
    if kind == "flat":
        index = faiss.IndexIDMap(faiss.IndexFlatIP(dimension))
    else:
        per_code = next(width for width in (4, 3, 2, 1) if dimension % width == 0)
        pq = faiss.IndexPQFastScan(dimension, dimension // per_code, 4, faiss.METRIC_INNER_PRODUCT)
        index = faiss.IndexIDMap(pq)
    if count:
        if not index.is_trained:
            chosen = np.arange(count)
            if count > _TRAINING_VECTORS:
                chosen = np.sort(np.random.default_rng(_SEED).choice(count, _TRAINING_VECTORS, replace=False))
            index.train(vectors[chosen])
        index.add_with_ids(np.ascontiguousarray(vectors), numbers)
    return index


def tune(
    kind: IndexKind,
    vectors: NDArray[np.float32],
    numbers: NDArray[np.int64],
    search: Search,
    target: float = RECALL,
) -> tuple[int, float]:
    """The least effort (number of rescored candidates) that reaches the target recall, and its recall@10.

    `vectors` `[n, dimension]` are all vectors of the index, `numbers` `[n]` their passage numbers, and `search` is
    `(queries [m, dimension], limit, effort) -> numbers [m, limit]`. Recall is measured against exact search, on queries
    that lie between vectors of the index, as questions do.
    """
    if kind == "flat" or not len(vectors):
        return 0, 1.0
    import faiss

    queries = _queries_near(vectors)
    limit = min(RECALL_AT, len(vectors))
    expected = numbers[faiss.knn(queries, np.ascontiguousarray(vectors), limit, metric=faiss.METRIC_INNER_PRODUCT)[1]]
    highest = min(len(vectors), _MAX_EFFORT)
    effort = min(_MIN_EFFORT, highest)
    while True:
        recall = recall_of(search(queries, limit, effort), expected)
        if recall >= target or effort >= highest:
            return effort, recall
        effort = min(2 * effort, highest)


def recall_of(results: NDArray[np.int64], expected: NDArray[np.int64]) -> float:
    """Mean share of each row of `expected` `[m, k]` that is in the same row of `results` `[m, k]`."""
    hits = [np.isin(truth, row).mean() for row, truth in zip(results, expected, strict=True)]
    return float(np.mean(hits))


def _queries_near(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit queries `[m, dimension]` near vectors of the index but equal to none of them."""
    rng = np.random.default_rng(_SEED)
    count = min(_TUNING_QUERIES, len(vectors))
    near = vectors[rng.choice(len(vectors), count, replace=False)]
    noise = rng.standard_normal(near.shape).astype(np.float32)
    # A cosine of 0.7 to the vector, as a question has to its passage.
    moved = near + noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return np.ascontiguousarray(moved / np.linalg.norm(moved, axis=1, keepdims=True))
