"""Compares a sentence with one window of the evidence: what it shares with it, and what speaks against it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from chains.answering.checking.figures import Figure
from chains.answering.checking.statements import Clause, Segment, Statement
from chains.answering.checking.stems import stem
from chains.answering.checking.vocabulary import LIGHT, OPPOSITES, OPPOSITES_CHINESE
from chains.answering.checking.windows import Window

_LIGHT_WEIGHT = 0.25
# A name in this many sentences of the evidence, such as that of the company, may stand with any of them.
_FREQUENT = 3
# Shares of the sentence's word weight.
_MIN_ALIGNED = 0.15
_MARGIN = 1e-6


@dataclass(frozen=True, slots=True)
class Limits:
    """The shares of word weight that support needs.

    Attributes:
        share: of the sentence.
        clause: of each of its clauses.
        mixed: how much more a missing word counts that another place of the evidence has.
        elsewhere: a number is misplaced if the words around it fit those around another one better by this share.
    """

    share: float
    clause: float
    mixed: float
    elsewhere: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A window's share of the sentence's word weight, and the reasons against support by it."""

    share: float
    reasons: tuple[str, ...]


class Comparer:
    """Compares sentences with the windows of one piece of evidence.

    Args:
        repeatable: words that a sentence may repeat without support if the evidence does not use them.
        topic: words that stand for the subject of a sentence which has none, such as "120 days.": the question's.
    """

    def __init__(self, windows: Sequence[Window], repeatable: Set[str], topic: Set[str], limits: Limits) -> None:
        self._windows = windows
        self._single = [window for window in windows if window.sentences == 1]
        self._places = [s for window in self._single for clause in window.clauses for s in clause.segments if s.figures]
        self._known = frozenset().union(*(part for window in windows for part in window.parts))
        self._repeatable = repeatable
        self._topic = topic & self._known
        self._limits = limits
        self._weights: dict[str, float] = {}
        self._text = " ".join(window.text for window in self._single).lower()
        self._check_names = not _capitalises_nouns(window.text for window in self._single)

    def compare_all(self, claim: Statement) -> Comparison:
        """The best of the windows: the one with the fewest reasons against it, then with the largest share."""
        words = self._demanded(claim.words)
        limit = self._limits.share
        # A short answer such as "120 days." has its subject in the question.
        if short := len(words) < 2 and bool(claim.figures):
            words |= self._topic
            limit /= 2
        clauses = [self._demanded(clause.words) for clause in claim.clauses]
        shares = [self._share_by_sentence(words, () if short else clauses, window) for window in self._windows]
        likely = [(share, window) for share, window in zip(shares, self._windows, strict=True) if share >= limit]
        if not likely:
            missing = tuple(self._missing_figures(claim))
            return Comparison(max(shares, default=0.0), (*missing, "the evidence has too few of its words"))
        found = [
            Comparison(share, tuple(dict.fromkeys(self._reasons(claim, words, window)))) for share, window in likely
        ]
        return min(found, key=lambda comparison: (len(comparison.reasons), -comparison.share))

    def weight(self, word: str) -> float:
        """Inverse sentence frequency in the evidence; less for verbs and adverbs of any sentence, and for one of the
        characters of a Chinese word.
        """
        if word not in self._weights:
            if word.startswith("#"):
                return math.log(1 + len(self._single))
            count = sum(word in window.own for window in self._single)
            rarity = math.log(1 + len(self._single) / max(0.5, count))
            if word in LIGHT:
                rarity *= _LIGHT_WEIGHT
            elif not word.isascii() and len(word) <= 2:
                rarity *= 0.5
            self._weights[word] = rarity
        return self._weights[word]

    def _demanded(self, words: Set[str]) -> frozenset[str]:
        return frozenset(word for word in words if word in self._known or word not in self._repeatable)

    def _share_by_sentence(self, words: Set[str], clauses: Sequence[Set[str]], window: Window) -> float:
        """Of two sentences, each has to back whole clauses: a clause takes no words from both."""
        if len(window.parts) == 1:
            return self._share(words, window.parts[0])
        whole = [clause for clause in clauses if len(clause) > 1]
        if len(whole) < 2:
            return max(self._share(words, part) for part in window.parts)
        return min(max(self._share(clause, part) for part in window.parts) for clause in whole)

    def _share(self, words: Set[str], within: Set[str]) -> float:
        """The share of the words' weight that is in a place. A word of another place of the evidence counts more
        against it than an unknown one, which may be a paraphrase.
        """
        found = sum(self.weight(word) for word in words & within)
        missing = sum(
            self.weight(word) * (self._limits.mixed if word in self._known and word not in self._repeatable else 1.0)
            for word in words - within
        )
        return found / (found + missing) if found + missing else 1.0

    def _reasons(self, claim: Statement, words: Set[str], window: Window) -> Iterator[str]:
        for figure in claim.figures:
            if not any(figure.equals(other) for other in window.figures):
                yield self._missing_figure(figure)
        yield from self._misplaced(claim, words, window)
        for clause in claim.clauses:
            demanded = self._demanded(clause.words)
            if len(demanded) >= 2 and max(self._share(demanded, part) for part in window.parts) < self._limits.clause:
                yield "the evidence does not say all of it"
        yield from self._reversed(claim, window)
        yield from self._opposite(claim, window)
        yield from self._unknown_names(claim, window)

    def _missing_figures(self, claim: Statement) -> Iterator[str]:
        known = [figure for window in self._windows for figure in window.figures]
        for figure in claim.figures:
            if not any(figure.equals(other) for other in known):
                yield self._missing_figure(figure)

    def _missing_figure(self, figure: Figure) -> str:
        noun = {"code": "code", "clock": "time", "date": "date", "weekday": "day"}.get(figure.kind, "number")
        known = any(figure.equals(other) for window in self._single for other in window.figures)
        where = "in another place of the evidence" if known else "not in the evidence"
        return f"the {noun} {figure.raw} is {where}"

    def _misplaced(self, claim: Statement, words: Set[str], window: Window) -> Iterator[str]:
        """Numbers that stand with other words: a rival number shares more words with the sentence."""
        places = [segment for clause in window.clauses for segment in clause.segments if segment.figures]
        elsewhere = [segment for segment in self._places if segment not in places]
        for clause in claim.clauses:
            for part in clause.segments:
                for figure in part.figures:
                    near = part.around - figure.marks
                    if len(near) < 2:
                        near = (near | part.inherited | clause.words) - figure.marks
                    if len(near) < 2:
                        near |= words
                    if figure.rate:
                        continue
                    if self._rival_fits_better(figure, near, places, places, 0.0):
                        yield f"{figure.raw} belongs to something else in the evidence"
                    elif figure.kind != "ordinal" and self._rival_fits_better(
                        figure, near, places, elsewhere, self._limits.elsewhere, window.context
                    ):
                        yield f"{figure.raw} belongs to another place of the evidence"

    def _rival_fits_better(
        self,
        figure: Figure,
        near: Set[str],
        places: Sequence[Segment],
        others: Sequence[Segment],
        margin: float,
        context: Set[str] = frozenset(),
    ) -> bool:
        ours = [s for s in places if any(figure.equals(other) for other in s.figures)]
        rivals = [
            s
            for s in others
            if any(figure.rivals(f) and not f.rate for f in s.figures) and not any(figure.equals(f) for f in s.figures)
        ]
        if not ours or not rivals:
            return False
        full, own, place = max((*self._fit(near, s), number) for number, s in enumerate(ours))
        # The title and heading stand above other numbers too.
        full += sum(map(self.weight, near & context - ours[place].around - ours[place].inherited)) / 2
        rival_full, rival_own = max(self._fit(near, s) for s in rivals)
        margin = margin * sum(map(self.weight, near)) + _MARGIN
        if rival_full > full + margin:
            return True
        return others is places and abs(rival_full - full) <= margin and rival_own > own + margin

    def _fit(self, words: Set[str], segment: Segment) -> tuple[float, float]:
        around = segment.around
        own = sum(self.weight(word) for word in words & around)
        return own + sum(self.weight(word) for word in words & (segment.inherited - around)), own

    def _reversed(self, claim: Statement, window: Window) -> Iterator[str]:
        """Clauses whose negation differs from that of the clause that says it in the window."""
        for clause in claim.clauses:
            other = self._aligned(clause, window)
            flipped = next((f for s in clause.segments for f in s.figures if _limits_differ(f, window.figures)), None)
            negated = other is not None and other.negative != clause.negative
            # "Nobody under 18" is "18 or over": two reversals cancel out.
            if negated and flipped is None:
                yield "the evidence says the opposite"
            elif flipped is not None and not negated:
                yield f"the limit {flipped.raw} is the other way round in the evidence"
            total = sum(map(self.weight, clause.words))
            for near in window.clauses:
                if near is other or sum(map(self.weight, clause.words & near.words)) > total / 2:
                    yield from _opposites(clause.tokens, near.tokens)

    def _aligned(self, clause: Clause, window: Window) -> Clause | None:
        """The clause of the window with most of the words; None if none has enough of them."""
        total = sum(map(self.weight, clause.words))
        best: Clause | None = None
        most = _MIN_ALIGNED * total
        for other in window.clauses:
            shared = sum(self.weight(word) for word in clause.words & other.words)
            if shared > most + _MARGIN or (best and shared >= most - _MARGIN and other.negative == clause.negative):
                best, most = other, shared
        return best

    def _opposite(self, claim: Statement, window: Window) -> Iterator[str]:
        for phrases in OPPOSITES_CHINESE:
            for here, there in (phrases, phrases[::-1]):
                said = [phrase for phrase in here if phrase in claim.text]
                if said and not _has(claim.text, there) and _has(window.text, there) and not _has(window.text, here):
                    yield f'the evidence has the opposite of "{said[0]}"'

    def _unknown_names(self, claim: Statement, window: Window) -> Iterator[str]:
        for name in claim.identifiers:
            if " ".join(name.lower().split()) not in self._text:
                yield f"{name} is not in the evidence"
        if not self._check_names:
            return
        for name in claim.names:
            forms = {name.lower(), stem(name.lower())}
            if not forms & window.tokens:
                places = sum(bool(forms & other.tokens) for other in self._single)
                if places < _FREQUENT:
                    yield f"{name} is {'in another place of' if places else 'not in'} the evidence"


def _limits_differ(figure: Figure, others: Sequence[Figure]) -> bool:
    same = [other for other in others if figure.equals(other)]
    return bool(same) and all(
        (figure.bound and other.bound and figure.bound != other.bound)
        or (figure.order and other.order and figure.order != other.order)
        for other in same
    )


def _opposites(claim: Set[str], clause: Set[str]) -> Iterator[str]:
    for pair in OPPOSITES:
        for ours, theirs in (pair, pair[::-1]):
            said = claim & ours
            if said and not claim & theirs and clause & theirs and not clause & ours:
                yield f'the evidence has the opposite of "{min(said)}"'


def _has(text: str, phrases: Sequence[str]) -> bool:
    return any(phrase in text for phrase in phrases)


def _capitalises_nouns(texts: Iterator[str]) -> bool:
    """Whether nouns have capitals, as in German, so that a capital marks no name."""
    words = [word for text in texts for word in text.split()[1:] if word[0].isalpha()]
    return sum(word[0].isupper() for word in words) > 0.25 * len(words)
