"""Makes the HTML, DOCX and PDF documents of the example domains from their Markdown in `sources/`.

    python domains/make_documents.py            writes them
    python domains/make_documents.py --check    says which say something else than their source, and exits with 1

A source holds headings, paragraphs of one line each, and lists. What is made reads the same, line by line, once
`retrieval` has converted it. The bytes are the same on every run of the same library versions.
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

Kind = Literal["title", "heading", "entry", "paragraph"]


@dataclass(frozen=True, slots=True)
class House:
    """Who signs a document, and the colour of its headings."""

    name: str
    colour: tuple[int, int, int]

    @property
    def hex_colour(self) -> str:
        return "#{:02x}{:02x}{:02x}".format(*self.colour)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a source."""

    kind: Kind
    text: str


HOUSES = {
    "bank": House("Larkmoor Bank", (11, 79, 74)),
    "clinic": House("Alderbrook Clinic", (34, 68, 122)),
}
MADE = (
    *("bank/docs/payment-limits.html", "bank/docs/car-finance.pdf", "bank/docs/statements-and-documents.docx"),
    *("clinic/docs/parking-and-access.html", "clinic/docs/biopsy-results.pdf", "clinic/docs/foot-care.docx"),
)


def source_of(made: Path) -> Path:
    """The Markdown that a document is made from."""
    return made.parent.parent / "sources" / f"{made.stem}.md"


def read_lines(markdown: str) -> list[Line]:
    """The lines of a source that hold text."""
    marks: tuple[tuple[str, Kind], ...] = (("# ", "title"), ("## ", "heading"), ("- ", "entry"))
    lines = []
    for text in filter(None, map(str.strip, markdown.splitlines())):
        mark, kind = next(((m, k) for m, k in marks if text.startswith(m)), ("", "paragraph"))
        lines.append(Line(kind, text.removeprefix(mark).strip()))
    return lines


