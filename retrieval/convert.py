"""Files to documents: which format a file has, what its document is called, and where it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from retrieval import format_docx, format_html, format_jsonl, format_pdf, format_text
from retrieval.converted import Converted
from retrieval.documents import Document
from retrieval.errors import ConversionError

_JSONL = ".jsonl"


@dataclass(frozen=True, slots=True)
class _Format:
    convert: Callable[[bytes, str], Converted]
    version: str


# In the order of precedence for a name that several files share.
_FORMATS: Mapping[str, _Format] = MappingProxyType(
    {
        ".md": _Format(format_text.convert, format_text.VERSION),
        ".markdown": _Format(format_text.convert, format_text.VERSION),
        ".txt": _Format(format_text.convert, format_text.VERSION),
        ".html": _Format(format_html.convert, format_html.VERSION),
        ".htm": _Format(format_html.convert, format_html.VERSION),
        ".docx": _Format(format_docx.convert, format_docx.VERSION),
        ".pdf": _Format(format_pdf.convert, format_pdf.VERSION),
    }
)

SUFFIXES = (*_FORMATS, _JSONL)


def convert_file(path: Path, root: Path) -> list[Document]:
    """The documents of a file below `root`: one, or for JSONL one a row.

    Raises ConversionError, with the file's name, for what cannot be read: an unknown suffix, a file that
    is not there, binary data under a text's name, invalid UTF-8, a broken or locked PDF or DOCX, a JSONL
    line that is no JSON, and a file without any text.
    """
    return convert_bytes(read_bytes(path, root), path, root)


def read_bytes(path: Path, root: Path) -> bytes:
    """The bytes of a file. Raises ConversionError where the file cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConversionError(
            found=f"{source_name(path, root)} cannot be read ({error.strerror or error})",
            expected="a file that is there and readable",
            next_step="check that it still exists, and its permissions",
        ) from error


def convert_bytes(data: bytes, path: Path, root: Path) -> list[Document]:
    """`convert_file` for bytes that have been read already."""
    source = source_name(path, root)
    if path.suffix.lower() == _JSONL:
        return [
            Document(
                id=row.id,
                title=row.title,
                text=row.text,
                group=row.group,
                source=source,
                source_digest=hashlib.sha256(row.raw).hexdigest(),
                converter=format_jsonl.VERSION,
            )
            for row in format_jsonl.read_rows(data, source)
        ]
    name = document_id(path, root)
    chosen = _format_of(path, source)
    converted = chosen.convert(data, source)
    if not converted.text.strip():
        raise ConversionError(
            found=f"{source} holds no text",
            expected="a document with text in it",
            next_step=f"write something into {source}, or delete it",
        )
    return [
        Document(
            id=name,
            title=converted.title or path.stem,
            text=converted.text,
            group=name,
            source=source,
            source_digest=hashlib.sha256(data).hexdigest(),
            converter=chosen.version,
            page_starts=converted.page_starts,
        )
    ]


def holds_rows(path: Path) -> bool:
    """Whether a file holds one document a row, rather than being one document."""
    return path.suffix.lower() == _JSONL


def converter_of(path: Path) -> str:
    """Name and version of what would convert this file: a new version makes every document of it stale."""
    if holds_rows(path):
        return format_jsonl.VERSION
    return _format_of(path, path.name).version


def source_name(path: Path, root: Path) -> str:
    """The path below the docs folder, "/"-separated on every system."""
    return path.relative_to(root).as_posix()


def document_id(path: Path, root: Path) -> str:
    """The source name without its suffix.

    Where files differ in their suffix alone, the first in the order of `SUFFIXES` has the plain name and
    the others keep their suffix.
    """
    source = source_name(path, root)
    plain = path.with_suffix("")
    for suffix in _FORMATS:
        if suffix == path.suffix.lower():
            break
        if plain.with_name(plain.name + suffix).is_file():
            return source
    return source[: len(source) - len(path.suffix)]


def _format_of(path: Path, source: str) -> _Format:
    chosen = _FORMATS.get(path.suffix.lower())
    if chosen is None:
        raise ConversionError(
            found=f"{source} has a suffix nothing here reads",
            expected=f"one of {' '.join(SUFFIXES)}",
            next_step=f"save {source} in one of these formats",
        )
    return chosen
