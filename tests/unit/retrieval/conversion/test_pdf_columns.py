"""PDF: short columns of sentences, and the cells of tables that look like them."""

from __future__ import annotations

import pytest
from fpdf import FPDF

from retrieval.conversion.convert import convert_here
from tests.support.pdf_files import drawn, page, printed


def read(pdf: FPDF | bytes) -> str:
    return convert_here(pdf if isinstance(pdf, bytes) else bytes(pdf.output()), ".pdf", "a.pdf").text


def side_by_side(*columns: tuple[str, ...], pitch: float = 5) -> list[tuple[float, float, str]]:
    width = 190 / len(columns)
    return [(10 + width * x, 40 + pitch * y, text) for x, column in enumerate(columns) for y, text in enumerate(column)]


LOANS = ("We lend up to 5000 euros for a", "year. The rate is 6 percent, and", "is fixed.")
CARDS = ("Each card is sent by letter, and", "its number by phone within the", "same week. It is free.")


@pytest.mark.parametrize(
    "lines", [side_by_side(LOANS, CARDS), sorted(side_by_side(LOANS, CARDS), key=lambda at: at[1])]
)
@pytest.mark.parametrize("title", [(), ((10, 30, "What we offer"),)])
def test_short_columns_of_sentences(
    lines: list[tuple[float, float, str]], title: tuple[tuple[float, float, str]]
) -> None:
    text = read(printed([*title, *lines], size=10))
    assert " ".join(LOANS) in text
    assert " ".join(CARDS) in text
    assert text.index("is fixed.") < text.index("Each card")


def test_short_columns_whose_words_are_broken() -> None:
    left = ("A loan ends early when the cus-", "tomer pays all that is still due.")
    right = ("A card ends when its owner cuts", "it, and sends us both pieces.")
    text = read(printed(side_by_side(left, right), size=10))
    assert "it, and sends us both pieces." in text
    assert text.index("still due.") < text.index("A card ends")


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        # Each cell is a sentence of its own.
        (
            (
                ("Can I change my address?", "Can I have a second card?"),
                ("Yes, in the app at any time.", "No, one each."),
            ),
            "Can I change my address? | Yes, in the app at any time.\nCan I have a second card? | No, one each.\n",
        ),
        # Long names, and values without an end.
        (
            (
                ("payment abroad by card", "cash from a machine abroad"),
                ("one percent of the sum", "two percent of the sum"),
            ),
            "payment abroad by card | one percent of the sum\ncash from a machine abroad | two percent of the sum\n",
        ),
        ((("Plan", "free", "plus"), ("Cost", "none", "9 euros")), "Plan | Cost\nfree | none\nplus | 9 euros\n"),
    ],
)
def test_short_tables_of_long_cells(columns: tuple[tuple[str, ...], ...], text: str) -> None:
    assert read(printed(side_by_side(*columns), size=10)) == text


def test_a_ruled_table_of_sentences_is_no_columns() -> None:
    pdf = page(10)
    with pdf.table() as table:
        for cells in (LOANS[:2], CARDS[:2]):
            row = table.row()
            for cell in cells:
                row.cell(cell)
    assert read(pdf) == f"{LOANS[0]} | {LOANS[1]}\n{CARDS[0]} | {CARDS[1]}\n"


def test_a_name_stands_above_numbers_on_the_right_of_its_column() -> None:
    rows = (("City", "Staff", ""), ("Vienna", "", "31"), ("Graz", "", "8"))
    lines = [(10 + 40 * x, 20 + 7 * y, text) for y, row in enumerate(rows) for x, text in enumerate(row) if text]
    assert read(printed(lines)) == "City | Staff\nVienna | 31\nGraz | 8\n"
    # A name above an empty column keeps it.
    empty = [*lines, (10, 41, "Linz"), (90, 41, "5"), (130, 20, "Area")]
    assert read(printed(empty)) == "City | Staff | Area\nVienna | 31 |\nGraz | 8 |\nLinz | 5 |\n"


