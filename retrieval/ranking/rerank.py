"""Reranking by sentences.

One vector for a whole passage blurs what a single sentence says, and a reciprocal rank ignores how well a passage fits.
So the fused ranking is reordered by a weighted sum: the fit of the whole passage, the fit of its best sentence, and the
share of the query's words in it. Only the sentences of the best passages are encoded.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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
_CACHED_PASSAGES = 4096


@dataclass(frozen=True, slots=True)
class FitWeights:
    """How much each fit counts: the passage's cosine, that of its best sentence, the covered words, log BM25."""

    passage: float
    sentence: float
    coverage: float
    bm25: float


# Chosen on training and dev questions (docs/retrieval.md). On other data, other weights are hardly better.
_MINILM = FitWeights(passage=1.0, sentence=0.5, coverage=0.8, bm25=0.1)
# E5's cosines are nearly all between 0.75 and 0.95 (its loss has a temperature of 0.01): those of a query's candidates
# have a fifth of MiniLM's standard deviation. So scores spread as with MiniLM, and a margin means the same.
_E5 = FitWeights(passage=5.0, sentence=2.5, coverage=0.8, bm25=0.1)


def fit_weights_of(encoder_id: str) -> FitWeights:
    """The weights for the cosines of an encoder; those of MiniLM unless it is of the family E5."""
    name = encoder_id.partition("@")[0].rstrip("/").rpartition("/")[2]
    return _E5 if re.match(r"(multilingual-)?e5-", name) else _MINILM


class SentenceReranker:
    """Reranks by sentences, and caches the vectors of the sentences. Thread-safe."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._fits = fit_weights_of(encoder.id)
        self._cache: dict[str, NDArray[np.float32]] = {}
        self._lock = threading.Lock()

    def rerank(
        self, vectors: NDArray[np.float32], rankings: Sequence[Sequence[RankedPassage]], weights: Weights
    ) -> list[list[RankedPassage]]:
        """Each ranking in a new order, with a new `score`, and with `sentence` for the first `DEPTH` passages.

        `vectors` are the queries' unit vectors `[queries, dimension]`, fp32; `weights` those of the vectors and of the
        words. If the first is 0, no sentence is encoded.
        """
        ordered = [
            self._reordered(ranked, POOL, vector, {}, weights) for vector, ranked in zip(vectors, rankings, strict=True)
        ]
        if not weights[0] > 0:
            return ordered
        encoded = self.sentence_vectors([entry.passage for ranked in ordered for entry in ranked[:DEPTH]])
        return [
            self._reordered(ranked, DEPTH, vector, encoded, weights)
            for vector, ranked in zip(vectors, ordered, strict=True)
        ]

    def sentence_vectors(self, passages: Sequence[Passage]) -> dict[str, NDArray[np.float32]]:
        """Passage id -> vectors of its sentences `[sentences, dimension]`."""
        by_id = {passage.id: passage for passage in passages}
        with self._lock:
            vectors = {id_: self._cache[id_] for id_ in by_id if id_ in self._cache}
            missing = {id_: _sentences(passage.text) for id_, passage in by_id.items() if id_ not in vectors}
            if missing:
                encoded = self._encoder.encode([text for texts in missing.values() for text in texts])
                ends = np.cumsum([len(texts) for texts in missing.values()])[:-1]
                vectors |= zip(missing, np.split(encoded, ends), strict=True)
            for id_ in by_id:
                # The most recently used at the end.
                self._cache.pop(id_, None)
                self._cache[id_] = vectors[id_]
            for oldest in list(self._cache)[:-_CACHED_PASSAGES]:
                del self._cache[oldest]
        return vectors

    def _reordered(
        self,
        ranked: Sequence[RankedPassage],
        depth: int,
        vector: NDArray[np.float32],
        encoded: Mapping[str, NDArray[np.float32]],
        weights: Weights,
    ) -> list[RankedPassage]:
        """The first `depth` passages by score, then the rest in its order, none scored above its predecessor.

        So the first passages do not depend on the number of results.
        """
        scored = [self._scored(entry, vector, encoded, weights) for entry in ranked[:depth]]
        ordered = sorted(scored, key=lambda entry: -entry.score)
        for entry in ranked[depth:]:
            ordered.append(replace(entry, score=min(ordered[-1].score, self._score(entry, 0.0, weights))))
        return ordered

    def _scored(
        self,
        entry: RankedPassage,
        vector: NDArray[np.float32],
        encoded: Mapping[str, NDArray[np.float32]],
        weights: Weights,
    ) -> RankedPassage:
        own = encoded.get(entry.passage.id)
        sentence = 0.0 if own is None else min(1.0, max(-1.0, float((own @ vector).max())))
        return replace(entry, sentence=sentence, score=self._score(entry, sentence, weights))

    def _score(self, entry: RankedPassage, sentence: float, weights: Weights) -> float:
        by_vectors = self._fits.passage * entry.dense + self._fits.sentence * sentence
        # A passage may leave its subject to the passage before it.
        covered = (entry.coverage + entry.around) / 2
        by_words = self._fits.coverage * covered + self._fits.bm25 * math.log1p(entry.bm25)
        return weights[0] * by_vectors + weights[1] * by_words


def _sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences_by_line(text)] or [text]
