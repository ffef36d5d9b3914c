"""XLSX: the rows of the sheets that are shown, with numbers as the spreadsheet shows them."""

from __future__ import annotations

import re
from typing import Any

from retrieval.conversion.converted import Converted, MarkdownWriter
from retrieval.conversion.office.archive import Archive, opened, relation_id
from retrieval.conversion.office.grid import Grid
from retrieval.conversion.office.number_formats import BUILT_IN, shown

VERSION = "xlsx/1"

_MAIN = "xl/workbook.xml"
_PLACE = re.compile(r"([A-Z]{1,3})(\d{1,7})")


def convert(data: bytes, name: str) -> Converted:
    """A heading per sheet if there are several. Raises ConversionError if the file is not a workbook or is damaged."""
    with opened(data, name, "an XLSX workbook", _MAIN) as archive:
        return _Workbook(archive).convert()


class _Workbook:
    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._related = archive.related(_MAIN)
        self._texts = [_text(one) for one in self._part("sharedStrings")]
        self._codes = self._number_formats()
        self._since_1904 = False

    def convert(self) -> Converted:
        book = self._archive.xml(_MAIN)
        properties = next(_all(book, "workbookPr"), None)
        self._since_1904 = properties is not None and properties.get("date1904") in {"1", "true"}
        sheets = [one for one in _all(book, "sheet") if one.get("state", "visible") == "visible"]
        writer = MarkdownWriter()
        for sheet in sheets:
            kind, part = self._related.get(relation_id(sheet), ("", ""))
            if kind != "worksheet":
                continue
            if len(sheets) > 1:
                writer.heading(1, sheet.get("name", ""))
            self._grid(self._archive.xml(part)).write(writer)
        return Converted(writer.text(), None if len(sheets) > 1 else _own_name(sheets))

    def _part(self, kind: str) -> Any:
        part = next((part for one, part in self._related.values() if one == kind), None)
        return self._archive.xml(part) if part in self._archive.names else ()

    def _number_formats(self) -> list[str]:
        """The format's code per cell style."""
        styles = self._part("styles")
        if not len(styles):
            return []
        codes = BUILT_IN | {int(one.get("numFmtId")): one.get("formatCode", "") for one in _all(styles, "numFmt")}
        used = next(_all(styles, "cellXfs"), ())
        return [codes.get(int(one.get("numFmtId", 0)), "General") for one in used]

    def _grid(self, sheet: Any) -> Grid:
        hidden = {
            column
            for one in _all(sheet, "col")
            if one.get("hidden") in {"1", "true"}
            for column in range(int(one.get("min")), min(int(one.get("max")), 20_000) + 1)
        }
        spans = dict(_span(one.get("ref", "")) for one in _all(sheet, "mergeCell"))
        grid = Grid()
        skipped, last = 0, 0
        for element in _all(sheet, "row"):
            last = number = int(element.get("r", last + 1))
            if element.get("hidden") in {"1", "true"}:
                # Taken out, so that it does not split the table.
                skipped += 1
                continue
            column = 0
            for cell in _all(element, "c"):
                place = _PLACE.match(cell.get("r", ""))
                column = _column(place[1]) if place else column + 1
                if column not in hidden:
                    high, wide = spans.get((number, column), (1, 1))
                    text = self._value(cell)
                    if text or (high, wide) != (1, 1):
                        grid.set(number - skipped, column, text, high, wide)
        return grid

    def _value(self, cell: Any) -> str:
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            return "".join(_text(one) for one in _all(cell, "is"))
        value = next((one.text or "" for one in _all(cell, "v")), "")
        if kind == "s" and value:
            return self._texts[int(value)]
        if kind == "b":
            return "TRUE" if value == "1" else "FALSE"
        if kind != "n" or not value:
            return value
        style = int(cell.get("s", 0))
        code = self._codes[style] if style < len(self._codes) else "General"
        return shown(float(value), code, since_1904=self._since_1904)


def _all(element: Any, name: str) -> Any:
    return element.iter(f"{{*}}{name}")


def _text(element: Any) -> str:
    """The text of a string, without its reading aid."""
    return "".join(one.text or "" for one in _all(element, "t") if not one.getparent().tag.endswith("}rPh"))


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - 64
    return number


def _span(reference: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """The first cell of a merged range, and its height and width."""
    ends = _PLACE.findall(reference)
    (first, top), (last, bottom) = (ends[0], ends[-1])
    column, row = _column(first), int(top)
    return (row, column), (int(bottom) - row + 1, _column(last) - column + 1)


def _own_name(sheets: list[Any]) -> str | None:
    """The name of the only sheet, unless it is the one that programs give."""
    name = sheets[0].get("name", "") if sheets else ""
    return None if not name or re.fullmatch(r"\D{1,12}\s?1", name) else name
