"""Pages of a PDF whose text is a picture, which only text recognition can read."""

from __future__ import annotations

from typing import Any

# Letters may be drawn as outlines, one or more paths each.
_MIN_PATHS = 40
_MAX_OBJECTS = 2000
_MAX_DEPTH = 4
# A page number or stamp beside a picture of the whole page is not the page's text.
_FEW_CHARACTERS = 25
_WHOLE_PAGE = 0.75


def is_picture(page: Any, characters: int) -> bool:
    """Whether a page with this number of visible characters is a picture of text."""
    if characters > _FEW_CHARACTERS:
        return False
    import pypdfium2.raw as raw

    width, height = page.get_size()
    stack = [(page.raw, raw.FPDFPage_CountObjects, raw.FPDFPage_GetObject, 0)]
    seen = paths = 0
    while stack and seen < _MAX_OBJECTS:
        holder, count, get, depth = stack.pop()
        for index in range(min(count(holder), _MAX_OBJECTS)):
            seen += 1
            item = get(holder, index)
            kind = raw.FPDFPageObj_GetType(item)
            if kind == raw.FPDF_PAGEOBJ_FORM and depth < _MAX_DEPTH:
                stack.append((item, raw.FPDFFormObj_CountObjects, raw.FPDFFormObj_GetObject, depth + 1))
            elif kind == raw.FPDF_PAGEOBJ_PATH:
                paths += 1
            elif kind == raw.FPDF_PAGEOBJ_IMAGE and (
                characters == 0 or _area(raw, item) >= _WHOLE_PAGE * width * height
            ):
                return True
    return characters == 0 and paths >= _MIN_PATHS


def _area(raw: Any, item: Any) -> float:
    from ctypes import c_float

    left, bottom, right, top = c_float(), c_float(), c_float(), c_float()
    if not raw.FPDFPageObj_GetBounds(item, left, bottom, right, top):
        return 0.0
    return float((right.value - left.value) * (top.value - bottom.value))
