"""PDF: numbers, lines, rows and columns stay as they are printed."""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib
import pytest
from fpdf import FPDF

from retrieval.conversion.convert import convert_here
from tests.support.pdf_files import PROSE, drawn, page, printed


def read(pdf: FPDF | bytes) -> str:
    return convert_here(pdf if isinstance(pdf, bytes) else bytes(pdf.output()), ".pdf", "a.pdf").text


def written(*parts: tuple[str, str]) -> FPDF:
    """A page with text on the line, raised ("SUP") and lowered ("SUB")."""
    pdf = page()
    for position, text in parts:
        pdf.char_vpos = position
        pdf.write(6, text)
    return pdf


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ((("LINE", "within 30"), ("SUP", "2"), ("LINE", " days")), "within 30² days"),
        ((("LINE", "10"), ("SUP", "6"), ("LINE", " bricks")), "10⁶ bricks"),
        ((("LINE", "some word"), ("SUP", "12"), ("LINE", ", more")), "some word[12], more"),
        ((("LINE", "20 m"), ("SUP", "2"), ("LINE", " of H"), ("SUB", "2"), ("LINE", "O")), "20 m² of H₂O"),
        ((("LINE", "within 30\xb2 days"),), "within 30² days"),
    ],
)
def test_raised_and_lowered_numbers_stay_apart(parts: tuple[tuple[str, str], ...], text: str) -> None:
    assert read(written(*parts)) == f"{text}\n"


def test_a_number_with_a_note_on_the_page_is_a_mark() -> None:
    pdf = written(("LINE", "within 30"), ("SUP", "2"), ("LINE", " days, 10"), ("SUP", "6"), ("LINE", " bricks"))
    pdf.set_xy(10, 200)
    pdf.set_font(size=8)
    pdf.char_vpos = "LINE"
    pdf.write(5, "2 Not for gift cards.")
    assert read(pdf) == "within 30[2] days, 10⁶ bricks\n\n[2] Not for gift cards.\n"


def test_a_line_that_was_ended_stays_a_line() -> None:
    hours = ("Opening hours", "Monday 9 to 17", "Tuesday closed", "Wednesday 13 to 20", "Friday closed")
    lines = [(10, 20 + 5 * number, text) for number, text in enumerate(hours)]
    prose = [(10, 45 + 5 * number, text) for number, text in enumerate(textwrap.wrap(PROSE, 90))]
    assert read(printed([*lines, *prose])) == "\n".join([*hours, PROSE.strip()]) + "\n"
    apart = [(x, y + 20, text) for x, y, text in prose]
    assert read(printed([*lines, *apart])) == "\n".join(hours) + f"\n\n{PROSE.strip()}\n"


def test_wrapped_text_in_a_narrow_box_is_one_line() -> None:
    pdf = page()
    pdf.multi_cell(0, 5, PROSE)
    pdf.ln(5)
    pdf.multi_cell(60, 5, PROSE)
    assert read(pdf) == f"{PROSE.strip()}\n\n{PROSE.strip()}\n"


TABLE = (("Plan", "Price", "Limit"), ("Basic", "5 euros", "10 GB"), ("Plus", "", "50 GB"), ("Max", "19 euros", ""))
TABLE_TEXT = "Plan | Price | Limit\nBasic | 5 euros | 10 GB\nPlus |  | 50 GB\nMax | 19 euros |\n"


@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize("pitch", [5, 8])
def test_a_table_keeps_its_rows_and_empty_cells(by_column: bool, pitch: int) -> None:
    cells = [(20 + 50 * x, 20 + pitch * y, text) for y, row in enumerate(TABLE) for x, text in enumerate(row) if text]
    assert read(printed(sorted(cells) if by_column else cells)) == TABLE_TEXT


def test_wrapped_cells_of_a_ruled_table_are_one_row() -> None:
    pdf = page(10)
    with pdf.table() as table:
        for plan, price, note in (("Plan", "Price", "Notes"), ("Basic", "5 euros", PROSE[:70]), ("Plus", "", "None")):
            row = table.row()
            for text in (plan, price, note):
                row.cell(text)
    assert read(pdf) == f"Plan | Price | Notes\nBasic | 5 euros | {PROSE[:70].strip()}\nPlus |  | None\n"


def test_columns_are_read_one_after_the_other() -> None:
    left, right = textwrap.wrap(f"Left. {PROSE * 2}", 42), textwrap.wrap(f"Right. {PROSE * 2}", 42)
    lines = [(10, 15, "A title line that goes across the whole page, from its left edge to its right one, and ends")]
    for number, (one, other) in enumerate(zip(left, right, strict=False)):
        lines += [(10, 25 + 5 * number, one), (110, 25 + 5 * number, other)]
    text = read(printed(lines, size=10))
    assert f"Left. {PROSE * 2}".strip() in text
    assert text.index("Right.") > text.rindex("January", 0, text.index("Right."))


