"""DOCX: checks of the archive, and its text in the order of the document. Headers and footers are left out."""

from __future__ import annotations

import io
import zipfile
import zlib
from functools import partial
from typing import TYPE_CHECKING

from retrieval.conversion.converted import Converted, MarkdownWriter, one_line
from retrieval.conversion.docx.blocks import write
from retrieval.conversion.docx.markup import Element, w
from retrieval.conversion.docx.notes import read_notes
from retrieval.conversion.docx.numbering import Numbering
from retrieval.conversion.docx.reader import DocxReader
from retrieval.conversion.docx.styles import Styles
from retrieval.errors import ConversionError

if TYPE_CHECKING:
    from docx.opc.part import Part

VERSION = "docx/3"

_MIB = 2**20
# XML takes many times its size in memory; pictures are unpacked but not parsed.
_MAX_UNPACKED_MIB = 512
_MAX_XML_MIB = 64
# The container of a password-protected document, and of every document before Word 2007.
_OLD_WORD_START = b"\xd0\xcf\x11\xe0"


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
    part = document.part
    body = part.element.body
    styles, numbering = Styles(_related(part, "styles")), Numbering(_related(part, "numbering"))
    notes = read_notes(body, _related(part, "footnotes"), _related(part, "endnotes"))
    writer = MarkdownWriter()
    write(writer, DocxReader(styles, numbering, notes, partial(_part, part)).read(body))
    core_title = one_line(document.core_properties.title or "")
    embedded = len(body.findall(f".//{w('altChunk')}"))
    unread = (f"{embedded} embedded documents were not read; copy their text into the document",) if embedded else ()
    return Converted(text=writer.text(), title=writer.title or core_title or None, unread=unread)


def _related(part: Part, kind: str) -> Element | None:
    """The root of a part that the document refers to, such as its styles; None if it has none."""
    for relation in part.rels.values():
        if not relation.is_external and relation.reltype.endswith(f"/{kind}"):
            return _root(relation.target_part)
    return None


def _part(document: Part, relation_id: str) -> Element | None:
    relation = document.rels.get(relation_id)
    return None if relation is None or relation.is_external else _root(relation.target_part)


def _root(part: Part) -> Element:
    from docx.oxml.parser import parse_xml

    return part.element if hasattr(part, "element") else parse_xml(part.blob)
