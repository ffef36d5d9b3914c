"""Generate the HTML, DOCX and PDF documents of the example domains from their Markdown in `sources/`.

    python domains/make_documents.py            write the documents
    python domains/make_documents.py --check    name the documents that differ from their source, and exit with 1

A source has headings, paragraphs of one line each, and lists. Converted by `retrieval`, a document has the same lines
as its source. The same library versions always generate the same bytes.
"""

from __future__ import annotations

import argparse
import html
import io
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Literal, cast

import docx
from fpdf import FPDF

from retrieval import RetrievalError, convert_file

DOMAINS = Path(__file__).resolve().parent
WRITTEN = datetime(2025, 3, 3, 9, 0, tzinfo=UTC)

LineKind = Literal["title", "heading", "entry", "paragraph"]


@dataclass(frozen=True, slots=True)
class Brand:
    """The organisation that publishes a document, and the colour of its headings."""

    name: str
    colour: tuple[int, int, int]

    @property
    def hex_colour(self) -> str:
        return "#{:02x}{:02x}{:02x}".format(*self.colour)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a source."""

    kind: LineKind
    text: str


BRANDS = {
    "bank": Brand("Larkmoor Bank", (11, 79, 74)),
    "clinic": Brand("Alderbrook Clinic", (34, 68, 122)),
}
DOCUMENTS = (
    *("bank/docs/payment-limits.html", "bank/docs/car-finance.pdf", "bank/docs/statements-and-documents.docx"),
    *("clinic/docs/parking-and-access.html", "clinic/docs/biopsy-results.pdf", "clinic/docs/foot-care.docx"),
)


def source_of(document: Path) -> Path:
    """The Markdown source of a document."""
    return document.parent.parent / "sources" / f"{document.stem}.md"


def read_lines(markdown: str) -> list[Line]:
    """The lines of a source, without blank ones."""
    marks: tuple[tuple[str, LineKind], ...] = (("# ", "title"), ("## ", "heading"), ("- ", "entry"))
    lines = []
    for text in filter(None, map(str.strip, markdown.splitlines())):
        mark, kind = next(((m, k) for m, k in marks if text.startswith(m)), ("", "paragraph"))
        lines.append(Line(kind, text.removeprefix(mark).strip()))
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
  color: {brand.hex_colour}; border-bottom: 3px solid currentColor; }}
h1, h2 {{ font-family: Arial, sans-serif; line-height: 1.25; color: {brand.hex_colour}; }}
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
        needed = _height(pdf, line, brand) + (_height(pdf, next_line, brand) if next_line else 0.0)
        if pdf.will_page_break(needed):
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


def _height(pdf: FPDF, line: Line, brand: Brand) -> float:
    _, _, spacing, above = _PDF_STYLES[line.kind]
    _set_font(pdf, line.kind, brand)
    return above + cast(
        float, pdf.multi_cell(0, spacing, _printed_text(line), align="L", dry_run=True, output="HEIGHT")
    )


def _print(pdf: FPDF, line: Line, brand: Brand) -> None:
    _, _, spacing, above = _PDF_STYLES[line.kind]
    pdf.ln(above)
    _set_font(pdf, line.kind, brand)
    pdf.multi_cell(0, spacing, _printed_text(line), align="L", new_x="LMARGIN", new_y="NEXT")


def _set_font(pdf: FPDF, kind: LineKind, brand: Brand) -> None:
    style, size, _, _ = _PDF_STYLES[kind]
    pdf.set_font("Helvetica", style=style, size=size)
    pdf.set_text_color(*(brand.colour if kind in ("title", "heading") else (0, 0, 0)))


def _printed_text(line: Line) -> str:
    return f"\u2022 {line.text}" if line.kind == "entry" else line.text


MAKERS: dict[str, Callable[[Sequence[Line], Brand], bytes]] = {".html": make_html, ".docx": make_docx, ".pdf": make_pdf}


def make(path: Path) -> bytes:
    """The bytes of a document, generated from its source."""
    lines = read_lines(source_of(path).read_text(encoding="utf-8"))
    return MAKERS[path.suffix](lines, BRANDS[path.parent.parent.name])


def matches_source(path: Path) -> bool:
    """Whether a document has the same lines as its source."""
    try:
        (document,) = convert_file(path, path.parent)
    except RetrievalError:
        return False
    return read_lines(document.text) == read_lines(source_of(path).read_text(encoding="utf-8"))


def main() -> int:
    """Generate or check the documents. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; name the documents that differ")
    check = parser.parse_args().check
    paths = [DOMAINS / name for name in DOCUMENTS]
    if not check:
        for path in paths:
            path.write_bytes(make(path))
    different = [path for path in paths if not matches_source(path)]
    for path in different:
        sys.stderr.write(f"{path.relative_to(DOMAINS)} is missing or differs from its source\n")
    if different and check:
        sys.stderr.write("Next: python domains/make_documents.py\n")
    sys.stdout.write(f"{len(paths) - len(different)} of {len(paths)} documents match their sources\n")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
