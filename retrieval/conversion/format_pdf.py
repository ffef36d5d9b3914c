"""PDF: the printed lines of each page with their geometry, read with PDFium."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from retrieval.conversion.converted import Converted
from retrieval.conversion.pdf_layout import Line, lay_out
from retrieval.errors import ConversionError

if TYPE_CHECKING:
    from pypdfium2 import PdfPage

VERSION = "pdf/1"

# PDFium has global state: one thread at a time.
_PDFIUM_LOCK = threading.Lock()
# PDFium's mark for a hyphen at the end of a line, after which it continues with the next line.
_LINE_END_HYPHENS = str.maketrans({"\x02": "\ufffe"})


def convert(data: bytes, name: str) -> Converted:
    """Raises ConversionError if the file is damaged, has a password, or contains no text."""
    import pypdfium2

    try:
        with _PDFIUM_LOCK, pypdfium2.PdfDocument(data) as document:
            pages = [_read_page(document[number]) for number in range(len(document))]
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
            expected="a PDF with a text layer",
            next_step=f"run text recognition (OCR) on {name}",
        )
    return converted


def _read_page(page: PdfPage) -> list[Line]:
    import pypdfium2.raw as raw

    text_page = page.get_textpage()
    try:
        count = text_page.count_chars()
        units = [raw.FPDFText_GetUnicode(text_page, index) for index in range(count)]
        line_ends = [index for index in range(count) if units[index] in (0x0A, 0x0D)]
        starts, ends = [0, *(end + 1 for end in line_ends)], [*line_ends, count]
        lines = [_line(text_page, raw, units, start, end) for start, end in zip(starts, ends, strict=True)]
        return [line for line in lines if line is not None]
    finally:
        text_page.close()
        page.close()


def _line(text_page: Any, raw: Any, units: list[int], start: int, end: int) -> Line | None:
    text = _decode(units[start:end])
    visible = [index for index in range(start, end) if units[index] > 0x20 and units[index] != 0xA0]
    if not text.strip() or not visible:
        return None
    left, first_bottom, _, _ = text_page.get_charbox(visible[0], loose=True)
    _, last_bottom, right, _ = text_page.get_charbox(visible[-1], loose=True)
    size = float(raw.FPDFText_GetFontSize(text_page, visible[0]))
    return Line(text.strip(), size, left, right, top=first_bottom, bottom=last_bottom)


def _decode(units: list[int]) -> str:
    # PDFium returns UTF-16 code units: a surrogate pair is two characters.
    data = b"".join(unit.to_bytes(2, "little") if unit < 0x10000 else b"\xfd\xff" for unit in units)
    return data.decode("utf-16-le", "replace").replace("\x00", "").translate(_LINE_END_HYPHENS)
