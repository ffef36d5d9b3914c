"""Pages as a scanner writes them: pictures of other pages."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pypdfium2
import pytest
from PIL.Image import Image

from retrieval.conversion.ocr.recognition import PIP_INSTALL, missing_package

needs_ocr = pytest.mark.skipif(
    missing_package() is not None, reason=f"text recognition is not installed: {PIP_INSTALL}"
)
# Pixels per inch of a scan.
DPI = 150


def picture(data: bytes, *, share: float = 1.0, turned: int = 0) -> Image:
    """The first page of a PDF in grey: its upper part, turned by so many degrees."""
    with pypdfium2.PdfDocument(data) as document:
        image = document[0].render(scale=DPI / 72, grayscale=True).to_pil().convert("L")
    return image.crop((0, 0, image.width, round(share * image.height))).rotate(turned, expand=True, fillcolor=255)


def scanned(images: Sequence[Image]) -> bytes:
    """A PDF with a page for each picture."""
    buffer = io.BytesIO()
    images[0].save(buffer, "PDF", save_all=True, append_images=images[1:], resolution=DPI)
    return buffer.getvalue()


def as_file(images: Sequence[Image], format_: str) -> bytes:
    """The pictures as an image file; only TIFF has more than one page."""
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": images[1:]} if len(images) > 1 else {}
    images[0].save(buffer, format_, **more)
    return buffer.getvalue()
