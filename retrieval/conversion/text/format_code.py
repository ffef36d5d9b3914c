"""Source code: the file's own text as a code block, so that a comment is not a heading."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from retrieval.conversion.converted import Converted, decode_utf8

VERSION = "code/1"

# JSON, YAML and TOML are left out: they are data or settings far more often than text.
LANGUAGES = {
    ".py": "python",
    ".js": "javascript",
    ".ts": "typescript",
    ".java": "java",
    ".c": "c",
    ".h": "c",
    ".cpp": "cpp",
    ".go": "go",
    ".rs": "rust",
    ".sh": "shell",
    ".sql": "sql",
}


def convert(data: bytes, name: str) -> Converted:
    """Raises ConversionError if the file is no UTF-8 text."""
    text = decode_utf8(data, name).strip("\n")
    if not text.strip():
        return Converted("")
    # Longer than any fence inside.
    longest = max((len(mark) for mark in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    language = LANGUAGES.get(PurePosixPath(name).suffix.lower(), "")
    return Converted(f"{fence}{language}\n{text}\n{fence}\n", PurePosixPath(name).name)
