"""Quotes that tie an answer to its evidence.

Each sentence of an answer is held against the sentences of the passages; where the words that carry it stand in one
of them, that sentence is quoted with its exact span. A quote is never made up: it is cut out of the document.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from retrieval import Passage

_SENTENCE = re.compile(r"[^\n.!?。！？]+(?:[.!?](?=\S)[^\n.!?。！？]*)*[.!?。！？]*")
# Chinese and Japanese have no spaces, so each character is a word of its own, also beside a figure.
_LETTER = r"(?![぀-ヿ一-鿿])[^\W_]"
_WORD = re.compile(rf"[぀-ヿ一-鿿]|(?:{_LETTER})+(?:[.,:'’](?:{_LETTER})+)*")
_THRESHOLD = 0.35


@dataclass(frozen=True, slots=True)
class Citation:
    """A quote and where it stands.

    Attributes:
        sentence: the sentence of the answer that it supports.
        quote: `document.text[start:end]`.
        start, end: code points in the document's stored text.
        support: share of the sentence's word weight that stands in the quote, 0 to 1.
    """

    sentence: str
    quote: str
    doc_id: str
    title: str
    heading: str
    page: int | None
    passage_id: str
    start: int
    end: int
    support: float


def cite(answer: str, passages: Sequence[Passage]) -> list[Citation]:
    """Citations of an answer, at most one a sentence and each quote once, in the order of the answer."""
    quotes = [(passage, start, end) for passage in passages for start, end in sentence_spans(passage.text)]
    if not quotes:
        return []
    words = [_words(passage.text[start:end]) for passage, start, end in quotes]
    weight = _weights(words)
    found: list[Citation] = []
    cited: set[tuple[str, int]] = set()
    for start, end in sentence_spans(answer):
        sentence = answer[start:end]
        wanted = _words(sentence)
        total = sum(weight(w) for w in wanted)
        if not total:
            continue
        # Among equals the shorter quote says it more exactly.
        support, _, best = max(
            (sum(weight(w) for w in wanted & have) / total, -len(have), number) for number, have in enumerate(words)
        )
        passage, quote_start, quote_end = quotes[best]
        # A quote with another figure contradicts the sentence, however many words they share.
        figures = {w for w in wanted if any(c.isdigit() for c in w)}
        seen = (passage.id, quote_start)
        if support >= _THRESHOLD and figures <= words[best] and seen not in cited:
            cited.add(seen)
            found.append(
                Citation(
                    sentence=sentence,
                    quote=passage.text[quote_start:quote_end],
                    doc_id=passage.doc_id,
                    title=passage.title,
                    heading=passage.heading,
                    page=passage.page,
                    passage_id=passage.id,
                    start=passage.start + quote_start,
                    end=passage.start + quote_end,
                    support=round(support, 3),
                )
            )
    return found


def sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence or line, without the white space and list marks around it."""
    for match in _SENTENCE.finditer(text):
        start, end = match.span()
        while start < end and (text[start].isspace() or text[start] in "-*#|"):
            start += 1
        while end > start and (text[end - 1].isspace() or text[end - 1] == "|"):
            end -= 1
        if _WORD.search(text, start, end):
            yield start, end


def _words(text: str) -> frozenset[str]:
    return frozenset(word.lower().replace("’", "'") for word in _WORD.findall(text))


def _weights(sentences: Sequence[frozenset[str]]) -> _Weight:
    counts = Counter(word for words in sentences for word in words)
    return _Weight(counts, len(sentences))


@dataclass(frozen=True)
class _Weight:
    """How much a word says: rare among the evidence's sentences says more, and figures say most."""

    counts: Counter[str]
    sentences: int

    def __call__(self, word: str) -> float:
        rarity = math.log(1 + self.sentences / (1 + self.counts[word]))
        return rarity * (2.0 if any(c.isdigit() for c in word) else 1.0)
