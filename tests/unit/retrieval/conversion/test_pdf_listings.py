"""Code and drawings in characters in a PDF keep their lines and spaces; prose around them does not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from fpdf import FPDF

from retrieval import Document
from retrieval.conversion.converted import Converted
from retrieval.conversion.format_pdf import convert
from retrieval.conversion.pdf.fonts import advance_of
from retrieval.splitting.split import split_document
from tests.support.pdf_files import PROSE, drawn, page

CODE = [
    "def pay(bill):",
    "    # Not for gifts",
    "    for item in bill:",
    "        total += item",
    "",
    "    return total",
]
COMMANDS = ["# Show the bills.", "open bills.txt", "close", "# Count them, please", "count bills", "show"]
GRAPH = ["  |          ##", "  |    ##    ##", "  | ## ## ## ##", "0 +------------>", "  0           9"]


def with_listing(lines: Sequence[str], *, style: str = "", numbers: bool = False, column: float = 30) -> FPDF:
    """Prose, and below it lines in Courier from x in millimetres, and prose again."""
    pdf = page(11)
    pdf.multi_cell(0, 5, PROSE * 3, new_x="LMARGIN", new_y="NEXT")
    y = pdf.get_y() + 8
    for number, line in enumerate(lines, start=1):
        if numbers:
            pdf.set_font("Helvetica", size=7)
            pdf.text(column - 6, y, str(number))
        pdf.set_font("Courier", style, 10)
        pdf.text(column, y, line)
        y += 4.5
    pdf.set_font("Helvetica", size=11)
    pdf.set_xy(pdf.l_margin, y + 4)
    pdf.multi_cell(0, 5, PROSE * 3)
    return pdf


def read(pdf: FPDF | bytes) -> Converted:
    return convert(pdf if isinstance(pdf, bytes) else bytes(pdf.output()), "a.pdf")


def listings(converted: Converted) -> list[str]:
    return [converted.text[mark.start : mark.end] for mark in converted.marks or () if mark.kind == "code"]


@pytest.mark.parametrize("lines", [CODE, COMMANDS, GRAPH], ids=["code", "commands", "graph"])
@pytest.mark.parametrize("style", ["", "I", "B"])
def test_lines_and_spaces_of_a_listing_are_kept(lines: list[str], style: str) -> None:
    converted = read(with_listing(lines, style=style))
    prose = " ".join((PROSE * 3).split())
    cut = min(len(line) - len(line.lstrip()) for line in lines if line)
    listing = "\n".join(line[cut:] for line in lines)
    assert converted.text == f"{prose}\n\n{listing}\n\n{prose}\n"
    assert listings(converted) == [listing]
    assert not [mark for mark in converted.marks or () if mark.kind != "code"]


def test_numbers_of_lines_may_be_in_another_font() -> None:
    [listing] = listings(read(with_listing(CODE[:4], numbers=True)))
    assert [line.split(maxsplit=1) for line in listing.splitlines()] == [
        [str(number), line.strip()] for number, line in enumerate(CODE[:4], start=1)
    ]
    starts = [line.index(line.split(maxsplit=1)[1]) for line in listing.splitlines()]
    assert [start - starts[0] for start in starts] == [0, 4, 4, 8]


def test_spaces_that_are_only_distances_are_kept() -> None:
    lines = [("(if)-600(x:)", 0), ("(return)-1200(y)", 24), ("(else:)", 0)]
    code = " ".join(f"1 0 0 1 {80 + x} {600 - 12 * n} Tm [{text}] TJ" for n, (text, x) in enumerate(lines))
    prose = " ".join(
        f"1 0 0 1 60 {700 - 14 * n} Tm (The meter of the water office is read once in a year by its people) Tj"
        for n in range(4)
    )
    converted = read(drawn(f"BT /F 10 Tf {prose} /M 10 Tf {code} ET"))
    assert listings(converted) == ["if x:\n    return  y\nelse:"]


def test_words_of_code_in_prose_are_prose() -> None:
    pdf = page(11)
    pdf.write(5, PROSE)
    for _ in range(6):
        pdf.set_font("Courier", size=11)
        pdf.write(5, "count bills --all --with-names --of-all-years ")
        pdf.set_font("Helvetica", size=11)
        pdf.write(5, "shows all of the bills that were sent, ")
    converted = read(pdf)
    assert listings(converted) == []
    assert converted.text.count("\n") == 1


def test_a_wrapped_line_of_code_within_a_paragraph_is_prose() -> None:
    pdf = page(11)
    for font, line in (
        ("Helvetica", "The command that follows counts all of the bills that the water office sent in a year"),
        ("Courier", "count bills --all --with-names"),
        ("Helvetica", "and shows them with the names of the people who pay them at the end of January."),
    ):
        pdf.set_font(font, size=11)
        pdf.cell(0, 5, line, new_x="LMARGIN", new_y="NEXT")
    converted = read(pdf)
    assert listings(converted) == []


def test_a_document_in_a_typewriter_font_is_prose() -> None:
    pdf = FPDF()
    pdf.add_page()
    pdf.set_font("Courier", size=11)
    pdf.multi_cell(0, 5, PROSE * 4, align="L")
    converted = read(pdf)
    assert listings(converted) == []
    assert converted.text == " ".join((PROSE * 4).split()) + "\n"


def test_a_listing_is_split_at_its_lines_under_the_heading_before_it() -> None:
    pdf = page(11)
    pdf.set_font("Helvetica", "B", 18)
    pdf.cell(0, 10, "Payments", new_x="LMARGIN", new_y="NEXT")
    pdf.set_font("Helvetica", size=11)
    pdf.multi_cell(0, 5, PROSE * 3, new_x="LMARGIN", new_y="NEXT")
    pdf.set_font("Courier", size=10)
    y = pdf.get_y() + 8
    lines = [f"# Bill no. {number}. Pay it" if number % 2 else f"    pay {number}" for number in range(20)]
    for line in lines:
        pdf.text(20, y, line)
        y += 4.5
    converted = read(pdf)
    document = Document("a", "a", converted.text, "a", "a.pdf", "", "", (0,), "plain", converted.marks or ())
    passages = split_document(document, lambda text: len(text.split()), 40)
    assert {passage.heading for passage in passages} == {"Payments"}
    code = [passage.text for passage in passages if "pay 2" in passage.text or "Bill no. 19" in passage.text]
    assert len(code) >= 2
    assert all(line.strip() in map(str.strip, lines) for text in code for line in text.splitlines())


def test_fonts_of_one_width() -> None:
    assert advance_of(lambda _: 0.6) == 0.6
    assert advance_of(lambda character: 0.6 if character in "im.0" else 0.0) == 0.6
    assert advance_of(lambda character: 0.6 if character == "i" else 0.0) == 0.0
    assert advance_of(lambda character: 0.3 if character == "i" else 0.6) == 0.0
    assert advance_of(lambda _: 1.0) == 0.0
