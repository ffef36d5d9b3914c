"""The last searches of an index, so that the same query is not searched for twice in a row.

A follow-up is searched for in two ways before one of them is chosen, whose passages are wanted right afterwards.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence

from retrieval.documents import RankedPassage


class RecentSearches:
    """Rankings by what was searched for, the last `capacity` of them, of one generation of the index. Thread-safe."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._generation = -1
        self._kept: OrderedDict[Hashable, tuple[RankedPassage, ...]] = OrderedDict()
        self._guard = threading.Lock()

    def get(self, generation: int, key: Hashable) -> tuple[RankedPassage, ...] | None:
        """The ranking of that search, or None where it was not made in this generation or is too long ago."""
        with self._guard:
            return self._kept.get(key) if generation == self._generation else None

    def put(self, generation: int, key: Hashable, ranked: Sequence[RankedPassage]) -> None:
        """Keep a ranking that was made in this generation or in a later one."""
        with self._guard:
            if generation < self._generation:
                return
            if generation > self._generation:
                self._kept.clear()
                self._generation = generation
            self._kept[key] = tuple(ranked)
            self._kept.move_to_end(key)
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
