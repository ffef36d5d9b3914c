"""The sections of a text: a heading each, and the blocks under it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest

from retrieval.documents import Document, Mark, Writing
from retrieval.splitting.blocks import Block, Heading, Structure
from retrieval.splitting.front_matter import front_matter
from retrieval.splitting.markdown_blocks import read_markdown
from retrieval.splitting.plain_blocks import read_fields, read_plain


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
    """The title of a Markdown text: its first heading of level 1, or the title in its front matter."""
    settings = front_matter(text.replace("\r", " "))
    heading = next((one.text for one in _markdown(text).headings if one.level == 1), None)
    return heading or (settings.title if settings is not None else None)


def structure_of(document: Document) -> Structure:
    """The headings and blocks of a document."""
    return read_structure(document.text, document.writing, document.marks)


def read_structure(text: str, writing: Writing = "markdown", marks: Sequence[Mark] = ()) -> Structure:
    match writing:
        case "plain":
            return read_plain(text, marks)
        case "fields":
            return read_fields(text)
        case "markdown":
            return _markdown(text)


def sections_of(document: Document) -> list[Section]:
    """All sections of a document in order."""
    return to_sections(structure_of(document), len(document.text))


def read_sections(text: str) -> list[Section]:
    """All sections of a Markdown text in order.

    Together, headings and blocks cover everything except white space, rules and front matter.
    """
    return to_sections(_markdown(text), len(text))


def to_sections(structure: Structure, length: int) -> list[Section]:
    """The sections of a text of this length in order."""
    headings, blocks = structure.headings, structure.blocks
    starts = [block.start for block in blocks]
    sections: list[Section] = []
    lead = blocks[: bisect_left(starts, headings[0].start) if headings else None]
    if lead:
        sections.append(Section(heading=None, path=(), blocks=lead, has_children=False))
    path: list[Heading] = []
    for heading, following in zip_longest(headings, headings[1:]):
        end = following.start if following is not None else length
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
_markdown = lru_cache(maxsize=1)(read_markdown)
