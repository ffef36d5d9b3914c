"""Documents to passages: split at headings, paragraphs, sentences and words, in this order.

The encoder reads the title, heading path and text of a passage together, so the token limit applies to all of them.
Nothing is truncated.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain, groupby

from retrieval.documents import Document, Passage, embedded_text, passage_id
from retrieval.markup import without_markup
from retrieval.splitting.boundaries import last_that_fits, pieces_that_fit
from retrieval.splitting.sections import Block, Heading, Section, read_sections
from retrieval.splitting.sentences import Span, sentences

SPLITTER = "split/4"
DEFAULT_MAX_TOKENS = 128
MIN_MAX_TOKENS = 16

_CHARACTERS_PER_TOKEN = 16
# Link targets and tags may make a passage this many times as long.
_MARKUP = 4

CountTokens = Callable[[str], int]


def split_document(
    document: Document, count_tokens: CountTokens, max_tokens: int = DEFAULT_MAX_TOKENS
) -> list[Passage]:
    """The passages of a document in order, without overlap.

    No passage crosses a heading. The text of a passage contains a heading only if nothing else is under it, or if the
    heading is too long to be repeated before the passages.

    `count_tokens` counts the encoder's tokens of a text, special tokens included. `max_tokens` limits title, heading
    and text of a passage together. Raises ValueError if it is below 16, where no useful text would fit.
    """
    if max_tokens < MIN_MAX_TOKENS:
        raise ValueError(f"max_tokens is {max_tokens}; expected at least {MIN_MAX_TOKENS}")
    passages = []
    title = _shortened(document.title, lambda text: count_tokens(text) <= max_tokens // 4)
    sections = read_sections(document.text)
    paths = [_heading_path(section.path, document.title, title, count_tokens, max_tokens) for section in sections]
    repeated = {
        heading.start
        for section, (_, whole) in zip(sections, paths, strict=True)
        for heading in whole
        if section.blocks or not section.has_children
    }
    for section, (heading, _) in zip(sections, paths, strict=True):
        splitter = _SectionSplitter(document.text, title, heading, count_tokens, max_tokens)
        for start, end in splitter.split_pages(_blocks(section, repeated), document.page_starts):
            text = document.text[start:end]
            id_, page = passage_id(document.id, start, end, text), _page(document.page_starts, start)
            passages.append(Passage(id_, document.id, title, heading, text, start, end, page))
    return passages


def _blocks(section: Section, repeated: Set[int]) -> Sequence[Block]:
    """The blocks to split, including the heading if its text would otherwise be lost."""
    heading = section.heading
    alone = not section.blocks and not section.has_children
    if heading is None or (heading.start in repeated and not alone):
        return section.blocks
    return (Block(heading.start, heading.end), *section.blocks)


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
    return (_shortened(below[-1].text, fits) if below else ""), whole


def _shortened(text: str, fits: Callable[[str], bool]) -> str:
    if not text or fits(text):
        return text
    length = last_that_fits(0, len(text) - 1, lambda length: fits(text[:length].rstrip() + "…"))
    return text[:length].rstrip() + "…" if length else ""


def _page(page_starts: Sequence[int], start: int) -> int | None:
    return bisect_right(page_starts, start) if page_starts else None


@dataclass
class _SectionSplitter:
    """Splits the blocks of one section into spans that fit, and merges short neighbours up to the limit."""

    text: str
    title: str
    heading: str
    count_tokens: CountTokens
    max_tokens: int
    counted: dict[Span, int] = field(default_factory=dict)

    def split_pages(self, blocks: Sequence[Block], page_starts: Sequence[int]) -> Iterator[Span]:
        """Split page by page: a passage on two pages could not give the page of a quote."""
        for _, on_page in groupby(blocks, key=lambda block: _page(page_starts, block.start)):
            yield from self._split(list(on_page))

    def _split(self, blocks: Sequence[Block]) -> Iterator[Span]:
        parts = {(block.start, block.end): block.parts for block in blocks}

        def split_block(block: Span) -> Iterator[Span]:
            spans = parts[block] if len(parts[block]) > 1 else [block]
            return self._cut(spans, split_sentences)

        def split_sentences(part: Span) -> Iterator[Span]:
            spans = sentences(self.text, part)
            return self._cut(spans, lambda sentence: pieces_that_fit(self.text, sentence, self._fits))

        return self._cut(list(parts), split_block)

    def _cut(self, spans: Sequence[Span], split: Callable[[Span], Iterator[Span]]) -> Iterator[Span]:
        """The spans, merged while they fit; a span that does not fit is split."""
        for fitting, group in groupby(spans, key=self._fits):
            if fitting:
                yield from self._evenly(list(group))
            else:
                yield from chain.from_iterable(map(split, group))

    def _fits(self, span: Span) -> bool:
        return self._tokens(span) <= self.max_tokens

    def _tokens(self, span: Span) -> int:
        if span not in self.counted:
            text = without_markup(self.text[span[0] : span[1]])
            tokens = self.count_tokens(embedded_text(self.title, self.heading, text))
            # Some tokenizers turn a word of any length into one unknown token.
            counted = max(tokens, len(text) // _CHARACTERS_PER_TOKEN)
            # Link targets and tags are not embedded, but a passage of them alone has an end as well.
            self.counted[span] = max(counted, (span[1] - span[0]) // (_MARKUP * _CHARACTERS_PER_TOKEN))
        return self.counted[span]

    def _evenly(self, run: Sequence[Span]) -> list[Span]:
        """As few merged spans as the limit allows, of similar size.

        Filling each to the limit would leave a short last span without context, which embeds badly.
        """
        best = self._filled(run, self.max_tokens)
        low, high = self.max_tokens // 2, self.max_tokens
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
        for span in run:
            if merged and self._tokens((merged[-1][0], span[1])) <= limit:
                merged[-1] = (merged[-1][0], span[1])
            else:
                merged.append(span)
        return merged
