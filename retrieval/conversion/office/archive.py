"""Archives of XML parts, opened with limits on what they unpack to."""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from retrieval.errors import ConversionError

_MIB = 2**20
# XML takes many times its size in memory; pictures are never unpacked.
_MAX_MARKUP_MIB = 64
# The container of a password-protected office file, and of those before 2007.
_OLD_OFFICE_START = b"\xd0\xcf\x11\xe0"
_MARKUP = (".xml", ".rels", ".html", ".xhtml", ".htm", ".opf", "mimetype")
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"


class Archive:
    """The parts of an archive by name."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.names = frozenset(archive.namelist())

    def bytes_of(self, name: str) -> bytes:
        """The bytes of a part. Raises KeyError if there is none."""
        return self._archive.read(name)

    def xml(self, name: str) -> Any:
        """The root element of a part; entities are not resolved. Raises KeyError if there is none."""
        from lxml import etree

        parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
        return etree.fromstring(self.bytes_of(name), parser)

    def related(self, name: str) -> dict[str, tuple[str, str]]:
        """What a part refers to: id to the kind of relation and the name of the part."""
        folder, file = posixpath.split(name)
        listed = posixpath.join(folder, "_rels", f"{file}.rels")
        if listed not in self.names:
            return {}
        return {
            one.get("Id"): (one.get("Type", "").rsplit("/", 1)[-1], beside(name, one.get("Target", "")))
            for one in self.xml(listed)
            if one.get("TargetMode") != "External"
        }


def beside(name: str, target: str) -> str:
    """The name of the part that `target` means in the part `name`."""
    path = unquote(target.split("#", 1)[0])
    return path[1:] if path.startswith("/") else posixpath.normpath(posixpath.join(posixpath.dirname(name), path))


def relation_id(element: Any) -> str:
    return str(element.get(f"{_RELATION}id"))


@contextmanager
def opened(data: bytes, name: str, kind: str, required: str) -> Iterator[Archive]:
    """The archive of a file of this kind, with the part `required`.

    Raises ConversionError if the file is another one, is damaged or locked, or unpacks to too much.
    """
    if data.startswith(_OLD_OFFICE_START):
        raise ConversionError(
            found=f"{name} is locked with a password, or in the format of Office before 2007",
            expected=f"{kind} that opens without a password",
            next_step=f"save {name} again in its present format, without its password",
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check(archive, name, kind, required)
            yield Archive(archive)
    # A damaged archive can fail anywhere; XML errors are SyntaxErrors.
    except (
        *(zipfile.BadZipFile, zlib.error, SyntaxError, NotImplementedError, RuntimeError, EOFError),
        *(KeyError, ValueError, IndexError, AttributeError, TypeError, OSError),
    ) as error:
        raise ConversionError(
            found=f"{name} cannot be read as {kind} ({type(error).__name__}: {error})",
            expected=f"{kind} without a password",
            next_step=f"open {name} in the program it comes from and save it again",
        ) from error


def _check(archive: zipfile.ZipFile, name: str, kind: str, required: str) -> None:
    """Check the archive's table of contents before anything is unpacked."""
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if required not in names:
        raise ConversionError(
            found=f"{name} is another kind of archive (it contains {', '.join(names[:3]) or 'nothing'})",
            expected=f"{kind}, with the part {required}",
            next_step=f"unpack {name}, or correct its suffix",
        )
    unpacked = sum(entry.file_size for entry in entries if entry.filename.lower().endswith(_MARKUP))
    if unpacked > _MAX_MARKUP_MIB * _MIB:
        raise ConversionError(
            found=f"{name} unpacks to {unpacked / _MIB:,.0f} MiB of text",
            expected=f"at most {_MAX_MARKUP_MIB} MiB",
            next_step=f"split {name}",
        )
