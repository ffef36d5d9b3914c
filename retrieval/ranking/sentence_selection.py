"""Selection of the evidence sentences that answer a question best.

Each sentence is compared with the question in its context. The score is a weighted sum of a few features, whose weights
were fitted on the training questions of several domains: benchmarks/answers/sentences.py. The likelihood of the
question given the sentence, under a 135M model, adds nothing to them.
"""

from __future__ import annotations

import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Passage, RankedPassage
from retrieval.encoders.encoder import Encoder
from retrieval.markup import without_links
from retrieval.ranking.answer_type import asked_type, has_type
from retrieval.ranking.evidence_sentences import COLONS, EvidenceSentence, evidence_sentences
from retrieval.splitting.numbers import comparable
from retrieval.splitting.scripts import MARKS, SOUTHEAST_ASIAN
from retrieval.splitting.words import SYLLABLE, folded

FEATURES = ("cosine", "question cosine", "section", "coverage", "type", "figures", "lead-in", "is question", "short")
# Fitted on the training questions of several sets, the last two by hand: benchmarks/answers/sentences.py.
WEIGHTS = (1.0, 1.0, 1.3, 0.4, 0.15, 0.2, -0.25, -3.0, -0.2)
# A second sentence whose score is this close to the best one's is quoted too. On dev of three sets, and on the
# documentation of four projects, 0.08 finds fewer answers, and 0.2 hardly more (docs/answers.md).
CLOSE = 0.16
_WORD = re.compile(rf"{SYLLABLE}|(?:(?![_{SOUTHEAST_ASIAN}])[\w{MARKS}])+")
_FIGURE = re.compile(r"\d+(?:[.,:]\d+)*")
_ENDING = re.compile(r"(?:ing|ies|es|ed|s|e)$")
# A sentence with fewer words, those of links not counted, is rarely an answer by itself.
_SHORT = 4
# Shorter words keep their ending.
_SHORTEST_INFLECTED = 5
_CACHED_SENTENCES = 8192


@dataclass(frozen=True, slots=True)
class ScoredSentence:
    """A sentence and its score, which orders the sentences of one question."""

    sentence: EvidenceSentence
    score: float


class SentenceSelector:
    """Scores the sentences of ranked passages for a question, and caches their vectors. Thread-safe."""

    def __init__(self, encoder: Encoder, weights: Sequence[float] = WEIGHTS, *, cosine_scale: float = 1.0) -> None:
        """`cosine_scale` multiplies the cosines of an encoder whose cosines differ less than MiniLM's."""
        self._encoder = encoder
        self._cosine_scale = cosine_scale
        self._weights = np.array(weights, dtype=np.float64)
        self._cache: dict[str, NDArray[np.float32]] = {}
        self._lock = threading.Lock()

    def select(self, question: str, ranked: Sequence[RankedPassage], *, search_query: str = "") -> list[ScoredSentence]:
        """All sentences of the passages, best first; see `features`."""
        sentences, features = self.features(question, ranked, search_query=search_query)
        if not sentences:
            return []
        scores = self.scores(features)
        order = np.argsort(-scores, kind="stable")
        return [ScoredSentence(sentences[n], float(scores[n])) for n in order]

    def scores(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """`[sentences]`, the score of each row of features."""
        scores: NDArray[np.float64] = features @ self._weights
        return scores

    def features(
        self, question: str, ranked: Sequence[RankedPassage], *, search_query: str = ""
    ) -> tuple[list[EvidenceSentence], NDArray[np.float64]]:
        """The sentences of the passages and their features `[sentences, features]`, float64.

        A sentence that is in several passages counts once, in the best of them.
        `search_query` is the standalone form of a follow-up, empty for any other question. It names the subject, and
        only the question itself says what is asked about it.
        """
        every = [sentence for entry in ranked for sentence in evidence_sentences(entry.passage)]
        sentences = _first_of_each(every)
        if not sentences:
            return [], np.zeros((0, len(FEATURES)))
        asked_in = [question, search_query] if search_query not in ("", question) else [question]
        cosines = (
            self._vectors([sentence.in_context for sentence in sentences]) @ self._encoder.encode_queries(asked_in).T
        )
        coverage = _coverage(_stems(question), [_stems(sentence.in_context) for sentence in sentences])
        kind, figures, sections = asked_type(question), _figures(question), _section_scores(ranked)
        rows: list[tuple[float, ...]] = []
        for number, sentence in enumerate(sentences):
            text = sentence.text
            rows.append(
                (
                    self._cosine_scale * float(cosines[number, -1]),
                    self._cosine_scale * float(cosines[number, 0]),
                    sections[_section(sentence.passage)] - max(sections.values()),
                    coverage[number],
                    float(kind is not None and has_type(text, kind)),
                    len(figures & _figures(text)) / max(1, len(figures)),
                    float(text.endswith(COLONS)),
                    float(text.endswith(("?", "？"))),
                    float(len(_stems(without_links(text))) < _SHORT),
                )
            )
        return sentences, np.array(rows, dtype=np.float64)

    def _vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """`[texts, dimension]`, fp32."""
        with self._lock:
            known = {text: self._cache[text] for text in texts if text in self._cache}
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        if missing:
            known |= zip(missing, self._encoder.encode(missing), strict=True)
        with self._lock:
            for text in texts:
                # The most recently used at the end.
                self._cache.pop(text, None)
                self._cache[text] = known[text]
            for oldest in list(self._cache)[:-_CACHED_SENTENCES]:
                del self._cache[oldest]
        return np.stack([known[text] for text in texts])


def _first_of_each(sentences: Sequence[EvidenceSentence]) -> list[EvidenceSentence]:
    """The sentences without those that occurred before, by their place in the document."""
    first: dict[tuple[str, int], EvidenceSentence] = {}
    for sentence in sentences:
        first.setdefault((sentence.passage.doc_id, sentence.passage.start + sentence.start), sentence)
    return list(first.values())


def _section(passage: Passage) -> tuple[str, str]:
    return passage.doc_id, passage.heading


def _section_scores(ranked: Sequence[RankedPassage]) -> dict[tuple[str, str], float]:
    """The best passage score of each section, because a section may be split into several passages."""
    scores: dict[tuple[str, str], float] = {}
    for entry in ranked:
        section = _section(entry.passage)
        scores[section] = max(scores.get(section, entry.score), entry.score)
    return scores


def _coverage(asked: frozenset[str], sentences: Sequence[frozenset[str]]) -> list[float]:
    """Share of the question's words in each sentence, 0 to 1; rare words count more."""
    weight = _rarity(sentences)
    total = sum(map(weight, asked)) or 1.0
    return [sum(map(weight, asked & words)) / total for words in sentences]


def _stems(text: str) -> frozenset[str]:
    """Words in lower case without common English endings; in a script without spaces each character is a word."""
    words = (word.lower() for word in _WORD.findall(folded(text)))
    return frozenset(_ENDING.sub("", word) if len(word) >= _SHORTEST_INFLECTED else word for word in words)


def _figures(text: str) -> frozenset[str]:
    """Numbers, such as that of an error or a version, in one notation."""
    return frozenset(_FIGURE.findall(comparable(text)))


def _rarity(sentences: Sequence[frozenset[str]]) -> Callable[[str], float]:
    """Weight of a word: its inverse sentence frequency in the evidence."""
    counts = Counter(word for words in sentences for word in words)
    return lambda word: math.log(1 + len(sentences) / (1 + counts[word]))