@pytest.mark.parametrize("place", [0, 1])
def test_a_cell_that_goes_down_over_two_rows(place: int) -> None:
    """With every cell in a box: the text of the merged one is in the upper or the lower part of it."""
    pdf = page()
    for x, y, width, height in ((20, 20, 40, 10), (60, 20, 40, 10), (20, 30, 40, 20), (60, 30, 40, 10),
                                (60, 40, 40, 10), (20, 50, 40, 10), (60, 50, 40, 10)):  # fmt: skip
        pdf.rect(x, y, width, height)
    for x, y, text in ((22, 26, "Land"), (62, 26, "Town"), (22, 36 + 10 * place, "Austria"), (62, 36, "Vienna"),
                       (62, 46, "Graz"), (22, 56, "Norway"), (62, 56, "Oslo")):  # fmt: skip
        pdf.text(x, y, text)
    assert read(pdf) == "Land | Town\nAustria | Vienna\nAustria | Graz\nNorway | Oslo\n"


@pytest.mark.parametrize("size", [8, 10, 14])
@pytest.mark.parametrize("high", [2, 3, 4])
def test_a_cell_whose_text_is_in_the_middle_of_its_rows(high: int, size: int) -> None:
    pdf = page()
    pdf.set_font(size=size)
    with pdf.table() as table:
        for number, cells in enumerate(
            ("Land Town Fee", "Chad T0 0", *(f"T{at} {at}" for at in range(1, high)), "Togo L 9")
        ):
            row = table.row()
            for cell in cells.split():
                row.cell(cell, rowspan=high if (number, cell) == (1, "Chad") else 1)
    rows = "".join(f"Chad | T{at} | {at}\n" for at in range(high))
    assert read(pdf) == f"Land | Town | Fee\n{rows}Togo | L | 9\n"


def test_a_rule_above_a_sum_merges_nothing() -> None:
    pdf = page()
    pdf.rect(20, 20, 80, 40)
    pdf.line(60, 20, 60, 60)
    pdf.line(20, 30, 100, 30)
    pdf.line(60, 50, 100, 50)
    for y, (item, sum_) in enumerate((("Item", "Sum"), ("Pens", "10"), ("", "20"), ("Total", "30"))):
        for x, text in ((22, item), (62, sum_)):
            pdf.text(x, 26 + 10 * y, text)
    text = read(pdf)
    assert "Total | 30" in text
    assert "Total | 20" not in text


def test_the_running_head_of_a_page_is_no_row_of_its_table() -> None:
    rows = [(20 + 50 * x, 30 + 6 * y, f"{'abc'[x]}{y}") for y in range(3) for x in range(3)]
    assert read(printed([(20, 15, "38"), (90, 15, "Manual"), *rows])) == (
        "38 Manual\n\na0 | b0 | c0\na1 | b1 | c1\na2 | b2 | c2\n"
    )
    years = [(20, 15, "Year"), (70, 15, "2030"), (20, 21, "Fee"), (70, 21, "3"), (20, 27, "Rate"), (70, 27, "4")]
    assert read(printed(years)) == "Year | 2030\nFee | 3\nRate | 4\n"


FUNCTIONS = (
    ("Function", "Arguments", "Returns"),
    ("acos(x)", "any", "the inverse cosine of x"),
    ("besj0(x)", "int or real", "the Bessel function of order 0 in radians"),
    ("EllipticPi(n,k)", "real n below 1", "the complete integral of the third kind of Legendre"),
    ("ceil(x)", "any", "the smallest integer"),
    ("cos(x)", "any", "the cosine of x"),
    ("rand(x)", "int", "a number between 0 and 1"),
)


