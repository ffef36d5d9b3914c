"""Sentences of a text as spans. Chunking, reranking and citations all use this splitter."""

from __future__ import annotations

import re
from collections.abc import Iterator

from retrieval.markup import Markup
from retrieval.splitting.abbreviations import goes_on
from retrieval.splitting.scripts import CJK_SENTENCE_ENDS, OTHER_SENTENCE_ENDS

Span = tuple[int, int]

_OPENING = "\"'“”‘«(\\[『「（【"
_CLOSING = "\"'“”’»)\\]」』）】"
# A sentence ends at . ! ? … before white space and a possible sentence start, or at marks of other scripts, which no
# space has to follow. Closing quotes and brackets belong to the sentence.
_SENTENCE_END = re.compile(
    rf"(?<![.!?…])(?P<marks>[.!?…]++)[{_CLOSING}]*+(?=\s+[{_OPENING}]*[^\s{_OPENING}a-z])|"
    rf"[{CJK_SENTENCE_ENDS}{OTHER_SENTENCE_ENDS}]+[{_CLOSING}]*"
)
# A shorter line was not wrapped.
_WRAPPED = 50
# The start of a line that may continue a wrapped one: not of a list entry, heading, table row, code, command or quote.
_CONTINUATION = re.compile(r"[ \t]*(?!```|[-*+#|>~$]|\d+[.)]\s|\s)\S")
# A short line was wrapped too if no sentence ends with it, as before a long link, and the next one begins within one.
_OPEN_END = re.compile(r"\S\s+\S*[^\s.!?…]$")
_MID_SENTENCE = re.compile(r"[ \t]*(?:[\[(\"a-z]|`[^`]|<a\b)")
_AFTER = re.compile(rf"\s*[{_OPENING}]*")
_DASH = re.compile(r"- (?![\s\d])")


def sentences(text: str, span: Span) -> list[Span]:
    """The sentences of a span, without the white space between them. A sentence may contain line breaks."""
    start, end = span
    spans: list[Span] = []
    for match in _SENTENCE_END.finditer(text, start, end):
        if match["marks"] and goes_on(text, start, match.start(), match.end(), _after(text, match.end())):
            continue
        spans.extend(trimmed(text, (start, match.end())))
        start = match.end()
    spans.extend(trimmed(text, (start, end)))
    return spans


def _after(text: str, end: int) -> int:
    """The position of the next character after white space, opening quotes and brackets."""
    following = _AFTER.match(text, end)
    return following.end() if following else end


def lines_of(text: str, span: Span) -> list[Span]:
    """The lines of a span, without the white space around them."""
    spans: list[Span] = []
    start, end = span
    while start < end:
        stop = text.find("\n", start, end) + 1 or end
        spans.extend(trimmed(text, (start, stop)))
        start = stop
    return spans


def sentences_by_line(text: str) -> list[Span]:
    """The sentences of each line: list entries and table rows count as sentences."""
    spans: list[Span] = []
    start = 0
    for line in text.splitlines(keepends=True):
        spans += sentences(text, (start, start + len(line)))
        start += len(line)
    return spans


def sentence_spans(text: str, markup: Markup = "markdown") -> Iterator[Span]:
    """The sentences of a text, list entries and table rows, without list markers and table borders.

    Lines that were wrapped are joined first, so a sentence may contain line breaks. Each has a letter or a digit. In
    plain text only a dash before a word marks an entry.
    """
    for block in _blocks(text):
        for start, end in sentences(text, block):
            if markup == "plain":
                start += 2 if _DASH.match(text, start, end) else 0
            else:
                while start < end and (text[start].isspace() or text[start] in "-*#|"):
                    start += 1
                while end > start and (text[end - 1].isspace() or text[end - 1] == "|"):
                    end -= 1
            if any(character.isalnum() for character in text[start:end]):
                yield start, end


def _blocks(text: str) -> Iterator[Span]:
    """Lines, where a line that continues the one before it belongs to it."""
    start = end = 0
    for line in text.splitlines(keepends=True):
        before = text[start:end].rstrip()
        last = before.rpartition("\n")[2]
        ends = last.endswith((":", "：", "|")) or last.lstrip().startswith("#")
        wrapped = not ends and (len(last) >= _WRAPPED or (_OPEN_END.search(last) and _MID_SENTENCE.match(line)))
        if start < end and not (wrapped and text[start:end].strip() and _CONTINUATION.match(line)):
            yield start, end
            start = end
        end += len(line)
    if start < end:
        yield start, end


def trimmed(text: str, span: Span) -> list[Span]:
    """The span without surrounding white space; an empty list if nothing is left."""
    start, end = span
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return [(start, end)] if start < end else []
