"""The readers that are compared: the formats that each is asked to read, its packages, its licence."""

from __future__ import annotations

from dataclasses import dataclass

OURS = "softgraft"
_OFFICE = (".docx", ".xlsx", ".pptx")
_CODE = (".py", ".sh", ".sql", ".yaml", ".json", ".go")


@dataclass(frozen=True, slots=True)
class Reader:
    """`requirements` are what pip installs for it. Licences are SPDX identifiers."""

    name: str
    requirements: tuple[str, ...]
    licence: str
    suffixes: tuple[str, ...]
    note: str = ""


READERS = (
    # The formats of our own readers are those that the package knows when it is measured.
    Reader(OURS, ("pypdfium2", "python-docx", "selectolax"), "Apache-2.0", ()),
    Reader(
        "markitdown", ("markitdown[docx,pdf,pptx,xlsx]",), "MIT", (*_OFFICE, ".html", ".pdf", ".epub", *_CODE, ".srt")
    ),
    Reader("kreuzberg", ("kreuzberg",), "MIT", (*_OFFICE, ".html", ".pdf", ".odt", ".epub", ".eml", *_CODE)),
    Reader("pandoc", ("pypandoc_binary",), "GPL-2.0-or-later", (*_OFFICE, ".html", ".odt", ".epub"), "a program"),
    Reader("mammoth", ("mammoth", "markdownify"), "BSD-2-Clause", (".docx",), "its HTML through markdownify"),
    Reader("python-docx", ("python-docx",), "MIT", (".docx",), "paragraphs and tables in order"),
    Reader("trafilatura", ("trafilatura", "lxml_html_clean"), "Apache-2.0", (".html",)),
    Reader("html2text", ("html2text",), "GPL-3.0-or-later", (".html",)),
    Reader("markdownify", ("markdownify",), "MIT", (".html",), "with Beautiful Soup"),
    Reader("pdfplumber", ("pdfplumber",), "MIT", (".pdf",), "text outside tables, then tables"),
    Reader("pdfminer.six", ("pdfminer.six",), "MIT", (".pdf",)),
    Reader("docling-parse", ("docling-parse",), "MIT", (".pdf",), "lines in the order of the file"),
    Reader("pypdf", ("pypdf",), "BSD-3-Clause", (".pdf",)),
    Reader("pymupdf", ("pymupdf",), "AGPL-3.0-only", (".pdf", ".epub"), "its plain text"),
    Reader("pymupdf4llm", ("pymupdf4llm", "pymupdf"), "AGPL-3.0-only", (".pdf",), "its Markdown, without OCR"),
    Reader("openpyxl", ("openpyxl",), "MIT", (".xlsx",), "values as Python writes them"),
    Reader("python-pptx", ("python-pptx",), "MIT", (".pptx",), "text frames and tables of shapes"),
    Reader("ebooklib", ("EbookLib", "markdownify"), "AGPL-3.0-or-later", (".epub",), "pages through markdownify"),
    Reader("odfpy", ("odfpy",), "Apache-2.0 OR GPL-2.0-or-later", (".odt",), "headings and paragraphs"),
    Reader("email", ("markdownify",), "PSF-2.0", (".eml",), "standard library; HTML through markdownify"),
)


def reader_named(name: str) -> Reader:
    return next(reader for reader in READERS if reader.name == name)
