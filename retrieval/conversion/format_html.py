"""HTML: the headings, paragraphs, lists and tables of a page, without navigation, banners and hidden text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retrieval.conversion.converted import Converted
from retrieval.conversion.html.boilerplate import find_boilerplate
from retrieval.conversion.html.elements import read_styles
from retrieval.conversion.html.encodings import decode_html
from retrieval.conversion.html.hidden import find_hidden
from retrieval.conversion.html.left_out import BANNERS, FOOTERS, HIDDEN, NAVIGATION, STRUCK, LeftOut
from retrieval.conversion.html.reader import PageReader, page_title
from retrieval.errors import ConversionError

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser

    from retrieval.conversion.html.sinks import PageSink

VERSION = "html/4"

# What is kept, step by step, if a page has no content otherwise.
_SPARED = ((), (NAVIGATION,), (NAVIGATION, FOOTERS), (NAVIGATION, FOOTERS, BANNERS, HIDDEN, STRUCK))


def convert(data: bytes, name: str) -> Converted:
    """Raises ConversionError if the bytes are not text, or memory runs out."""
    from selectolax.lexbor import LexborHTMLParser, SelectolaxError

    text, notes = decode_html(data, name)
    try:
        tree = LexborHTMLParser(text)
    except SelectolaxError as error:
        # The parser accepts any text, so this is a lack of memory.
        raise ConversionError(
            found=f"{name} takes more memory than one file may use",
            expected="a page that fits into memory",
            next_step=f"split {name}, or raise `memory_mib` under `ingest:` in domain.yaml",
        ) from error
    page, left_out = _read(tree)
    title = page.writer.title or page_title(tree) or None
    return Converted(text=page.writer.text(), title=title, notes=(*notes, *left_out.notes()))


def _read(tree: LexborHTMLParser) -> tuple[PageSink, LeftOut]:
    assert tree.root is not None
    styles, found = read_styles(tree), LeftOut()
    find_hidden(tree, styles.hidden, found)
    find_boilerplate(tree, found)
    for kinds in _SPARED:
        left_out = found.spare(*kinds)
        page = PageReader(tree, styles, left_out).read(tree.root)
        if page.has_content or not left_out.words:
            break
    return page, left_out
