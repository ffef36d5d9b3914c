"""Each format to Markdown-like text, with the spans of its passages exact."""

from __future__ import annotations

import json
from pathlib import Path

import docx
import pytest
from fpdf import FPDF

from retrieval import ConversionError, Document, convert_file, ingest, split_document
from retrieval.conversion.format_jsonl import read_rows
from tests.support.hashing_encoder import HashingEncoder

HTML = """<html><head><title>Page title</title><style>p {}</style></head><body>
<h1>Fees &amp; charges</h1><p>Cash   costs <b>2.99</b>&nbsp;%<br>at least 3 &euro;.</p>
<script>alert("no")</script><h2>Abroad</h2>
<ul><li>first<ul><li>inner</li></ul></li><li><p>second</p><p>more</p></li></ul>
<table><tr><th>Service</th><th>Price</th></tr><tr><td>Card</td><td><p>12&nbsp;€</p></td></tr></table>
loose end</body></html>"""


def count_tokens(text: str) -> int:
    return len(text.split()) + 2


def only(path: Path, root: Path) -> Document:
    (document,) = convert_file(path, root)
    passages = split_document(document, count_tokens, 24)
    assert passages
    assert all(document.text[passage.start : passage.end] == passage.text for passage in passages)
    return document


def write_docx(path: Path) -> None:
    document = docx.Document()
    document.add_heading("Card fees", level=1)
    document.add_paragraph("Cash withdrawals cost 2.99 percent.")
    table = document.add_table(rows=2, cols=2)
    for row, cells in zip(table.rows, (("Service", "Price"), ("Card", "12 euros")), strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    document.add_heading("Abroad", level=2)
    document.add_paragraph("Tell us first.", style="List Bullet")
    document.add_paragraph("Take the card.", style="List Bullet 2")
    document.save(str(path))


def write_pdf(path: Path, password: str | None = None) -> None:
    pdf = FPDF()
    pdf.add_page()
    pdf.set_font("Helvetica", size=20)
    pdf.cell(0, 12, "Card fees", new_x="LMARGIN", new_y="NEXT")
    pdf.set_font("Helvetica", size=11)
    pdf.multi_cell(0, 6, "Cash withdrawals abroad cost 2.99 percent of the amount withdrawn. " * 4)
    pdf.ln(5)
    pdf.multi_cell(0, 6, "A second paragraph about the replacement of a card that was lost on a journey.")
    pdf.set_xy(10, 120)
    pdf.multi_cell(80, 6, "The inter-\nnational rule, well-\nknown to all. A well-known one.")
    pdf.add_page()
    pdf.multi_cell(0, 6, "On the second page stands the dispute period of 120 days.")
    if password is not None:
        pdf.set_encryption(owner_password="owner", user_password=password)
    pdf.output(str(path))


def test_markdown_is_kept_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.md"
    path.parent.mkdir()
    path.write_bytes(b"\xef\xbb\xbfIntro\r\n\r\n# Fees *of* `cards`\r\n\r\nText.\r\n")
    document = only(path, tmp_path)
    assert document.id == document.group == "a/b"
    assert document.source == "a/b.md"
    assert document.title == "Fees of cards"
    assert document.text == "Intro\n\n# Fees *of* `cards`\n\nText.\n"
    assert len(document.source_digest) == 64


def test_a_text_without_heading_is_titled_by_its_file_name(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Just text.", encoding="utf-8")
    assert only(path, tmp_path).title == "notes"


def test_html(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(HTML, encoding="utf-8")
    document = only(path, tmp_path)
    assert document.title == "Fees & charges"
    assert document.text == (
        "# Fees & charges\n\nCash costs 2.99 %\nat least 3 €.\n\n## Abroad\n\n"
        "- first\n  - inner\n- second\n  more\n\nService | Price\nCard | 12 €\n\nloose end\n"
    )


def test_html_in_its_declared_encoding(tmp_path: Path) -> None:
    path = tmp_path / "page.htm"
    path.write_bytes('<meta charset="iso-8859-1"><title>T</title><p>Gebühr'.encode("latin-1"))
    document = only(path, tmp_path)
    assert (document.text, document.title) == ("Gebühr\n", "T")


def test_html_nested_beyond_the_stack(tmp_path: Path) -> None:
    path = tmp_path / "deep.html"
    path.write_text("<div>" * 5000 + "deep" + "</div>" * 5000, encoding="utf-8")
    assert only(path, tmp_path).text == "deep\n"


def test_docx(tmp_path: Path) -> None:
    path = tmp_path / "fees.docx"
    write_docx(path)
    document = only(path, tmp_path)
    assert document.title == "Card fees"
    assert document.text == (
        "# Card fees\n\nCash withdrawals cost 2.99 percent.\n\nService | Price\nCard | 12 euros\n\n"
        "## Abroad\n\n- Tell us first.\n  - Take the card.\n"
    )


def test_pdf(tmp_path: Path) -> None:
    path = tmp_path / "fees.pdf"
    write_pdf(path)
    document = only(path, tmp_path)
    first, second, third, fourth, *_ = document.text.split("\n\n")
    assert document.title == "Card fees"
    assert first == "# Card fees"
    assert second == ("Cash withdrawals abroad cost 2.99 percent of the amount withdrawn. " * 4).strip()
    assert third.startswith("A second paragraph")
    assert "well-known to all" in fourth
    assert len(document.page_starts) == 2
    passages = split_document(document, count_tokens, 24)
    pages = {passage.page for passage in passages}
    assert pages == {1, 2}
    assert [passage.page for passage in passages if "120 days" in passage.text] == [2]


def test_jsonl_has_one_document_per_row(tmp_path: Path) -> None:
    path = tmp_path / "docs.jsonl"
    rows = [{"id": "x#1", "title": "T", "text": "One\r\ntwo.", "group": "g"}, {"id": "y", "text": "Three."}]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf-8")
    first, second = convert_file(path, tmp_path)
    assert (first.id, first.title, first.text, first.group) == ("x#1", "T", "One\r\ntwo.", "g")
    assert (second.title, second.group, second.source) == ("y", "y", "docs.jsonl")
    assert first.source_digest != second.source_digest


def test_jsonl_rows_may_have_other_columns_and_numbers(tmp_path: Path) -> None:
    data = b'{"ID": 7, "text": "One.", "titel": "T", "url": "x"}\n{"text": "Two.", "url": "y", "group": 3}\n'
    first, second = read_rows(data, "rows.jsonl").rows
    assert (first.id, first.title, first.group) == ("7", "One.", "7")
    assert (second.id, second.title, second.group) == ("rows#2", "Two.", "3")
    kept = "kept as metadata and not as text: titel (did you mean title?), url"
    assert read_rows(data, "rows.jsonl").notes[0] == kept
    path = tmp_path / "docs" / "rows.jsonl"
    path.parent.mkdir()
    path.write_bytes(data)
    assert [document.id for document in convert_file(path, tmp_path / "docs")] == ["7", "rows#2"]
    report = ingest(path.parent, tmp_path / "index", HashingEncoder(dimension=32))
    assert report.notes[0] == ("rows.jsonl", kept)


def test_files_of_one_name_keep_their_suffix_except_the_first(tmp_path: Path) -> None:
    for suffix in (".md", ".txt", ".html"):
        (tmp_path / f"a{suffix}").write_text("text", encoding="utf-8")
    ids = [convert_file(tmp_path / f"a{suffix}", tmp_path)[0].id for suffix in (".html", ".md", ".txt")]
    assert ids == ["a.html", "a", "a.txt"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("broken.pdf", b"%PDF-1.7 and no more", "broken.pdf cannot be read as PDF"),
        ("binary.md", b"MZ\x00\x01", "binary.md contains binary data (a zero byte at offset 2)"),
        ("latin.txt", "Gebühr".encode("latin-1"), "latin.txt is not UTF-8 (byte 0xfc at offset 3)"),
        ("empty.md", b" \n", "empty.md contains no text"),
        ("no.docx", b"PK\x03\x04 nothing", "no.docx cannot be read as DOCX"),
        ("a.xls", b"a,b", "a.xls has an unsupported suffix"),
        ("rows.jsonl", b'{"id": "a", "text": "b"}\n{"id": ', "rows.jsonl, line 2: not JSON"),
        ("rows.jsonl", b'{"id": true, "text": "b"}', "rows.jsonl, line 1: 'id': "),
        ("rows.jsonl", b'["a"]', "rows.jsonl, line 1: not a JSON object"),
        ("rows.jsonl", b'\n{"id": "a"}', "rows.jsonl, line 2: there is nothing but id"),
        ("rows.jsonl", b'{"id": "a", "text": " "}', "rows.jsonl, line 1: 'text' is empty"),
        ("rows.jsonl", b'{"id": "a", "text": "\\ud800"}', "rows.jsonl, line 1: not JSON"),
        ("rows.jsonl", b'{"id":"a","text":"b"}\n' * 2, "line 2: the id 'a' is already used in line 1"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ConversionError) as caught:
        convert_file(path, tmp_path)
    assert message in caught.value.found
    assert (
        str(caught.value) == f"{caught.value.found}. Expected: {caught.value.expected}. Next: {caught.value.next_step}"
    )


def test_a_pdf_with_a_password_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "locked.pdf"
    write_pdf(path, password="secret")
    with pytest.raises(ConversionError, match=r"locked\.pdf is locked with a password"):
        convert_file(path, tmp_path)


def test_a_damaged_docx_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "damaged.docx"
    write_docx(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 400] = b"\xff" * 400
    path.write_bytes(bytes(data))
    with pytest.raises(ConversionError, match=r"damaged\.docx cannot be read as DOCX"):
        convert_file(path, tmp_path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"gone\.md cannot be read"):
        convert_file(tmp_path / "gone.md", tmp_path)
