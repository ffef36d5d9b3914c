"""What is filled into a PDF page: the values of form fields, and text typed over the page."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from retrieval.conversion.converted import one_line
from retrieval.conversion.pdf.line import Line
from retrieval.conversion.raised import without_markers

_MAX_ANNOTATIONS = 20_000
_MAX_OPTIONS = 2000
_HIDDEN_FLAGS = 0x02 | 0x20  # hidden, and not shown on a screen
_PASSWORD = 1 << 13
_MEANINGLESS = frozenset({"yes", "on", "off", "true", "x", "ja", "oui", "si", "sí"})


def read_fields(page: Any, form: Any) -> list[Line]:
    """The values at their places, each with the name of its field. `form` is PDFium's environment; None without one."""
    import pypdfium2.raw as raw

    lines: list[Line] = []
    count = raw.FPDFPage_GetAnnotCount(page)
    for index in range(min(count, _MAX_ANNOTATIONS)):
        annotation = raw.FPDFPage_GetAnnot(page, index)
        if not annotation:
            continue
        try:
            if raw.FPDFAnnot_GetFlags(annotation) & _HIDDEN_FLAGS:
                continue
            subtype = raw.FPDFAnnot_GetSubtype(annotation)
            if subtype == raw.FPDF_ANNOT_FREETEXT:
                text, name = _string(raw.FPDFAnnot_GetStringValue, annotation, b"Contents"), ""
            elif subtype == raw.FPDF_ANNOT_WIDGET and form is not None:
                text, name = _value(raw, form, annotation), _name(raw, form, annotation)
            else:
                continue
            lines += _lines(raw, annotation, text, name)
        finally:
            raw.FPDFPage_CloseAnnot(annotation)
    return lines


def with_fields(rows: list[list[Line]], fields: list[Line]) -> list[list[Line]]:
    """The rows of a page with the values of fields in them.

    A value with printed text in its row is part of that row; any other gets the name of its field before it.
    """
    if not fields:
        return rows
    result = [list(row) for row in rows]
    added: list[list[Line]] = []
    for line in fields:
        line.order = 1 + max((one.order for row in rows for one in row if one.base >= line.base), default=-1)
        row = min(result, key=lambda row: abs(row[0].base - line.base), default=None)
        if row is not None and abs(row[0].base - line.base) <= 0.8 * max(row[0].size, line.size):
            row.append(line)
            row.sort(key=lambda one: one.left)
        else:
            line.text = f"{line.field}: {line.text}" if line.field else line.text
            added.append([line])
    return sorted([*result, *added], key=lambda row: -row[0].base)


def _lines(raw: Any, annotation: Any, text: str, name: str) -> list[Line]:
    """A text as lines in the rectangle of its annotation."""
    rectangle = raw.FS_RECTF()
    written = [line for line in map(one_line, without_markers(text).splitlines()) if line]
    if not written or not raw.FPDFAnnot_GetRect(annotation, rectangle):
        return []
    left, right = sorted((rectangle.left, rectangle.right))
    bottom, top = sorted((rectangle.bottom, rectangle.top))
    height = (top - bottom) / len(written)
    size = min(max(height * 0.6, 6.0), 12.0)
    lines = []
    for number, line in enumerate(written):
        # The base line of text in the middle of its part of the height.
        base = top - (number + 0.5) * height - 0.35 * size
        lines.append(Line(line, size, left, right, base, right - left, field=name if number == 0 else ""))
    return lines


def _value(raw: Any, form: Any, annotation: Any) -> str:
    kind = raw.FPDFAnnot_GetFormFieldType(form, annotation)
    if kind in {raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON}:
        if not raw.FPDFAnnot_IsChecked(form, annotation):
            return "[ ]"
        chosen = one_line(_string(raw.FPDFAnnot_GetFormFieldExportValue, form, annotation))
        has_meaning = any(character.isalpha() for character in chosen) and chosen.lower() not in _MEANINGLESS
        return f"[x] {chosen}" if has_meaning else "[x]"
    if kind in {raw.FPDF_FORMFIELD_COMBOBOX, raw.FPDF_FORMFIELD_LISTBOX}:
        options = range(min(raw.FPDFAnnot_GetOptionCount(form, annotation), _MAX_OPTIONS))
        chosen_options = [
            _string(raw.FPDFAnnot_GetOptionLabel, form, annotation, option)
            for option in options
            if raw.FPDFAnnot_IsOptionSelected(form, annotation, option)
        ]
        return ", ".join(chosen_options) or _string(raw.FPDFAnnot_GetFormFieldValue, form, annotation)
    if kind == raw.FPDF_FORMFIELD_TEXTFIELD and not raw.FPDFAnnot_GetFormFieldFlags(form, annotation) & _PASSWORD:
        return _string(raw.FPDFAnnot_GetFormFieldValue, form, annotation).replace("\r", "\n")
    return ""


def _name(raw: Any, form: Any, annotation: Any) -> str:
    """The name that a form shows to its reader, or the last part of the technical name."""
    shown = _string(raw.FPDFAnnot_GetFormFieldAlternateName, form, annotation)
    name = shown or _string(raw.FPDFAnnot_GetFormFieldName, form, annotation).rpartition(".")[2]
    return one_line(without_markers(name))


def _string(read: Callable[..., int], *arguments: Any) -> str:
    """A text that PDFium writes as UTF-16 into a buffer, whose size in bytes it tells first."""
    size = read(*arguments, None, 0)
    if size <= 2:
        return ""
    units = (ctypes.c_ushort * (size // 2 + 1))()
    read(*arguments, units, size)
    return bytes(units)[:size].decode("utf-16-le", "replace").rstrip("\x00")
