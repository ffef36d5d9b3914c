"""The ruled lines of a PDF page, which say where the rows of a table begin."""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import byref, c_float
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

_MAX_PATHS = 20_000
_MAX_SEGMENTS = 2000
_FEW_SEGMENTS = 6
_THIN = 3.0
_SHORT = 5.0
_SAME = 2.0
# The rules at one height must cover this share of a table's width.
_COVERED = 0.6


@dataclass
class Rules:
    """Ruled lines and the edges of boxes in points: y, left and right of those across; x, bottom and top of others."""

    across: list[tuple[float, float, float]] = field(default_factory=list)
    upright: list[tuple[float, float, float]] = field(default_factory=list)

    def heights(self, left: float, right: float) -> list[float]:
        """The heights at which rules cross most of a width, from top to bottom."""
        covered: list[tuple[float, float]] = []
        for y, start, end in sorted(self.across, reverse=True):
            width = max(0.0, min(end, right) - max(start, left))
            if covered and covered[-1][0] - y < _SAME:
                covered[-1] = (covered[-1][0], covered[-1][1] + width)
            else:
                covered.append((y, width))
        return [y for y, width in covered if width >= _COVERED * (right - left)]

    def parts(self, left: float, right: float, bottom: float, top: float) -> bool | None:
        """Whether a rule between two heights parts the cells of a column; None if the column has no rules beside it."""
        middle = (bottom + top) / 2
        sides = [x for x, start, end in self.upright if start < middle < end]
        before = [x for x in sides if x <= left + _SAME]
        after = [x for x in sides if x >= right - _SAME]
        if not before or not after:
            return None
        return any(
            bottom <= y <= top and start <= max(before) + _SHORT and end >= min(after) - _SHORT
            for y, start, end in self.across
        )

    def has_columns(self, left: float, right: float, bottom: float, top: float) -> bool:
        """Whether upright rules stand within a box."""
        return any(
            left + _SHORT < x < right - _SHORT and end > bottom and start < top for x, start, end in self.upright
        )


def read_rules(page: Any) -> Rules:
    import pypdfium2.raw as raw

    rules = Rules()
    corners = [c_float() for _ in range(4)]
    for index in range(min(raw.FPDFPage_CountObjects(page), _MAX_PATHS)):
        item = raw.FPDFPage_GetObject(page, index)
        if raw.FPDFPageObj_GetType(item) != raw.FPDF_PAGEOBJ_PATH:
            continue
        if raw.FPDFPath_CountSegments(item) > _FEW_SEGMENTS:
            for one, other in _segments(raw, item):
                _add(rules, min(one[0], other[0]), min(one[1], other[1]), max(one[0], other[0]), max(one[1], other[1]))
        elif raw.FPDFPageObj_GetBounds(item, *map(byref, corners)):
            left, bottom, right, top = (corner.value for corner in corners)
            _add(rules, left, bottom, right, top)
    return rules


def _add(rules: Rules, left: float, bottom: float, right: float, top: float) -> None:
    width, height = right - left, top - bottom
    if width >= _SHORT:
        rules.across += [(bottom, left, right)] if height <= _THIN else [(bottom, left, right), (top, left, right)]
    if height >= _SHORT:
        rules.upright += [(left, bottom, top)] if width <= _THIN else [(left, bottom, top), (right, bottom, top)]


def _segments(raw: Any, item: Any) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """The straight lines along an axis in a path of several."""
    matrix = raw.FS_MATRIX()
    if not raw.FPDFPageObj_GetMatrix(item, matrix):
        return
    points: list[tuple[bool, float, float]] = []
    x, y = c_float(), c_float()
    for index in range(min(raw.FPDFPath_CountSegments(item), _MAX_SEGMENTS)):
        segment = raw.FPDFPath_GetPathSegment(item, index)
        raw.FPDFPathSegment_GetPoint(segment, byref(x), byref(y))
        is_line = raw.FPDFPathSegment_GetType(segment) == raw.FPDF_SEGMENT_LINETO
        points.append(
            (
                is_line,
                matrix.a * x.value + matrix.c * y.value + matrix.e,
                matrix.b * x.value + matrix.d * y.value + matrix.f,
            )
        )
    for (_, x1, y1), (is_line, x2, y2) in pairwise(points):
        if is_line and (abs(x1 - x2) < 1 or abs(y1 - y2) < 1):
            yield (x1, y1), (x2, y2)
