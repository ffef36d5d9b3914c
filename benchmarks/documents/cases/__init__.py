"""The cases of every format."""

from __future__ import annotations

from benchmarks.documents.case import Case
from benchmarks.documents.cases import (
    docx_structure,
    docx_text,
    html_blocks,
    html_encodings,
    html_pages,
    messages,
    office,
    open_formats,
    pdf_structure,
    pdf_text,
    written_by_office,
)

_MODULES = (
    *(html_encodings, html_pages, html_blocks, docx_text, docx_structure, pdf_text, pdf_structure),
    *(office, open_formats, messages, written_by_office),
)


def all_cases() -> list[Case]:
    """All cases in a fixed order."""
    return [case for module in _MODULES for case in module.CASES]
