"""Compares a sentence with the windows of the evidence: what it shares with each, and what speaks against it."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass

from chains.answering.checking.contradiction import contradictions
from chains.answering.checking.evidence_text import EvidenceText
from chains.answering.checking.naming import additions, misnamed, unknown_names
from chains.answering.checking.placement import Placement
from chains.answering.checking.statements import Statement
from chains.answering.checking.windows import Window
from chains.answering.checking.word_weights import Limits, WordWeights


@dataclass(frozen=True, slots=True)
class Comparison:
    """A window's share of the sentence's word weight, and the reasons against support by it.

    `denied` says that the window states the opposite, and nothing else speaks against it.
    """

    share: float
    reasons: tuple[str, ...]
    denied: bool = False


class Comparer:
    """Compares sentences with one piece of evidence.

    Args:
        asked: the question; it also supplies the subject of a sentence which has none, such as "120 days.".
        repeatable: words that a sentence may repeat without support if the evidence does not use them.
    """

    def __init__(self, evidence: EvidenceText, asked: Statement, repeatable: Set[str], limits: Limits) -> None:
        self._evidence = evidence
        self._asked = asked
        self._limits = limits
        self._weights = WordWeights(evidence, repeatable, limits)
        self._placement = Placement(evidence, self._weights, asked, limits.elsewhere)

    def compare_all(self, claim: Statement) -> Comparison:
        """The best of the windows: the one with the fewest reasons against it, then with the largest share."""
        words = self._weights.demanded(claim.words)
        limit = self._limits.share
        if len(own := words) < 2 and claim.figures:
            # A short answer such as "120 days." has its subject in the question.
            words |= self._asked.words.union(*(figure.marks for figure in self._asked.figures)) & self._evidence.known
            limit /= 2
            shares = [
                self._weights.share(words, window.parts[0], claim.figures)
                if window.sentences == 1 and own <= window.parts[0]
                else 0.0
                for window in self._windows
            ]
        else:
            shares = [self._weights.share_by_sentence(claim, window) for window in self._windows]
        likely = [(share, window) for share, window in zip(shares, self._windows, strict=True) if share >= limit]
        if not likely:
            missing = (*self._placement.unknown(claim), *unknown_names(claim, self._evidence, self._asked))
            return Comparison(max(shares, default=0.0), (*missing, "the evidence has too few of its words"))
        found = [self._compare(claim, words, share, window) for share, window in likely]
        best = min(found, key=lambda comparison: (len(comparison.reasons), -comparison.share))
        # A window that has clearly more of the words decides, if it states the opposite.
        denials = [other for other in found if other.denied and other.share > best.share + self._limits.denial]
        return max(denials, key=lambda comparison: comparison.share) if denials and not best.reasons else best

    @property
    def _windows(self) -> tuple[Window, ...]:
        return self._evidence.windows

    def _compare(self, claim: Statement, words: Set[str], share: float, window: Window) -> Comparison:
        denials = tuple(dict.fromkeys(contradictions(claim, window, self._weights)))
        others = tuple(dict.fromkeys(self._objections(claim, words, window)))
        return Comparison(share, (*others, *denials), bool(denials) and not others)

    def _objections(self, claim: Statement, words: Set[str], window: Window) -> Iterator[str]:
        yield from self._placement.objections(claim, words, window)
        for clause in claim.clauses:
            demanded = self._weights.demanded(clause.words)
            if len(demanded) > 1 and max(self._weights.share(demanded, p) for p in window.parts) < self._limits.clause:
                yield "the evidence does not say all of it"
        yield from additions(claim, window, self._evidence, self._asked)
        yield from misnamed(claim, window, self._weights)
