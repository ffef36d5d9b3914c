"""The engine: RapidOCR, with the models that its package contains (PP-OCRv6 small, Apache-2.0), on one thread."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from retrieval.conversion.ocr.recognition import missing_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The longest side of a picture, in pixels. A page of A4 then has 171 pixels per inch, enough for small print.
LONGEST_SIDE = 2000
# Upright text is recognised with a mean confidence of 0.95 or more, and text upside down with 0.8 at most.
_UPRIGHT = 0.9
# Below this confidence, what is recognised is mostly not text.
_LEAST_CONFIDENCE = 0.5
_MOST_TURNED = 0.5


@dataclass(frozen=True, slots=True)
class Piece:
    """Words that were recognised in one place, in pixels, with y from top to bottom.

    Attributes:
        text: what was recognised, with its spaces.
        corners: left top, right top, right bottom, left bottom.
        characters: the left and right edge of parts of the text, in order; together they are the text without spaces.
        confidence: from 0 to 1.
    """

    text: str
    corners: tuple[tuple[float, float], ...]
    characters: tuple[tuple[str, float, float], ...]
    confidence: float


@dataclass(frozen=True, slots=True)
class Recognised:
    """The pieces of a picture, and its width and height after it was turned upright."""

    pieces: Sequence[Piece]
    width: int
    height: int


def recognise(pixels: NDArray[np.uint8]) -> Recognised:
    """What stands on a picture `[height, width]` or `[height, width, 3]`, whichever way it is turned.

    Raises ConversionError if the optional packages are missing, MemoryError if there is too little memory.
    """
    import numpy as np

    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    found = _pieces(pixels)
    if found and sum(map(_is_turned, found)) > _MOST_TURNED * len(found):
        pixels = np.rot90(pixels)
        found = _pieces(pixels)
    if found and _confidence(found) < _UPRIGHT:
        turned = np.rot90(pixels, 2)
        other = _pieces(turned)
        if _certain_letters(other) > _certain_letters(found):
            found = other
    return Recognised(found, pixels.shape[1], pixels.shape[0])


def _pieces(pixels: NDArray[np.uint8]) -> list[Piece]:
    import numpy as np

    try:
        result: Any = _engine()(np.ascontiguousarray(pixels), return_word_box=True)
    except Exception as error:
        # OpenCV and ONNX Runtime have their own errors.
        if _is_out_of_memory(error):
            raise MemoryError from error
        raise
    if result.txts is None or result.boxes is None:
        return []
    pieces = []
    for text, corners, words, confidence in zip(
        result.txts, result.boxes, result.word_results, result.scores, strict=True
    ):
        parts = tuple(
            (str(part), float(min(x for x, _ in box)), float(max(x for x, _ in box))) for part, _, box in words if box
        )
        pieces.append(Piece(str(text), tuple((float(x), float(y)) for x, y in corners), parts, float(confidence)))
    return pieces


@cache
def _engine() -> Any:
    """The loaded engine. Raises ConversionError if its packages are missing or broken."""
    try:
        import cv2
        from rapidocr import RapidOCR
    except ImportError as error:
        if _is_out_of_memory(error):
            raise MemoryError from error
        raise missing_error(error.name or "rapidocr", str(error)) from error
    cv2.setNumThreads(1)
    logging.getLogger("RapidOCR").setLevel(logging.CRITICAL)
    return RapidOCR(
        params={
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Global.log_level": "critical",
            "Global.max_side_len": LONGEST_SIDE,
            "Global.text_score": _LEAST_CONFIDENCE,
            # It turns long lines of upright text upside down.
            "Global.use_cls": False,
            # Lines of different lengths in a batch take more memory, and their padding can change the result.
            "Rec.rec_batch_num": 1,
        }
    )


def _is_out_of_memory(error: Exception) -> bool:
    message = str(error).lower()
    return any(
        sign in message
        for sign in ("bad_alloc", "insufficient memory", "failed to allocate", "out of memory", "failed to map")
    )


def _is_turned(piece: Piece) -> bool:
    """Whether a piece is higher than it is wide; a single character says nothing."""
    (x1, y1), (x2, y2), (x3, y3) = piece.corners[:3]
    return len(piece.text) > 2 and math.hypot(x2 - x1, y2 - y1) < math.hypot(x3 - x2, y3 - y2)


def _confidence(pieces: Sequence[Piece]) -> float:
    """The mean confidence per character."""
    return _certain_letters(pieces) / max(1, sum(len(piece.text) for piece in pieces))


def _certain_letters(pieces: Sequence[Piece]) -> float:
    return math.fsum(len(piece.text) * piece.confidence for piece in pieces)
