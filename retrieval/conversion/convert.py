"""Files to documents: which format a file has, what its document is called, and where it came from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from retrieval.conversion import format_csv, format_docx, format_html, format_jsonl, format_pdf
from retrieval.conversion.converted import Converted, Row, decode_utf8
from retrieval.conversion.limits import DEFAULT_LIMITS, Limits
from retrieval.documents import Document
from retrieval.errors import ConversionError
from retrieval.splitting.sections import first_title

_MIB = 2**20

# Bytes, suffix and name of a file to its text.
Convert = Callable[[bytes, str, str], Converted]


@dataclass(frozen=True, slots=True)
class _Format:
    convert: Callable[[bytes, str], Converted]
    version: str


@dataclass(frozen=True, slots=True)
class _RowFormat:
    read_rows: Callable[[bytes, str], list[Row]]
    version: str


_TEXT_VERSION = "text/1"


def _convert_text(data: bytes, name: str) -> Converted:
    """Markdown and plain text: the converted text is the file's own. Raises ConversionError for binary data."""
    text = decode_utf8(data, name)
    return Converted(text=text, title=first_title(text))


# In the order of precedence for a name that several files share.
_FORMATS: Mapping[str, _Format] = MappingProxyType(
    {
        ".md": _Format(_convert_text, _TEXT_VERSION),
        ".markdown": _Format(_convert_text, _TEXT_VERSION),
        ".txt": _Format(_convert_text, _TEXT_VERSION),
        ".html": _Format(format_html.convert, format_html.VERSION),
        ".htm": _Format(format_html.convert, format_html.VERSION),
        ".docx": _Format(format_docx.convert, format_docx.VERSION),
        ".pdf": _Format(format_pdf.convert, format_pdf.VERSION),
    }
)

_ROW_FORMATS: Mapping[str, _RowFormat] = MappingProxyType(
    {
        ".jsonl": _RowFormat(format_jsonl.read_rows, format_jsonl.VERSION),
        ".csv": _RowFormat(format_csv.read_rows, format_csv.VERSION),
    }
)

SUFFIXES = (*_FORMATS, *_ROW_FORMATS)


def convert_file(path: Path, root: Path) -> list[Document]:
    """The documents of a file below `root`: one, or for JSONL and CSV one a row.

    It is converted in this process, whatever time and memory that takes; an ingest does it in a child.

    Raises ConversionError, with the file's name, for what cannot be read: an unknown suffix, a file that
    is not there, one above the size limit, binary data under a text's name, invalid UTF-8, a broken or
    locked PDF or DOCX, a JSONL line that is no JSON, a CSV row that does not fit its header, and a file
    without any text.
    """
    return convert_bytes(read_bytes(path, root), path, root)


def read_bytes(path: Path, root: Path, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The bytes of a file. Raises ConversionError where the file cannot be read or is too large."""
    source = source_name(path, root)
    name, mib = ("rows_mib", limits.rows_mib) if holds_rows(path) else ("file_mib", limits.file_mib)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            # One byte more than allowed, since a file may grow, and some have no size to tell.
            data = file.read(mib * _MIB + 1) if size <= mib * _MIB else b""
    except OSError as error:
        raise ConversionError(
            found=f"{source} cannot be read ({error.strerror or error})",
            expected="a file that is there and readable",
            next_step="check that it still exists, and its permissions",
        ) from error
    if max(size, len(data)) > mib * _MIB:
        raise ConversionError(
            found=f"{source} has {max(size, len(data)) / _MIB:,.1f} MiB",
            expected=f"at most {mib} MiB",
            next_step=f"split {source}, or raise `{name}` under `ingest:` in domain.yaml",
        )
    return data


def convert_here(data: bytes, suffix: str, name: str) -> Converted:
    """The text of a file, converted in this process. Raises ConversionError."""
    return _format_of(suffix, name).convert(data, name)


def convert_bytes(data: bytes, path: Path, root: Path, convert: Convert = convert_here) -> list[Document]:
    """`convert_file` for bytes that have been read already, with another way to convert what is one document."""
    source = source_name(path, root)
    suffix = path.suffix.lower()
    rows = _ROW_FORMATS.get(suffix)
    if rows is not None:
        return [
            Document(
                id=row.id,
                title=row.title,
                text=row.text,
                group=row.group,
                source=source,
                source_digest=hashlib.sha256(row.raw).hexdigest(),
                converter=rows.version,
            )
            for row in rows.read_rows(data, source)
        ]
    name = document_id(path, root)
    version = _format_of(suffix, source).version
    converted = convert(data, suffix, source)
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
            converter=version,
            page_starts=converted.page_starts,
        )
    ]


def holds_rows(path: Path) -> bool:
    """Whether a file holds one document a row, rather than being one document."""
    return path.suffix.lower() in _ROW_FORMATS


def is_plain(suffix: str) -> bool:
    """Whether the file's own text is the converted text, so that no library has to be trusted with it."""
    chosen = _FORMATS.get(suffix)
    return chosen is not None and chosen.convert is _convert_text


def converter_of(path: Path) -> str:
    """Name and version of what would convert this file: a new version makes every document of it stale."""
    rows = _ROW_FORMATS.get(path.suffix.lower())
    return rows.version if rows is not None else _format_of(path.suffix.lower(), path.name).version


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


def _format_of(suffix: str, source: str) -> _Format:
    chosen = _FORMATS.get(suffix)
    if chosen is None:
        raise ConversionError(
            found=f"{source} has a suffix nothing here reads",
            expected=f"one of {' '.join(SUFFIXES)}",
            next_step=f"save {source} in one of these formats",
        )
    return chosen
