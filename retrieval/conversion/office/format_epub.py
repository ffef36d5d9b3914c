"""EPUB: the pages of a book in reading order, each read as HTML."""

from __future__ import annotations

import re

from retrieval.conversion import format_html
from retrieval.conversion.converted import Converted, one_line
from retrieval.conversion.office.archive import beside, opened
from retrieval.errors import ConversionError

VERSION = f"epub/1 {format_html.VERSION}"

_MAIN = "META-INF/container.xml"
# XHTML closes empty elements in their first tag, and HTML does not.
_CLOSED = re.compile(rb"<(title|script|style|iframe|textarea|a|p|div|span|td|th|li|i|b|em|strong)(\s[^<>]*)?/>", re.I)


def convert(data: bytes, name: str) -> Converted:
    """Pages off the main line, such as pop-up notes, come last. Raises ConversionError if the file is not a book."""
    with opened(data, name, "an EPUB book", _MAIN) as archive:
        package = next((one.get("full-path") for one in archive.xml(_MAIN).iter("{*}rootfile")), None)
        if package is None:
            raise ConversionError(
                found=f"{name} names no list of its pages in {_MAIN}",
                expected="an EPUB book that names its package document there",
                next_step=f"open {name} in a program for books and save it again",
            )
        book = archive.xml(package)
        parts = {one.get("id"): beside(package, one.get("href", "")) for one in book.iter("{*}item")}
        order = sorted(book.iter("{*}itemref"), key=lambda one: one.get("linear") == "no")
        names = [parts[one.get("idref")] for one in order if one.get("idref") in parts]
        pages = [
            format_html.convert(_CLOSED.sub(rb"<\1\2></\1>", archive.bytes_of(part)), f"{name}, {part}").text
            for part in names
            if part in archive.names and part.lower().endswith((".xhtml", ".html", ".htm", ".xml"))
        ]
        title = next((one_line(one.text or "") for one in book.iter("{*}title")), "")
    return Converted("\n".join(page for page in pages if page.strip()), title or None)
