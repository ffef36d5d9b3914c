"""Recognised words get the places that the layout of a page needs. No engine is loaded."""

from __future__ import annotations

import math

import pytest

from retrieval.conversion.ocr.engine import Piece, Recognised
from retrieval.conversion.ocr.format_image import regions_of
from retrieval.conversion.ocr.placing import words_of
from retrieval.conversion.pdf_layout import lay_out

WIDTH, HEIGHT = 1240, 1754
SCALE = 72 / 150


def piece(text: str, x: float, y: float, height: float = 27, degrees: float = 0.0) -> Piece:
    """A piece whose left top corner is at x and y before the page was turned around its own."""
    width = 0.5 * height * len(text)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    turned = tuple((a * cos - b * sin, a * sin + b * cos) for a, b in corners)
    return Piece(text, turned, (), 0.99)


def read(*pieces: Piece) -> str:
    return lay_out([regions_of(words_of(Recognised(pieces, WIDTH, HEIGHT), SCALE))]).text


@pytest.mark.parametrize("degrees", [0.0, 1.5, -2.0])
def test_the_cells_of_a_turned_page_stand_in_rows(degrees: float) -> None:
    rows = [("Article", "Price", "Stock"), ("Ball valve", "14.95", "310"), ("Flow meter", "112.40", "8")]
    pieces = [
        # The heights of lines differ with their letters.
        piece(cell, 100 + 400 * column, 300 + 40 * row + 2 * (column % 2), 27 - 3 * (column % 2), degrees)
        for row, cells in enumerate(rows)
        for column, cell in enumerate(cells)
    ]
    assert read(*pieces) == "Article | Price | Stock\nBall valve | 14.95 | 310\nFlow meter | 112.40 | 8\n"


def test_lines_of_a_paragraph_are_joined_and_a_large_line_is_a_heading() -> None:
    text = "The reservoir above the village was built between"
    lines = [piece(f"{text} {1930 + number} and", 100, 300 + 33 * number, 27 - 4 * (number % 2)) for number in range(3)]
    found = read(piece("The dam", 100, 200, 45), *lines)
    assert found == f"# The dam\n\n{text} 1930 and {text} 1931 and {text} 1932 and\n"


def test_words_have_the_places_of_their_characters() -> None:
    one = Piece(
        "Total 195.85", ((100, 50), (340, 50), (340, 80), (100, 80)), (("Total", 100, 190), ("195.85", 220, 340)), 1.0
    )
    total, amount = words_of(Recognised([one], WIDTH, HEIGHT), 1.0)
    assert (total.text, total.left, total.right) == ("Total", 100, pytest.approx(190))
    assert (amount.text, amount.left, amount.right) == ("195.85", pytest.approx(220), pytest.approx(340))
    assert total.base == amount.base
    # Parts that do not fit the text: its characters are spread over the width.
    other = words_of(Recognised([Piece(one.text, one.corners, (("Tot", 100, 190),), 1.0)], WIDTH, HEIGHT), 1.0)
    assert [word.text for word in other] == ["Total", "195.85"]
    assert other[0].left == 100
    assert other[1].right == pytest.approx(340)


def test_a_page_without_text() -> None:
    assert words_of(Recognised([], WIDTH, HEIGHT), SCALE) == []
    assert words_of(Recognised([piece(" ", 100, 100), piece("", 100, 200)], WIDTH, HEIGHT), SCALE) == []
