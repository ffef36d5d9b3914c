"""Selection of the evidence sentences that answer a question best.

Each sentence is compared with the question together with its title, heading and lead-in (the line before it that ends
with a colon or a question mark), because "Within 14 days." says nothing alone. The score is a weighted sum of a few
features. Their weights were fitted on the training questions of several domains: benchmarks/answers/sentences.py.
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
from retrieval.ranking.answer_type import asked_type, has_type
from retrieval.splitting.scripts import UNSPACED
from retrieval.splitting.sentences import sentence_spans

FEATURES = ("cosine", "coverage", "lead", "type", "question", "short")
# Chosen on train and dev of bank, clinic and xquad_zh: benchmarks/answers/sentences.py.
WEIGHTS = (1.0, 0.25, 1.0, 0.1, -1.5, -0.15)
_LEAD_IN_ENDS = (":", "：", "?", "？")
_WORD = re.compile(rf"[{UNSPACED}]|[^\W_]+")
_NUMBERED = re.compile(r"\d+[.)]\s")
_ENDING = re.compile(r"(?:ing|ies|es|ed|s|e)$")
# A sentence with fewer words is rarely an answer by itself.
_SHORT = 4
_CACHED_PASSAGES = 1024


@dataclass(frozen=True, slots=True)
class EvidenceSentence:
    """A sentence of a passage, `passage.text[start:end]`, verbatim.

    Attributes:
        lead_in: span in `passage.text` of the line that introduces it; None if there is none.
    """

    passage: Passage
    start: int
    end: int
    lead_in: tuple[int, int] | None

    @property
    def text(self) -> str:
        return self.passage.text[self.start : self.end]

    @property
    def in_context(self) -> str:
        """The sentence after its title, heading and lead-in."""
        lead_in = self.passage.text[slice(*self.lead_in)] if self.lead_in else ""
        sentence = f"{lead_in} {self.text}".strip()
        return ". ".join(part for part in (self.passage.title, self.passage.heading, sentence) if part)


@dataclass(frozen=True, slots=True)
class ScoredSentence:
    """A sentence and its score, which orders the sentences of one question."""

    sentence: EvidenceSentence
    score: float


def evidence_sentences(passage: Passage) -> list[EvidenceSentence]:
    """The sentences, list entries and table rows of a passage, each with the line that introduces it.

    A line that ends with a colon introduces the list after it, a question the sentence after it, and the first row of a
    table the other rows.
    """
    text = passage.text
    sentences: list[EvidenceSentence] = []
    lead_in: tuple[int, int] | None = None
    first_after_lead_in = in_table = False
    for start, end in sentence_spans(text):
        marker = text[text.rfind("\n", 0, start) + 1 : start].strip()
        is_row = marker.startswith("|")
        is_entry = bool(marker) or _NUMBERED.match(text, start) is not None
        if is_row != in_table or not (is_entry or first_after_lead_in):
            lead_in = None
        sentences.append(EvidenceSentence(passage, start, end, lead_in))
        first_after_lead_in = text[start:end].endswith(_LEAD_IN_ENDS)
        if first_after_lead_in or (is_row and not in_table):
            lead_in = start, end
        in_table = is_row
    return sentences


class SentenceSelector:
    """Scores the sentences of ranked passages for a question, and caches the vectors of sentences. Thread-safe."""

    def __init__(self, encoder: Encoder, weights: Sequence[float] = WEIGHTS, *, cosine_scale: float = 1.0) -> None:
        """`cosine_scale` multiplies the cosines of an encoder whose cosines differ less than MiniLM's."""
        self._encoder = encoder
        self._cosine_scale = cosine_scale
        self._weights = np.array(weights, dtype=np.float64)
        self._cache: dict[str, NDArray[np.float32]] = {}
        self._lock = threading.Lock()

    def select(self, question: str, ranked: Sequence[RankedPassage]) -> list[ScoredSentence]:
        """All sentences of the passages, best first."""
        sentences, features = self.features(question, ranked)
        if not sentences:
            return []
        scores = features @ self._weights
        order = np.argsort(-scores, kind="stable")
        return [ScoredSentence(sentences[n], float(scores[n])) for n in order]

    def features(
        self, question: str, ranked: Sequence[RankedPassage]
    ) -> tuple[list[EvidenceSentence], NDArray[np.float64]]:
        """The sentences of the passages and their features `[sentences, features]`, float64."""
        by_passage = [evidence_sentences(entry.passage) for entry in ranked]
        sentences = [sentence for group in by_passage for sentence in group]
        if not sentences:
            return [], np.zeros((0, len(FEATURES)))
        [query] = self._encoder.encode_queries([question])
        vectors = self._vectors(by_passage)
        words = [_stems(sentence.in_context) for sentence in sentences]
        own_words = [_stems(sentence.text) for sentence in sentences]
        asked, kind = _stems(question), asked_type(question)
        weight = _rarity(words)
        total = sum(map(weight, asked)) or 1.0
        rows: list[tuple[float, ...]] = []
        best = ranked[0].score
        number = 0
        for entry, group in zip(ranked, by_passage, strict=True):
            for sentence in group:
                rows.append(
                    (
                        self._cosine_scale * float(vectors[number] @ query),
                        sum(map(weight, asked & words[number])) / total,
                        entry.score - best,
                        float(kind is not None and has_type(sentence.text, kind)),
                        float(sentence.text.endswith(("?", "？"))),
                        float(len(own_words[number]) < _SHORT),
                    )
                )
                number += 1
        return sentences, np.array(rows, dtype=np.float64)

    def _vectors(self, groups: Sequence[Sequence[EvidenceSentence]]) -> NDArray[np.float32]:
        """`[sentences, dimension]`, fp32, of the sentences in context."""
        texts = {group[0].passage.id: [sentence.in_context for sentence in group] for group in groups if group}
        with self._lock:
            known = {id_: self._cache[id_] for id_ in texts if id_ in self._cache}
        missing = [id_ for id_ in texts if id_ not in known]
        if missing:
            encoded = self._encoder.encode([text for id_ in missing for text in texts[id_]])
            ends = np.cumsum([len(texts[id_]) for id_ in missing])[:-1]
            known |= zip(missing, np.split(encoded, ends), strict=True)
        with self._lock:
            for id_ in texts:
                # The most recently used at the end.
                self._cache.pop(id_, None)
                self._cache[id_] = known[id_]
            for oldest in list(self._cache)[:-_CACHED_PASSAGES]:
                del self._cache[oldest]
        return np.concatenate([known[group[0].passage.id] for group in groups if group])


def _stems(text: str) -> frozenset[str]:
    """Words in lower case without common English endings; each Chinese or Japanese character is a word."""
    words = (word.lower() for word in _WORD.findall(text))
    return frozenset(_ENDING.sub("", word) if len(word) > _SHORT else word for word in words)


def _rarity(sentences: Sequence[frozenset[str]]) -> Callable[[str], float]:
    """Weight of a word: its inverse sentence frequency in the evidence."""
    counts = Counter(word for words in sentences for word in words)
    return lambda word: math.log(1 + len(sentences) / (1 + counts[word]))
