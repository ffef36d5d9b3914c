"""Pages of a PDF whose text is a picture, which only text recognition can read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# Letters may be drawn as outlines, one or more paths each.
_MIN_PATHS = 40
_MAX_OBJECTS = 2000
_MAX_DEPTH = 4
# A page number or stamp beside a picture of the whole page is not the page's text.
_FEW_CHARACTERS = 25
_WHOLE_PAGE = 0.75


def is_picture(page: Any, characters: int) -> bool:
    """Whether a page with so many visible characters is a picture of text."""
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


def pages_note(pages: Sequence[int], of: int) -> str:
    """What a user should know of these pages, which are counted from 1; "" if there are none."""
    if not pages:
        return ""
    spans: list[list[int]] = []
    for page in pages:
        if spans and page == spans[-1][-1] + 1:
            spans[-1].append(page)
        else:
            spans.append([page])
    parts = [f"{span[0]} to {span[-1]}" if len(span) > 2 else ", ".join(map(str, span)) for span in spans]
    listed = ", ".join(parts)
    which, hold = (f"page {listed}", "holds") if len(pages) == 1 else (f"pages {listed}", "hold")
    return f"{which} of {of} {hold} pictures and no text that can be read; run text recognition (OCR) on the file"


def _area(raw: Any, item: Any) -> float:
    from ctypes import c_float

    left, bottom, right, top = c_float(), c_float(), c_float(), c_float()
    if not raw.FPDFPageObj_GetBounds(item, left, bottom, right, top):
        return 0.0
    return float((right.value - left.value) * (top.value - bottom.value))
