"""Solved examples that are like a text: what is put before the model as context where a task asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chains.examples import same_text
from prompts import PassageInput
from retrieval import Encoder


@dataclass(frozen=True, slots=True)
class ContextExample:
    """One example: a text, and what it should become in the words of the answer."""

    id: str
    text: str
    answer: str


@dataclass(frozen=True, eq=False)
class NearestContext:
    """The nearest examples of a text by the encoder's vectors.

    Attributes:
        examples: to choose from.
        vectors: `[examples, dimension]`, fp32, of length 1.
        encoder: which made them.
        most: examples a text.
        tokens: at most so many tokens of them; the nearest always counts.
        count_tokens: in the backbone's own tokens.
    """

    examples: Sequence[ContextExample]
    vectors: NDArray[np.float32]
    encoder: Encoder
    most: int
    tokens: int
    count_tokens: Callable[[str], int]

    def find(self, texts: Sequence[str], *, apart: bool = False) -> list[list[PassageInput]]:
        """Examples for each text, the nearest last, next to the slot and the text.

        Args:
            texts: to look for.
            apart: leave out examples with the same text, so that training does not show its own answer.
        """
        if not texts or not self.examples:
            return [[] for _ in texts]
        likeness = self.encoder.encode(list(texts)) @ self.vectors.T
        found = []
        for text, row in zip(texts, likeness, strict=True):
            kept: list[PassageInput] = []
            left = self.tokens
            for number in np.argsort(-row, kind="stable"):
                one = self.examples[int(number)]
                if apart and same_text(one.text) == same_text(text):
                    continue
                left -= self.count_tokens(f"{one.text} {one.answer}")
                if len(kept) == self.most or (kept and left < 0):
                    break
                kept.append(PassageInput(one.id, one.text, "", one.answer))
            found.append(kept[::-1])
        return found
