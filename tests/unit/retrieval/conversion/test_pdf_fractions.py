"""PDF: a fraction with a bar is one text with a slash, and other ruled lines are none."""

from __future__ import annotations

from retrieval.conversion.convert import convert_here
from tests.support.pdf_files import drawn


def read(*parts: tuple[float, float, str], bars: tuple[tuple[float, float, float], ...]) -> str:
    """Texts at x and y in points, and lines at y from x to x."""
    texts = " ".join(f"BT /F 11 Tf {x} {y} Td ({text}) Tj ET" for x, y, text in parts)
    lines = " ".join(f"0.4 w {left} {y} m {right} {y} l S" for y, left, right in bars)
    return convert_here(drawn(f"{texts} {lines}"), ".pdf", "a.pdf").text


def test_a_displayed_fraction() -> None:
    text = read(
        (72, 750, "The monthly payment is a share of the whole loan, as everywhere:"),
        (100, 700, "p ="),
        (125, 708, "r + s"),
        (128, 692, "12"),
        (155, 700, "+ 1"),
        (72, 650, "where r is the rate."),
        bars=((703.5, 123, 151),),
    )
    assert "p = (r + s)/12 + 1\n" in text
    assert "everywhere:" in text
    assert "where r is the rate." in text


def test_a_fraction_in_a_fraction() -> None:
    text = read(
        (100, 700, "q ="),
        (125, 719, "a"),
        (135, 712, "- c"),
        (125, 706, "b"),
        (132, 692, "2 d"),
        bars=((715.5, 124, 132), (703.5, 123, 152)),
    )
    assert "q = (a/b - c)/(2 d)" in text


def test_a_rule_below_the_names_of_columns_is_no_fraction() -> None:
    text = read(
        (72, 750, "x = 1 holds for all of these:"),
        *((72 + 100 * column, 700 - 14 * row, f"{word}{row}") for row in range(3) for column, word in enumerate("abc")),
        bars=((697, 70, 300),),
    )
    assert "a0 | b0 | c0\na1 | b1 | c1\na2 | b2 | c2" in text


def test_underlined_words_are_no_fraction() -> None:
    text = read(
        (72, 700, "Let y = 2 as in"), (155, 700, "the rule"), (72, 686, "above, which holds"), (155, 686, "for all"),
        (200, 686, "cases."), bars=((698, 155, 196),),
    )  # fmt: skip
    assert "the rule" in text
    assert "/" not in text
