"""A printed line of a PDF page, or a cell of a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retrieval.conversion.pdf.words import Word


@dataclass(slots=True)
class Line:
    """A printed line, or a cell of a row. Coordinates in points; y grows upwards.

    Attributes:
        text: may have the markers of `raised`.
        first_width: the width of the first word.
        edges: the left and right edge of the column that it stands in.
        order: its place in the file.
        advance: the width of a character if it is a line of code, in which all are of one width; otherwise 0.0.
        words: those of a line of code.
        field: the name of the form field whose value it is; "" for printed text.
    """

    text: str
    size: float
    left: float
    right: float
    base: float
    first_width: float = 0.0
    edges: tuple[float, float] = (0.0, 0.0)
    order: int = 0
    is_rtl: bool = False
    field: str = ""
    advance: float = 0.0
    words: Sequence[Word] = ()

    @property
    def room(self) -> float:
        """The free width between its end and the edge of the column."""
        return self.left - self.edges[0] if self.is_rtl else self.edges[1] - self.right
