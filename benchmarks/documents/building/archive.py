"""Archives of XML parts, which most office formats are."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
OFFICE_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"


def pack(parts: Mapping[str, str | bytes], *, stored_first: bool = False) -> bytes:
    """A ZIP archive with the same bytes each time. ODF and EPUB want their first part, the MIME type, stored."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (name, content) in enumerate(parts.items()):
            entry = zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_STORED if stored_first and number == 0 else zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return data.getvalue()


def relations(targets: Mapping[str, tuple[str, str]]) -> str:
    """A part with relations: id to type (the last word of its address) and target."""
    outside = {True: ' TargetMode="External"', False: ""}
    entries = "".join(
        f'<Relationship Id="{name}" Type="{OFFICE_RELATIONS}/{kind}" Target="{target}"{outside["://" in target]}/>'
        for name, (kind, target) in targets.items()
    )
    return f'{XML}<Relationships xmlns="{PACKAGE_RELATIONS}">{entries}</Relationships>'


def content_types(overrides: Mapping[str, str]) -> str:
    """The list of the parts' content types."""
    entries = "".join(f'<Override PartName="/{name}" ContentType="{kind}"/>' for name, kind in overrides.items())
    return (
        f'{XML}<Types xmlns="{_TYPES}"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>{entries}</Types>'
    )
