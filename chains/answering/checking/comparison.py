"""Compares a sentence with one window of the evidence: what it shares with it, and what speaks against it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from chains.answering.checking.figures import Figure
from chains.answering.checking.statements import Clause, Segment, Statement
from chains.answering.checking.stems import stem
from chains.answering.checking.vocabulary import ABSOLUTE, ABSOLUTE_CHINESE, LIGHT, OPPOSITES, OPPOSITES_CHINESE
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
        asked: how much a missing word of the question counts.
        mixed: how much more a missing word counts that another place of the evidence has.
        elsewhere: a number is misplaced if the words around it fit those around another one better by this share.
    """

    share: float
    clause: float
    asked: float
    mixed: float
    elsewhere: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A window's share of the sentence's word weight, and the reasons against support by it."""

    share: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """A segment with figures, and the context of its window."""

    segment: Segment
    context: frozenset[str]

    def holds(self, figure: Figure) -> bool:
        return any(figure.equals(other) for other in self.segment.figures)

    def rivals(self, figure: Figure) -> bool:
        """Whether it has a figure that could stand in the place of this one, and not this one itself."""
        return not self.holds(figure) and any(figure.rivals(other) and not other.rate for other in self.segment.figures)


_NOTHING = Segment(frozenset(), frozenset(), ())


class Comparer:
    """Compares sentences with the windows of one piece of evidence.

    Args:
        asked: the question; it also supplies the subject of a sentence which has none, such as "120 days.".
        repeatable: words that a sentence may repeat without support if the evidence does not use them.
    """

    def __init__(self, windows: Sequence[Window], asked: Statement, repeatable: Set[str], limits: Limits) -> None:
        self._windows = windows
        self._single = [window for window in windows if window.sentences == 1]
        self._places = [
            _Place(segment, window.context)
            for window in self._single
            for clause in window.clauses
            for segment in clause.segments
            if segment.figures
        ]
        self._known = frozenset().union(*(part for window in windows for part in window.parts))
        self._asked = asked
        self._repeatable = repeatable
        self._topic = asked.words.union(*(figure.marks for figure in asked.figures)) & self._known
        self._limits = limits
        self._rare = math.log(1 + len(self._single))
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
        shares = [
            self._share_by_sentence(words, () if short else clauses, claim.figures, window) for window in self._windows
        ]
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
                return self._rare
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

    def _share_by_sentence(
        self, words: Set[str], clauses: Sequence[Set[str]], figures: Sequence[Figure], window: Window
    ) -> float:
        """Two sentences back a sentence of two clauses or more: a clause takes no words from both."""
        if len(window.parts) == 1:
            return self._share(words, window.parts[0], figures)
        whole = [clause for clause in clauses if len(clause) > 1]
        if len(whole) < 2:
            return 0.0
        return min(max(self._share(clause, part, figures) for part in window.parts) for clause in whole)

    def _share(self, words: Set[str], within: Set[str], figures: Sequence[Figure] = ()) -> float:
        """The share of the words' weight that is in a place. A number in it counts like a rare word.

        A missing word counts more if another place of the evidence has it, since an unknown one may be a paraphrase,
        and less if the question has it.
        """
        found = sum(self.weight(word) for word in words & within)
        found += self._rare * sum(not figure.rate and not figure.marks.isdisjoint(within) for figure in figures)
        missing = sum(self.weight(word) * self._penalty(word) for word in words - within)
        return found / (found + missing) if found + missing else 1.0

    def _penalty(self, word: str) -> float:
        if word in self._repeatable:
            return self._limits.asked
        return self._limits.mixed if word in self._known else 1.0

    def _reasons(self, claim: Statement, words: Set[str], window: Window) -> Iterator[str]:
        for figure in claim.figures:
            if not any(figure.equals(other) for other in window.figures) and not self._repeats(figure, claim, window):
                yield self._missing_figure(figure)
        yield from self._misplaced(claim, words, window)
        for clause in claim.clauses:
            demanded = self._demanded(clause.words)
            if len(demanded) >= 2 and max(self._share(demanded, part) for part in window.parts) < self._limits.clause:
                yield "the evidence does not say all of it"
        yield from self._reversed(claim, window)
        yield from self._opposite(claim, window)
        yield from self._added(claim, window)

    def _repeats(self, figure: Figure, claim: Statement, window: Window) -> bool:
        """Whether a number is the question's, and the window has no other one that should stand in its place."""
        if not any(figure.equals(other) for other in self._asked.figures):
            return False
        rivals = [other for other in window.figures if figure.rivals(other) and not other.rate]
        return all(any(rival.equals(other) for other in claim.figures) for rival in rivals)

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
        clauses = (*window.before, *window.clauses)
        here = [_Place(s, window.context) for clause in clauses for s in clause.segments if s.figures]
        segments = {id(place.segment) for place in here}
        elsewhere = [place for place in self._places if id(place.segment) not in segments]
        for clause in claim.clauses:
            for part in clause.segments:
                for figure in part.figures:
                    if figure.rate or (figure.kind in {"date", "weekday"} and len(claim.figures) > 1):
                        continue
                    # A number in a heading or lead-in stands with none of the words.
                    ours = [place for place in here if place.holds(figure)] or [_Place(_NOTHING, window.context)]
                    own = part.around - figure.marks - LIGHT
                    near = own
                    margin = self._limits.elsewhere
                    if len(near) < 2:
                        near = (own | part.inherited | clause.words) - figure.marks - LIGHT
                    if len(near) < 2:
                        near |= words - LIGHT
                        margin *= 2
                    rivals = [place for place in here if place.rivals(figure)]
                    # Of two numbers that the sentence has both, only its words nearest to each can tell.
                    both = [place for place in rivals if any(map(place.holds, claim.figures))]
                    others = [place for place in rivals if place not in both]
                    if self._fits_better(near, ours, others, None) or self._fits_better(own, ours, both, 0.0):
                        yield f"{figure.raw} belongs to something else in the evidence"
                    elif figure.kind != "ordinal" and self._fits_better(
                        near, ours, [p for p in elsewhere if p.rivals(figure)], margin
                    ):
                        yield f"{figure.raw} belongs to another place of the evidence"

    def _fits_better(
        self, near: Set[str], ours: Sequence[_Place], rivals: Sequence[_Place], margin: float | None
    ) -> bool:
        """Whether the words fit one of the rivals better than any of ours, by a share `margin` of their weight.

        Without a margin, the words of the segment alone decide between rivals that fit alike.
        """
        if not ours or not rivals:
            return False
        elsewhere = bool(margin)
        full, own = max(self._fit(near, place, elsewhere) for place in ours)
        rival_full, rival_own = max(self._fit(near, place, elsewhere) for place in rivals)
        least = _MARGIN + (margin or 0.0) * sum(map(self.weight, near))
        return rival_full > full + least or (margin is None and rival_full > full - least and rival_own > own + least)

    def _fit(self, words: Set[str], place: _Place, elsewhere: bool) -> tuple[float, float]:
        """The weight of the words at a place; second, without those that it inherits. Words of the title and heading
        count half, since they stand above other numbers too.
        """
        around, inherited = place.segment.around, place.segment.inherited
        own = sum(self.weight(word) for word in words & around)
        full = own + sum(self.weight(word) for word in words & (inherited - around))
        if elsewhere:
            full += sum(self.weight(word) for word in words & (place.context - around - inherited)) / 2
        return full, own

    def _reversed(self, claim: Statement, window: Window) -> Iterator[str]:
        """Clauses whose negation differs from that of the clause that says it in the window."""
        before = frozenset().union(*(clause.words for clause in window.before))
        after = frozenset().union(*(clause.words for clause in window.said_after))
        # A sentence that refers back decides what is said of its own words.
        decides = bool(claim.words & after - before - LIGHT)
        for clause in claim.clauses:
            later = decides and bool(clause.words & after)
            other = self._aligned(clause, window.said_after if later else (*window.before, *window.clauses))
            flipped = next((f for s in clause.segments for f in s.figures if _limits_differ(f, window.figures)), None)
            negated = other is not None and other.negative != clause.negative
            # "Nobody under 18" is "18 or over": two reversals cancel out.
            if negated and flipped is None:
                yield "the evidence says the opposite"
            elif flipped is not None and not negated:
                yield f"the limit {flipped.raw} is the other way round in the evidence"
            if other is not None and "without" in clause.tokens and not (other.negative or _without(other)):
                yield "the evidence says nothing of the kind without"
            if other is not None and "without" in other.tokens and "with" in clause.tokens and not _without(clause):
                yield 'the evidence has the opposite of "with"'
            total = sum(map(self.weight, clause.words))
            for near in window.clauses:
                if near is other or sum(map(self.weight, clause.words & near.words)) > total / 2:
                    yield from _opposites(clause, near, window)

    def _aligned(self, clause: Clause, others: Sequence[Clause]) -> Clause | None:
        """The clause with most of the words; None if none has enough of them. Of equal ones, one that agrees."""
        best: Clause | None = None
        most = _MIN_ALIGNED * sum(map(self.weight, clause.words))
        for other in others:
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

    def _added(self, claim: Statement, window: Window) -> Iterator[str]:
        for word in sorted(claim.tokens & ABSOLUTE - window.tokens):
            yield f'"{word}" is not in the evidence'
        for phrase in ABSOLUTE_CHINESE:
            if phrase in claim.text and phrase not in window.text:
                yield f'"{phrase}" is not in the evidence'
        for name in claim.identifiers:
            if " ".join(name.lower().split()) not in self._text:
                yield f"{name} is not in the evidence"
        if not self._check_names:
            return
        others = {name for name in window.names if name.lower() not in claim.tokens and not self._is_frequent(name)}
        for name in claim.names:
            forms = _forms(name)
            if forms & window.tokens or self._is_frequent(name) or name in _initials(window.text):
                continue
            # A name of the question or the passage may be repeated where the sentence does not name another one.
            if others or not forms & (self._asked.tokens | window.passage_tokens):
                known = any(forms & other.tokens for other in self._single)
                yield f"{name} is {'in another place of' if known else 'not in'} the evidence"

    def _is_frequent(self, name: str) -> bool:
        forms = _forms(name)
        return sum(bool(forms & other.tokens) for other in self._single) >= _FREQUENT


