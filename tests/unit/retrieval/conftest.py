"""A deterministic encoder without a model, and folders of small documents."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

_WORD = re.compile(r"\w+|[^\w\s]")


class HashingEncoder:
    """Bags of words hashed to directions: texts that share words have a high cosine."""

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


@pytest.fixture
def encoder() -> HashingEncoder:
    return HashingEncoder()


@pytest.fixture
def other_encoder() -> HashingEncoder:
    return HashingEncoder(name="another")


@pytest.fixture
def index_dir(tmp_path: Path) -> Path:
    return tmp_path / "build" / "index"


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "cards").mkdir(parents=True)
    (folder / "cards" / "fees.md").write_text(
        "# Card fees\n\nThe card is free of charge in the first year.\n\n"
        "## Abroad\n\nCash withdrawals abroad cost 2.99 percent, at least 3 euros.\n\n"
        "## Replacement\n\nA replacement card costs 12 euros.\n",
        encoding="utf-8",
    )
    (folder / "disputes.md").write_text(
        "# Disputes\n\nYou have 120 days to dispute a card payment.\n\n"
        "## Evidence\n\nKeep the receipt and every letter from the merchant.\n",
        encoding="utf-8",
    )
    (folder / "zh.txt").write_text("信用卡的年费为八十元。境外取现另收手续费。\n", encoding="utf-8")
    return folder
