"""What was recognised on a picture as words with places, as PDFium gives them for a page with text."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from retrieval.conversion.ocr.engine import Piece, Recognised
from retrieval.conversion.pdf.words import Word

# The height of a piece, relative to the size of its text, and how far the base line is below its middle.
_HEIGHT, _BELOW_MIDDLE = 1.2, 0.35
# A page turned by more degrees was not scanned so.
_MOST_DEGREES = 15.0
# Heights differ with the letters of a line. Sizes within this share of the usual one are equal.
_SAME_SIZE = 0.25
_STEP = 0.25
# Pieces that overlap by this share of their height stand on one line.
_ON_ONE_LINE = 0.5


def words_of(found: Recognised, scale: float) -> list[Word]:
    """The words of a page in reading order of lines. `scale`: points per pixel.

    A page that was put on the scanner a little turned is turned back.
    """
    if not found.pieces:
        return []
    turn = _turn(found.pieces)
    places = sorted((_Place(piece, turn, scale) for piece in found.pieces), key=lambda place: -place.middle)
    usual = _usual_height(places)
    words: list[Word] = []
    for line in _lines(places):
        base = statistics.fmean(place.middle for place in line)
        for place in sorted(line, key=lambda place: place.left):
            size = _size(place.height, usual)
            words += place.words(base - _BELOW_MIDDLE * size, size)
    return words


class _Place:
    """A piece on the page, in points from the bottom left, turned upright."""

    def __init__(self, piece: Piece, turn: float, scale: float) -> None:
        self.piece = piece
        cos, sin = math.cos(turn) * scale, math.sin(turn) * scale
        corners = [(x * cos + y * sin, x * sin - y * cos) for x, y in piece.corners]
        self.left = (corners[0][0] + corners[3][0]) / 2
        self.right = max((corners[1][0] + corners[2][0]) / 2, self.left)
        top, bottom = (corners[0][1] + corners[1][1]) / 2, (corners[2][1] + corners[3][1]) / 2
        self.middle, self.height = (top + bottom) / 2, max(top - bottom, scale)

    def words(self, base: float, size: float) -> list[Word]:
        """The words of the piece. The first one begins a run."""
        words: list[Word] = []
        total = sum(not character.isspace() for character in self.piece.text)
        edges = self._edges(total)
        at = 0
        for text in self.piece.text.split():
            left, right = edges[at][0], edges[at + len(text) - 1][1]
            words.append(Word(text, left, max(left, right), base, size, spaces=1, breaks=not words))
            at += len(text)
        return words

    def _edges(self, total: int) -> list[tuple[float, float]]:
        """The left and right edge of each character that is not a space."""
        parts = [(len("".join(text.split())), left, right) for text, left, right in self.piece.characters]
        if not parts or sum(count for count, _, _ in parts) != total:
            corners = self.piece.corners
            parts = [(total, min(x for x, _ in corners), max(x for x, _ in corners))]
        first, last = min(left for _, left, _ in parts), max(right for _, _, right in parts)
        stretch = (self.right - self.left) / max(last - first, 1.0)
        edges: list[tuple[float, float]] = []
        for count, left, right in parts:
            step = (right - left) / max(count, 1)
            for number in range(count):
                start = self.left + (left + number * step - first) * stretch
                edges.append((start, start + step * stretch))
        return edges


def _turn(pieces: Sequence[Piece]) -> float:
    """How far the lines of a page rise to the left, in radians: the median of its pieces, by their lengths."""
    angles: list[tuple[float, float]] = []
    for piece in pieces:
        (x1, y1), (x2, y2) = piece.corners[:2]
        angle = math.atan2(y2 - y1, x2 - x1)
        if abs(angle) <= math.radians(_MOST_DEGREES):
            angles.append((angle, math.hypot(x2 - x1, y2 - y1)))
    angles.sort()
    half, passed = sum(length for _, length in angles) / 2, 0.0
    for angle, length in angles:
        passed += length
        if passed >= half:
            return angle
    return 0.0


def _usual_height(places: Sequence[_Place]) -> float:
    heights = [place.height for place in places for _ in place.piece.text]
    return statistics.median(heights) if heights else 1.0


def _size(height: float, usual: float) -> float:
    """The size of text of this height, in steps, so that the lines of a paragraph have one size."""
    steps = height / usual
    if abs(steps - 1) > _SAME_SIZE:
        usual *= max(round(steps / _STEP), 1) * _STEP
    return round(2 * usual / _HEIGHT) / 2 or 0.5


def _lines(places: Sequence[_Place]) -> list[list[_Place]]:
    """Pieces, given from top to bottom, in lines across the page."""
    lines: list[list[_Place]] = []
    for place in places:
        line = lines[-1] if lines else []
        if line and all(_on_one_line(place, other) for other in line):
            line.append(place)
        else:
            lines.append([place])
    return lines


def _on_one_line(one: _Place, other: _Place) -> bool:
    apart = one.right <= other.left + one.height / 2 or other.right <= one.left + one.height / 2
    return apart and abs(one.middle - other.middle) < _ON_ONE_LINE * min(one.height, other.height)
