"""The structure of Markdown-like text: headings and the blocks between them, as spans."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, zip_longest

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from retrieval.markup import without_markup
from retrieval.splitting.sentences import trimmed

# A longer "heading" is a paragraph that starts with "#" or precedes a rule. It stays in the text.
_MAX_HEADING_CHARACTERS = 200
# Including markup, whose parsing can take quadratic time.
_MAX_HEADING_SOURCE = 4000
# Only headings need inline markup, which takes most of the parsing time.
_PARSER = MarkdownIt("commonmark").enable("table").disable("inline")
_INLINE_PARSER = MarkdownIt("commonmark")
# Metadata of a page: keys, nested values, lists and comments between two rules.
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?:(?:[\w-]+:.*|[ \t].*|- .*|#.*|)\n)*?(?:---|\.\.\.)[ \t]*(?:\n|\Z)")
_TITLE = re.compile(r"^title:[ \t]*(['\"]?)(?P<title>\S.*?)\1[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading's level (1 to 6), its text without markup, and its span in code points."""

    level: int
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, list, table, quotation or code block.

    `parts` are the spans of list entries, table rows or code lines, at which a long block is split.
    """

    start: int
    end: int
    parts: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the blocks before the next heading.

    `path` holds the headings above and this one, outermost first. `heading` is None for text before the first
    heading. `has_children` says that the next heading is a deeper one.
    """

    heading: Heading | None
    path: tuple[Heading, ...]
    blocks: tuple[Block, ...]
    has_children: bool


def first_title(text: str) -> str | None:
    """The first level-1 heading, or the title in the front matter."""
    headings, _ = _read(text)
    front_matter = _FRONT_MATTER.match(text.replace("\r", " "))
    named = _TITLE.search(front_matter.group()) if front_matter is not None else None
    return next((heading.text for heading in headings if heading.level == 1), named and named["title"])


def read_sections(text: str) -> list[Section]:
    """All sections in order. Together, headings and blocks cover everything except white space and front matter."""
    headings, blocks = _read(text)
    starts = [block.start for block in blocks]
    sections: list[Section] = []
    lead = blocks[: bisect_left(starts, headings[0].start) if headings else None]
    if lead:
        sections.append(Section(heading=None, path=(), blocks=lead, has_children=False))
    path: list[Heading] = []
    for heading, following in zip_longest(headings, headings[1:]):
        end = following.start if following is not None else len(text)
        path = [*(above for above in path if above.level < heading.level), heading]
        sections.append(
            Section(
                heading=heading,
                path=tuple(path),
                blocks=blocks[bisect_left(starts, heading.end) : bisect_left(starts, end)],
                has_children=following is not None and following.level > heading.level,
            )
        )
    return sections


# The converter needs the title of a text and the splitter its sections: parse it once.
@lru_cache(maxsize=4)
def _read(text: str) -> tuple[tuple[Heading, ...], tuple[Block, ...]]:
    # Offsets come from counting "\n", so the parser must not see other line ends.
    source = text.replace("\r", " ")
    lines = _Lines(source)
    front_matter = _FRONT_MATTER.match(source)
    skipped = source.count("\n", 0, front_matter.end()) if front_matter is not None else 0
    body = source[lines.start(skipped) :] if skipped else source
    headings: list[Heading] = []
    blocks: list[Block] = []
    # A page of front matter alone has it as its text.
    covered = skipped if body.strip() else 0
    for node in SyntaxTreeNode(_PARSER.parse(body)).children:
        if node.map is None:
            continue
        first, last = node.map[0] + skipped, node.map[1] + skipped
        # Text that the parser consumes without a token (link definitions) still counts.
        blocks.extend(lines.paragraphs(covered, first))
        covered = max(covered, last)
        span = lines.span(first, last)
        heading = _heading_text(node)
        if span is None:
            continue
        if heading is not None:
            headings.append(Heading(int(node.tag[1]), heading, *span))
        elif node.type != "hr":
            blocks.append(Block(*span, parts=_parts(node, lines, skipped, first, last)))
    blocks.extend(lines.paragraphs(covered, len(lines)))
    return tuple(headings), tuple(blocks)


def _heading_text(node: SyntaxTreeNode) -> str | None:
    source = node.children[0].content if node.type == "heading" else ""
    if len(source) > _MAX_HEADING_SOURCE or "\n" in source:
        return None
    children = _INLINE_PARSER.parseInline(without_markup(source))[0].children or []
    text = " ".join("".join(_words(children)).split())
    return text if 0 < len(text) <= _MAX_HEADING_CHARACTERS else None


def _words(children: Sequence[Token]) -> Iterator[str]:
    for child in children:
        if child.type in {"softbreak", "hardbreak"}:
            yield " "
        elif child.type == "image":
            yield from _words(child.children or [])
        else:
            yield child.content


def _parts(node: SyntaxTreeNode, lines: _Lines, skipped: int, first: int, last: int) -> tuple[tuple[int, int], ...]:
    if node.type in {"bullet_list", "ordered_list"}:
        starts = [entry.map[0] + skipped for entry in node.children if entry.map is not None]
    elif node.type in {"table", "fence", "code_block"} or lines.all_rows(first, last):
        starts = list(range(first, last))
    else:
        return ()
    # The map of an entry may end before a lazy continuation line; the start of the next entry is reliable.
    bounds = sorted({first, *starts, last})
    spans = (lines.span(begin, end) for begin, end in pairwise(bounds))
    return tuple(span for span in spans if span is not None)


class _Lines:
    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def __len__(self) -> int:
        return len(self._starts)

    def start(self, line: int) -> int:
        return self._starts[line] if line < len(self._starts) else len(self._text)

    def span(self, first: int, last: int) -> tuple[int, int] | None:
        """The span of the lines from `first` to before `last`, trimmed; None if they are blank."""
        return next(iter(trimmed(self._text, (self.start(first), self.start(last)))), None)

    def paragraphs(self, first: int, last: int) -> Iterator[Block]:
        """The runs of non-blank lines."""
        begin = first
        for line in range(first, last + 1):
            if line == last or not self._text[self.start(line) : self.start(line + 1)].strip():
                span = self.span(begin, line)
                if span is not None:
                    yield Block(*span)
                begin = line + 1

    def all_rows(self, first: int, last: int) -> bool:
        """Whether these lines are table rows without the Markdown rule under the header."""
        return last - first >= 2 and all(
            " | " in self._text[self.start(line) : self.start(line + 1)] for line in range(first, last)
        )
