"""A question to ranked passages: dense and BM25 fused by reciprocal rank, then ordered by their sentences."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Document, Passage, RankedPassage
from retrieval.encoders.cross_encoder import PairScorer, rescored
from retrieval.encoders.encoder import Encoder
from retrieval.errors import NotIngestedError
from retrieval.ranking import lexical
from retrieval.ranking.neighbours import with_neighbours
from retrieval.ranking.rerank import POOL, SentenceReranker, Weights
from retrieval.store.store import DATABASE_NAME, PassageStore
from retrieval.store.terms import Term, Tokenizer
from retrieval.vectors.dense import DenseIndex
from retrieval.vectors.faiss_file import FAISS_NAME, current, open_faiss

DEFAULT_WEIGHTS: Weights = (1.0, 0.5)

_CANDIDATES = 50
_ATTEMPTS = 3
_RANK_CONSTANT = 60
_PASSAGES_AT_ONCE = 256
_RECENT = 8


@dataclass(frozen=True, slots=True)
class IndexStats:
    """What an index holds. `generation` counts the changes made to it."""

    documents: int
    passages: int
    encoder: str
    dimension: int
    generation: int


def open_index(index_dir: Path, encoder: Encoder, reranker: PairScorer | None = None) -> Index:
    """The index in a folder. With a `reranker` the best passages of each search are put in the order of its scores.

    Raises NotIngestedError where there is none, IndexMismatchError where another encoder made it,
    IndexDamagedError where it is not what was written.
    """
    store = PassageStore.open(index_dir / DATABASE_NAME)
    try:
        if store.counts()[1] == 0:
            raise NotIngestedError(
                found=f"the index in {index_dir} is empty",
                expected="documents in it",
                next_step="run: softgraft ingest DOMAIN",
            )
        store.check_encoder(encoder.id, encoder.dimension)
        dense = open_faiss(store, index_dir / FAISS_NAME)
    except BaseException:
        store.close()
        raise
    return Index(store, encoder, dense, reranker)


class Index:
    """Passages that can be searched. Safe to use from several threads; opened by `open_index`.

    What an ingest writes, in this process or another, an open index serves document by document.
    """

    def __init__(
        self, store: PassageStore, encoder: Encoder, dense: DenseIndex, reranker: PairScorer | None = None
    ) -> None:
        self.encoder = encoder
        self.reranker = reranker
        self._store = store
        self._dense = dense
        self._tokenizer = Tokenizer()
        self._sentences = SentenceReranker(encoder)
        self._refreshing = threading.Lock()
        self._recent = RecentSearches(_RECENT)

    def close(self) -> None:
        self._tokenizer.close()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def search(
        self, query: str, k: int = 4, *, weights: Weights = DEFAULT_WEIGHTS, rerank: bool = True
    ) -> list[RankedPassage]:
        """The `k` passages that fit a query best, best first; fewer where there are fewer.

        `weights` say how much meaning and words count; the dense or the BM25 ranking brings in no passage where its
        weight is 0. Without `rerank` they weigh the fused ranks, and these alone are the order.
        A blank query has no results. Raises ValueError for k < 1 and for weights that are negative or both 0.
        """
        return self.search_many([query], k, weights=weights, rerank=rerank)[0]

    def search_many(
        self, queries: Sequence[str], k: int = 4, *, weights: Weights = DEFAULT_WEIGHTS, rerank: bool = True
    ) -> list[list[RankedPassage]]:
        """`search` for each query, in order, with all queries encoded in one go."""
        if k < 1:
            raise ValueError(f"k is {k}; at least 1 is needed")
        if min(weights) < 0 or not max(weights) > 0:
            raise ValueError(f"weights are {weights}; expected none below 0 and one above 0")
        depth = max(k, POOL) if rerank else k
        # Read first: what is written meanwhile makes a ranking newer than this says, never older.
        generation = self._store.generation
        how = (depth, tuple(weights), rerank, id(self.encoder), id(self.reranker))
        keys = {query: (query, how) for query in queries if query.strip()}
        known = {
            query: found for query, key in keys.items() if (found := self._recent.get(generation, key)) is not None
        }
        asked = [query for query in keys if query not in known]
        for query, ranked in zip(asked, self._ranked(asked, depth, weights, rerank), strict=True):
            known[query] = tuple(ranked)
            self._recent.put(generation, keys[query], ranked)
        return [list(known.get(query, ())[:k]) for query in queries]

    def _ranked(self, queries: Sequence[str], depth: int, weights: Weights, rerank: bool) -> list[list[RankedPassage]]:
        if not queries:
            return []
        vectors = self.encoder.encode(queries)
        # What stands high in either ranking is looked at again, however the two are weighed then.
        fusing = (float(weights[0] > 0), float(weights[1] > 0)) if rerank else weights
        found = [self._search(query, vector, depth, fusing) for query, vector in zip(queries, vectors, strict=True)]
        if rerank:
            found = self._sentences.rerank(vectors, found, weights)
            if self.reranker is not None:
                found = rescored(self.reranker, queries, found)
        return found

    def expanded(self, ranked: Sequence[RankedPassage], count: int) -> list[RankedPassage]:
        """A ranking whose passages include up to `count` neighbours on either side (`retrieval.ranking.neighbours`).

        Raises ValueError for a negative count.
        """
        return with_neighbours(ranked, self._store.passages_by_document, self._store.document, count)

    def get(self, ids: Sequence[str]) -> list[Passage]:
        """The passages of these ids, in this order; ids that are not there are left out."""
        found = self._store.passages_by_id(ids)
        return [found[one] for one in ids if one in found]

    def document(self, doc_id: str) -> Document:
        """Raises RetrievalError where there is none of that id."""
        return self._store.document(doc_id)

    def document_ids(self) -> list[str]:
        """The ids of all documents, sorted."""
        return self._store.document_ids()

    def passages(self) -> Iterator[Passage]:
        """Every passage, by document and then by position."""
        numbers = self._store.passage_numbers()
        for first in range(0, len(numbers), _PASSAGES_AT_ONCE):
            some = numbers[first : first + _PASSAGES_AT_ONCE]
            found = self._store.passages_by_number(some)
            yield from (found[number] for number in some if number in found)

    def document_passages(self, doc_ids: Sequence[str]) -> list[Passage]:
        """Every passage of these documents, by document and then by position; unknown ids have none."""
        return self._store.passages_by_document(doc_ids)

    def stats(self) -> IndexStats:
        with self._store.reading():
            documents, passages = self._store.counts()
            return IndexStats(
                documents=documents,
                passages=passages,
                encoder=self._store.encoder_id or "",
                dimension=self._store.dimension,
                generation=self._store.generation,
            )

    def _search(self, query: str, vector: NDArray[np.float32], k: int, weights: Weights) -> list[RankedPassage]:
        limit = max(_CANDIDATES, k)
        terms = self._tokenizer.query_terms(query)
        for attempt in range(_ATTEMPTS):
            dense = self._current_dense()
            nearest = _nearest(dense, vector, limit) if weights[0] > 0 else {}
            with self._store.reading():
                # A writer may have been quicker: then the two rankings would come from different states.
                if self._store.generation == dense.generation or attempt == _ATTEMPTS - 1:
                    return self._fused(vector, terms, nearest, len(dense), limit, k, weights)
        raise AssertionError("the last attempt returns")

    def _fused(
        self, vector: NDArray[np.float32], terms: Sequence[Term], nearest: Mapping[int, float], total: int,
        limit: int, k: int, weights: Weights,
    ) -> list[RankedPassage]:  # fmt: skip
        with self._store.reading():
            frequencies = lexical.document_frequencies(self._store, terms)
            expression = lexical.match_expression(frequencies, total)
            matched: dict[int, float] = {}
            if expression is not None and weights[1] > 0:
                matched = lexical.bm25_ranking(self._store, expression, limit)
            fused = fuse((list(nearest), list(matched)), weights)
            passages = self._first(k, list(fused))
            best = list(passages)
            cosines = self._cosines(vector, best, nearest)
            if expression is not None and not set(best) <= set(matched):
                matched |= lexical.bm25_scores(self._store, expression, best)
            beside = lexical.neighbours(self._store, best)
            held = lexical.terms_held(self._store, terms, [*best, *(n for both in beside.values() for n in both)])

        def coverage(*numbers: int) -> float:
            return lexical.coverage(frozenset().union(*(held[number] for number in numbers)), frequencies, total)

        return [
            RankedPassage(
                passage=passages[number],
                score=fused[number],
                dense=cosines[number],
                bm25=matched.get(number, 0.0),
                coverage=coverage(number),
                around=coverage(number, *beside[number]),
            )
            for number in best
        ]

    def _first(self, k: int, numbers: Sequence[int]) -> dict[int, Passage]:
        """The first `k` that are there, in order; those deleted since the FAISS file was made are not."""
        found: dict[int, Passage] = {}
        for first in range(0, len(numbers), k):
            some = numbers[first : first + k]
            there = self._store.passages_by_number(some)
            found |= {number: there[number] for number in some if number in there}
            if len(found) >= k:
                break
        return dict(islice(found.items(), k))

    def _cosines(
        self, vector: NDArray[np.float32], numbers: Sequence[int], known: Mapping[int, float]
    ) -> dict[int, float]:
        missing = self._store.vectors_by_number([number for number in numbers if number not in known])
        computed = {number: float(vector @ other) for number, other in missing.items()}
        return {number: min(1.0, max(-1.0, score)) for number, score in {**computed, **known}.items()}

    def _current_dense(self) -> DenseIndex:
        """With what was written since, by this process or another."""
        if self._store.generation != self._dense.generation:
            # An index that was emptied may have been filled with another encoder's vectors since.
            self._store.check_encoder(self.encoder.id, self.encoder.dimension)
            with self._refreshing:
                self._dense = current(self._dense, self._store.path.with_name(FAISS_NAME))
        return self._dense


def _nearest(dense: DenseIndex, vector: NDArray[np.float32], limit: int) -> dict[int, float]:
    scores, numbers = dense.search(vector[None, :], limit)
    return {int(number): float(score) for number, score in zip(numbers[0], scores[0], strict=True)}


def fuse(rankings: Sequence[Sequence[int]], weights: Sequence[float]) -> dict[int, float]:
    """Weighted reciprocal rank fusion (Cormack et al. 2009, constant 60): item -> score, best first."""
    scores: dict[int, float] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + weight / (_RANK_CONSTANT + rank)
    return dict(sorted(scores.items(), key=lambda entry: -entry[1]))


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
