"""Maximal marginal relevance (Carbonell & Goldstein 1998): near the query, and not near one another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


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
