"""Generate the HTML, DOCX and PDF documents of the example domains from their Markdown in `sources/`.

    python domains/make_documents.py

A source has headings, paragraphs of one line each, and lists. Converted by `retrieval`, a document has the same lines
as its source; a test compares them. The same library versions always generate the same bytes.
"""

from __future__ import annotations

import html
import io
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple, cast

import docx
from fpdf import FPDF

DOMAINS = Path(__file__).resolve().parent
WRITTEN = datetime(2025, 3, 3, 9, 0, tzinfo=UTC)

LineKind = Literal["title", "heading", "entry", "paragraph"]


class Brand(NamedTuple):
    """The organisation that publishes a document, and the colour of its headings."""

    name: str
    colour: str


class Line(NamedTuple):
    """One line of a source."""

    kind: LineKind
    text: str


BRANDS = {
    "bank": Brand("Larkmoor Bank", "#0b4f4a"),
    "clinic": Brand("Alderbrook Clinic", "#22447a"),
    "college": Brand("Tarrowmouth College", "#6b2d5c"),
    "playhouse": Brand("Copperlight Playhouse", "#8a3b12"),
}
DOCUMENTS = {
    "bank": ("payment-limits.html", "car-finance.pdf", "statements-and-documents.docx"),
    "clinic": ("parking-and-access.html", "biopsy-results.pdf", "foot-care.docx"),
    "college": ("student-card.html", "grade-appeals.pdf", "work-placements.docx"),
    "playhouse": ("prize-counter.html", "volunteers.pdf", "backstage-tours.docx"),
}
# The empty mark comes last, because every line starts with it.
MARKS: dict[str, LineKind] = {"# ": "title", "## ": "heading", "- ": "entry", "": "paragraph"}


def read_lines(markdown: str) -> list[Line]:
    """The lines of a source, without blank ones."""
    lines = []
    for text in filter(None, map(str.strip, markdown.splitlines())):
        mark = next(mark for mark in MARKS if text.startswith(mark))
        lines.append(Line(MARKS[mark], text.removeprefix(mark).strip()))
    return lines


def make_html(lines: Sequence[Line], brand: Brand) -> bytes:
    """A web page as a content management system publishes it. The style sheet shows the brand's name above it."""
    title = next(line.text for line in lines if line.kind == "title")
    first = next(line.text for line in lines if line.kind == "paragraph")
    tags = {"title": "h1", "heading": "h2", "paragraph": "p", "entry": "li"}
    body: list[str] = []
    for kind, group in groupby(lines, key=lambda line: line.kind):
        elements = [f"<{tags[kind]}>{html.escape(line.text, quote=False)}</{tags[kind]}>" for line in group]
        body += ["<ul>", *elements, "</ul>"] if kind == "entry" else elements
    page = f"""<!DOCTYPE html>
<html lang="en-GB">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)} | {brand.name}</title>
<meta name="description" content="{html.escape(first)}">
<meta name="dcterms.modified" content="{WRITTEN:%Y-%m-%d}">
<style>
body {{ margin: 0 auto; max-width: 42rem; padding: 0 1.25rem 4rem; font: 1rem/1.6 Georgia, serif; color: #222; }}
body::before {{ content: "{brand.name}"; display: block; padding: 1.25rem 0; font-weight: bold;
  color: {brand.colour}; border-bottom: 3px solid currentColor; }}
h1, h2 {{ font-family: Arial, sans-serif; line-height: 1.25; color: {brand.colour}; }}
h2 {{ margin-top: 2rem; font-size: 1.2rem; }}
</style>
</head>
<body>
<main>
<article>
{chr(10).join(body)}
</article>
</main>
</body>
</html>
"""
    return page.encode()


def make_docx(lines: Sequence[Line], brand: Brand) -> bytes:
    """A Word document in the built-in styles."""
    document = docx.Document()
    properties = document.core_properties
    properties.title = next(line.text for line in lines if line.kind == "title")
    properties.author = properties.last_modified_by = brand.name
    properties.created = properties.modified = WRITTEN.replace(tzinfo=None)
    properties.comments = ""
    properties.language = "en-GB"
    document.sections[0].footer.paragraphs[0].text = brand.name
    styles = {"title": "Heading 1", "heading": "Heading 2", "entry": "List Bullet", "paragraph": "Normal"}
    for line in lines:
        document.add_paragraph(line.text, style=styles[line.kind])
    output = io.BytesIO()
    document.save(output)
    return _with_fixed_dates(output.getvalue())


def _with_fixed_dates(data: bytes) -> bytes:
    """The same ZIP archive with one date on all its files."""
    output = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name, WRITTEN.timetuple()[:6]), old.read(name), zipfile.ZIP_DEFLATED)
    return output.getvalue()


def make_pdf(lines: Sequence[Line], brand: Brand) -> bytes:
    """A printed leaflet. No paragraph is split over two pages, and a heading is on the page of the line after it."""
    pdf = FPDF(format="A4")
    pdf.core_fonts_encoding = "windows-1252"  # the encoding of the core fonts; it has the euro sign
    pdf.set_creation_date(WRITTEN)
    pdf.set_title(next(line.text for line in lines if line.kind == "title"))
    pdf.set_author(brand.name)
    pdf.set_producer(brand.name)
    pdf.set_lang("en-GB")
    pdf.set_margins(25, 24, 25)
    pdf.set_auto_page_break(True, margin=22)
    pdf.add_page()
    for number, line in enumerate(lines):
        next_line = lines[number + 1] if line.kind in ("title", "heading") and number + 1 < len(lines) else None
        if pdf.will_page_break(sum(_print(pdf, one, brand, dry_run=True) for one in (line, next_line) if one)):
            pdf.add_page()
        _print(pdf, line, brand)
    return bytes(pdf.output())


# Font style, font size in points, line spacing and space above in millimetres.
_PDF_STYLES: dict[LineKind, tuple[str, float, float, float]] = {
    "title": ("B", 20, 9, 0),
    "heading": ("B", 14, 7, 5),
    "paragraph": ("", 11, 5.6, 2.5),
    "entry": ("", 11, 5.6, 1.5),
}


def _print(pdf: FPDF, line: Line, brand: Brand, *, dry_run: bool = False) -> float:
    """Print a line, or in a dry run nothing; returns its height in millimetres."""
    style, size, spacing, above = _PDF_STYLES[line.kind]
    pdf.set_font("Helvetica", style=style, size=size)
    pdf.set_text_color(brand.colour if line.kind in ("title", "heading") else "#000000")
    if not dry_run:
        pdf.ln(above)
    text = f"\u2022 {line.text}" if line.kind == "entry" else line.text
    height = pdf.multi_cell(
        0, spacing, text, align="L", dry_run=dry_run, output="HEIGHT", new_x="LMARGIN", new_y="NEXT"
    )
    return above + cast(float, height)


MAKERS = {".html": make_html, ".docx": make_docx, ".pdf": make_pdf}


def main() -> None:
    """Write the documents."""
    for domain, names in DOCUMENTS.items():
        for name in names:
            path = DOMAINS / domain / "docs" / name
            source = DOMAINS / domain / "sources" / f"{path.stem}.md"
            path.write_bytes(MAKERS[path.suffix](read_lines(source.read_text(encoding="utf-8")), BRANDS[domain]))


if __name__ == "__main__":
    main()
