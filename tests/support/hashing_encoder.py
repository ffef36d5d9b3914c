"""A deterministic encoder without a model."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"\w+|[^\w\s]")


class HashingEncoder:
    """Hashes each word to a signed dimension, so texts that share words have a high cosine similarity."""

    def __init__(self, name: str = "hashing", dimension: int = 64) -> None:
        self.id = f"{name}-{dimension}"
        self.dimension = dimension
        self.window = 128
        self.encoded: list[str] = []

    def count_tokens(self, text: str) -> int:
        return 2 + sum(math.ceil(len(word) / 4) for word in _WORD.findall(text))

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        self.encoded.extend(texts)
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for number, text in enumerate(texts):
            rows[number, 0] = 0.01  # never a zero vector
            for word in _WORD.findall(text.lower()):
                digest = hashlib.sha256(word.encode()).digest()
                rows[number, int.from_bytes(digest[:4]) % self.dimension] += 1.0 if digest[4] % 2 else -1.0
            if progress is not None:
                progress(number + 1)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.encode(texts)
