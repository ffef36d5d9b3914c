"""The nearest of some passages only, and of a store that has no file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.faiss_file import DenseIndex, open_faiss
from retrieval.store import PassageStore


def open_dense(store: PassageStore, path: Path | None) -> DenseIndex:
    """The index of the store's present generation; without a path nothing is written."""
    if path is not None:
        return open_faiss(store, path)
    import faiss

    with store.reading():
        dimension = store.dimension
        generation, numbers, vectors = store.all_vectors()
    index = faiss.IndexIDMap2(faiss.IndexFlatIP(dimension))
    if len(numbers):
        index.add_with_ids(vectors, numbers)
    return DenseIndex(index, generation)


def nearest_among(
    store: PassageStore, query: NDArray[np.float32], limit: int, numbers: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The best `limit` of the numbered passages for `query` `[dimension]`, exactly, best first.

    Returns scores and numbers, both `[found]`; of equal scores the lower number comes first.
    """
    vectors = store.vectors_by_number(numbers.tolist())
    there = np.array(sorted(vectors), dtype=np.int64)
    if not len(there):
        return np.zeros(0, np.float32), there
    scores = np.stack([vectors[number] for number in there.tolist()]) @ query
    best = np.argsort(-scores, kind="stable")[:limit]
    return scores[best], there[best]
