"""A ranking ordered again by what its passages say, sentence by sentence.

One vector for a whole passage blurs what a single sentence of it says, and a reciprocal rank forgets by how much a
passage fits. So what the two rankings found is ordered by a sum of how well the whole passage and its best sentence fit
the query, and how much of the query's words stand in it. Sentences are read of those alone that are best without them.
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
from retrieval.splitting.boundaries import sentences

Weights = tuple[float, float]

# Of so many passages, the best by both rankings alike, the words are weighed; further down there is seldom an answer.
POOL = 24
# And of so many of these the sentences are read, which is most of a search's time: twelve are no better by more than
# 0.002 (docs/retrieval.md).
DEPTH = 6
# Chosen on the training and dev questions of the example domains (docs/methods.md); on other data others are hardly
# better (docs/retrieval.md).
_SENTENCE, _COVERAGE, _BM25 = 0.5, 0.8, 0.1
_REMEMBERED = 4096


class SentenceReranker:
    """Orders rankings again. Remembers the vectors of the sentences it has read; safe to use from several threads."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def rerank(
        self, vectors: NDArray[np.float32], rankings: Sequence[Sequence[RankedPassage]], weights: Weights
    ) -> list[list[RankedPassage]]:
        """Each ranking in a new order.

        Args:
            vectors: `[queries, dimension]`, the queries' unit vectors, fp32.
            rankings: one a query, best first.
            weights: of what the encoder says and of what the words say. Without the first no sentence is read.

        Returns:
            The same passages with a new `score`, and `sentence` where it was read: of the first `DEPTH`.
        """
        ordered = [
            _followed(_in_order(ranked[:POOL], vector, {}, weights), ranked[POOL:], weights)
            for vector, ranked in zip(vectors, rankings, strict=True)
        ]
        if not weights[0] > 0:
            return ordered
        read = self._read([entry.passage for ranked in ordered for entry in ranked[:DEPTH]])
        return [
            _followed(_in_order(ranked[:DEPTH], vector, read, weights), ranked[DEPTH:], weights)
            for vector, ranked in zip(vectors, ordered, strict=True)
        ]

    def _read(self, passages: Sequence[Passage]) -> dict[str, NDArray[np.float32]]:
        """Vectors of the sentences of each passage, by its id, `[sentences, dimension]`."""
        wanted = {passage.id: passage for passage in passages}
        with self._lock:
            found = {name: self._known[name] for name in wanted if name in self._known}
            missing = {name: _sentences(passage) for name, passage in wanted.items() if name not in found}
            if missing:
                encoded = self._encoder.encode([text for texts in missing.values() for text in texts])
                first = 0
                for name, texts in missing.items():
                    found[name] = encoded[first : first + len(texts)]
                    first += len(texts)
            for name in wanted:
                self._known[name] = found[name]
                self._known.move_to_end(name)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return found


def _sentences(passage: Passage) -> list[str]:
    """The sentences of a passage, each line of a list or table on its own."""
    text, start, lines = passage.text, 0, []
    for line in text.splitlines(keepends=True):
        lines += [text[a:b] for a, b in sentences(text, (start, start + len(line)))]
        start += len(line)
    return lines or [text]


def _in_order(
    ranked: Sequence[RankedPassage],
    vector: NDArray[np.float32],
    read: Mapping[str, NDArray[np.float32]],
    weights: Weights,
) -> list[RankedPassage]:
    return sorted((_scored(entry, vector, read, weights) for entry in ranked), key=lambda entry: -entry.score)


def _followed(best: list[RankedPassage], rest: Sequence[RankedPassage], weights: Weights) -> list[RankedPassage]:
    """The rest behind the best, in its order, none with a higher score than what stands before it.

    So the first passages are the same, however many are asked for.
    """
    lowest = best[-1].score if best else math.inf
    behind = []
    for entry in rest:
        lowest = min(lowest, _score(entry, 0.0, weights))
        behind.append(replace(entry, score=lowest))
    return [*best, *behind]


def _scored(
    entry: RankedPassage, vector: NDArray[np.float32], read: Mapping[str, NDArray[np.float32]], weights: Weights
) -> RankedPassage:
    own = read.get(entry.passage.id)
    sentence = 0.0 if own is None else min(1.0, max(-1.0, float((own @ vector).max())))
    return replace(entry, sentence=sentence, score=_score(entry, sentence, weights))


def _score(entry: RankedPassage, sentence: float, weights: Weights) -> float:
    told = entry.dense + _SENTENCE * sentence
    # A passage may leave to the one before it what it speaks of.
    covered = (entry.coverage + entry.around) / 2
    worded = _COVERAGE * covered + _BM25 * math.log1p(entry.bm25)
    return weights[0] * told + weights[1] * worded
