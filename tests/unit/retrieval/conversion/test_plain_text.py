"""Converted and plain text is no Markdown: only what a converter recorded is a heading, a list or a table."""

from __future__ import annotations

import re
from pathlib import Path

import docx
import pytest
from fpdf import FPDF

from retrieval import Document, Limits, Passage, PassageStore, convert_file, ingest, split_document
from retrieval.conversion.child import Converter
from retrieval.conversion.converted import Converted, MarkdownWriter
from retrieval.documents import passage_text
from tests.support.hashing_encoder import HashingEncoder

LISTING = (
    "# copy the keys\nkeytool <b> --to <code>\n\n- 3 degrees\n> more\n| a pipe\n---\n4. __init__ *all*\n```\nno fence"
)


def count_tokens(text: str) -> int:
    return len(text.split()) + 2


def split(path: Path, limit: int = 24) -> tuple[Document, list[Passage]]:
    [document] = convert_file(path, path.parent)
    passages = split_document(document, count_tokens, limit)
    assert all(document.text[one.start : one.end] == one.text for one in passages)
    return document, passages


def write_html(path: Path) -> None:
    escaped = LISTING.replace("<", "&lt;").replace(">", "&gt;")
    path.write_text(f"<h1>Keys</h1><h2>Copying</h2><pre>{escaped}</pre><h2>Costs</h2><p># 4 is free</p>", "utf-8")


def write_docx(path: Path) -> None:
    document = docx.Document()
    document.add_heading("Keys", level=1)
    document.add_heading("Copying", level=2)
    for line in filter(None, LISTING.split("\n")):
        document.add_paragraph(line)
    document.add_heading("Costs", level=2)
    document.add_paragraph("# 4 is free")
    document.save(str(path))


def write_pdf(path: Path) -> None:
    pdf = FPDF()
    pdf.add_page()
    for text in ("Keys", "Copying", *filter(None, LISTING.split("\n")), "Costs", "# 4 is free"):
        pdf.set_font("Helvetica", size={"Keys": 24, "Copying": 17, "Costs": 17}.get(text, 10))
        pdf.cell(0, 12, text, new_x="LMARGIN", new_y="NEXT")
        pdf.ln(6)
    pdf.output(str(path))


@pytest.mark.parametrize("suffix", [".html", ".docx", ".pdf"])
def test_a_listing_stands_in_a_passage_as_it_was_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"keys{suffix}"
    {".html": write_html, ".docx": write_docx, ".pdf": write_pdf}[suffix](path)
    document, passages = split(path)
    assert document.title == "Keys"
    assert {passage.heading for passage in passages} == {"Copying", "Costs"}
    embedded = "\n".join(map(passage_text, passages))
    for line in ("# copy the keys", "keytool <b> --to <code>", "4. __init__ *all*"):
        assert line in embedded
    assert [passage.text for passage in passages if passage.heading == "Costs"] == ["# 4 is free"]


def test_a_text_file_has_no_markup(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(f"---\ntitle: no setting\n---\n\nOPENING HOURS\n=====\n\n{LISTING}", "utf-8")
    document, passages = split(path)
    assert document.title == "notes"
    assert {passage.heading for passage in passages} == {""}
    assert "".join("".join(map(passage_text, passages)).split()).replace("notes", "") == "".join(document.text.split())


def test_the_recorded_structure_is_stored(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    write_html(docs / "keys.html")
    [converted] = convert_file(docs / "keys.html", docs)
    ingest(docs, tmp_path / "index", HashingEncoder(dimension=16))
    with PassageStore.open(tmp_path / "index" / "index.sqlite") as store:
        assert store.document("keys") == converted
        assert [one.markup for one in store.passages_by_document(["keys"])] == ["plain", "plain"]
    with Converter(Limits()) as converter:
        converted_in_child = converter.convert((docs / "keys.html").read_bytes(), ".html", "keys.html")
    assert converted_in_child.marks == converted.marks != ()


def test_a_heading_alone_is_shown_without_its_mark() -> None:
    writer = MarkdownWriter()
    writer.heading(1, "Keys")
    writer.heading(2, "Closed on Monday")
    converted = Converted(writer.text(), writer.title)
    assert converted.text == "# Keys\n\n## Closed on Monday\n"
    document = Document("d", "Keys", converted.text, "d", "d.html", "", "", (), "plain", converted.marks or ())
    assert [one.text for one in split_document(document, count_tokens)] == ["Closed on Monday"]


def test_a_text_joined_from_written_ones_keeps_its_headings_lists_and_tables() -> None:
    def written(title: str) -> str:
        writer = MarkdownWriter()
        writer.heading(1, title)
        writer.entry("one")
        writer.entry("inner", depth=1)
        writer.row(["a", "b"])
        writer.row(["1", "2"])
        writer.paragraph("# not a heading\nbut two lines")
        return writer.text()

    marks = Converted("\n".join([written("First"), written("Second")])).marks
    assert marks is not None
    assert [(mark.kind, mark.level) for mark in marks] == [("heading", 1), ("list", 0), ("table", 0)] * 2


def test_entries_of_a_list_and_rows_of_a_table_are_kept_whole() -> None:
    writer = MarkdownWriter()
    for number in range(12):
        writer.entry(f"entry {number} costs {number} euros. Not more.")
    for number in range(12):
        writer.row([f"row {number}", f"{number} euros"])
    converted = Converted(writer.text())
    document = Document("d", "", converted.text, "d", "d.html", "", "", (), "plain", converted.marks or ())
    lines = [line for one in split_document(document, count_tokens, 20) for line in one.text.split("\n") if line]
    assert lines == [line for line in converted.text.split("\n") if line]


def test_comments_in_the_code_of_a_markdown_file_are_no_headings(tmp_path: Path) -> None:
    path = tmp_path / "guide.md"
    path.write_text(
        "# Guide\n\n```sh\n# one\nrun <name>\n```\n\n~~~\n# two\n~~~\n\n    # three\n\n## Next\n\nText.", "utf-8"
    )
    _, passages = split(path)
    assert {passage.heading for passage in passages} == {"", "Next"}
    assert all(re.search(rf"# {word}", passages[0].text) for word in ("one", "two", "three"))
