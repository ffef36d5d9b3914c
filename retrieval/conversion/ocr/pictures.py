"""Pages of a PDF and image files as pixels, within limits, and the words on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from retrieval.conversion.ocr.engine import LONGEST_SIDE, recognise
from retrieval.conversion.ocr.placing import words_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from pypdfium2 import PdfPage

    from retrieval.conversion.pdf.words import Word

# Enlarging a small page beyond this many pixels per inch shows nothing that a scan has.
_MOST_DPI = 300
_POINTS_PER_INCH = 72
# The paper that an image without a sensible resolution is taken to be: its longest side is that of A4, in points.
_LONGEST_PAPER = 842.0


def read_page(page: PdfPage) -> list[Word]:
    """The words on a page of a PDF, drawn with `LONGEST_SIDE` pixels at most."""
    longest = max(*page.get_size(), 1.0)
    scale = min(LONGEST_SIDE / longest, _MOST_DPI / _POINTS_PER_INCH)
    bitmap = page.render(scale=scale, grayscale=True)
    try:
        pixels = bitmap.to_numpy().copy()
    finally:
        bitmap.close()
    return words_of(recognise(pixels[:, :, 0] if pixels.ndim == 3 else pixels), 1 / scale)


def read_image(image: Image) -> list[Word]:
    """The words on an image, which is made smaller if a side has more than `LONGEST_SIDE` pixels."""
    import numpy as np

    grey = _on_white(image)
    if max(grey.size) > LONGEST_SIDE:
        grey.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return words_of(recognise(np.asarray(grey, dtype=np.uint8)), _LONGEST_PAPER / max(grey.size))


def _on_white(image: Image) -> Any:
    """The image in grey, upright as its camera says; what is transparent is white."""
    import PIL.Image
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I") or upright.mode == "F":
        # 16 bits per pixel, as some scanners write.
        return upright.point(lambda level: level / 256).convert("L") if upright.mode != "F" else upright.convert("L")
    if upright.mode in {"LA", "PA", "RGBA", "La", "RGBa"} or "transparency" in upright.info:
        over = upright.convert("RGBA")
        white = PIL.Image.new("RGBA", over.size, "white")
        return PIL.Image.alpha_composite(white, over).convert("L")
    return upright.convert("L")
