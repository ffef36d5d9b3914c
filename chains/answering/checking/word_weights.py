"""Which share of a sentence's words a place of the evidence has, weighted by how rare they are there."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass

from chains.answering.checking.evidence_text import EvidenceText
from chains.answering.checking.figures import Figure
from chains.answering.checking.statements import Statement
from chains.answering.checking.vocabulary import LIGHT
from chains.answering.checking.windows import Window

_LIGHT_WEIGHT = 0.25
_ENUMERATION = re.compile(r",|\band\b|\bor\b|[、和或及]")


@dataclass(frozen=True, slots=True)
class Limits:
    """The shares of word weight that support needs.

    Attributes:
        share: of the sentence.
        clause: of each of its clauses.
        asked: how much a missing word of the question counts.
        mixed: how much more a missing word counts that another place of the evidence has.
        denial: a place that says the opposite decides if its share is larger by this.
        elsewhere: a number is misplaced if the words around it fit those around another one better by this share.
    """

    share: float
    clause: float
    asked: float
    mixed: float
    denial: float
    elsewhere: float


class WordWeights:
    """Weights of words for one question and its evidence.

    Args:
        repeatable: words that a sentence may repeat without support if the evidence does not use them.
    """

    def __init__(self, evidence: EvidenceText, repeatable: Set[str], limits: Limits) -> None:
        self._evidence = evidence
        self._repeatable = repeatable
        self._limits = limits
        self._weights: dict[str, float] = {}

    def __call__(self, word: str) -> float:
        """Inverse sentence frequency in the evidence; less for verbs and adverbs of any sentence, and for one of the
        characters of a Chinese word.
        """
        if word not in self._weights:
            rarity = self._evidence.rare if word.startswith("#") else self._evidence.rarity(word)
            if word in LIGHT:
                rarity *= _LIGHT_WEIGHT
            elif not word.isascii() and len(word) <= 2:
                rarity *= 0.5
            self._weights[word] = rarity
        return self._weights[word]

    def of(self, words: Set[str]) -> float:
        return sum(map(self, words))

    def demanded(self, words: Set[str]) -> frozenset[str]:
        """The words without those that may be repeated without support."""
        return frozenset(word for word in words if word in self._evidence.known or word not in self._repeatable)

    def share(self, words: Set[str], within: Set[str], figures: Sequence[Figure] = ()) -> float:
        """The share of the words' weight that is in a place. A number in it counts like a rare word.

        A missing word counts more if another place of the evidence has it, since an unknown one may be a paraphrase,
        and less if the question has it.
        """
        found = self.of(words & within)
        found += self._evidence.rare * sum(
            not figure.rate and not figure.marks.isdisjoint(within) for figure in figures
        )
        missing = sum(self(word) * self._penalty(word) for word in words - within)
        return found / (found + missing) if found + missing else 1.0

    def share_by_sentence(self, claim: Statement, window: Window) -> float:
        """The share of a sentence. Two sentences of the evidence back only a sentence of two clauses or more, since
        a clause takes no words from both.
        """
        if len(window.parts) == 1 and window.sentences > 1 and not _ENUMERATION.search(claim.text):
            # A list backs only a sentence that lists some of its entries.
            return 0.0
        if len(window.parts) == 1:
            return self.share(self.demanded(claim.words), window.parts[0], claim.figures)
        clauses = [words for clause in claim.clauses if len(words := self.demanded(clause.words)) > 1]
        if len(clauses) < 2:
            return 0.0
        return min(max(self.share(words, part, claim.figures) for part in window.parts) for words in clauses)

    def _penalty(self, word: str) -> float:
        if word in self._repeatable:
            return self._limits.asked
        return self._limits.mixed if word in self._evidence.known else 1.0
