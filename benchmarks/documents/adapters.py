"""Each reader as a function from a file to Markdown-like text, with the settings that suit running text.

A reader is imported when its function is called, since it may not be installed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

Read = Callable[[Path], str]


def _softgraft(path: Path) -> str:
    convert = import_module("retrieval.conversion.convert")
    return "\n\n".join(map(_as_markdown, convert.convert_file(path, path.parent)))


def _as_markdown(document: Any) -> str:
    """The text of a document, with what its marks say of plain text: which lines are headings and rows of tables.

    Rows of plain text have no bar at their ends, so that one that starts with a bar has an empty first cell.
    """
    if document.writing != "plain":
        return str(document.text)
    parts: list[str] = []
    done = 0
    for mark in document.marks:
        if mark.kind == "list":
            continue
        parts.append(_escaped(document.text[done : mark.start]))
        marked = document.text[mark.start : mark.end]
        parts.append(marked if mark.kind == "heading" else _bordered(marked))
        done = mark.end
    return "".join([*parts, _escaped(document.text[done:])])


def _escaped(text: str) -> str:
    return re.sub(r"^(?=#{1,6}\s)", r"\\", text, flags=re.MULTILINE)


def _bordered(table: str) -> str:
    return "\n".join(f"| {line} |" for line in table.split("\n"))


def _markitdown(path: Path) -> str:
    return str(_markitdown_reader().convert(path).text_content)


@cache
def _markitdown_reader() -> Any:
    return import_module("markitdown").MarkItDown(enable_plugins=False)


def _kreuzberg(path: Path) -> str:
    kreuzberg = import_module("kreuzberg")
    config = kreuzberg.ExtractionConfig(output_format="markdown", use_cache=False)
    return str(kreuzberg.extract_file_sync(str(path), config=config).content)


def _pandoc(path: Path) -> str:
    pypandoc = import_module("pypandoc")
    return str(pypandoc.convert_file(str(path), "gfm", extra_args=["--wrap=none"]))


def _mammoth(path: Path) -> str:
    with path.open("rb") as file:
        return _from_html(import_module("mammoth").convert_to_html(file).value)


def _python_docx(path: Path) -> str:
    items = import_module("docx").Document(str(path)).iter_inner_content()
    return "\n\n".join(
        _pipes([cell.text for cell in row.cells] for row in item.rows) if hasattr(item, "rows") else item.text
        for item in items
    )


def _trafilatura(path: Path) -> str:
    extract = import_module("trafilatura").extract
    return extract(path.read_bytes(), output_format="markdown", include_tables=True, include_formatting=True) or ""


def _html2text(path: Path) -> str:
    parser = import_module("html2text").HTML2Text(bodywidth=0)
    parser.ignore_links = True
    return str(parser.handle(path.read_text(encoding="utf-8", errors="replace")))


def _markdownify(path: Path) -> str:
    return _from_html(path.read_bytes())


def _from_html(page: str | bytes) -> str:
    soup = import_module("bs4").BeautifulSoup(page, "html.parser")
    for dropped in soup(["script", "style"]):
        dropped.decompose()
    return str(import_module("markdownify").MarkdownConverter(heading_style="ATX").convert_soup(soup))


def _pdfplumber(path: Path) -> str:
    parts: list[str] = []
    with import_module("pdfplumber").open(path) as document:
        for page in document.pages:
            tables = page.find_tables()
            rest = page.filter(lambda thing, tables=tables: not _inside(thing, tables))
            parts += [rest.extract_text(), *(_pipes(table.extract()) for table in tables)]
    return "\n\n".join(parts)


def _inside(thing: dict[str, Any], tables: Iterable[Any]) -> bool:
    if thing.get("object_type") != "char":
        return False
    x, y = (thing["x0"] + thing["x1"]) / 2, (thing["top"] + thing["bottom"]) / 2
    return any(left <= x <= right and top <= y <= bottom for left, top, right, bottom in (t.bbox for t in tables))


def _pdfminer(path: Path) -> str:
    return str(import_module("pdfminer.high_level").extract_text(str(path)))


def _docling_parse(path: Path) -> str:
    parser = import_module("docling_parse.pdf_parser").DoclingPdfParser(loglevel="fatal")
    pages = (page for _, page in parser.load(str(path)).iterate_pages())
    return "\n\n".join("\n".join(cell.text for cell in page.textline_cells) for page in pages)


def _pypdf(path: Path) -> str:
    return "\n\n".join(page.extract_text() for page in import_module("pypdf").PdfReader(path).pages)


def _pymupdf(path: Path) -> str:
    with import_module("pymupdf").open(path) as document:
        return "\n\n".join(page.get_text(sort=path.suffix == ".pdf") for page in document)


def _pymupdf4llm(path: Path) -> str:
    return str(import_module("pymupdf4llm").to_markdown(str(path), use_ocr=False, show_progress=False))


def _openpyxl(path: Path) -> str:
    book = import_module("openpyxl").load_workbook(path, data_only=True)
    return "\n\n".join(f"# {sheet.title}\n\n{_pipes(sheet.iter_rows(values_only=True))}" for sheet in book.worksheets)


def _python_pptx(path: Path) -> str:
    parts: list[str] = []
    for slide in import_module("pptx").Presentation(str(path)).slides:
        for shape in slide.shapes:
            if shape.has_text_frame:
                title = slide.shapes.title is not None and shape.shape_id == slide.shapes.title.shape_id
                parts.append(f"{'# ' * title}{shape.text_frame.text}")
            elif shape.has_table:
                parts.append(_pipes([cell.text for cell in row.cells] for row in shape.table.rows))
    return "\n\n".join(parts)


def _ebooklib(path: Path) -> str:
    epub = import_module("ebooklib.epub")
    book = epub.read_epub(str(path), options={"ignore_ncx": True})
    pages = (book.get_item_with_id(name) for name, _ in book.spine)
    return "\n\n".join(_from_html(page.get_body_content()) for page in pages)


def _odfpy(path: Path) -> str:
    teletype = import_module("odf.teletype")
    document = import_module("odf.opendocument").load(str(path))
    parts: list[str] = []
    stack = [document.text]
    while stack:
        node = stack.pop()
        kind = getattr(node, "qname", ("", ""))[1]
        if kind in {"h", "p"}:
            level = int(node.getAttribute("outlinelevel") or 1) if kind == "h" else 0
            parts.append(f"{'#' * level} {teletype.extractText(node)}".strip())
        else:
            stack += reversed(node.childNodes)
    return "\n\n".join(parts)


def _email(path: Path) -> str:
    email, policy = import_module("email"), import_module("email.policy")
    message = email.message_from_bytes(path.read_bytes(), policy=policy.default)
    # The message, and those that it forwards.
    forwarded = [part.get_payload(0) for part in message.walk() if part.get_content_type() == "message/rfc822"]
    parts: list[str] = []
    for one in [message, *forwarded]:
        body = one.get_body(("plain", "html"))
        text = body.get_content() if body is not None else ""
        html = body is not None and body.get_content_type() == "text/html"
        parts += [f"# {one['subject']}", _from_html(text) if html else text]
    return "\n\n".join(parts)


def _pipes(rows: Iterable[Iterable[Any]]) -> str:
    return "\n".join(
        "| " + " | ".join(" ".join(str("" if cell is None else cell).split()) for cell in row) + " |" for row in rows
    )


ADAPTERS: dict[str, Read] = {
    "softgraft": _softgraft,
    "markitdown": _markitdown,
    "kreuzberg": _kreuzberg,
    "pandoc": _pandoc,
    "mammoth": _mammoth,
    "python-docx": _python_docx,
    "trafilatura": _trafilatura,
    "html2text": _html2text,
    "markdownify": _markdownify,
    "pdfplumber": _pdfplumber,
    "pdfminer.six": _pdfminer,
    "docling-parse": _docling_parse,
    "pypdf": _pypdf,
    "pymupdf": _pymupdf,
    "pymupdf4llm": _pymupdf4llm,
    "openpyxl": _openpyxl,
    "python-pptx": _python_pptx,
    "ebooklib": _ebooklib,
    "odfpy": _odfpy,
    "email": _email,
}