def test_labels_of_lists_and_headings_are_no_cells() -> None:
    lines = [(10, 20, "1."), (25, 20, "Bring your card."), (10, 27, "2."), (25, 27, "Sign the form.")]
    assert read(printed(lines)) == "1. Bring your card.\n\n2. Sign the form.\n"


def test_rows_of_names_and_values() -> None:
    lines = [(10, 20, "Deposit:"), (60, 20, "300 euros"), (10, 27, "Notice:"), (60, 27, "three months")]
    assert read(printed(lines)) == "Deposit: 300 euros\nNotice: three months\n"


def test_text_that_stands_upright_is_apart() -> None:
    pdf = page()
    pdf.multi_cell(0, 5, PROSE)
    with pdf.rotation(90, 30, 150):
        pdf.text(30, 150, "Height 30 cm")
    assert read(pdf) == f"{PROSE.strip()}\n\nHeight 30 cm\n"


def test_hebrew_and_arabic_are_in_logical_order() -> None:
    pdf = FPDF()
    pdf.add_page()
    pdf.add_font("DejaVu", "", str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"))
    pdf.set_font("DejaVu", size=12)
    # The library prints from left to right, so this is what a page shows.
    shown = {"החזרה תוך 30 ימים": "םימי 30 ךות הרזחה", "In שלום עולם now": "In םלוע םולש now"}
    for text in shown.values():
        pdf.cell(0, 12, text, new_x="LMARGIN", new_y="NEXT")
    text = read(pdf)
    for logical in shown:
        assert logical in text


@pytest.mark.parametrize("pitch", [5, 12])
def test_lines_drawn_from_bottom_to_top(pitch: int) -> None:
    texts = ("First comes 33.", "Then comes 44.", "Last comes the end.")
    lines = [(10, 20 + pitch * number, text) for number, text in enumerate(texts)]
    for ordered in (lines[::-1], [lines[1], lines[0], lines[2]], [lines[2], *lines[:2]]):
        assert " ".join(read(printed(ordered)).split()) == " ".join(texts)


def test_columns_of_lines_at_different_heights_are_in_the_order_of_the_file() -> None:
    lines = [
        (10, 20, "The first begins"),
        (10, 27, "and ends."),
        (110, 23, "The second begins"),
        (110, 30, "and ends."),
    ]
    assert " ".join(read(printed(lines)).split()) == "The first begins and ends. The second begins and ends."


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (("It costs seventy-", "five euros, and it is sold in thirty-", "second slots."), "seventy-five thirty-second"),
        (("A fixed limit of rate-", "limit lies here: the rate has a limit, and the rate", "ends."), "rate-limit"),
        (
            ("The self-made soft-", "ware is self-", "made, and the custom-", "er is here."),
            "software self-made customer",
        ),
        # "Made" and "over" are words, but "over" is also the beginning of many.
        (("It went over a stand, and we over-", "stand nothing that was under-", "stood."), "overstand understood"),
    ],
)
def test_hyphens_at_line_ends(lines: tuple[str, ...], text: str) -> None:
    found = read(printed([(10, 20 + 5 * number, line) for number, line in enumerate(lines)]))
    for word in text.split():
        assert word in found


def test_text_outside_the_page_is_not_read() -> None:
    lines = [(10, 20, "The price is 10 euros."), (10, 330, "Old price 999"), (250, 50, "Cut off"), (-60, 50, "Left")]
    assert read(printed(lines)) == "The price is 10 euros.\n"
    data = printed([(10, 20, "Trimmed 999"), (10, 150, "The price is 10 euros."), (10, 290, "Foot")])
    cropped = data.replace(b"/MediaBox [0 0 595.28 841.89]", b"/CropBox [0 99 595 700]     ")
    cropped = data.replace(b"/Type /Page\n", b"/Type /Page /CropBox [0 99 595 700]\n")
    assert cropped != data
    assert read(cropped) == "The price is 10 euros.\n"


def test_a_number_above_a_letter_below_stays_with_its_symbol() -> None:
    text = (
        "BT /F 10 Tf 1 0 0 1 60 700 Tm (The field G) Tj /F 7 Tf 1 0 0 1 109 704 Tm (\\(0\\)) Tj "
        "1 0 0 1 109 697 Tm (ij) Tj "
        "/F 10 Tf 1 0 0 1 121 700 Tm (is a sum of weights) Tj 1 0 0 1 60 688 Tm (over all of the data.) Tj ET"
    )
    assert read(drawn(text)) == "The field G⁽⁰⁾_ij is a sum of weights over all of the data.\n"


def test_a_raised_minus_is_part_of_the_power() -> None:
    text = (
        "BT /F 10 Tf 1 0 0 1 60 700 Tm (The value is sinh) Tj /F 7 Tf 1 0 0 1 134.4 704 Tm (-1) Tj "
        "/F 10 Tf 1 0 0 1 144 700 Tm (x here.) Tj ET"
    )
    assert read(drawn(text)) == "The value is sinh⁻¹ x here.\n"
