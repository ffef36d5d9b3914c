"""Selection of the evidence sentences that answer a question best.

Each sentence is compared with the question together with its title, heading and lead-in (the line before it that ends
with a colon or a question mark), because "Within 14 days." says nothing alone. The score is a weighted sum of a few
features. Their weights were fitted on the training questions of several domains: benchmarks/answers/sentences.py.
The likelihood of the question given the sentence, under a 135M model, adds nothing to them.
"""

from __future__ import annotations

import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from retrieval.documents import Passage, RankedPassage
from retrieval.encoders.encoder import Encoder
from retrieval.ranking.answer_type import asked_type, has_type
from retrieval.splitting.scripts import UNSPACED
from retrieval.splitting.sentences import sentence_spans

FEATURES = ("cosine", "question cosine", "section", "coverage", "type", "is question", "short")
# Fitted on the training questions of several sets, the last two by hand: benchmarks/answers/sentences.py.
WEIGHTS = (1.0, 1.0, 1.7, 0.4, 0.13, -3.0, -0.3)
# A second sentence whose score is this close to the best one's is as likely to be the answer.
CLOSE = 0.12
_COLONS = (":", "：")
_LEAD_IN_ENDS = (*_COLONS, "?", "？")
_FENCE = "```"
# Limits of what `with_introduced` adds.
_MAX_INTRODUCED = 4
_MAX_INTRODUCED_CHARACTERS = 300
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
        if text.startswith(_FENCE, start):
            continue
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


def with_introduced(sentence: EvidenceSentence) -> EvidenceSentence:
    """The sentence with the list entries or the line of code after it, if it ends with a colon and they are short."""
    passage = sentence.passage
    if not sentence.text.endswith(_COLONS):
        return sentence
    own = (sentence.start, sentence.end)
    introduced = [one.end for one in evidence_sentences(passage) if one.lead_in == own]
    ends = [end for end in introduced[:_MAX_INTRODUCED] if end - sentence.end <= _MAX_INTRODUCED_CHARACTERS]
    return replace(sentence, end=ends[-1]) if ends else sentence


class SentenceSelector:
    """Scores the sentences of ranked passages for a question, and caches the vectors of sentences. Thread-safe."""

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
        scores = features @ self._weights
        order = np.argsort(-scores, kind="stable")
        return [ScoredSentence(sentences[n], float(scores[n])) for n in order]

    def features(
        self, question: str, ranked: Sequence[RankedPassage], *, search_query: str = ""
    ) -> tuple[list[EvidenceSentence], NDArray[np.float64]]:
        """The sentences of the passages and their features `[sentences, features]`, float64.

        `search_query` is the standalone form of a follow-up, empty for any other question. It names the subject, and
        only the question itself says what is asked about it.
        """
        by_passage = [evidence_sentences(entry.passage) for entry in ranked]
        sentences = [sentence for group in by_passage for sentence in group]
        if not sentences:
            return [], np.zeros((0, len(FEATURES)))
        asked_in = [question, search_query] if search_query not in ("", question) else [question]
        cosines = self._vectors(by_passage) @ self._encoder.encode_queries(asked_in).T
        coverage = _coverage(_stems(question), [_stems(sentence.in_context) for sentence in sentences])
        kind, sections = asked_type(question), _section_scores(ranked)
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
                    float(text.endswith(("?", "？"))),
                    float(len(_stems(text)) < _SHORT),
                )
            )
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
    """Words in lower case without common English endings; each Chinese or Japanese character is a word."""
    words = (word.lower() for word in _WORD.findall(text))
    return frozenset(_ENDING.sub("", word) if len(word) > _SHORT else word for word in words)


def _rarity(sentences: Sequence[frozenset[str]]) -> Callable[[str], float]:
    """Weight of a word: its inverse sentence frequency in the evidence."""
    counts = Counter(word for words in sentences for word in words)
    return lambda word: math.log(1 + len(sentences) / (1 + counts[word]))
