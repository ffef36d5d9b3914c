"""The evidence of an answer as the check reads it, once for all sentences of the answer."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache

from chains.answering.checking.figures import Figure
from chains.answering.checking.statements import Segment
from chains.answering.checking.stems import stem
from chains.answering.checking.windows import Window, passage_windows
from retrieval import Passage

# A name in this many sentences, such as that of the company, may stand with any of them.
_FREQUENT = 3


class Place:
    """A segment with figures, and the words of its title and heading."""

    __slots__ = ("around", "inherited", "segment", "topic")

    def __init__(self, segment: Segment, topic: frozenset[str]) -> None:
        self.segment = segment
        self.topic = topic
        self.around = segment.around
        self.inherited = segment.inherited - self.around

    def holds(self, figure: Figure) -> bool:
        return any(figure.equals(other) for other in self.segment.figures)

    def rivals(self, figure: Figure) -> bool:
        """Whether it has a figure that could stand in the place of this one, and not this one itself."""
        return not self.holds(figure) and any(figure.rivals(other) and not other.rate for other in self.segment.figures)


class EvidenceText:
    """The windows of all passages, and what is known about them together.

    Attributes:
        windows: of one sentence, of two, and of whole lists.
        single: the windows of one sentence, list entry or table row.
        known: all words, with marks of the figures.
        rare: the weight of a word that one sentence has.
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows = tuple(windows)
        self.single = tuple(window for window in windows if window.sentences == 1)
        self.known = frozenset().union(*(part for window in windows for part in window.parts))
        self.rare = math.log(1 + len(self.single))
        self._counts = Counter(word for window in self.single for word in window.own)

    def rarity(self, word: str) -> float:
        """Inverse sentence frequency; a word of no sentence counts as one of half a sentence."""
        return math.log(1 + len(self.single) / max(0.5, self._counts[word]))

    @cached_property
    def text(self) -> str:
        return " ".join(window.text for window in self.single).lower()

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """The places of all figures, each once."""
        return tuple(place for window in self.single for place in places_of(window))

    @cached_property
    def figures(self) -> tuple[Figure, ...]:
        return tuple(figure for window in self.single for figure in window.figures)

    @cached_property
    def has_names(self) -> bool:
        """Whether capitals mark names; in German they mark all nouns."""
        words = [word for window in self.single for word in window.text.split()[1:] if word[0].isalpha()]
        return sum(word[0].isupper() for word in words) <= 0.25 * len(words)

    def has_text(self, text: str) -> bool:
        """Whether a text is in one of the sentences, with the same capitals."""
        return any(text in window.text for window in self.single)

    def has_name(self, name: str) -> bool:
        return self._sentences_with(name) > 0

    def is_frequent(self, name: str) -> bool:
        return self._sentences_with(name) >= _FREQUENT

    def _sentences_with(self, name: str) -> int:
        forms = name_forms(name)
        return sum(not forms.isdisjoint(window.tokens) for window in self.single)


def read_evidence(passages: Iterable[Passage]) -> EvidenceText:
    """Read the evidence. The last few are kept for the other sentences of their answers."""
    return _read(tuple((passage.title, passage.heading, passage.text) for passage in passages))


@lru_cache(maxsize=16)
def _read(passages: tuple[tuple[str, str, str], ...]) -> EvidenceText:
    return EvidenceText([window for passage in passages for window in passage_windows(*passage)])


def places_of(window: Window) -> list[Place]:
    clauses = (*window.before, *window.clauses)
    return [Place(segment, window.topic) for clause in clauses for segment in clause.segments if segment.figures]


def name_forms(name: str) -> frozenset[str]:
    """A name as it stands among the tokens of a sentence."""
    return frozenset((name.lower(), stem(name.lower())))


def initials(text: str) -> set[str]:
    """Abbreviations of the names of a text, such as UK."""
    names = re.findall(r"[A-Z]\w+(?: [A-Z]\w+)+", text)
    return {"".join(word[0] for word in name.split()) for name in names}
