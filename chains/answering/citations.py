"""Quotes that tie an answer to its evidence.

Each sentence of an answer is held against the sentences of the passages; where the words that carry it stand in one
of them, that sentence is quoted with its exact span. A quote is never made up: it is cut out of a passage, and before
it is shown it is looked up in the document itself, as it is stored.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from retrieval import Document, Passage, RetrievalError
from retrieval.splitting.scripts import UNSPACED
from retrieval.splitting.sentences import sentences_by_line

# Chinese and Japanese have no spaces, so each character is a word of its own, also beside a figure.
_LETTER = rf"(?![{UNSPACED}])[^\W_]"
_WORD = re.compile(rf"[{UNSPACED}]|(?:{_LETTER})+(?:[.,:'’](?:{_LETTER})+)*")
# benchmarks/citations.py measures others.
THRESHOLD = 0.35


@dataclass(frozen=True, slots=True)
class Citation:
    """A quote, what it supports and where it stands. All spans count code points.

    Attributes:
        sentence: the sentence of the answer that it supports, `answer[answer_start:answer_end]`.
        quote: `document.text[start:end]`, in the document's stored text.
        page: where the quote begins, from 1; None where the document has no pages.
        support: share of the sentence's word weight that stands in the quote, 0 to 1.
    """

    sentence: str
    answer_start: int
    answer_end: int
    quote: str
    doc_id: str
    title: str
    heading: str
    page: int | None
    passage_id: str
    start: int
    end: int
    support: float


class Cited(NamedTuple):
    """Citations whose quotes stand in their documents, and what is to be said of those that do not."""

    citations: list[Citation]
    notices: list[str]


def cite(
    answer: str, passages: Sequence[Passage], *, question: str = "", threshold: float = THRESHOLD
) -> list[Citation]:
    """Citations of an answer, at most one a sentence, in the order of the answer. Two may share a quote.

    Args:
        answer: what was said.
        passages: what it was given, the best first.
        question: what was asked; of quotes that support a sentence equally, one that speaks of this is taken.
        threshold: the least support that counts, 0 to 1.
    """
    quotes = [(passage, start, end) for passage in passages for start, end in sentence_spans(passage.text)]
    if not quotes:
        return []
    words = [_words(passage.text[start:end]) for passage, start, end in quotes]
    weight = _weights(words)
    asked = _words(question)
    near = [sum(weight(w) for w in asked & have) for have in words]
    found: list[Citation] = []
    for start, end in sentence_spans(answer):
        sentence = answer[start:end]
        wanted = _words(sentence)
        total = sum(weight(w) for w in wanted)
        if not total:
            continue
        # Of quotes that are as near, the shorter one says it more exactly, and the first is as good as any.
        support, _, _, number = max(
            (sum(weight(w) for w in wanted & have) / total, near[number], -len(have), -number)
            for number, have in enumerate(words)
        )
        passage, quote_start, quote_end = quotes[-number]
        # A quote with another figure contradicts the sentence, however many words they share.
        figures = {w for w in wanted if any(c.isdigit() for c in w)}
        if support >= threshold and figures <= words[-number]:
            found.append(
                Citation(
                    sentence=sentence,
                    answer_start=start,
                    answer_end=end,
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


def verified(citations: Sequence[Citation], document_of: Callable[[str], Document]) -> Cited:
    """The citations whose quote stands in the stored document at its span, with the document's title and its page.

    A document may have changed since its passages were found. What does not stand there is left out and told.

    Args:
        citations: as `cite` found them.
        document_of: the id of a document to the document; raises RetrievalError where there is none.
    """
    kept: list[Citation] = []
    notices: list[str] = []
    documents: dict[str, Document | None] = {}
    for citation in citations:
        if citation.doc_id not in documents:
            try:
                documents[citation.doc_id] = document_of(citation.doc_id)
            except RetrievalError:
                documents[citation.doc_id] = None
        document = documents[citation.doc_id]
        if document is None or document.text[citation.start : citation.end] != citation.quote:
            why = "is not in the index any more" if document is None else "does not say so there any more"
            notices.append(f"a citation was left out: {citation.doc_id} {why}; ask again")
            continue
        page = bisect_right(document.page_starts, citation.start) or None
        # The passage's title may be shortened; its page is where the passage begins.
        kept.append(replace(citation, title=document.title, page=page or citation.page))
    return Cited(kept, list(dict.fromkeys(notices)))


def sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence or line, without the white space and list marks around it."""
    for start, end in sentences_by_line(text):
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
