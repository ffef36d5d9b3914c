"""Which FAISS index suits how many vectors, and making it.

Exact search (`flat`) reads every vector for every query. `pq` reads all of them too, but as one bit a dimension: 4-bit
product quantisation, scanned in registers (André et al. 2017), which finds candidates many times as fast. A graph
(`hnsw`, Malkov and Yashunin 2016) or inverted lists (`ivf`) look at a part, at one byte a dimension. What the last
three find is scored again with the whole vectors, so that compression costs no order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.store.faiss_record import IndexChoice, Kind

# Measured by benchmarks/retrieval_speed.py (docs/retrieval.md).
FLAT_UP_TO = 20_000
# More than is promised (0.98): real questions lie further from passages than the sample that this is measured on.
RECALL = 0.995
RECALL_AT = 10

_LINKS = 32
_BUILD_EFFORT = 80
# FAISS warns below 39 vectors to train each centroid on.
_TRAINED_ON = 40
_CENTROIDS = 16
_PQ_SAMPLE = 20_000
_QUERIES = 200
_FIRST_EFFORT = {"pq": 192, "hnsw": 64, "ivf": 8}
_MOST_EFFORT = 4096
_SEED = 7

Search = Callable[[NDArray[np.float32], int, int], NDArray[np.int64]]


def kind_for(choice: IndexChoice, count: int) -> Kind:
    """What an index of `count` vectors is made as.

    `auto` goes from exact search to a compressed scan as an index grows. What has to be trained needs some vectors: an
    index with fewer is `flat` whatever was asked for.
    """
    if choice == "auto":
        return "flat" if count <= FLAT_UP_TO else "pq"
    least = {"flat": 0, "hnsw": 0, "pq": _TRAINED_ON * _CENTROIDS, "ivf": _TRAINED_ON}
    return choice if count >= least[choice] else "flat"


def build(kind: Kind, vectors: NDArray[np.float32], numbers: NDArray[np.int64]) -> Any:
    """A FAISS index over unit vectors `[n, dimension]`, known by their numbers `[n]`."""
    import faiss

    count, dimension = vectors.shape
    inner, byte = faiss.METRIC_INNER_PRODUCT, faiss.ScalarQuantizer.QT_8bit
    trained_on = _PQ_SAMPLE
    if kind == "flat":
        index = faiss.IndexIDMap(faiss.IndexFlatIP(dimension))
    elif kind == "pq":
        apart = next(width for width in (4, 3, 2, 1) if dimension % width == 0)
        index = faiss.IndexIDMap(faiss.IndexPQFastScan(dimension, dimension // apart, 4, inner))
    elif kind == "hnsw":
        graph = faiss.IndexHNSWSQ(dimension, byte, _LINKS, inner)
        graph.hnsw.efConstruction = _BUILD_EFFORT
        index = faiss.IndexIDMap(graph)
    else:
        # The usual number of lists, but never so many that there is too little to train them on.
        lists = max(1, min(round(4 * math.sqrt(count)), count // _TRAINED_ON))
        index = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(dimension), dimension, lists, byte, inner)
        trained_on = 2 * _TRAINED_ON * lists
    if count:
        if not index.is_trained:
            index.train(_sample(vectors, trained_on))
        index.add_with_ids(np.ascontiguousarray(vectors), numbers)
    return index


def tune(kind: Kind, index: Any, vectors: NDArray[np.float32], numbers: NDArray[np.int64], search: Search,
         target: float = RECALL) -> tuple[int, float]:  # fmt: skip
    """The least effort with which a search finds enough, and how much it finds.

    Args:
        kind: of the index.
        index: as `build` made it.
        vectors: `[n, dimension]`, all that are in it.
        numbers: `[n]`, theirs.
        search: `(queries [m, dimension], limit, effort) -> numbers [m, limit]`, as a search will go.
        target: the recall that is enough.

    Returns:
        Effort (candidates scored again, `efSearch` of a graph, lists looked at) and recall@10 against exact search,
        on queries that lie between vectors of the index, as questions do.
    """
    if kind == "flat" or not len(vectors):
        return 0, 1.0
    queries = _between(vectors)
    wanted = _exact(queries, vectors, numbers)
    highest = index.nlist if kind == "ivf" else min(len(vectors), _MOST_EFFORT)
    effort = min(_FIRST_EFFORT[kind], highest)
    while True:
        recall = recall_of(search(queries, wanted.shape[1], effort), wanted)
        if recall >= target or effort >= highest:
            return effort, recall
        effort = min(2 * effort, highest)


def recall_of(found: NDArray[np.int64], wanted: NDArray[np.int64]) -> float:
    """Mean share of each row of `wanted` `[m, k]` that the same row of `found` `[m, k]` has."""
    hits = [np.isin(truth, row).mean() for row, truth in zip(found, wanted, strict=True)]
    return float(np.mean(hits))


def parameters(kind: Kind, effort: int, allowed: Any | None = None) -> Any | None:
    """FAISS search parameters: how far to look, and which numbers may be found. A `pq` index takes none."""
    import faiss

    if kind == "pq":
        return None
    if kind == "hnsw":
        return faiss.SearchParametersHNSW(efSearch=effort, sel=allowed)
    if kind == "ivf":
        return faiss.SearchParametersIVF(nprobe=effort, sel=allowed)
    return faiss.SearchParameters(sel=allowed) if allowed is not None else None


def _sample(vectors: NDArray[np.float32], most: int) -> NDArray[np.float32]:
    if len(vectors) <= most:
        return np.ascontiguousarray(vectors)
    chosen = np.random.default_rng(_SEED).choice(len(vectors), most, replace=False)
    return np.ascontiguousarray(vectors[np.sort(chosen)])


def _between(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit queries `[m, dimension]` near vectors of the index but equal to none of them."""
    generator = np.random.default_rng(_SEED)
    count = min(_QUERIES, len(vectors))
    near = vectors[generator.choice(len(vectors), count, replace=False)]
    noise = generator.standard_normal(near.shape).astype(np.float32)
    # As far from its vector as a question is from its passage: a cosine of 0.7.
    moved = near + noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return np.ascontiguousarray(moved / np.linalg.norm(moved, axis=1, keepdims=True))


def _exact(queries: NDArray[np.float32], vectors: NDArray[np.float32], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    import faiss

    limit = min(RECALL_AT, len(vectors))
    _, rows = faiss.knn(queries, np.ascontiguousarray(vectors), limit, metric=faiss.METRIC_INNER_PRODUCT)
    nearest: NDArray[np.int64] = numbers[rows]
    return nearest
