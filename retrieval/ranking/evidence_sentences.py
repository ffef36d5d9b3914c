"""The sentences of the evidence, each with what a reader needs to understand it.

"Within 14 days." says nothing alone, so a sentence has its title, heading and lead-in: the line before it that ends
with a colon or a question mark, or the header of its table. A list entry or table row of several sentences is one unit,
because its second sentence says nothing without the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from retrieval.documents import Passage
from retrieval.markup import Markup, plain
from retrieval.splitting.sentences import Span, sentence_spans
from retrieval.splitting.tables import SEPARATOR, read_table

COLONS = (":", "：")
_LEAD_IN_ENDS = (*COLONS, "?", "？")
# Fences of code blocks, and lines of a site generator.
_NO_SENTENCE = ("```", "{%")
# What `sentence_spans` leaves out before a list entry, heading or table row.
_MARKER = re.compile(r"\s*[-*+#|>][-*+#|>\s]*")
_NUMBERED = re.compile(r"\d+[.)]\s")
# Characters of a list entry or table row that is kept whole.
_MAX_ENTRY = 300
# Limits of what `with_introduced` adds.
_MAX_INTRODUCED = 4
_MAX_INTRODUCED_CHARACTERS = 300
# How far `with_whole_sentences` looks beyond a passage, and the longest sentence that it completes, in characters.
_WINDOW = 600
_MAX_WHOLE = 500


@dataclass(frozen=True)
class EvidenceSentence:
    """A sentence of a passage, `passage.text[start:end]`, verbatim.

    Attributes:
        lead_in: span in `passage.text` of the line that introduces it; None if there is none.
    """

    passage: Passage
    start: int
    end: int
    lead_in: Span | None

    @property
    def text(self) -> str:
        return self.passage.text[self.start : self.end]

    @cached_property
    def in_context(self) -> str:
        """The sentence after its title, heading and lead-in, without markup."""
        lead_in = self.passage.text[slice(*self.lead_in)] if self.lead_in else ""
        sentence = f"{lead_in} {self.text}".strip()
        above = (part for part in (self.passage.title, self.passage.heading) if part)
        return plain(". ".join((*above, plain(sentence, self.passage.markup))), "plain")

    @property
    def heading(self) -> str:
        """The heading of the passage, with the columns of the table if the sentence is a row of it."""
        return heading_at(self.passage, self.start)


def evidence_sentences(passage: Passage) -> list[EvidenceSentence]:
    """The sentences, list entries and table rows of a passage, each with the line that introduces it.

    A line that ends with a colon introduces the list after it, a question the sentence after it, and the first row of a
    table the other rows.
    """
    text = passage.text
    sentences: list[EvidenceSentence] = []
    lead_in: Span | None = None
    first_after_lead_in = in_table = False
    continues = _continues_table(passage)
    for start, end in _units(text, passage.markup):
        is_row = _is_row(text, start)
        if is_row != in_table or not (_is_entry(text, start) or first_after_lead_in):
            lead_in = None
        sentences.append(EvidenceSentence(passage, start, end, lead_in))
        first_after_lead_in = text[start:end].endswith(_LEAD_IN_ENDS)
        # The heading of a passage that begins within a table has the names of its columns.
        if first_after_lead_in or (is_row and not in_table and not (continues and len(sentences) == 1)):
            lead_in = start, end
        in_table = is_row
    return sentences


def heading_at(passage: Passage, start: int) -> str:
    """The heading of a quote that begins at `start`: with the columns of the table that it is a row of."""
    text = passage.text
    if not _is_row(text, start):
        return passage.heading
    first = text.rfind("\n", 0, start) + 1
    starts = [first]
    while first and _is_row(text, above := text.rfind("\n", 0, first - 1) + 1):
        first = above
        starts.insert(0, first)
    end = text.find("\n", start)
    table = read_table(text, starts, end if end >= 0 else len(text), passage.markup)
    if table is None or start < table.body or (first == 0 and _continues_table(passage)):
        return passage.heading
    return " > ".join(filter(None, (passage.heading, SEPARATOR.join(filter(None, table.columns)))))


def _continues_table(passage: Passage) -> bool:
    """Whether the passage begins within a table, whose columns its heading names."""
    return SEPARATOR in passage.heading and _is_row(passage.text, 0)


def _units(text: str, markup: Markup) -> Iterator[Span]:
    """The sentences of a text; those of a short list entry or table row together."""
    unit: Span | None = None
    for start, end in sentence_spans(text, markup):
        if markup == "markdown" and text.startswith(_NO_SENTENCE, start):
            continue
        if unit is not None and _same_entry(text, unit, (start, end)):
            unit = unit[0], end
            continue
        if unit is not None:
            yield unit
        unit = start, end
    if unit is not None:
        yield unit


def _same_entry(text: str, unit: Span, span: Span) -> bool:
    one_line = "\n" not in text[unit[0] : span[1]]
    return one_line and _is_entry(text, unit[0]) and span[1] - unit[0] <= _MAX_ENTRY


def _is_entry(text: str, start: int) -> bool:
    marker = text[text.rfind("\n", 0, start) + 1 : start]
    return _MARKER.fullmatch(marker) is not None or _NUMBERED.match(text, start) is not None or _is_row(text, start)


def _is_row(text: str, start: int) -> bool:
    """Whether the line is a row of a table, whose first border may be missing."""
    end = text.find("\n", start)
    line = text[text.rfind("\n", 0, start) + 1 : end if end >= 0 else len(text)].strip()
    return line.startswith("|") or " | " in line


def with_introduced(sentence: EvidenceSentence) -> EvidenceSentence:
    """The sentence with the list entries or the line of code after it, if it ends with a colon and they are short."""
    if not sentence.text.endswith(COLONS):
        return sentence
    own = (sentence.start, sentence.end)
    introduced = [one.end for one in evidence_sentences(sentence.passage) if one.lead_in == own]
    ends = [end for end in introduced[:_MAX_INTRODUCED] if end - sentence.end <= _MAX_INTRODUCED_CHARACTERS]
    return replace(sentence, end=ends[-1]) if ends else sentence


def with_whole_sentences(passage: Passage, document: str) -> Passage:
    """The passage with what its limits cut off: of its first and last sentence, and of a list at its end.

    `document` is the text of its document.
    """
    if document[passage.start : passage.end] != passage.text:
        return passage
    left, right = max(0, passage.start - _WINDOW), min(len(document), passage.end + _WINDOW)
    # From the start of a paragraph, so that the window does not begin within a sentence.
    paragraph = document.rfind("\n\n", left, passage.start)
    if paragraph >= 0:
        left = paragraph + 2
    elif left:
        left = passage.start
    window = replace(passage, text=document[left:right], start=left, end=right)
    inside = [
        one
        for one in evidence_sentences(window)
        if left + one.start < passage.end and passage.start < left + one.end and one.end - one.start <= _MAX_WHOLE
    ]
    if not inside:
        return passage
    start = min(passage.start, left + inside[0].start)
    end = max(passage.end, left + with_introduced(inside[-1]).end)
    # A list marker belongs to its entry.
    line = document.rfind("\n", 0, start) + 1
    start = max(left, line) if not document[line:start].strip(" \t-*+|") else start
    return replace(passage, text=document[start:end], start=start, end=end)