def make_html(lines: Sequence[Line], house: House) -> bytes:
    """A page as a content system publishes it. The house's name above it is drawn by the style sheet."""
    title = next(line.text for line in lines if line.kind == "title")
    first = next(line.text for line in lines if line.kind == "paragraph")
    tags = {"title": "h1", "heading": "h2", "paragraph": "p", "entry": "li"}
    body: list[str] = []
    for kind, group in groupby(lines, key=lambda line: line.kind):
        written = [f"<{tags[kind]}>{html.escape(line.text, quote=False)}</{tags[kind]}>" for line in group]
        body += ["<ul>", *written, "</ul>"] if kind == "entry" else written
    page = f"""<!DOCTYPE html>
<html lang="en-GB">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)} | {house.name}</title>
<meta name="description" content="{html.escape(first)}">
<meta name="dcterms.modified" content="{WRITTEN:%Y-%m-%d}">
<style>
body {{ margin: 0 auto; max-width: 42rem; padding: 0 1.25rem 4rem; font: 1rem/1.6 Georgia, serif; color: #222; }}
body::before {{ content: "{house.name}"; display: block; padding: 1.25rem 0; font-weight: bold;
  color: {house.hex_colour}; border-bottom: 3px solid currentColor; }}
h1, h2 {{ font-family: Arial, sans-serif; line-height: 1.25; color: {house.hex_colour}; }}
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


def make_docx(lines: Sequence[Line], house: House) -> bytes:
    """A Word document in the built-in styles."""
    document = docx.Document()
    properties = document.core_properties
    properties.title = next(line.text for line in lines if line.kind == "title")
    properties.author = properties.last_modified_by = house.name
    properties.created = properties.modified = WRITTEN.replace(tzinfo=None)
    properties.comments = ""
    properties.language = "en-GB"
    document.sections[0].footer.paragraphs[0].text = house.name
    styles = {"title": "Heading 1", "heading": "Heading 2", "entry": "List Bullet", "paragraph": "Normal"}
    for line in lines:
        document.add_paragraph(line.text, style=styles[line.kind])
    written = io.BytesIO()
    document.save(written)
    return _dated_archive(written.getvalue())


def _dated_archive(data: bytes) -> bytes:
    """The same archive with one date on all its files."""
    dated = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(dated, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(zipfile.ZipInfo(name, WRITTEN.timetuple()[:6]), old.read(name), zipfile.ZIP_DEFLATED)
    return dated.getvalue()


def make_pdf(lines: Sequence[Line], house: House) -> bytes:
    """A printed leaflet. A paragraph is never torn over two pages, and a heading stays with what follows it."""
    pdf = FPDF(format="A4")
    pdf.core_fonts_encoding = "windows-1252"  # what the core fonts print; it holds the euro sign
    pdf.set_creation_date(WRITTEN)
    pdf.set_title(next(line.text for line in lines if line.kind == "title"))
    pdf.set_author(house.name)
    pdf.set_producer(house.name)
    pdf.set_lang("en-GB")
    pdf.set_margins(25, 24, 25)
    pdf.set_auto_page_break(True, margin=22)
    pdf.add_page()
    for number, line in enumerate(lines):
        follower = lines[number + 1] if line.kind in ("title", "heading") and number + 1 < len(lines) else None
        needed = _height(pdf, line, house) + (_height(pdf, follower, house) if follower else 0.0)
        if pdf.will_page_break(needed):
            pdf.add_page()
        _print(pdf, line, house)
    return bytes(pdf.output())


# Type size in points, distance of lines and space above in millimetres.
_PDF_STYLES: dict[Kind, tuple[str, float, float, float]] = {
    "title": ("B", 20, 9, 0),
    "heading": ("B", 14, 7, 5),
    "paragraph": ("", 11, 5.6, 2.5),
    "entry": ("", 11, 5.6, 1.5),
}


def _height(pdf: FPDF, line: Line, house: House) -> float:
    _, _, pitch, above = _PDF_STYLES[line.kind]
    _set_type(pdf, line.kind, house)
    return above + cast(float, pdf.multi_cell(0, pitch, _printed(line), align="L", dry_run=True, output="HEIGHT"))


def _print(pdf: FPDF, line: Line, house: House) -> None:
    _, _, pitch, above = _PDF_STYLES[line.kind]
    pdf.ln(above)
    _set_type(pdf, line.kind, house)
    pdf.multi_cell(0, pitch, _printed(line), align="L", new_x="LMARGIN", new_y="NEXT")


def _set_type(pdf: FPDF, kind: Kind, house: House) -> None:
    style, size, _, _ = _PDF_STYLES[kind]
    pdf.set_font("Helvetica", style=style, size=size)
    pdf.set_text_color(*(house.colour if kind in ("title", "heading") else (0, 0, 0)))


def _printed(line: Line) -> str:
    return f"\u2022 {line.text}" if line.kind == "entry" else line.text


MAKERS: dict[str, Callable[[Sequence[Line], House], bytes]] = {".html": make_html, ".docx": make_docx, ".pdf": make_pdf}


def make(path: Path) -> bytes:
    """The bytes of a document, made from its source."""
    lines = read_lines(source_of(path).read_text(encoding="utf-8"))
    return MAKERS[path.suffix](lines, HOUSES[path.parent.parent.name])


def says_the_same(path: Path) -> bool:
    """Whether a document that was made reads as its source, line by line."""
    try:
        (document,) = convert_file(path, path.parent)
    except RetrievalError:
        return False
    return read_lines(document.text) == read_lines(source_of(path).read_text(encoding="utf-8"))


def main() -> int:
    """Make the documents or check them; returns the exit code."""
    parser = argparse.ArgumentParser(description="Make the HTML, DOCX and PDF documents of the example domains.")
    parser.add_argument("--check", action="store_true", help="write nothing; name the documents that differ")
    check = parser.parse_args().check
    paths = [DOMAINS / name for name in MADE]
    if not check:
        for path in paths:
            path.write_bytes(make(path))
    different = [path for path in paths if not says_the_same(path)]
    for path in different:
        sys.stderr.write(f"{path.relative_to(DOMAINS)} is missing or says something else than its source\n")
    if different and check:
        sys.stderr.write("make them again: python domains/make_documents.py\n")
    sys.stdout.write(f"{len(paths) - len(different)} of {len(paths)} documents say the same as their sources\n")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
