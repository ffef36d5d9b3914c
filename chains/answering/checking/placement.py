"""Whether the numbers of a sentence are in the evidence, and there beside the same words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from chains.answering.checking.evidence_text import EvidenceText, Place, places_of
from chains.answering.checking.figures import Figure
from chains.answering.checking.statements import Clause, Segment, Statement
from chains.answering.checking.vocabulary import LIGHT
from chains.answering.checking.windows import Window
from chains.answering.checking.word_weights import WordWeights

_NOUNS = {"code": "code", "clock": "time", "date": "date", "weekday": "day"}
_MARGIN = 1e-6


class Placement:
    """Checks the numbers of sentences against one piece of evidence.

    Args:
        elsewhere: a number is misplaced if the words around it fit those around another one better by this share.
    """

    def __init__(self, evidence: EvidenceText, weights: WordWeights, asked: Statement, elsewhere: float) -> None:
        self._evidence = evidence
        self._weights = weights
        self._asked = asked
        self._elsewhere = elsewhere

    def unknown(self, claim: Statement) -> Iterator[str]:
        """Numbers that are nowhere in the evidence."""
        for figure in claim.figures:
            if not any(map(figure.equals, self._evidence.figures)):
                yield self._missing(figure)

    def objections(self, claim: Statement, words: Set[str], window: Window) -> Iterator[str]:
        """Numbers that the window does not have, or that stand with other words there."""
        missing = [
            figure
            for figure in claim.figures
            if not any(map(figure.equals, window.figures)) and not self._repeats(figure, claim, window)
        ]
        yield from map(self._missing, missing)
        here = places_of(window)
        segments = {id(place.segment) for place in here}
        elsewhere = [place for place in self._evidence.places if id(place.segment) not in segments]
        for clause in claim.clauses:
            for part in clause.segments:
                for figure in part.figures:
                    several_dates = figure.kind in {"date", "weekday"} and len(claim.figures) > 1
                    if not figure.rate and not several_dates and figure not in missing:
                        yield from self._misplaced(figure, part, clause, words, claim, window, here, elsewhere)

    def _missing(self, figure: Figure) -> str:
        known = any(map(figure.equals, self._evidence.figures))
        where = "in another place of the evidence" if known else "not in the evidence"
        return f"the {_NOUNS.get(figure.kind, 'number')} {figure.raw} is {where}"

    def _repeats(self, figure: Figure, claim: Statement, window: Window) -> bool:
        """Whether a number is the question's, and the window has no other one that should stand in its place."""
        if not any(map(figure.equals, self._asked.figures)):
            return False
        rivals = [other for other in window.figures if figure.rivals(other) and not other.rate]
        return all(any(map(rival.equals, claim.figures)) for rival in rivals)

    def _misplaced(
        self,
        figure: Figure,
        part: Segment,
        clause: Clause,
        words: Set[str],
        claim: Statement,
        window: Window,
        here: Sequence[Place],
        elsewhere: Sequence[Place],
    ) -> Iterator[str]:
        """A number is misplaced if another one shares more words with the sentence."""
        # A number in a heading or lead-in stands with none of the words.
        held = [place for place in here if place.holds(figure)]
        if held and figure.kind != "weekday" and not (held := _on_same_day(claim, held)):
            yield f"{figure.raw} belongs to another day in the evidence"
            return
        ours = held or [Place(_NOTHING, window.topic)]
        own = part.around - figure.marks - LIGHT
        near, margin = own, self._elsewhere
        if len(near) < 2:
            near = (own | part.inherited | clause.words) - figure.marks - LIGHT
        if len(near) < 2:
            near, margin = near | words - LIGHT, 2 * margin
        rivals = [place for place in here if place.rivals(figure)]
        if rate := self._left_out_rate(claim, ours, rivals):
            yield f"the evidence says {figure.raw} {rate.raw}"
            return
        # Of two numbers that the sentence has both, only its words nearest to each can tell.
        both = [place for place in rivals if any(map(place.holds, claim.figures))]
        others = [place for place in rivals if place not in both]
        # The words of title and heading hold for all numbers below them.
        if self._fits_better(near - window.topic, ours, others, tie=True) or (
            held and self._fits_better(own, ours, both)
        ):
            yield f"{figure.raw} belongs to something else in the evidence"
        elif figure.kind != "ordinal":
            rivals = [p for p in elsewhere if p.rivals(figure) and not any(map(p.holds, claim.figures))]
            if self._fits_better(near, ours, rivals, margin=margin):
                yield f"{figure.raw} belongs to another place of the evidence"

    def _left_out_rate(self, claim: Statement, ours: Sequence[Place], rivals: Sequence[Place]) -> Figure | None:
        """The rate of a number ("a day") that the sentence leaves out although another number has none or another."""
        said = [other for other in (*claim.figures, *self._asked.figures) if other.rate]
        rates = [[figure for figure in place.segment.figures if figure.rate] for place in ours]
        if not rivals or said or not all(rates):
            return None
        rate = rates[0][0]
        return None if all(any(map(rate.equals, place.segment.figures)) for place in rivals) else rate

    def _fits_better(
        self,
        near: Set[str],
        ours: Sequence[Place],
        rivals: Sequence[Place],
        *,
        margin: float = 0.0,
        tie: bool = False,
    ) -> bool:
        """Whether the words fit one of the rivals better than any of ours, by a share `margin` of their weight.

        In a `tie`, the words of the segment alone decide.
        """
        if not rivals:
            return False
        topic = margin > 0
        full, own = max(self._fit(near, place, topic) for place in ours)
        rival_full, rival_own = max(self._fit(near, place, topic) for place in rivals)
        least = _MARGIN + margin * self._weights.of(near)
        return rival_full > full + least or (tie and rival_full > full - least and rival_own > own + least)

    def _fit(self, words: Set[str], place: Place, topic: bool) -> tuple[float, float]:
        """The weight of the words at a place; second, without those that it inherits. Words of title and heading count
        half, since they stand above other numbers too.
        """
        own = self._weights.of(words & place.around)
        full = own + self._weights.of(words & place.inherited)
        if topic:
            full += self._weights.of(words & (place.topic - place.around - place.inherited)) / 2
        return full, own


def _on_same_day(claim: Statement, places: Sequence[Place]) -> list[Place]:
    """The places without weekdays, or with those of the sentence."""
    days = [figure for figure in claim.figures if figure.kind == "weekday"]
    return [
        place
        for place in places
        if not days or all(other.kind != "weekday" or any(map(other.equals, days)) for other in place.segment.figures)
    ]


_NOTHING = Segment(frozenset(), frozenset(), ())
