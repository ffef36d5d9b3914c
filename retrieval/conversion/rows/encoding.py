"""The text of a file of rows: UTF-8, or UTF-16 as spreadsheets save it."""

from __future__ import annotations

import codecs

from retrieval.conversion.converted import decode_utf8
from retrieval.errors import ConversionError

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE_BYTES = 400
# Without a mark, this share of every second byte has to be zero, and none of the others.
_ZERO_SHARE = 0.6


def decode_rows(data: bytes, name: str) -> str:
    """The text without a byte order mark and with "\\n" as the only line end.

    UTF-16 and UTF-32 are known by their mark, UTF-16 also by the zero bytes of Western text. Raises ConversionError
    for binary data and other encodings.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return decode_utf8(_to_utf8(data.removeprefix(mark), encoding, name), name)
    encoding = _unmarked(data)
    return decode_utf8(_to_utf8(data, encoding, name) if encoding else data, name)


def _unmarked(data: bytes) -> str:
    """The kind of UTF-16 without a mark; empty if it is another encoding."""
    sample = data[:_SAMPLE_BYTES]
    even, odd = sample[::2], sample[1::2]
    if len(data) % 2 or not odd:
        return ""
    if odd.count(0) >= _ZERO_SHARE * len(odd) and 0 not in even:
        return "utf-16-le"
    return "utf-16-be" if even.count(0) >= _ZERO_SHARE * len(even) and 0 not in odd else ""


def _to_utf8(data: bytes, encoding: str, name: str) -> bytes:
    try:
        return data.decode(encoding).encode()
    except UnicodeError as error:
        raise ConversionError(
            found=f"{name} begins as {encoding.upper()} and is not ({error})",
            expected="text in one encoding, best UTF-8",
            next_step=f"save {name} as UTF-8",
        ) from error
