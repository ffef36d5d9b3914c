"""Worked examples for a template, chosen for each question: the solved questions that are nearest to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prompts import Example, FewShot, PassageInput
from retrieval import Encoder
from retrieval.encoders.kept_vectors import kept_vectors

# The worked examples nearest to a question, so many at most, the nearest first.
Nearest = Callable[[str, int], Sequence[Example]]

_NONE = np.zeros((0, 0), dtype=np.float32)


def no_examples(question: str, count: int) -> Sequence[Example]:
    """For a domain without solved questions."""
    return ()


def chosen_examples(
    nearest: Nearest, wanted: FewShot, question: str, count_tokens: Callable[[str], int]
) -> list[Example]:
    """The nearest examples within the template's budget; the nearest stands last, beside the question."""
    kept: list[Example] = []
    left = wanted.tokens
    for example in nearest(question, wanted.similar):
        left -= count_tokens(f"{example.question} {example.answer}")
        if left < 0:
            break
        kept.append(example)
    return kept[::-1]


@dataclass(frozen=True, slots=True)
class Solved:
    """A question whose answer is known; those of one `group` are about the same thing."""

    question: str
    answer: str
    group: str = ""


class NearestExamples:
    """Chooses worked examples by the similarity of their questions.

    Vectors are computed when they are first needed, and kept.

    Args:
        read: gives the solved questions; called once, when the first example is asked for.
        encoder: gives the encoder, likewise.
        folder: where the vectors are kept; it may be deleted at any time.
    """

    def __init__(self, read: Callable[[], Sequence[Solved]], encoder: Callable[[], Encoder], folder: Path) -> None:
        self._read = read
        self._encoder = encoder
        self._folder = folder
        self._lock = threading.Lock()
        self._known: tuple[Sequence[Solved], NDArray[np.float32]] | None = None
        # A prompt is made several times over for one question, with fewer passages each time.
        self._last: tuple[str, NDArray[np.float32]] | None = None

    def nearest(self, question: str, count: int) -> list[Example]:
        """At most `count` examples, the nearest first.

        A question is never its own example, and neither are those of its group: a model that is trained with the answer
        in its prompt learns to copy.
        """
        with self._lock:
            if self._known is None:
                solved = self._read()
                made = (
                    kept_vectors([one.question for one in solved], self._encoder(), self._folder) if solved else _NONE
                )
                self._known = solved, made
            solved, vectors = self._known
            if not solved:
                return []
            if self._last is None or self._last[0] != question:
                self._last = question, vectors @ self._encoder().encode([question])[0]
            scores = self._last[1]
        own = same_text(question)
        groups = {one.group for one in solved if one.group and same_text(one.question) == own}
        order = np.argsort(-scores, kind="stable")
        kept = (solved[i] for i in order if same_text(solved[i].question) != own and solved[i].group not in groups)
        return [Example(one.question, one.answer) for one, _ in zip(kept, range(count), strict=False)]


def same_text(question: str) -> str:
    """Equal for texts that differ in letter case and white space alone."""
    return " ".join(question.casefold().split())


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