@pytest.mark.parametrize("header_drop", [12, 16])
@pytest.mark.parametrize("by_distance", [False, True])
def test_rows_in_a_frame_without_inner_rules(header_drop: int, by_distance: bool) -> None:
    ys = [700, *(700 - header_drop - 12 * number for number in range(len(FUNCTIONS) - 1))]
    texts = []
    for y, row in zip(ys, FUNCTIONS, strict=True):
        # Centred, but for the last column.
        xs = [140 - 2.4 * len(row[0]), 230 - 2.4 * len(row[1]), 300]
        if by_distance:
            widths = [helvetica(cell) for cell in row]
            gaps = [-100 * (xs[n + 1] - xs[n] - widths[n]) for n in range(2)]
            cells = [cell.replace("(", "\\(").replace(")", "\\)") for cell in row]
            texts.append(
                f"1 0 0 1 {xs[0]} {y} Tm [({cells[0]}) {gaps[0]:.0f} ({cells[1]}) {gaps[1]:.0f} ({cells[2]})] TJ"
            )
        else:
            for x, cell in zip(xs, row, strict=True):
                text = cell.replace("(", "\\(").replace(")", "\\)")
                texts.append(f"1 0 0 1 {x} {y} Tm ({text}) Tj")
    frame = f"90 {ys[-1] - 6} 460 {712 - ys[-1]} re S 90 {ys[0] - 5} m 550 {ys[0] - 5} l S "
    assert read(drawn(f"{frame} BT /F 10 Tf {' '.join(texts)} ET")) == (
        "\n".join(" | ".join(row) for row in FUNCTIONS) + "\n"
    )


def helvetica(text: str) -> float:
    """The width of a text of size 10 in points."""
    pdf = page(10)
    return pdf.get_string_width(text) * pdf.k


def test_wrapped_cells_without_inner_rules_are_one_row() -> None:
    fees = (
        (40, "payment by card in a", "two per cent of the amount, and"),
        (44.5, "shop abroad", "at least one euro each"),
        (56, "cash from a machine", "four per cent of the amount,"),
        (60.5, "in another country", "and at least five euros"),
    )
    lines = [(x, y, text) for y, *texts in fees for x, text in zip((20, 90), texts, strict=True)]
    heads = [(20, 33, "Service"), (90, 33, "Fee"), (160, 33, "Since"), (160, 40, "1999"), (160, 56, "2004")]
    assert read(printed([*heads, *lines], size=10)) == (
        "Service | Fee | Since\n"
        "payment by card in a shop abroad | two per cent of the amount, and at least one euro each | 1999\n"
        "cash from a machine in another country | four per cent of the amount, and at least five euros | 2004\n"
    )


@pytest.mark.parametrize("rise", [-7, -5, 5, 7])
def test_a_sign_above_or_below_its_row_joins_no_rows(rise: int) -> None:
    rows = [("sin(x)", "any", "the sine of x"), ("sqrt(x)", "real", "the root of x"), ("tan(x)", "any", "the tangent")]
    texts = [
        f"1 0 0 1 {x} {700 - 12 * n} Tm ({cell.replace('(', chr(92) + '(').replace(')', chr(92) + ')')}) Tj"
        for n, row in enumerate(rows)
        for x, cell in zip((100, 200, 310 if n == 1 else 304.4), row, strict=True)
    ]
    sign = f"1 0 0 1 304.4 {688 + rise} Tm (v) Tj"
    text = read(drawn(f"BT /F 10 Tf {' '.join(texts)} /F 11 Tf {sign} ET"))
    assert [line.split(" | ")[0] for line in text.splitlines()] == ["sin(x)", "sqrt(x)", "tan(x)"]
    assert "v" in text.splitlines()[1]


def test_a_displayed_formula_is_no_table() -> None:
    places = [
        (60, 700, "The weight of a point is given by"),
        (150, 660, "W = exp"),
        (220, 667, "x - X"),
        (300, 667, "y - Y"),
    ]
    places += [(270, 660, "+"), (228, 653, "L"), (308, 653, "M"), (60, 620, "Here L and M are lengths of the grid.")]
    texts = " ".join(f"1 0 0 1 {x} {y} Tm ({text}) Tj" for x, y, text in places)
    text = read(drawn(f"BT /F 10 Tf {texts} ET"))
    assert "|" not in text
    words = " ".join(text.split())
    assert words == "The weight of a point is given by x - X y - Y W = exp + L M Here L and M are lengths of the grid."


