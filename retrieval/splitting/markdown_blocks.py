"""The headings and blocks of Markdown, read with a parser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from retrieval.markup import without_markup
from retrieval.splitting.blocks import Block, Heading, Lines, Structure
from retrieval.splitting.front_matter import FrontMatter, front_matter
from retrieval.splitting.sentences import Span
from retrieval.splitting.tables import SEPARATOR, Table, read_table, whole_table

# A longer "heading" is a paragraph that starts with "#" or precedes a rule. It stays in the text.
_MAX_HEADING_CHARACTERS = 200
# Including markup, whose parsing can take quadratic time.
_MAX_HEADING_SOURCE = 4000
# Only headings need inline markup, which takes most of the parsing time.
_PARSER = MarkdownIt("commonmark").enable("table").disable("inline")
_PARSER.block.ruler.at("table", whole_table, {"alt": ["paragraph", "reference"]})
_INLINE_PARSER = MarkdownIt("commonmark")


def read_markdown(text: str) -> Structure:
    """Headings and blocks together cover everything except white space, rules and front matter.

    Of a page of front matter alone, the description is its text, or else the title.
    """
    # Offsets come from counting "\n", so the parser must not see other line ends.
    source = text.replace("\r", " ")
    lines = Lines(source)
    settings = front_matter(source)
    skipped = source.count("\n", 0, settings.end) if settings is not None else 0
    body = source[settings.end :] if settings is not None else source
    if settings is not None and not body.strip():
        return Structure((), tuple(_only_text(source, settings)))
    headings: list[Heading] = []
    blocks: list[Block] = []
    covered = skipped
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
            headings.append(Heading(int(node.tag[1]), heading, *span, text_start=span[0]))
        elif node.type != "hr":
            parts = _parts(node, lines, skipped, first, last)
            blocks.append(Block(*span, parts, tuple(_tables(node, lines, skipped, first, last))))
    blocks.extend(lines.paragraphs(covered, len(lines)))
    return Structure(tuple(headings), tuple(blocks))


def _only_text(source: str, settings: FrontMatter) -> Iterator[Block]:
    for key, value in (("description", settings.description), ("title", settings.title)):
        start = source.find(value, source.casefold().find(key) + len(key)) if value else -1
        if value and start >= 0:
            yield Block(start, start + len(value))
            return


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


def _parts(node: SyntaxTreeNode, lines: Lines, skipped: int, first: int, last: int) -> tuple[Span, ...]:
    if node.type in {"bullet_list", "ordered_list"}:
        starts = [entry.map[0] + skipped for entry in node.children if entry.map is not None]
    elif node.type in {"table", "fence", "code_block"} or _all_rows(lines, first, last):
        starts = list(range(first, last))
    else:
        return ()
    # The map of an entry may end before a lazy continuation line; the start of the next entry is reliable.
    return lines.spans(sorted({first, *starts, last}))


def _tables(node: SyntaxTreeNode, lines: Lines, skipped: int, first: int, last: int) -> Iterator[Table]:
    """The tables in a block; one without the rule under its header is a paragraph to the parser."""
    if node.type == "paragraph" and _all_rows(lines, first, last):
        spans = [(first, last)]
    elif node.type in {"table", "bullet_list", "ordered_list", "blockquote"}:
        maps = [one.map for one in node.walk() if one.type == "table"]
        spans = [(start + skipped, end + skipped) for start, end in filter(None, maps)]
    else:
        return
    for begin, end in spans:
        table = read_table(lines.text, lines.starts(begin, end), lines.start(end), "markdown")
        if table is not None:
            yield table


def _all_rows(lines: Lines, first: int, last: int) -> bool:
    """Whether these lines are table rows without the Markdown rule under the header."""
    return last - first >= 2 and all(
        lines.text.find(SEPARATOR, lines.start(line), lines.start(line + 1)) >= 0 for line in range(first, last)
    )
