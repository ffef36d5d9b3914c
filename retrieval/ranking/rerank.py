"""Reranking by sentences.

One vector for a whole passage blurs what a single sentence says, and a reciprocal rank ignores how well a passage fits.
So the fused ranking is reordered by a weighted sum: the fit of the whole passage, the fit of its best sentence, and the
share of the query's words in it. Only the sentences of the best passages are encoded.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Passage, RankedPassage
from retrieval.encoders.encoder import Encoder
from retrieval.splitting.sentences import sentences_by_line

Weights = tuple[float, float]

# Number of passages whose words are weighed; further down there is rarely an answer.
POOL = 24
# Number of these whose sentences are encoded, which takes most of a search's time: 12 are at most 0.002 better
# (docs/retrieval.md).
DEPTH = 6
# Chosen on the training and dev questions of the example domains (docs/research/methods.md). On other data, other
# weights are hardly better (docs/retrieval.md).
_SENTENCE, _COVERAGE, _BM25 = 0.5, 0.8, 0.1
_CACHED_PASSAGES = 4096


class SentenceReranker:
    """Reranks by sentences, and caches the vectors of the sentences. Thread-safe."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._cache: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def rerank(
        self, vectors: NDArray[np.float32], rankings: Sequence[Sequence[RankedPassage]], weights: Weights
    ) -> list[list[RankedPassage]]:
        """Each ranking in a new order.

        Args:
            vectors: `[queries, dimension]`, the queries' unit vectors, fp32.
            rankings: one per query, best first.
            weights: of the vectors and of the words. If the first is 0, no sentence is encoded.

        Returns:
            The same passages with a new `score`, and with `sentence` for the first `DEPTH`.
        """
        ordered = [
            _append_rest(_in_order(ranked[:POOL], vector, {}, weights), ranked[POOL:], weights)
            for vector, ranked in zip(vectors, rankings, strict=True)
        ]
        if not weights[0] > 0:
            return ordered
        encoded = self._sentence_vectors([entry.passage for ranked in ordered for entry in ranked[:DEPTH]])
        return [
            _append_rest(_in_order(ranked[:DEPTH], vector, encoded, weights), ranked[DEPTH:], weights)
            for vector, ranked in zip(vectors, ordered, strict=True)
        ]

    def _sentence_vectors(self, passages: Sequence[Passage]) -> dict[str, NDArray[np.float32]]:
        """Passage id -> vectors of its sentences `[sentences, dimension]`."""
        by_id = {passage.id: passage for passage in passages}
        with self._lock:
            vectors = {id_: self._cache[id_] for id_ in by_id if id_ in self._cache}
            missing = {id_: _sentences(passage.text) for id_, passage in by_id.items() if id_ not in vectors}
            if missing:
                encoded = self._encoder.encode([text for texts in missing.values() for text in texts])
                first = 0
                for id_, texts in missing.items():
                    vectors[id_] = encoded[first : first + len(texts)]
                    first += len(texts)
            for id_ in by_id:
                self._cache[id_] = vectors[id_]
                self._cache.move_to_end(id_)
            while len(self._cache) > _CACHED_PASSAGES:
                self._cache.popitem(last=False)
        return vectors


def _sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences_by_line(text)] or [text]


def _in_order(
    ranked: Sequence[RankedPassage],
    vector: NDArray[np.float32],
    encoded: Mapping[str, NDArray[np.float32]],
    weights: Weights,
) -> list[RankedPassage]:
    return sorted((_scored(entry, vector, encoded, weights) for entry in ranked), key=lambda entry: -entry.score)


def _append_rest(best: list[RankedPassage], rest: Sequence[RankedPassage], weights: Weights) -> list[RankedPassage]:
    """The best, then the rest in its order, none with a higher score than its predecessor.

    So the first passages do not depend on the number of results.
    """
    lowest = best[-1].score if best else math.inf
    following = []
    for entry in rest:
        lowest = min(lowest, _score(entry, 0.0, weights))
        following.append(replace(entry, score=lowest))
    return [*best, *following]


def _scored(
    entry: RankedPassage, vector: NDArray[np.float32], encoded: Mapping[str, NDArray[np.float32]], weights: Weights
) -> RankedPassage:
    own = encoded.get(entry.passage.id)
    sentence = 0.0 if own is None else min(1.0, max(-1.0, float((own @ vector).max())))
    return replace(entry, sentence=sentence, score=_score(entry, sentence, weights))


def _score(entry: RankedPassage, sentence: float, weights: Weights) -> float:
    by_vectors = entry.dense + _SENTENCE * sentence
    # A passage may leave its subject to the passage before it.
    covered = (entry.coverage + entry.around) / 2
    by_words = _COVERAGE * covered + _BM25 * math.log1p(entry.bm25)
    return weights[0] * by_vectors + weights[1] * by_words