def test_a_table_of_short_cells_is_no_formula() -> None:
    lines = [
        (20 + 30 * x, 40 + 5 * y, text)
        for y, row in enumerate(("x y z", "1 2 =", "4 5 ="))
        for x, text in enumerate(row.split())
    ]
    assert read(printed(lines, size=10)) == "x | y | z\n1 | 2 | =\n4 | 5 | =\n"


def index_page(left: list[str], right: list[str]) -> bytes:
    columns = ((20, left), (110, right))
    return printed([(x, 30 + 5 * number, entry) for x, entries in columns for number, entry in enumerate(entries)], 9)


def test_an_index_with_dots_is_read_column_by_column() -> None:
    dots = " ." * 14
    left = [f"axes, drawing{dots} 12", f"bars{dots} 31", f"colour names{dots} 8", f"dates{dots} 40", f"errors{dots} 77"]
    right = [f"files{dots} 18", f"grids{dots} 55, 61", "images that were made from", f"grids{dots} 90", f"keys{dots} 3"]
    text = read(index_page(left, right))
    assert "|" not in text
    places = [text.index(entry[:8]) for entry in (*left, right[0], right[2], right[4])]
    assert places == sorted(places)


def test_an_index_with_commas_is_read_column_by_column() -> None:
    left = ["arrow, 92, 140", "axes, 12", "bars, 31-33", "border, 7", "colour names, 8", "dates, 40", "errors, 77"]
    right = ["files, 18", "fonts, 22", "grids, 55, 61", "images, 90", "keys, 3", "labels, 14, 200", "legends, 6"]
    lines = read(index_page(left, right)).split("\n")
    assert [line for line in lines if line] == [*left, *right]


def test_cells_that_end_with_numbers_stay_in_rows() -> None:
    left = ["Ulm", "Bonn", "Kiel", "Trier", "Jena", "Hof", "Celle"]
    right = ["12, 14", "3", "7, 9", "22", "5", "1, 2", "31"]
    text = read(index_page(left, right))
    assert "Ulm | 12, 14" in text
    assert "Celle | 31" in text


def test_rows_as_near_as_lines_beside_some_that_are_further_apart() -> None:
    """A larger font in one row moves it down; a cell of another row is wrapped."""
    rows = [
        (700, "Control", "Example", "Result"),
        (688, "^", "a^x", "superscript"),
        (676, "_", "a_x", "subscript"),
        (664, "@", "a@b", "a box that takes no width, so that the next"),
        (652, "", "", "one is printed over it"),
        (640, "&", "d&b", "a space"),
        (626, "~", "~a", "overprints"),
        (614, "%", "a%b", "a share"),
    ]
    content = "".join(
        f"BT /F 10 Tf {72 + 90 * column} {y} Td ({cell}) Tj ET "
        for y, *cells in rows
        for column, cell in enumerate(cells)
    )
    assert read(drawn(content)) == (
        "Control | Example | Result\n^ | a^x | superscript\n_ | a_x | subscript\n"
        "@ | a@b | a box that takes no width, so that the next one is printed over it\n"
        "& | d&b | a space\n~ | ~a | overprints\n% | a%b | a share\n"
    )


def test_the_rows_of_a_framed_table_without_rules_between_them() -> None:
    parts = [
        (name, f"{len(name)}.50", "spare") for name in ("bolt", "washer", "nut", "long screw", "pin", "rod", "cap")
    ]
    rows = [("Name", "Price", "Use"), *parts, ("all", "31.50", "7")]
    texts = "".join(
        f"BT /F 10 Tf {72 + 100 * column} {700 - 12 * row} Td ({cell}) Tj ET "
        for row, cells in enumerate(rows)
        for column, cell in enumerate(cells)
    )
    across = " ".join(f"68 {y} m 362 {y} l S" for y in (711, 697, 613, 600))
    upright = " ".join(f"{x} 711 m {x} 600 l S" for x in (68, 165, 265, 362))
    text = read(drawn(f"{texts} 0.4 w {across} {upright}"))
    assert text == "\n".join(" | ".join(cells) for cells in rows) + "\n"
