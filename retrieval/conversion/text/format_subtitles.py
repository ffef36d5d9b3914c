"""Subtitles (SRT, VTT): what is said, without times, numbers and styles."""

from __future__ import annotations

import html
import re

from retrieval.conversion.converted import Converted, decode_utf8, one_line

VERSION = "subtitles/1"

_TIMES = re.compile(r"^\s*(?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3}\s*-->\s*(?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3}")
_MARKS = re.compile(r"</?[a-zA-Z][^<>]*>|<(?:\d+:)?\d{2}:\d{2}[.,]\d{3}>|</?>|\{\\[^{}]*\}")
_SENTENCE_END = re.compile(r"[.!?\u2026\u3002\uff01\uff1f][\"'\u201d\u2019)]*$")


def convert(data: bytes, name: str) -> Converted:
    """One line per sentence or longer pause between marks. Raises ConversionError if the file is not UTF-8 text."""
    said: list[str] = []
    for block in re.split(r"\n[ \t]*\n", decode_utf8(data, name)):
        lines = block.strip("\n").split("\n")
        start = next((number for number, line in enumerate(lines) if _TIMES.match(line)), None)
        # A block without times is the header, a note, a style or a region.
        if start is None:
            continue
        text = one_line(html.unescape(_MARKS.sub("", " ".join(lines[start + 1 :]))))
        # Subtitles that are shown longer are often repeated.
        if text and (not said or said[-1] != text):
            said.append(text)
    return Converted(_joined(said))


def _joined(said: list[str]) -> str:
    """A line break after a subtitle that ends a sentence, so that a sentence is not split."""
    return "".join(f"{text}{chr(10) if _SENTENCE_END.search(text) else ' '}" for text in said).strip() + "\n" * bool(
        said
    )
