"""PDF: the text of each page in reading order, with filled form fields, read with PDFium."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from retrieval.conversion.converted import Converted
from retrieval.conversion.ocr.format_image import regions_of
from retrieval.conversion.ocr.pictures import read_page
from retrieval.conversion.ocr.recognition import (
    PageCounts,
    Recognition,
    how_to_recognise,
    is_left_out,
    pages_note,
    with_pages,
)
from retrieval.conversion.pdf.forms import read_fields, with_fields
from retrieval.conversion.pdf.fractions import join_fractions
from retrieval.conversion.pdf.listings import is_typewritten
from retrieval.conversion.pdf.pictures import is_picture
from retrieval.conversion.pdf.regions import Region, read_regions
from retrieval.conversion.pdf.rows import read_rows
from retrieval.conversion.pdf.rules import Rules, read_rules
from retrieval.conversion.pdf.words import Word, read_words
from retrieval.conversion.pdf_layout import lay_out
from retrieval.errors import ConversionError

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

VERSION = "pdf/5"

# The pages by which a document is judged to be written in a typewriter's font.
_PAGES_JUDGED = 5

# PDFium has global state: one thread at a time.
_PDFIUM_LOCK = threading.Lock()


def convert(data: bytes, name: str, recognition: Recognition | None = None) -> Converted:
    """The text of a PDF. Pages that are pictures are reported, or recognised with `recognition`.

    Raises ConversionError if the file is damaged, has a password, or contains no text.
    """
    import pypdfium2

    counts = PageCounts()
    try:
        with _PDFIUM_LOCK, pypdfium2.PdfDocument(data) as document:
            pages, pictures = _read_pages(document, recognition, counts)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise ConversionError(
                found=f"{name} is locked with a password",
                expected="a PDF that opens without one",
                next_step=f"save {name} again without its password",
            ) from error
        raise ConversionError(
            found=f"{name} cannot be read as PDF ({error})",
            expected="an undamaged PDF",
            next_step=f"open {name} in a PDF viewer; if it opens there, print it to a new PDF",
        ) from error
    converted = lay_out(pages)
    if not converted.text.strip():
        raise ConversionError(
            found=f"{name} contains no text, only pictures",
            expected="a PDF with a text layer" if recognition is None else "pictures of printed text",
            next_step=how_to_recognise() if recognition is None else f"scan {name} again, or remove it",
        )
    if recognition is not None:
        return with_pages(converted, counts, len(pages), recognition)
    note = pages_note(pictures, len(pages))
    return replace(converted, unread=(note,)) if note else converted


def _read_pages(
    document: PdfDocument, recognition: Recognition | None, counts: PageCounts
) -> tuple[list[list[Region]], list[int]]:
    """The regions of each page, and the numbers, from 1, of the pages that are pictures and were not recognised."""
    # Needed for the values of fields, and before the first page is read.
    document.init_forms()
    form = document.formenv.raw if document.formenv is not None else None
    pages: list[list[Region]] = []
    pictures: list[int] = []
    for number, (page, words) in enumerate(_pages_of_words(document), start=1):
        try:
            regions, picture = _read_page(page, words, form)
            if picture and recognition is None:
                pictures.append(number)
            elif picture and recognition is not None:
                regions = _recognised(page, number, recognition, counts) or regions
        finally:
            page.close()
        pages.append(regions)
    return pages, pictures


def _recognised(page: PdfPage, number: int, recognition: Recognition, counts: PageCounts) -> list[Region]:
    """The regions of a page that is a picture; none without text, or beyond the limit."""
    if is_left_out(counts, recognition):
        counts.left_out.append(number)
        return []
    recognition.on_page()
    words = read_page(page)
    (counts.recognised if words else counts.empty).append(number)
    return regions_of(words)


def _pages_of_words(document: PdfDocument) -> Iterator[tuple[PdfPage, list[Word]]]:
    """The pages with their words. In a document in a typewriter's font, nothing is a listing."""
    first = [_page_of_words(document, number) for number in range(min(_PAGES_JUDGED, len(document)))]
    has_listings = not is_typewritten(word for _, words in first for word in words)
    others = (_page_of_words(document, number) for number in range(len(first), len(document)))
    for page, words in chain(first, others):
        if not has_listings:
            for word in words:
                word.advance = 0.0
        yield page, words


def _page_of_words(document: PdfDocument, number: int) -> tuple[PdfPage, list[Word]]:
    page = document[number]
    text_page = page.get_textpage()
    try:
        return page, read_words(text_page, page.get_bbox())
    finally:
        text_page.close()


def _read_page(page: PdfPage, words: list[Word], form: Any) -> tuple[list[Region], bool]:
    """The regions of a page, and whether it is a picture of text."""
    rules = cache(partial(read_rules, page))
    words = join_fractions(words, rules)
    by_turn = {turn: [row.lines() for row in rows] for turn, rows in read_rows(words).items()}
    fields = read_fields(page, form)
    if fields:
        by_turn[0] = with_fields(by_turn.get(0, []), fields)
    regions: list[Region] = []
    for turn, rows in by_turn.items():
        regions += read_regions(rows, Rules if turn else rules)
    characters = sum(len(line.text) for rows in by_turn.values() for row in rows for line in row)
    return regions, is_picture(page, characters)
