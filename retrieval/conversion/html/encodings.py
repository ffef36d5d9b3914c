"""The bytes of a page to text, by the rules of the Encoding Standard and of the HTML standard."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from retrieval.conversion.converted import decode_utf8
from retrieval.conversion.html.prescan import declared_encoding
from retrieval.conversion.raised import without_markers

if TYPE_CHECKING:
    from webencodings import Encoding

_PRESCANNED_BYTES = 1024
# A browser reads a declaration after the prescanned bytes too, and then starts again.
_HEAD_BYTES = 64 * 1024
_ERRORS = "softgraft-html"
# With these, raised text is marked while it is read.
_NONCHARACTERS = "\ufdd0\ufdd1\ufdd2\ufdd3"
_UTF16_STARTS = (
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    ("<?x".encode("utf-16-le"), "utf-16-le"),
    ("<?x".encode("utf-16-be"), "utf-16-be"),
)


def decode_html(data: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    """The text of a page with "\\n" as the only line end, and notes on its encoding.

    Raises ConversionError for binary data.
    """
    text, notes = _decode(data, name)
    # Almost no page contains one, and this is faster than a pattern.
    if any(marker in text for marker in _NONCHARACTERS):
        text = without_markers(text)
    return text.replace("\r\n", "\n").replace("\r", "\n"), notes


def _decode(data: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    for start, codec in _UTF16_STARTS:
        if data.startswith(start):
            text = data.decode(codec, "replace").removeprefix("\ufeff")
            if "\0" not in text:
                return _noted(text, "UTF-16")
    if 0 in data:
        return decode_utf8(data, name), ()  # raises
    if data.startswith(codecs.BOM_UTF8):
        return _noted(data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace"), "UTF-8")
    declared = declared_encoding(data[:_PRESCANNED_BYTES])
    utf8 = _as_utf8(data)
    if utf8 is not None and (declared is None or declared.name == "utf-8"):
        return utf8, ()
    declared = declared or declared_encoding(data[:_HEAD_BYTES])
    if declared is None:
        text = data.decode("cp1252", _errors())
        return text, ("no character encoding is declared and it is not UTF-8: read as windows-1252",)
    text = _decode_as(data, declared)
    if utf8 is not None and "\ufffd" in text:
        # The declaration is wrong.
        return utf8, ()
    return _noted(text, declared.name)


def _noted(text: str, encoding: str) -> tuple[str, tuple[str, ...]]:
    lost = text.count("\ufffd")
    if not lost:
        return text, ()
    count = "1 character is" if lost == 1 else f"{lost:,} characters are"
    return text, (f"{count} not readable as {encoding}, the page's character encoding, and written as \ufffd",)


def _as_utf8(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _decode_as(data: bytes, encoding: Encoding) -> str:
    # The standard decodes GBK as its superset. Scripts cannot run here, so ISO-2022-KR and HZ are read as well.
    names = {"gbk": "gb18030", "utf-8": "utf-8", "replacement": "iso2022_kr" if b"\x1b$)C" in data else "hz"}
    if encoding.name in names:
        return data.decode(names[encoding.name], _errors())
    text: str = encoding.codec_info.decode(data, _errors())[0]
    return text


def _errors() -> str:
    codecs.register_error(_ERRORS, _mend)
    return _ERRORS


def _mend(error: UnicodeError) -> tuple[str | bytes, int]:
    """What the standard's tables hold and Python's codecs do not. Other errors become U+FFFD."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    start, pair = error.start, error.object[error.start : error.start + 2]
    try:
        if error.encoding == "charmap" and pair[0] < 0xA0:
            return chr(pair[0]), start + 1
        if error.encoding == "gb18030" and pair[0] == 0x80:
            return "€", start + 1
        if error.encoding == "euc_jp" and len(pair) == 2 and all(0xA1 <= byte <= 0xFE for byte in pair):
            return _shift_jis(*pair).decode("cp932"), start + 2
        if error.encoding == "big5hkscs" and len(pair) == 2:
            return pair.decode("cp950"), start + 2
    except UnicodeDecodeError:
        pass
    return codecs.replace_errors(error)


def _shift_jis(lead: int, trail: int) -> bytes:
    """The same character of the JIS table in Shift JIS, whose codec knows the makers' characters such as ①."""
    row, cell = lead - 0xA0, trail - 0xA0
    first = (row - 1) // 2 + (0x81 if row <= 62 else 0xC1)
    second = cell + 0x9E if row % 2 == 0 else cell + 0x3F + (cell >= 64)
    return bytes((first, second))
