"""Whether a place of the evidence says the opposite of a sentence: by negation, by a limit, or by an opposite word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set

from chains.answering.checking.figures import Figure
from chains.answering.checking.statements import Clause, Statement, canonical
from chains.answering.checking.vocabulary import EXCLUSIVE, LIGHT, OPPOSITES, OPPOSITES_CHINESE
from chains.answering.checking.windows import Window
from chains.answering.checking.word_weights import WordWeights

# Share of a clause's word weight.
_MIN_ALIGNED = 0.15
_MARGIN = 1e-6
_PER = re.compile(r"\b(?:per|for each|for every) (\w+)")


def contradictions(claim: Statement, window: Window, weights: WordWeights) -> Iterator[str]:
    """The ways in which the window says the opposite."""
    yield from _reversed(claim, window, weights)
    yield from _opposite_chinese(claim, window)
    yield from _exclusive(claim, window)


def _reversed(claim: Statement, window: Window, weights: WordWeights) -> Iterator[str]:
    """Clauses whose negation differs from that of the clause that says it in the window."""
    before = frozenset().union(*(clause.words for clause in window.before))
    after = frozenset().union(*(clause.words for clause in window.said_after))
    # A sentence that refers back decides what is said of its own words.
    decides = bool(claim.words & after - before - LIGHT)
    for clause in claim.clauses:
        later = decides and bool(clause.words & after)
        other = _aligned(clause, window.said_after if later else (*window.before, *window.clauses), weights)
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
        total = weights.of(clause.words)
        for near in window.clauses:
            close = near is other or weights.of(clause.words & near.words) > total / 2
            if close or window.sentences == 1:
                yield from _opposites(clause, near, window, near.tokens if close else window.own_tokens)


def _aligned(clause: Clause, others: Sequence[Clause], weights: WordWeights) -> Clause | None:
    """The clause with most of the words; None if none has enough of them. Of equal ones, one that agrees."""
    best: Clause | None = None
    around = clause.around
    most = _MIN_ALIGNED * weights.of(around)
    for other in others:
        shared = weights.of(around & other.around)
        if shared > most + _MARGIN or (best and shared >= most - _MARGIN and other.negative == clause.negative):
            best, most = other, shared
    return best


def _opposite_chinese(claim: Statement, window: Window) -> Iterator[str]:
    for phrases in OPPOSITES_CHINESE:
        for here, there in (phrases, phrases[::-1]):
            said = [phrase for phrase in here if phrase in claim.text]
            if said and not _has(claim.text, there) and _has(window.text, there) and not _has(window.text, here):
                yield f'the evidence has the opposite of "{said[0]}"'


def _limits_differ(figure: Figure, others: Sequence[Figure]) -> bool:
    same = [other for other in others if figure.equals(other)]
    return bool(same) and all(
        (figure.bound and other.bound and figure.bound != other.bound)
        or (figure.order and other.order and figure.order != other.order)
        for other in same
    )


def _exclusive(claim: Statement, window: Window) -> Iterator[str]:
    """Words that exclude each other, such as colours, and units of a price ("per child"), where the window differs."""
    for group in EXCLUSIVE:
        said = claim.tokens & group
        if said and not said & window.tokens and window.own_tokens & group:
            yield f'the evidence does not say "{min(said)}"'
    units = {canonical(word) for word in _PER.findall(claim.text.lower())}
    others = {canonical(word) for word in _PER.findall(window.text.lower())}
    if units and others and not units & others:
        yield f'the evidence does not say "per {min(units)}"'


def _without(clause: Clause) -> bool:
    return not clause.tokens.isdisjoint(("without", "gratis"))


def _opposites(clause: Clause, other: Clause, window: Window, also: Set[str]) -> Iterator[str]:
    """Opposites of the clause's words in another clause, unless these words are `also` there."""
    figures = [figure for segment in clause.segments for figure in segment.figures]
    for pair in OPPOSITES:
        for ours, theirs in (pair, pair[::-1]):
            said = clause.tokens & ours
            if not said or clause.tokens & theirs or not other.tokens & theirs or also & ours:
                continue
            # Another clause with the same number may say it.
            if not any(place.tokens & ours and _shares_figure(figures, place) for place in window.clauses):
                yield f'the evidence has the opposite of "{min(said)}"'


def _shares_figure(figures: Sequence[Figure], clause: Clause) -> bool:
    others = [other for segment in clause.segments for other in segment.figures]
    return any(figure.equals(other) for figure in figures for other in others)


def _has(text: str, phrases: Sequence[str]) -> bool:
    return any(phrase in text for phrase in phrases)
