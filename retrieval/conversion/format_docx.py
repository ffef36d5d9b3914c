"""DOCX: paragraphs, headings, lists and tables in the order of the document."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from itertools import groupby
from typing import TYPE_CHECKING

from retrieval.conversion.converted import Converted, MarkdownWriter, one_line
from retrieval.errors import ConversionError

if TYPE_CHECKING:
    from docx.table import Table
    from docx.text.paragraph import Paragraph

VERSION = "docx/1"

_MIB = 2**20
# XML takes many times its size in memory; pictures are unpacked but not parsed.
_MAX_UNPACKED_MIB = 512
_MAX_XML_MIB = 64
# The container of a password-protected document, and of every document before Word 2007.
_OLD_WORD_START = b"\xd0\xcf\x11\xe0"
_HEADING_STYLE = re.compile(r"heading (\d)")


def convert(data: bytes, name: str) -> Converted:
    """Raises ConversionError if the file is not DOCX, is damaged, has a password, or unpacks to too much data."""
    from docx.opc.exceptions import OpcError

    if data.startswith(_OLD_WORD_START):
        raise ConversionError(
            found=f"{name} is locked with a password, or in the format of Word before 2007",
            expected="a DOCX that opens without a password",
            next_step=f"save {name} again as DOCX, without its password",
        )
    try:
        _check_archive(data, name)
        return _read(data)
    # A damaged archive can fail anywhere; XML errors are SyntaxErrors.
    except (
        *(zipfile.BadZipFile, zlib.error, OpcError, SyntaxError, NotImplementedError, RuntimeError),
        *(KeyError, ValueError, IndexError, AttributeError, TypeError, OSError),
    ) as error:
        raise ConversionError(
            found=f"{name} cannot be read as DOCX ({type(error).__name__}: {error})",
            expected="a Word document without a password",
            next_step=f"open {name} in a word processor and save it again as DOCX",
        ) from error


def _check_archive(data: bytes, name: str) -> None:
    """Check the sizes in the archive's table of contents before anything is unpacked."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if "[Content_Types].xml" not in names or not any(entry.startswith("word/") for entry in names):
        raise ConversionError(
            found=f"{name} is another kind of archive (it contains {', '.join(names[:3]) or 'nothing'})",
            expected="a Word document, with its text in a folder word/",
            next_step=f"unpack {name}, or correct its suffix",
        )
    _check_size(sum(entry.file_size for entry in entries), _MAX_UNPACKED_MIB, name)
    markup = (entry for entry in entries if entry.filename.lower().endswith((".xml", ".rels")))
    _check_size(sum(entry.file_size for entry in markup), _MAX_XML_MIB, name)


def _check_size(unpacked: int, limit_mib: int, name: str) -> None:
    if unpacked > limit_mib * _MIB:
        raise ConversionError(
            found=f"{name} unpacks to {unpacked / _MIB:,.0f} MiB",
            expected=f"at most {_MAX_UNPACKED_MIB} MiB, of which {_MAX_XML_MIB} MiB text",
            next_step=f"split {name}, or remove its pictures",
        )


def _read(data: bytes) -> Converted:
    import docx

    document = docx.Document(io.BytesIO(data))
    writer = MarkdownWriter()
    for item in document.iter_inner_content():
        if hasattr(item, "rows"):
            writer.end_group()
            _write_table(writer, item)
            writer.end_group()
        else:
            _write_paragraph(writer, item)
    core_title = one_line(document.core_properties.title or "")
    return Converted(text=writer.text(), title=writer.title or core_title or None)


def _write_paragraph(writer: MarkdownWriter, paragraph: Paragraph) -> None:
    style = ((paragraph.style and paragraph.style.name) or "").lower()
    heading = _HEADING_STYLE.match(style)
    if style == "title":
        writer.heading(1, paragraph.text)
    elif heading is not None:
        writer.heading(int(heading.group(1)), paragraph.text)
    elif style.startswith("list") or _is_numbered(paragraph):
        writer.entry(paragraph.text, depth=_list_level(paragraph, style))
    else:
        lines = (one_line(line) for line in paragraph.text.split("\n"))
        writer.paragraph("\n".join(line for line in lines if line))


def _is_numbered(paragraph: Paragraph) -> bool:
    properties = paragraph._p.pPr
    return properties is not None and properties.numPr is not None


def _list_level(paragraph: Paragraph, style: str) -> int:
    if _is_numbered(paragraph):
        level = paragraph._p.pPr.numPr.ilvl
        return int(level.val) if level is not None else 0
    # The built-in styles "List Bullet 2" and "List Number 3" have their level in the name.
    return int(style[-1]) - 1 if style[-1:] in {"2", "3", "4", "5"} else 0


def _write_table(writer: MarkdownWriter, table: Table) -> None:
    for row in table.rows:
        # A merged cell occurs once per column that it spans.
        writer.row([next(same).text for _, same in groupby(row.cells, key=lambda cell: cell._tc)])
