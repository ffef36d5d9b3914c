"""Image files: the text on each page of a PNG, JPEG or TIFF file, by text recognition."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from retrieval.conversion.converted import Converted
from retrieval.conversion.ocr.pictures import read_image
from retrieval.conversion.ocr.recognition import (
    PIP_INSTALL,
    PageCounts,
    Recognition,
    is_left_out,
    missing_package,
    with_pages,
)
from retrieval.conversion.pdf.regions import Region, read_regions
from retrieval.conversion.pdf.rows import read_rows
from retrieval.conversion.pdf_layout import lay_out
from retrieval.errors import ConversionError

if TYPE_CHECKING:
    from PIL.Image import Image

    from retrieval.conversion.pdf.words import Word

VERSION = "image/1"
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")

_FORMATS = ("PNG", "JPEG", "TIFF")
# A page of A4 at 600 pixels per inch has 35 million pixels.
MAX_PIXELS = 100_000_000


def convert(data: bytes, name: str, recognition: Recognition | None = None) -> Converted:
    """Raises ConversionError if the file is damaged, too large or without text, or is not to be recognised."""
    if recognition is None:
        is_missing = missing_package() is not None
        raise ConversionError(
            found=f"{name} is an image, and text recognition (OCR) is {'not installed' if is_missing else 'off'}",
            expected="a file with text",
            next_step=f"{PIP_INSTALL}, and ingest again" if is_missing else f"set `ocr: true` or remove {name}",
        )
    pages: list[list[Region]] = []
    counts = PageCounts()
    for number, image in enumerate(_pages(data, name), start=1):
        if is_left_out(counts, recognition):
            counts.left_out.append(number)
            pages.append([])
            continue
        recognition.on_page()
        words = read_image(image)
        (counts.recognised if words else counts.empty).append(number)
        pages.append(regions_of(words))
    if not counts.recognised:
        raise ConversionError(
            found=f"text recognition (OCR) found no text on {name}",
            expected="an image of printed text",
            next_step=f"remove {name}, or scan it again",
        )
    return with_pages(lay_out(pages), counts, len(pages), recognition)


def regions_of(words: list[Word]) -> list[Region]:
    """The regions of a page of recognised words, which has no ruled lines."""
    regions: list[Region] = []
    for rows in read_rows(words).values():
        regions += read_regions([row.lines() for row in rows])
    return regions


def _pages(data: bytes, name: str) -> Iterator[Image]:
    import PIL
    import PIL.Image

    bomb = PIL.Image.DecompressionBombError
    number = 0
    while True:
        try:
            with warnings.catch_warnings():
                # Pixels are counted here.
                warnings.simplefilter("ignore")
                image = _page(data, name, number)
        except bomb as error:
            raise _too_large(name, "too many") from error
        except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:
            # Pillow's message has the address of an object.
            reason = "unknown format" if isinstance(error, PIL.UnidentifiedImageError) else error
            raise ConversionError(
                found=f"{name} cannot be read as an image ({reason})",
                expected="an undamaged PNG, JPEG or TIFF file",
                next_step=f"open {name} in an image viewer and save it again",
            ) from error
        if image is None:
            return
        with image:
            yield image
        number += 1


def _page(data: bytes, name: str, number: int) -> Image | None:
    """The page of a file, from 0; None after the last one."""
    import PIL.Image

    image = PIL.Image.open(io.BytesIO(data), formats=_FORMATS)
    if number >= getattr(image, "n_frames", 1):
        return None
    image.seek(number)
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(name, f"{image.width:,} × {image.height:,}")
    image.load()
    return image


def _too_large(name: str, pixels: str) -> ConversionError:
    return ConversionError(
        found=f"{name} has {pixels} pixels",
        expected=f"at most {MAX_PIXELS:,} pixels",
        next_step=f"scan {name} again with 300 pixels per inch",
    )
