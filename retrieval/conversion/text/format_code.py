"""Source code: the file's own text, without markup, so that a comment is not read as a heading."""

from __future__ import annotations

from pathlib import PurePosixPath

from retrieval.conversion.converted import Converted, decode_utf8

VERSION = "code/1"

# JSON, YAML and TOML are left out: they are data or settings far more often than text.
SUFFIXES = (".py", ".js", ".ts", ".java", ".c", ".h", ".cpp", ".go", ".rs", ".sh", ".sql")


def convert(data: bytes, name: str) -> Converted:
    """Raises ConversionError if the file is not UTF-8 text."""
    text = decode_utf8(data, name).strip("\n")
    return Converted(f"{text}\n" if text.strip() else "", PurePosixPath(name).name, marks=())
