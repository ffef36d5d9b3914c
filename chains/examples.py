"""Worked examples for a template, chosen for each question: the solved questions that are nearest to it."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prompts import Example, FewShot
from retrieval import Encoder

# The worked examples nearest to a question, so many at most, the nearest first.
Nearest = Callable[[str, int], Sequence[Example]]

_DIGEST = hashlib.sha256().digest_size


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

    Vectors are computed when they are first needed and kept in a file that is named by what they depend on, so that a
    change of the questions or of the encoder makes another.

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
                self._known = solved, self._vectors(solved)
            solved, vectors = self._known
            if not solved:
                return []
            if self._last is None or self._last[0] != question:
                self._last = question, vectors @ self._encoder().encode([question])[0]
            scores = self._last[1]
        own = _same(question)
        groups = {one.group for one in solved if one.group and _same(one.question) == own}
        order = np.argsort(-scores, kind="stable")
        kept = (solved[i] for i in order if _same(solved[i].question) != own and solved[i].group not in groups)
        return [Example(one.question, one.answer) for one, _ in zip(kept, range(count), strict=False)]

    def _vectors(self, solved: Sequence[Solved]) -> NDArray[np.float32]:
        if not solved:
            return np.zeros((0, 0), dtype=np.float32)
        encoder, questions = self._encoder(), [one.question for one in solved]
        name = hashlib.sha256(json.dumps([encoder.id, questions]).encode()).hexdigest()
        path, shape = self._folder / f"{name[:32]}.vectors", (len(questions), encoder.dimension)
        data = path.read_bytes() if path.is_file() else b""
        body = data[_DIGEST:]
        # Whatever is damaged or cut off is computed again and written anew.
        if len(body) == 4 * shape[0] * shape[1] and hashlib.sha256(body).digest() == data[:_DIGEST]:
            return np.frombuffer(body, dtype="<f4").reshape(shape).astype(np.float32)
        vectors = encoder.encode(questions)
        body = vectors.astype("<f4").tobytes()
        self._folder.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        scratch.write_bytes(hashlib.sha256(body).digest() + body)
        scratch.replace(path)
        return vectors


def _same(question: str) -> str:
    """Equal for questions that differ in letter case and white space alone."""
    return " ".join(question.casefold().split())
