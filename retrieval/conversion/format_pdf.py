"""PDF: what a page prints, read with PDFium and handed on as lines with their geometry."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from retrieval.conversion.converted import Converted
from retrieval.conversion.pdf_layout import Line, lay_out
from retrieval.errors import ConversionError

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

VERSION = "pdf/1"

# PDFium keeps global state: one thread at a time.
_PDFIUM = threading.Lock()
# PDFium's mark for a hyphen at the end of a line, behind which it runs the next line on.
_LINE_END_HYPHENS = str.maketrans({"\x02": "\ufffe"})


def convert(data: bytes, name: str) -> Converted:
    """Raises ConversionError for a broken file, one with a password, and one that holds no text."""
    with _PDFIUM:
        pages = _read_pages(data, name)
    converted = lay_out(pages)
    if not converted.text.strip():
        raise ConversionError(
            found=f"{name} holds no text, only pictures",
            expected="a PDF with a text layer",
            next_step=f"run text recognition (OCR) over {name}",
        )
    return converted


def _read_pages(data: bytes, name: str) -> list[list[Line]]:
    document = _open(data, name)
    try:
        return [_read_page(document[number]) for number in range(len(document))]
    except _pdfium_error() as error:
        raise _unreadable(name, str(error)) from error
    finally:
        document.close()


def _open(data: bytes, name: str) -> PdfDocument:
    import pypdfium2

    try:
        return pypdfium2.PdfDocument(data)
    except _pdfium_error() as error:
        if "password" in str(error).lower():
            raise ConversionError(
                found=f"{name} is locked with a password",
                expected="a PDF that opens without one",
                next_step=f"save {name} again without its password",
            ) from error
        raise _unreadable(name, str(error)) from error


def _pdfium_error() -> type[Exception]:
    import pypdfium2

    error: type[Exception] = pypdfium2.PdfiumError
    return error


def _unreadable(name: str, reason: str) -> ConversionError:
    return ConversionError(
        found=f"{name} cannot be read as PDF ({reason})",
        expected="an undamaged PDF",
        next_step=f"open {name} in a PDF viewer; if it opens there, print it to a new PDF",
    )


def _read_page(page: PdfPage) -> list[Line]:
    import pypdfium2.raw as raw

    text_page = page.get_textpage()
    try:
        count = text_page.count_chars()
        units = [raw.FPDFText_GetUnicode(text_page, index) for index in range(count)]
        lines: list[Line] = []
        start = 0
        for index in range(count + 1):
            if index == count or units[index] in (0x0A, 0x0D):
                line = _line(text_page, raw, units, start, index)
                if line is not None:
                    lines.append(line)
                start = index + 1
        return lines
    finally:
        text_page.close()
        page.close()


def _line(text_page: Any, raw: Any, units: list[int], start: int, end: int) -> Line | None:
    text = _to_text(units[start:end])
    visible = [index for index in range(start, end) if units[index] > 0x20 and units[index] != 0xA0]
    if not text.strip() or not visible:
        return None
    left, first_bottom, _, _ = text_page.get_charbox(visible[0], loose=True)
    _, last_bottom, right, _ = text_page.get_charbox(visible[-1], loose=True)
    return Line(
        text=text.strip(),
        size=float(raw.FPDFText_GetFontSize(text_page, visible[0])),
        left=left,
        right=right,
        top=first_bottom,
        bottom=last_bottom,
    )


def _to_text(units: list[int]) -> str:
    # PDFium hands out UTF-16: halves of a pair come as two characters.
    wide = b"".join(unit.to_bytes(2, "little") if unit < 0x10000 else b"\xfd\xff" for unit in units)
    return wide.decode("utf-16-le", "replace").replace("\x00", "").translate(_LINE_END_HYPHENS)