def _initials(text: str) -> set[str]:
    """Abbreviations of names, such as UK."""
    names = re.findall(r"[A-Z]\w+(?: [A-Z]\w+)+", text)
    return {"".join(word[0] for word in name.split()) for name in names}


def _forms(name: str) -> frozenset[str]:
    return frozenset((name.lower(), stem(name.lower())))


def _limits_differ(figure: Figure, others: Sequence[Figure]) -> bool:
    same = [other for other in others if figure.equals(other)]
    return bool(same) and all(
        (figure.bound and other.bound and figure.bound != other.bound)
        or (figure.order and other.order and figure.order != other.order)
        for other in same
    )


def _without(clause: Clause) -> bool:
    return not clause.tokens.isdisjoint(("without", "gratis"))


def _opposites(clause: Clause, other: Clause, window: Window) -> Iterator[str]:
    figures = [figure for segment in clause.segments for figure in segment.figures]
    for pair in OPPOSITES:
        for ours, theirs in (pair, pair[::-1]):
            said = clause.tokens & ours
            if not said or clause.tokens & theirs or not other.tokens & theirs or other.tokens & ours:
                continue
            # Another clause with the same number may say it.
            if not any(place.tokens & ours and _shares_figure(figures, place) for place in window.clauses):
                yield f'the evidence has the opposite of "{min(said)}"'


def _shares_figure(figures: Sequence[Figure], clause: Clause) -> bool:
    others = [other for segment in clause.segments for other in segment.figures]
    return any(figure.equals(other) for figure in figures for other in others)


def _has(text: str, phrases: Sequence[str]) -> bool:
    return any(phrase in text for phrase in phrases)


def _capitalises_nouns(texts: Iterator[str]) -> bool:
    """Whether nouns have capitals, as in German, so that a capital marks no name."""
    words = [word for text in texts for word in text.split()[1:] if word[0].isalpha()]
    return sum(word[0].isupper() for word in words) > 0.25 * len(words)
