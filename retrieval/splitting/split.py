"""Documents to passages: split at headings, paragraphs, sentences, lines and words, in this order.

The encoder reads the title, heading path and text of a passage together, so the token limit applies to all of them.
Nothing is truncated.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain, groupby
from pathlib import PurePosixPath

from retrieval.documents import Document, Passage, embedded_text, passage_id
from retrieval.markup import Markup, readable, without_markup
from retrieval.splitting.blocks import Block, Heading, Structure
from retrieval.splitting.boundaries import last_that_fits, pieces_that_fit, shortened
from retrieval.splitting.context import Context, Record
from retrieval.splitting.plain_blocks import FIELD
from retrieval.splitting.sections import Section, structure_of, to_sections
from retrieval.splitting.sentences import Span, lines_of, sentences

SPLITTER = "split/4"
DEFAULT_MAX_TOKENS = 128
MIN_MAX_TOKENS = 16

_CHARACTERS_PER_TOKEN = 16
# Link targets and tags may make a passage this many times as long.
_MARKUP = 4
# Longer names of records say too little for what they take.
_MAX_RECORD_NAME = 120
# More spans in a passage are very short ones.
_SHORT_SPANS = 16
# Passages at the end of a long run that are made of similar size, and counts that are kept.
_EVEN_PASSAGES = 32
_MAX_COUNTED = 20_000

CountTokens = Callable[[str], int]


def split_document(
    document: Document, count_tokens: CountTokens, max_tokens: int = DEFAULT_MAX_TOKENS
) -> list[Passage]:
    """The passages of a document in order, without overlap.

    No passage crosses a heading. The text of a passage contains a heading only if nothing else is under it, or if the
    heading is too long to be repeated before the passages. Where the text begins within a table, the heading ends with
    the names of its columns; within the fields of a record, with its name, unless the title says it.

    `count_tokens` counts the encoder's tokens of a text, special tokens included. `max_tokens` limits title, heading
    and text of a passage together. Raises ValueError if it is below 16, where no useful text would fit.
    """
    if max_tokens < MIN_MAX_TOKENS:
        raise ValueError(f"max_tokens is {max_tokens}; expected at least {MIN_MAX_TOKENS}")
    passages = []
    title = shortened(document.title, lambda text: count_tokens(text) <= max_tokens // 4, max_tokens)
    structure = structure_of(document)
    record = _record(document, structure)
    sections = to_sections(structure, len(document.text))
    paths = [_heading_path(section.path, document.title, title, count_tokens, max_tokens) for section in sections]
    repeated = {
        heading.start
        for section, (_, whole) in zip(sections, paths, strict=True)
        for heading in whole
        if section.blocks or not section.has_children
    }
    for section, (heading, _) in zip(sections, paths, strict=True):
        tables = [table for block in section.blocks for table in block.tables]
        context = Context(document.text, title, heading, tables, record, count_tokens, max_tokens)
        splitter = _SectionSplitter(document, context, structure.fields)
        for start, end in splitter.split_pages(_blocks(section, repeated, document)):
            text = document.text[start:end]
            id_, page = passage_id(document.id, start, end, text), _page(document.page_starts, start)
            named = context.heading_of((start, end))
            named = heading if named is None else named
            markup = splitter.markup_of((start, end)) or "plain"
            passages.append(Passage(id_, document.id, title, named, text, start, end, page, markup))
    return passages


def _record(document: Document, structure: Structure) -> Record | None:
    """The fields of a document with one row of a file; its first field names it if its title is that of the file."""
    if structure.fields is None:
        return None
    name = None
    if document.title in {"", document.id, PurePosixPath(document.source).stem}:
        start = structure.fields
        end = document.text.find("\n", start)
        end = end if end >= 0 else len(document.text)
        if end - start <= _MAX_RECORD_NAME and FIELD.match(document.text, start):
            name = (start, end)
    return Record(structure.fields, name)


def _blocks(section: Section, repeated: Set[int], document: Document) -> Sequence[Block]:
    """The blocks to split, including the heading if its text would otherwise be lost."""
    heading = section.heading
    alone = not section.blocks and not section.has_children
    if heading is None or (heading.start in repeated and not alone):
        return section.blocks
    return (Block(heading.text_start, heading.end), *section.blocks)


def _heading_path(
    path: Sequence[Heading], full_title: str, title: str, count_tokens: CountTokens, max_tokens: int
) -> tuple[str, tuple[Heading, ...]]:
    """A passage's heading ("Fees > Abroad"), and the headings that it or the title contains in full.

    It is without the title, and has at most half of the token limit. If it is too long, outer headings are dropped
    first: the innermost describes the text best.
    """

    def fits(heading: str) -> bool:
        return count_tokens(embedded_text(title, heading, "")) <= max_tokens // 2

    as_title = path[:1] if path and path[0].level == 1 and path[0].text == full_title else ()
    whole = tuple(as_title) if title == full_title else ()
    below = path[len(as_title) :]
    for first in range(len(below)):
        joined = " > ".join(heading.text for heading in below[first:])
        if fits(joined):
            return joined, (*whole, *below[first:])
    return (shortened(below[-1].text, fits, max_tokens) if below else ""), whole


def _page(page_starts: Sequence[int], start: int) -> int | None:
    return bisect_right(page_starts, start) if page_starts else None


@dataclass
class _SectionSplitter:
    """Splits the blocks of one section into spans that fit, and merges short neighbours up to the limit."""

    document: Document
    context: Context
    fields: int | None
    counted: dict[Span, int] = field(default_factory=dict)

    def markup_of(self, span: Span) -> Markup | None:
        """How a span is written; None if it begins with markup and ends with fields that would be taken for markup."""
        if self.fields is None or span[1] <= self.fields:
            return "plain" if self.document.writing == "plain" else "markdown"
        before, fields = self.document.text[span[0] : self.fields], self.document.text[self.fields : span[1]]
        if span[0] >= self.fields or without_markup(before) == before:
            return "plain"
        return "markdown" if without_markup(fields) == fields else None

    def split_pages(self, blocks: Sequence[Block]) -> Iterator[Span]:
        """Split page by page: a passage on two pages could not give the page of a quote."""
        for _, on_page in groupby(blocks, key=lambda block: _page(self.document.page_starts, block.start)):
            yield from self._split(list(on_page))

    def _split(self, blocks: Sequence[Block]) -> Iterator[Span]:
        text = self.document.text
        parts = {(block.start, block.end): block.parts for block in blocks}

        def split_block(block: Span) -> Iterator[Span]:
            spans = parts[block] if len(parts[block]) > 1 else [block]
            return self._cut(spans, split_part)

        def split_part(part: Span) -> Iterator[Span]:
            cells = self.context.cells_of(part) if self.context.is_row(part) else [part]
            return self._cut(cells, split_sentences) if len(cells) > 1 else split_sentences(part)

        def split_sentences(part: Span) -> Iterator[Span]:
            return self._cut(sentences(text, part), split_lines)

        def split_lines(sentence: Span) -> Iterator[Span]:
            return self._cut(lines_of(text, sentence), lambda line: pieces_that_fit(text, line, self._fits))

        return self._cut(list(parts), split_block)

    def _cut(self, spans: Sequence[Span], split: Callable[[Span], Iterator[Span]]) -> Iterator[Span]:
        """The spans, merged while they fit; a span that does not fit is split."""
        for fitting, group in groupby(spans, key=self._fits):
            if fitting:
                yield from self._evenly(list(group))
            else:
                yield from chain.from_iterable(map(split, group))

    def _fits(self, span: Span) -> bool:
        return self._tokens(span) <= self.context.max_tokens

    def _tokens(self, span: Span) -> int:
        """The tokens of a span with its title and heading; of one that does not fit, at least one more than fit."""
        if span not in self.counted:
            if len(self.counted) >= _MAX_COUNTED:
                self.counted.clear()
            self.counted[span] = self._counted(span)
        return self.counted[span]

    def _counted(self, span: Span) -> int:
        limit = self.context.max_tokens
        # Link targets and tags are not embedded, but a passage of them alone has an end as well.
        least = (span[1] - span[0]) // (_MARKUP * _CHARACTERS_PER_TOKEN)
        # The text of a long span is not counted, because that would take time for each of its parts again.
        if least > limit:
            return least
        markup = self.markup_of(span)
        if markup is None:
            return limit + 1
        text = readable(self.document.text[span[0] : span[1]], markup)
        # Some tokenizers turn a word of any length into one unknown token.
        least = max(least, len(text) // _CHARACTERS_PER_TOKEN)
        heading = self.context.heading_of(span) if least <= limit else None
        if heading is None:
            return max(least, limit + 1)
        return max(least, self.context.count_tokens(embedded_text(self.context.title, heading, text, "plain")))

    def _evenly(self, run: Sequence[Span]) -> Iterator[Span]:
        """As few merged spans as the limit allows, the last ones of similar size.

        Filling each to the limit would leave a short last span without context, which embeds badly.
        """
        filled = self._filled(run, self.context.max_tokens)
        full = max(0, len(filled) - _EVEN_PASSAGES)
        yield from filled[:full]
        yield from self._of_similar_size(run[bisect_left(run, filled[full - 1][1], key=_start) :] if full else run)

    def _of_similar_size(self, run: Sequence[Span]) -> list[Span]:
        best = self._filled(run, self.context.max_tokens)
        low, high = self.context.max_tokens // 2, self.context.max_tokens
        while len(best) > 1 and high - low > 2:
            middle = (low + high) // 2
            tighter = self._filled(run, middle)
            if len(tighter) == len(best):
                best, high = tighter, middle
            else:
                low = middle
        return best

    def _filled(self, run: Sequence[Span], limit: int) -> list[Span]:
        merged: list[Span] = []
        first = 0
        while first < len(run):
            last = self._last_that_fits(run, first, limit)
            merged.append((run[first][0], run[last][1]))
            first = last + 1
        return merged

    def _last_that_fits(self, run: Sequence[Span], first: int, limit: int) -> int:
        """The last span of a run that may be merged with the first one."""

        def fits(last: int) -> bool:
            return self._tokens((run[first][0], run[last][1])) <= limit

        last, step = first, 1
        while last + step < len(run) and fits(last + step):
            last += step
            # One by one at first. Then doubling: to count all the text again for each of many short lines takes long.
            step = step * 2 if last - first >= _SHORT_SPANS else 1
        return last_that_fits(last, min(last + step, len(run)) - 1, fits) if step > 1 else last


def _start(span: Span) -> int:
    return span[0]
