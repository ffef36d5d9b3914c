"""Few-shot examples: the solved questions or labelled texts that are most similar to an input."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prompts import Example, FewShot, PassageInput
from retrieval import Encoder
from retrieval.encoders.kept_vectors import kept_vectors

# Returns the worked examples most similar to a question, at most a number of them, most similar first.
ExampleSelector = Callable[[str, int], Sequence[Example]]

_NO_VECTORS = np.zeros((0, 0), dtype=np.float32)


def select_examples(
    select: ExampleSelector, few_shot: FewShot, question: str, count_tokens: Callable[[str], int]
) -> list[Example]:
    """The most similar examples within the template's limits; the most similar comes last, next to the question."""
    kept: list[Example] = []
    tokens_left = few_shot.tokens
    for example in select(question, few_shot.similar):
        tokens_left -= count_tokens(f"{example.question} {example.answer}")
        if tokens_left < 0:
            break
        kept.append(example)
    return kept[::-1]


@dataclass(frozen=True, slots=True)
class SolvedQuestion:
    """A training question with its answer; questions of one `group` share a source."""

    question: str
    answer: str
    group: str = ""


class NearestExamples:
    """Selects worked examples by the similarity of their questions.

    Vectors are computed on first use and cached in `folder`, which may be deleted at any time.
    """

    def __init__(
        self, read: Callable[[], Sequence[SolvedQuestion]], encoder: Callable[[], Encoder], folder: Path
    ) -> None:
        self._read = read
        self._encoder = encoder
        self._folder = folder
        self._lock = threading.Lock()
        self._index: tuple[Sequence[SolvedQuestion], NDArray[np.float32]] | None = None
        # A prompt is rendered several times per question, with fewer passages each time.
        self._last_scores: tuple[str, NDArray[np.float32]] | None = None

    def nearest(self, question: str, count: int) -> list[Example]:
        """At most `count` examples, the most similar first.

        A question and the questions of its group are never examples for it: a model that is trained with the answer in
        its prompt learns to copy.
        """
        with self._lock:
            if self._index is None:
                solved = self._read()
                questions = [example.question for example in solved]
                vectors = kept_vectors(questions, self._encoder(), self._folder) if solved else _NO_VECTORS
                self._index = solved, vectors
            solved, vectors = self._index
            if not solved:
                return []
            if self._last_scores is None or self._last_scores[0] != question:
                self._last_scores = question, vectors @ self._encoder().encode_queries([question])[0]
            scores = self._last_scores[1]
        own = same_text(question)
        groups = {example.group for example in solved if example.group and same_text(example.question) == own}
        order = np.argsort(-scores, kind="stable")
        others = (solved[i] for i in order if same_text(solved[i].question) != own and solved[i].group not in groups)
        return [Example(example.question, example.answer) for example in islice(others, count)]


def same_text(question: str) -> str:
    """Normalised text: equal for texts that differ only in letter case and white space."""
    return " ".join(question.casefold().split())


@dataclass(frozen=True, slots=True)
class ContextExample:
    id: str
    text: str
    answer: str


@dataclass(frozen=True, eq=False)
class NearestExampleRetriever:
    """Retrieves the labelled examples most similar to a text.

    Attributes:
        vectors: embeddings of the examples, `[examples, dimension]`, fp32, of length 1.
        most: maximum number of examples per text.
        tokens: maximum number of their tokens; the most similar example is always kept.
    """

    examples: Sequence[ContextExample]
    vectors: NDArray[np.float32]
    encoder: Encoder
    most: int
    tokens: int
    count_tokens: Callable[[str], int]

    def search(self, texts: Sequence[str], *, exclude_same_text: bool = False) -> list[list[PassageInput]]:
        """Examples for each text, the most similar last, next to the slot and the text.

        With `exclude_same_text`, training does not see its own answer.
        """
        if not texts or not self.examples:
            return [[] for _ in texts]
        similarities = self.encoder.encode_queries(list(texts)) @ self.vectors.T
        results = []
        for text, row in zip(texts, similarities, strict=True):
            kept: list[PassageInput] = []
            tokens_left = self.tokens
            for number in np.argsort(-row, kind="stable"):
                example = self.examples[int(number)]
                if exclude_same_text and same_text(example.text) == same_text(text):
                    continue
                tokens_left -= self.count_tokens(f"{example.text} {example.answer}")
                if len(kept) == self.most or (kept and tokens_left < 0):
                    break
                kept.append(PassageInput(example.id, example.text, "", example.answer))
            results.append(kept[::-1])
        return results
