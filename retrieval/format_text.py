"""Markdown and plain text: the converted text is the file's own text."""

from __future__ import annotations

from retrieval.converted import Converted, decode_utf8
from retrieval.sections import first_title

VERSION = "text/1"


def convert(data: bytes, name: str) -> Converted:
    """Raises ConversionError for binary data and other encodings than UTF-8."""
    text = decode_utf8(data, name)
    return Converted(text=text, title=first_title(text))
