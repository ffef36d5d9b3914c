"""Citations: quotes of the evidence that support the sentences of an answer.

Each sentence of an answer is compared with the sentences of the passages. The sentence that shares enough word weight
is quoted with its exact span, and checked against the stored document before it is shown.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from retrieval import Document, Passage, UnknownDocumentError
from retrieval.markup import Markup
from retrieval.ranking.evidence_sentences import heading_at
from retrieval.splitting.numbers import comparable, writes_decimal_comma
from retrieval.splitting.sentences import sentence_spans
from retrieval.splitting.words import LETTER, SYLLABLE

# In a script without spaces each character is a word, also next to a digit.
_WORD = re.compile(f"{SYLLABLE}|(?:{LETTER})+(?:[.,:'’](?:{LETTER})+)*")
# benchmarks/citations.py measures others.
THRESHOLD = 0.35


@dataclass(frozen=True, slots=True)
class Citation:
    """A quote, `document.text[start:end]`, and the sentence that it supports, `answer[answer_start:answer_end]`.

    Spans are in code points. `page` is the page on which the quote starts, from 1; None if the document has no pages.
    `support` is the share of the sentence's word weight that is in the quote, 0 to 1. `markup` says how the quote is
    written. If it is a row of a table, `heading` ends with the names of the columns. `ocr` says that the page was read
    by text recognition, which may get a number wrong.
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
    markup: Markup = "markdown"
    ocr: bool = False


class CheckedCitations(NamedTuple):
    """Citations whose quotes are in the stored documents, and notices about the others."""

    citations: list[Citation]
    notices: list[str]


def cite(
    answer: str, passages: Sequence[Passage], *, question: str = "", threshold: float = THRESHOLD
) -> list[Citation]:
    """Citations of an answer, at most one per sentence, in the order of the answer. Two may share a quote.

    Args:
        passages: the evidence, the best first.
        question: among quotes with equal support, the one that shares most words with it is used.
        threshold: minimum support, 0 to 1.
    """
    quotes = [
        (passage, start, end) for passage in passages for start, end in sentence_spans(passage.text, passage.markup)
    ]
    if not quotes:
        return []
    # In one notation for all, so that the same characters are always equal.
    words_of = partial(_words, decimal_comma=writes_decimal_comma(" ".join(passage.text for passage in passages)))
    words = [words_of(passage.text[start:end]) for passage, start, end in quotes]
    weight = _word_weights(words)
    question_words = words_of(question)
    relevance = [math.fsum(map(weight, question_words & quote)) for quote in words]
    citations: list[Citation] = []
    for start, end in sentence_spans(answer):
        sentence = answer[start:end]
        sentence_words = words_of(sentence)
        total = math.fsum(map(weight, sentence_words))
        if not total:
            continue
        # Ties: prefer relevance to the question, then the shorter, more exact quote, then rank.
        support, _, _, number = max(
            (math.fsum(map(weight, sentence_words & quote)) / total, relevance[number], -len(quote), -number)
            for number, quote in enumerate(words)
        )
        passage, quote_start, quote_end = quotes[-number]
        # A quote with a different number contradicts the sentence, whatever words they share.
        numbers = {w for w in sentence_words if any(c.isdigit() for c in w)}
        if support >= threshold and numbers <= words[-number]:
            citations.append(
                Citation(
                    sentence=sentence,
                    answer_start=start,
                    answer_end=end,
                    quote=passage.text[quote_start:quote_end],
                    doc_id=passage.doc_id,
                    title=passage.title,
                    heading=heading_at(passage, quote_start),
                    page=passage.page,
                    passage_id=passage.id,
                    start=passage.start + quote_start,
                    end=passage.start + quote_end,
                    support=round(support, 3),
                    markup=passage.markup,
                )
            )
    return citations


def verify_citations(citations: Sequence[Citation], document_of: Callable[[str], Document]) -> CheckedCitations:
    """Keep the citations whose quote is at its span in the stored document, and set `title`, `page` and `ocr` from it.

    A document may have changed since it was searched; a notice reports each citation that is left out.
    """
    checked: list[Citation] = []
    notices: list[str] = []
    documents: dict[str, Document | None] = {}
    for citation in citations:
        if citation.doc_id not in documents:
            try:
                documents[citation.doc_id] = document_of(citation.doc_id)
            except UnknownDocumentError:
                documents[citation.doc_id] = None
        document = documents[citation.doc_id]
        if document is None or document.text[citation.start : citation.end] != citation.quote:
            reason = "is no longer in the index" if document is None else "has changed at this place"
            notices.append(f"a citation was left out: {citation.doc_id} {reason}; ask again")
            continue
        page = bisect_right(document.page_starts, citation.start) or None
        # The passage's title may be shortened, and its page is the one on which the passage starts.
        page = page or citation.page
        checked.append(replace(citation, title=document.title, page=page, ocr=_is_recognised(document, page)))
    return CheckedCitations(checked, list(dict.fromkeys(notices)))


def _is_recognised(document: Document, page: int | None) -> bool:
    """Whether a page of a document was read by text recognition."""
    spans = document.metadata.get("ocr_pages", ()) if document.metadata.get("ocr") is True else ()
    return page is not None and any(first <= page <= last for first, last in spans)


def _words(text: str, *, decimal_comma: bool) -> frozenset[str]:
    written = comparable(text, decimal_comma=decimal_comma)
    return frozenset(word.lower().replace("’", "'") for word in _WORD.findall(written))


def _word_weights(sentences: Sequence[frozenset[str]]) -> Callable[[str], float]:
    """Weight of a word: its inverse sentence frequency in the evidence, doubled for numbers."""
    counts = Counter(word for words in sentences for word in words)

    def weight(word: str) -> float:
        rarity = math.log(1 + len(sentences) / (1 + counts[word]))
        return rarity * (2.0 if any(c.isdigit() for c in word) else 1.0)

    return weight
