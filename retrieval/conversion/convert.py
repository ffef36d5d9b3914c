"""Files to documents: the format of a file, and the id and source of its documents."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from retrieval.conversion import format_csv, format_docx, format_html, format_jsonl, format_pdf
from retrieval.conversion.asciidoc import format_asciidoc
from retrieval.conversion.converted import Converted, SourceRows, decode_utf8
from retrieval.conversion.limits import DEFAULT_LIMITS, Limits
from retrieval.conversion.ocr import format_image
from retrieval.conversion.ocr.recognition import Recognition, spans
from retrieval.conversion.office import format_epub, format_odt, format_pptx, format_xlsx
from retrieval.conversion.rst import format_rst
from retrieval.conversion.text import format_code, format_eml, format_mdx, format_notebook, format_subtitles
from retrieval.documents import Document
from retrieval.errors import ConversionError
from retrieval.splitting.sections import first_title

_MIB = 2**20

# Bytes, suffix and name of a file to its text.
Convert = Callable[[bytes, str, str], Converted]


def _convert_text(data: bytes, name: str) -> Converted:
    """Plain text is its own converted text, without headings. Raises ConversionError for binary data."""
    return Converted(decode_utf8(data, name), marks=())


def _convert_markdown(data: bytes, name: str) -> Converted:
    """Markdown is its own converted text. Raises ConversionError for binary data."""
    text = decode_utf8(data, name)
    return Converted(text, first_title(text), writing="markdown")


_TEXT = (_convert_text, "text/3")
_MARKDOWN = (_convert_markdown, "markdown/3")
_HTML = (format_html.convert, format_html.VERSION)
_SUBTITLES = (format_subtitles.convert, format_subtitles.VERSION)
_CODE = (format_code.convert, format_code.VERSION)
# Converter and version, in the order of precedence for files that differ only in their suffix.
_FORMATS: dict[str, tuple[Callable[[bytes, str], Converted], str]] = {
    ".md": _MARKDOWN,
    ".markdown": _MARKDOWN,
    ".mdx": (format_mdx.convert, format_mdx.VERSION),
    ".rst": (format_rst.convert, format_rst.VERSION),
    **dict.fromkeys(format_asciidoc.SUFFIXES, (format_asciidoc.convert, format_asciidoc.VERSION)),
    ".txt": _TEXT,
    ".html": _HTML,
    ".htm": _HTML,
    ".docx": (format_docx.convert, format_docx.VERSION),
    ".pdf": (format_pdf.convert, format_pdf.VERSION),
    ".odt": (format_odt.convert, format_odt.VERSION),
    ".pptx": (format_pptx.convert, format_pptx.VERSION),
    ".xlsx": (format_xlsx.convert, format_xlsx.VERSION),
    ".epub": (format_epub.convert, format_epub.VERSION),
    ".ipynb": (format_notebook.convert, format_notebook.VERSION),
    ".eml": (format_eml.convert, format_eml.VERSION),
    ".srt": _SUBTITLES,
    ".vtt": _SUBTITLES,
    **dict.fromkeys(format_code.SUFFIXES, _CODE),
}
_ROW_FORMATS: dict[str, tuple[Callable[[bytes, str], SourceRows], str]] = {
    ".jsonl": (format_jsonl.read_rows, format_jsonl.VERSION),
    ".csv": (format_csv.read_rows, format_csv.VERSION),
    ".tsv": (format_csv.read_tab_rows, format_csv.VERSION),
}

SUFFIXES = (*_FORMATS, *_ROW_FORMATS)
# Image files are documents only where a domain wants it.
IMAGE_SUFFIXES = format_image.SUFFIXES
_FORMATS.update(dict.fromkeys(IMAGE_SUFFIXES, (format_image.convert, format_image.VERSION)))


def convert_file(path: Path, root: Path) -> list[Document]:
    """The documents of a file below `root`: one, or for JSONL and CSV one per row.

    The file is converted in this process, without limits on time and memory; an ingest uses a child process. Raises
    ConversionError if the suffix is unknown or wrong, or the file is missing, too large, damaged, locked or without
    text.
    """
    return convert_bytes(read_bytes(path, root), path, root)


def read_bytes(path: Path, root: Path, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The bytes of a file. Raises ConversionError if it cannot be read or is too large."""
    source = source_name(path, root)
    setting, mib = ("rows_mib", limits.rows_mib) if has_rows(path) else ("file_mib", limits.file_mib)
    try:
        # The file may have become a pipe, which would block, since the folder was listed.
        with open(path, "rb", opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError("is not a regular file")
            size = status.st_size
            # One byte more than allowed: a file may grow, and some files report no size.
            data = file.read(mib * _MIB + 1) if size <= mib * _MIB else b""
    except OSError as error:
        raise ConversionError(
            found=f"{source} cannot be read ({error.strerror or error})",
            expected="an existing, readable file",
            next_step="check that it still exists, and its permissions",
        ) from error
    if max(size, len(data)) > mib * _MIB:
        raise ConversionError(
            found=f"{source} has {max(size, len(data)) / _MIB:,.1f} MiB",
            expected=f"at most {mib} MiB",
            next_step=f"split {source}, or raise `{setting}` under `ingest:` in domain.yaml",
        )
    return data


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def convert_here(data: bytes, suffix: str, name: str, recognition: Recognition | None = None) -> Converted:
    """The text of a file, converted in this process; pictures are read with `recognition`. Raises ConversionError."""
    if suffix == ".pdf":
        return format_pdf.convert(data, name, recognition)
    if suffix in IMAGE_SUFFIXES:
        return format_image.convert(data, name, recognition)
    convert, _ = _format_of(suffix, name)
    return convert(data, name)


def convert_bytes(data: bytes, path: Path, root: Path, convert: Convert = convert_here) -> list[Document]:
    """`convert_file` for bytes that were already read. `convert` is used for formats with one document per file."""
    source = source_name(path, root)
    suffix = path.suffix.lower()
    version = converter_of(path)
    if has_rows(path):
        return convert_rows(data, path, root)[0]
    converted = convert(data, suffix, source)
    if not converted.text.strip():
        raise ConversionError(
            found=f"{source} contains no text",
            expected="a document with text",
            next_step=f"add text to {source}, or delete it",
        )
    id_, title = document_id(path, root), converted.title or path.stem
    return [
        Document(
            id_, title, converted.text, id_, source, _sha256(data), version + converted.variant, converted.page_starts,
            converted.writing, converted.marks or (), _metadata(converted),
        )
    ]  # fmt: skip


def _metadata(converted: Converted) -> dict[str, Any]:
    """That pages were read by text recognition, and the first and last page of each run of them."""
    pages = spans(converted.recognised)
    return {"ocr": True, "ocr_pages": [list(span) for span in pages]} if pages else {}


def convert_rows(data: bytes, path: Path, root: Path) -> tuple[list[Document], tuple[str, ...]]:
    """The documents of a file with one document per row, and notes for the user on its columns."""
    source, (read_rows, version) = source_name(path, root), _ROW_FORMATS[path.suffix.lower()]
    found = read_rows(data, source)
    return [
        Document(
            row.id,
            row.title,
            row.text,
            row.group,
            source,
            _sha256(row.raw),
            version,
            writing="fields",
            metadata=row.metadata,
        )
        for row in found.rows
    ], found.notes


def has_rows(path: Path) -> bool:
    return path.suffix.lower() in _ROW_FORMATS


def is_plain(suffix: str) -> bool:
    """Whether the file's own text is the converted text, so that no parser library reads it."""
    return _FORMATS.get(suffix) in {_TEXT, _MARKDOWN}


def converter_of(path: Path) -> str:
    """Name and version of the file's converter: a new version makes its documents stale."""
    suffix = path.suffix.lower()
    return _ROW_FORMATS[suffix][1] if has_rows(path) else _format_of(suffix, path.name)[1]


def source_name(path: Path, root: Path) -> str:
    """The path below the docs folder, "/"-separated on every system."""
    return path.relative_to(root).as_posix()


def document_id(path: Path, root: Path) -> str:
    """The source name without its suffix.

    If files differ only in their suffix, the first in the order of `SUFFIXES` drops its suffix and the others keep it.
    """
    source = source_name(path, root)
    stem = path.with_suffix("")
    for suffix in _FORMATS:
        if suffix == path.suffix.lower():
            break
        if stem.with_name(stem.name + suffix).is_file():
            return source
    return source[: len(source) - len(path.suffix)]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _format_of(suffix: str, source: str) -> tuple[Callable[[bytes, str], Converted], str]:
    if suffix not in _FORMATS:
        raise ConversionError(
            found=f"{source} has an unsupported suffix",
            expected=f"one of {' '.join(SUFFIXES)}",
            next_step=f"save {source} in one of these formats",
        )
    return _FORMATS[suffix]
