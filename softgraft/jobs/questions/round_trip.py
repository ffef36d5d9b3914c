"""The round trip: does the domain's retrieval find the sentence with the question, and does the span answer it?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from chains import Answering, Evidence, LocalSpeaker, SoftPromptChat
from evaluation.text_scores import token_f1
from retrieval import Index, Passage, RankedPassage
from retrieval.splitting.scripts import UNSPACED
from soft_prompt import encode_prompt, score_continuations
from softgraft.domain import Domain
from softgraft.jobs.questions.form import form_problem
from softgraft.jobs.questions.sources import Source
from softgraft.jobs.questions.spans import answer_spans

# The passage with the answer must be among this many; answers read four.
RANKS = 3
# Cosine above which two questions are the same; a lower one is enough if they ask about the same sentence.
_SAME_QUESTION, _SAME_SENTENCE = 0.95, 0.85
# Encoders without a language's characters see most of its questions as equal: then the words must agree too.
_SAME_WORDS = 0.8
# Nats per token by which the question must make its answer likelier than a question about nothing does.
LEAST_GAIN = 0.0
_NEUTRAL = {"en": "What does the text say?", "zh": "文中说了什么？"}
_OTHER_SPANS = 6
_CJK = re.compile(f"[{UNSPACED}]")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of the checks: why a question is not used (None: it is), and how well its answer fits, in nats."""

    problem: str | None
    gain: float = 0.0


class RoundTrip:
    """Checks questions against a domain's retrieval and backbone, and against the questions it has already."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._questions: list[str] = []
        self._sentences: list[tuple[str, int]] = []
        self._vectors: NDArray[np.float32] | None = None

    @property
    def index(self) -> Index:
        return self._domain.index

    def add_known(self, questions: Sequence[str], sentences: Sequence[tuple[str, int]]) -> None:
        """Questions that must not come again, each with the document and the start of its sentence."""
        if not questions:
            return
        vectors = self._domain.encoder.encode(list(questions))
        self._vectors = vectors if self._vectors is None else np.concatenate((self._vectors, vectors))
        self._questions += questions
        self._sentences += sentences

    def check(self, source: Source, questions: Sequence[str]) -> list[Verdict]:
        """Check questions about one source, the cheap checks first."""
        problems = [form_problem(question, source.answers, source.sentence) for question in questions]
        verdicts = {n: Verdict(problem) for n, problem in enumerate(problems) if problem is not None}
        left = [n for n in range(len(questions)) if n not in verdicts]
        if left:
            rankings = self.search([questions[n] for n in left])
            for n, ranked in zip(left, rankings, strict=True):
                if not any(_holds(entry.passage, source) for entry in ranked[:RANKS]):
                    verdicts[n] = Verdict("its sentence is not retrieved")
                elif self.is_known(questions[n], (source.doc_id, source.start)):
                    verdicts[n] = Verdict("too close to another question")
        left = [n for n in left if n not in verdicts]
        for n, gain in zip(left, self._gains(source, [questions[n] for n in left]), strict=True):
            likely = gain is None or gain >= LEAST_GAIN
            verdicts[n] = Verdict(None if likely else "its answer is not the likely one", gain or 0.0)
        return [verdicts[n] for n in range(len(questions))]

    def search(self, questions: Sequence[str]) -> list[list[RankedPassage]]:
        """The evidence of questions, as for answers."""
        return self.index.search_many(list(questions), 4, weights=self._answering.settings.weights)

    def is_known(self, question: str, sentence: tuple[str, int]) -> bool:
        """Whether a question is too close to a known one."""
        if self._vectors is None:
            return False
        cosines = self._vectors @ self._domain.encoder.encode([question])[0]
        for n in np.flatnonzero(cosines > _SAME_SENTENCE):
            same_words = not _CJK.search(question) or token_f1(question, [self._questions[n]]) > _SAME_WORDS
            if same_words and (cosines[n] > _SAME_QUESTION or self._sentences[n] == sentence):
                return True
        return False

    @cached_property
    def _answering(self) -> Answering:
        domain = self._domain
        return domain.answering("text-twin", speaker=None if self._chat is None else LocalSpeaker(self._chat))

    @cached_property
    def _chat(self) -> SoftPromptChat | None:
        """The backbone, if it gives likelihoods."""
        if self._domain.remote or self._domain.store.backbone.encoder_decoder:
            return None
        return self._domain.chat("text-twin")

    def _gains(self, source: Source, questions: Sequence[str]) -> list[float | None]:
        """How much likelier each question makes the answer than a question about nothing, in nats per token.

        Spans of the same kind in the passage compete: if one of them gains more, the result is negative. None if the
        backbone gives no likelihoods.
        """
        passage = next((p for p in self.index.document_passages([source.doc_id]) if _holds(p, source)), None)
        if self._chat is None or passage is None or not questions:
            return [None] * len(questions)
        backbone = self._chat.store.backbone
        answers = [source.answers[0], *_competitors(passage.text, source)]
        continuations = list(dict.fromkeys(tuple(backbone.encode_text(answer)) for answer in answers))
        neutral = _NEUTRAL.get(self._domain.file.language, _NEUTRAL["en"])
        evidence = Evidence((RankedPassage(passage, 0.0, 0.0, 0.0, 0.0),), None, True)
        rows = [
            encode_prompt(
                backbone, self._answering.prompt(question, [], evidence), self._chat.fills, self._chat.attention
            )
            for question in (neutral, *questions)
        ]
        scores = score_continuations(self._chat.store, rows, continuations).numpy()
        gains = (scores[1:] - scores[0]) / np.array([len(ids) for ids in continuations])
        margins = gains[:, 0] - gains[:, 1:].max(axis=1) if gains.shape[1] > 1 else gains[:, 0]
        return [float(min(gain, margin)) for gain, margin in zip(gains[:, 0], margins, strict=True)]


def _holds(passage: Passage, source: Source) -> bool:
    return passage.doc_id == source.doc_id and passage.start < source.end and source.start < passage.end


def _competitors(text: str, source: Source) -> list[str]:
    """Other spans of the same kind in a passage."""
    others = [span.full_text(text) for span in answer_spans(text) if span.kind == source.kind]
    return [other for other in dict.fromkeys(others) if other not in source.answers][:_OTHER_SPANS]
