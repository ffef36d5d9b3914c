"""Search: dense and BM25 rankings, fused by reciprocal rank and reranked by sentences."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Document, Passage, RankedPassage
from retrieval.encoders.cross_encoder import PairScorer, cross_encoder_order
from retrieval.encoders.encoder import Encoder
from retrieval.errors import NotIngestedError
from retrieval.markup import whole_characters
from retrieval.ranking import lexical
from retrieval.ranking.evidence_budget import with_neighbours
from retrieval.ranking.evidence_features import EvidenceMeter, JudgedRanking
from retrieval.ranking.rerank import POOL, SentenceReranker, Weights, fit_weights_of
from retrieval.ranking.sentence_selection import SentenceSelector
from retrieval.store.store import DATABASE_NAME, PassageStore
from retrieval.store.terms import Term, Tokenizer
from retrieval.vectors.dense import DenseIndex
from retrieval.vectors.faiss_file import FAISS_NAME, open_faiss, refreshed

DEFAULT_WEIGHTS: Weights = (1.0, 0.5)

_CANDIDATES = 50
_ATTEMPTS = 3
_RANK_CONSTANT = 60
_PASSAGES_PER_BATCH = 256
_CACHED_SEARCHES = 8


def open_index(index_dir: Path, encoder: Encoder, reranker: PairScorer | None = None) -> Index:
    """Open the index in a folder. A `reranker` orders the best passages of each search.

    Raises NotIngestedError if there is no index or it is empty, IndexMismatchError if another encoder made it, and
    IndexDamagedError if it is not what was written.
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
    """A searchable index of passages, opened by `open_index`. Thread-safe.

    It sees documents as soon as an ingest has written them, in this process or another.
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
        # Finds the sentences to quote.
        self.selector = SentenceSelector(encoder, cosine_scale=self.cosine_scale)
        self._meter = EvidenceMeter(store, self._tokenizer, encoder, self._sentences, self.selector)
        self._refreshing = threading.Lock()
        self._cache: dict[Hashable, list[RankedPassage]] = {}
        self._caching = threading.Lock()
        self._content: tuple[int, str] | None = None

    @property
    def cosine_scale(self) -> float:
        """How much a difference between cosines of this encoder means, compared with one between MiniLM's."""
        return fit_weights_of(self.encoder.id).passage

    def close(self) -> None:
        self._tokenizer.close()
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def search(
        self, query: str, k: int = 4, *, weights: Weights = DEFAULT_WEIGHTS, rerank: bool = True
    ) -> list[RankedPassage]:
        """The `k` best passages for a query, best first; fewer if there are fewer, none for a blank query.

        `weights` are those of the dense and the BM25 ranking; a ranking with weight 0 contributes no passage. `rerank`
        reorders the fused ranking by sentences, and by the cross-encoder if there is one. Raises ValueError if `k` is
        below 1, or weights are negative or both 0.
        """
        return self.search_many([query], k, weights=weights, rerank=rerank)[0]

    def search_many(
        self, queries: Sequence[str], k: int = 4, *, weights: Weights = DEFAULT_WEIGHTS, rerank: bool = True
    ) -> list[list[RankedPassage]]:
        """`search` for each query, in order. All queries are encoded together."""
        if k < 1:
            raise ValueError(f"k is {k}; expected at least 1")
        if min(weights) < 0 or not max(weights) > 0:
            raise ValueError(f"weights are {weights}; expected none below 0 and one above 0")
        depth = max(k, POOL) if rerank else k
        queries = [whole_characters(query) for query in queries]
        # Read the revision first: a concurrent write can make a ranking newer than its key, but never older.
        settings = (self._store.revision, depth, tuple(weights), rerank, id(self.encoder), id(self.reranker))
        asked = dict.fromkeys(query for query in queries if query.strip())
        with self._caching:
            rankings = {query: self._cache[query, settings] for query in asked if (query, settings) in self._cache}
        missing = [query for query in asked if query not in rankings]
        found = dict(zip(missing, self._search(missing, depth, weights, rerank), strict=True))
        with self._caching:
            self._cache |= {(query, settings): ranked for query, ranked in found.items()}
            for oldest in list(self._cache)[:-_CACHED_SEARCHES]:
                del self._cache[oldest]
        rankings |= found
        return [list(rankings.get(query, ())[:k]) for query in queries]

    def _search(self, queries: Sequence[str], depth: int, weights: Weights, rerank: bool) -> list[list[RankedPassage]]:
        if not queries:
            return []
        vectors = self.encoder.encode_queries(queries)
        # The reranker considers the best of both rankings equally, and applies the weights itself.
        fusing = (float(weights[0] > 0), float(weights[1] > 0)) if rerank else weights
        rankings = [self._fused(query, vector, depth, fusing) for query, vector in zip(queries, vectors, strict=True)]
        if rerank:
            rankings = self._sentences.rerank(vectors, rankings, weights)
            if self.reranker is not None:
                rankings = cross_encoder_order(self.reranker, queries, rankings)
        return rankings

    def judged(
        self,
        queries: Sequence[str],
        rankings: Sequence[Sequence[RankedPassage]],
        questions: Sequence[str] | None = None,
        *,
        vectors: bool = True,
        quotes: bool = False,
    ) -> list[JudgedRanking]:
        """The rankings with the features that an evidence score reads; see `EvidenceMeter.judged`."""
        return self._meter.judged(queries, rankings, questions, vectors=vectors, quotes=quotes)

    def expanded(self, ranked: Sequence[RankedPassage], count: int) -> list[RankedPassage]:
        """The ranking with up to `count` neighbours on either side of each passage (see `with_neighbours`)."""
        with self._store.reading():
            return with_neighbours(ranked, self._store.passages_by_document, self._store.document, count)

    def document(self, doc_id: str) -> Document:
        """Raises UnknownDocumentError if there is no document with this id."""
        return self._store.document(doc_id)

    def document_ids(self) -> list[str]:
        """The ids of all documents, sorted."""
        return self._store.document_ids()

    def passages(self) -> Iterator[Passage]:
        """All passages, ordered by document and position."""
        numbers = self._store.passage_numbers()
        for first in range(0, len(numbers), _PASSAGES_PER_BATCH):
            batch = numbers[first : first + _PASSAGES_PER_BATCH]
            by_number = self._store.passages_by_number(batch)
            yield from (by_number[number] for number in batch if number in by_number)

    def content_digest(self) -> str:
        """A digest of the documents and of the encoder: another one after an ingest that changed something."""
        revision = self._store.revision
        if self._content is None or self._content[0] != revision:
            digest = hashlib.sha256(self.encoder.id.encode())
            for doc_id, stored in sorted(self._store.stored_documents().items()):
                digest.update(repr((doc_id, stored.source_digest, stored.converter, stored.splitter)).encode())
            self._content = revision, digest.hexdigest()
        return self._content[1]

    def document_passages(self, doc_ids: Sequence[str]) -> list[Passage]:
        """All passages of these documents, ordered by document and position."""
        return self._store.passages_by_document(doc_ids)

    def mean_vector(self) -> NDArray[np.float32]:
        """`[dimension]`, the mean of the vectors of all passages."""
        mean: NDArray[np.float32] = self._store.vectors_after(0)[1].mean(axis=0)
        return mean

    def counts(self) -> tuple[int, int]:
        """Number of documents and of passages."""
        return self._store.counts()

    def _fused(self, query: str, vector: NDArray[np.float32], k: int, weights: Weights) -> list[RankedPassage]:
        limit = max(_CANDIDATES, k)
        terms = self._tokenizer.query_terms(query)
        for attempt in range(_ATTEMPTS):
            dense = self._current_dense()
            nearest: dict[int, float] = {}
            if weights[0] > 0:
                (scores,), (numbers,) = dense.search(vector[None, :], limit)
                nearest = dict(zip(numbers.tolist(), scores.tolist(), strict=True))
            with self._store.reading():
                # After a concurrent write the two rankings would come from different revisions.
                if self._store.revision == dense.revision or attempt == _ATTEMPTS - 1:
                    return self._ranked_passages(vector, terms, nearest, len(dense), limit, k, weights)
        raise AssertionError("the last attempt returns")

    def _ranked_passages(
        self,
        vector: NDArray[np.float32],
        terms: Sequence[Term],
        nearest: Mapping[int, float],
        total: int,
        limit: int,
        k: int,
        weights: Weights,
    ) -> list[RankedPassage]:
        frequencies = lexical.document_frequencies(self._store, terms)
        expression = lexical.match_expression(frequencies, total)
        bm25: dict[int, float] = {}
        if expression is not None and weights[1] > 0:
            bm25 = lexical.bm25_ranking(self._store, expression, limit)
        fused = fuse((list(nearest), list(bm25)), weights)
        passages = self._store.passages_by_number(list(fused)[:k])
        if len(passages) < min(k, len(fused)):
            # Some were deleted since the FAISS file was built.
            passages = self._store.passages_by_number(list(fused))
        best = [number for number in fused if number in passages][:k]
        others = self._store.vectors_by_number([number for number in best if number not in nearest])
        cosines = {**nearest, **{number: float(vector @ other) for number, other in others.items()}}
        if expression is not None and not set(best) <= set(bm25):
            bm25 |= lexical.bm25_scores(self._store, expression, best)
        beside = lexical.neighbours(self._store, best)
        matching = lexical.matching_terms(self._store, terms, [*best, *(n for both in beside.values() for n in both)])

        def coverage(*numbers: int) -> float:
            return lexical.coverage(frozenset().union(*(matching[n] for n in numbers)), frequencies, total)

        return [
            RankedPassage(
                passage=passages[number],
                score=fused[number],
                dense=min(1.0, max(-1.0, cosines[number])),
                bm25=bm25.get(number, 0.0),
                coverage=coverage(number),
                around=coverage(number, *beside[number]),
            )
            for number in best
        ]

    def _current_dense(self) -> DenseIndex:
        """The dense index of the current revision, which this process or another may have written."""
        if self._store.revision != self._dense.revision:
            # An index that was emptied may have been filled with another encoder's vectors since.
            self._store.check_encoder(self.encoder.id, self.encoder.dimension)
            with self._refreshing:
                self._dense = refreshed(self._dense, self._store.path.with_name(FAISS_NAME))
        return self._dense


def fuse(rankings: Sequence[Sequence[int]], weights: Sequence[float]) -> dict[int, float]:
    """Weighted reciprocal rank fusion (Cormack et al. 2009, constant 60): item -> score, best first."""
    scores: dict[int, float] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + weight / (_RANK_CONSTANT + rank)
    return dict(sorted(scores.items(), key=lambda entry: -entry[1]))
