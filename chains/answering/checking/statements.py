"""A sentence as clauses: their words, their negation, and the words that stand with each figure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from chains.answering.checking.figure_patterns import RANGE_LINK
from chains.answering.checking.figures import Figure, find_figures
from chains.answering.checking.stems import stem
from chains.answering.checking.vocabulary import (
    CANONICAL,
    LEXICAL_NEGATORS,
    NEGATION_CHINESE,
    NEGATORS,
    NO_NEGATION_CHINESE,
    STOP,
    STOP_CHINESE,
)
from retrieval.splitting.numbers import joined
from retrieval.splitting.scripts import CJK, UNSPACED
from retrieval.splitting.words import LETTER, UNSPACED_RUN, syllables


@dataclass(frozen=True, slots=True)
class Segment:
    """The part of a clause that belongs to one figure, or a whole clause without figures.

    `inherited` are the words of earlier segments of the sentence, which may be left out of a later one: "EUR 52 for the
    first visit and EUR 26 for the second".
    """

    words: frozenset[str]
    inherited: frozenset[str]
    figures: tuple[Figure, ...]

    @property
    def around(self) -> frozenset[str]:
        """The words, and marks of the figures."""
        return self.words.union(*(figure.marks for figure in self.figures))


@dataclass(frozen=True, slots=True)
class Clause:
    """The content words of a clause and its segments; `negative` after an odd number of negations.

    `contrast` says that it begins with a word such as "but".
    """

    words: frozenset[str]
    tokens: frozenset[str]
    negative: bool
    contrast: bool
    segments: tuple[Segment, ...]

    @property
    def around(self) -> frozenset[str]:
        """The words, and marks of the figures."""
        return self.words.union(*(segment.around for segment in self.segments))


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence as the check reads it.

    Attributes:
        words: of its clauses.
        tokens: its words in lower case and their stems, stop words included.
        names: capitalised words inside the sentence and words in capitals, as written.
        identifiers: commands, options, addresses and other text that has to be copied exactly.
    """

    text: str
    clauses: tuple[Clause, ...]
    figures: tuple[Figure, ...]
    words: frozenset[str]
    tokens: frozenset[str]
    names: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()


_TOKEN = re.compile(f"{UNSPACED_RUN}|(?:{LETTER})+(?:['_](?:{LETTER})+)*")
_IDENTIFIER = re.compile(
    r"`([^`\n]+)`|((?<![\w-])--?[a-zA-Z][\w-]+|\b[a-zA-Z]\w*_\w+|\b\w+\(\)|\b[\w.+-]+@[\w.-]+\w|https?://[^\s)]+\w|"
    r"\b(?:[a-zA-Z][\w-]*\.)+[a-z]{2,5}\b(?!\s*\())"
)
_CLAUSE_END = re.compile(
    r"[;:!?。！？；؛؟۔।॥]+|[.…]+(?=\s|$)|\s[–—]\s|[()]|(?<=["
    + CJK
    + r"]),|,\s+(?=(?:and|so|or|which|who|nor|with|after which|avoiding|excluding|without)\b)|"
    r"\s+(?=and (?:\w+ )?(?:no|not|never|cannot|without)\b|and \w+n't\b)|"
    r"\s+(?=and (?:can|could|is|are|was|were|do|does|did|must|may|will|would|has|have|need|you|we|it|they|there)\b)|"
    r"\s+(?=(?:but|although|though|while|whereas|because|since|unless|except|if|when|until|as long as|provided|"
    r"otherwise|with no)\b)|(?=(?:但是|但|不过|除非|如果|因为|除了))",
    re.IGNORECASE,
)
# "Free", "no charge" and "costs nothing" are one word, of which "costs" is the opposite.
_FREE = re.compile(
    r"\bfree of charge\b|\b(?:at )?no (?:(?!or\b|and\b)\w+ ){0,2}?(?:costs?|charges?|fees?)\b|"
    r"\bwithout (?:an? |any )?(?:extra |further )?(?:charges?|costs?|fees?|payment)\b|"
    r"\b(?:costs?|pays?|charged?|charging) (?:you |them |us )?nothing\b|\bnothing to pay\b|"
    r"\b(?:do(?:es)?n't|do(?:es)? not|never|won't|will not|is not|isn't|are not|aren't|not) (?:be )?(?:charged?|cost)\b"
    r"(?: (?:you|them|us))?(?: anything| a thing)?|(?<![\w-])free\b(?! (?:trial|of)\b)|"
    r"免费|不收费|不收取费用|不需要付费|无需付费",
    re.IGNORECASE,
)
_FREE_OF = re.compile(r"\bfree of (interest|tax)\b", re.IGNORECASE)
_FREE_TO = re.compile(r"\b((?:you're|you are|we're|we are|they're|feel) )free to", re.IGNORECASE)
# "For patients who cannot come, we ..."
_INTRODUCTION = re.compile(
    r"\s*(?:(?:for|if|when|after|before|while|because|since|although|once|as|without|until|unless)\b[^,;]*,|"
    r"(?:in|on|at|from|by|with|during)\b[^,;]*,(?=\s+(?:you|we|it|they|the|an?|your|our|this|there|he|she|please)\b))",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"\W*(?:if|when|unless|as long as|provided|until)\b|如果", re.IGNORECASE)
_CONTRAST = re.compile(
    r"\W*(?:but|whereas|while|although|though|however|except|unless|但|不过|除非|除了)", re.IGNORECASE
)
_BETWEEN_FIGURES = re.compile(r",|;|\band\b|\bor\b|\bplus\b|、|和|及|或", re.IGNORECASE)
_COMPARISON = re.compile(
    r"\b(?:no|not|never)(?: be)? (?:more|less|fewer|later|earlier|sooner|longer|larger|older|younger|higher|bigger|"
    r"heavier|over|exceed\w*|only)\b|\bwhether or not\b|\bif not\b|\bnot yet\b|"
    r"\bno matter\b|\b\w+-free\b|\bnot even\b|\bnor\b",
    re.IGNORECASE,
)
_SO_TOO = re.compile(r"\W*(?:and )?so (?:is|are|was|were|do|does|did|can|will|has|have)\b", re.IGNORECASE)
# Replaces each character of a figure: it is neither part of a word nor a space.
_MASK = "\ufffc"
_ARTICLES = frozenset(("a", "an", "the", "each", "any", "every"))
_NOT = re.compile(
    r"n't\b|\bcan ?not\b|\bstop(?:s|ped)? (?=\w+ing\b)|\b(?:leave|left) (?:\w+ ){0,4}?(?:off|out)\b|"
    r"\b(?:turn|turns|turned) (?:\w+ )?down\b",
    re.IGNORECASE,
)
_NO_NEGATION = re.compile(NO_NEGATION_CHINESE)
_NEGATION = re.compile(NEGATION_CHINESE)
_STOP_PHRASES = re.compile(STOP_CHINESE)
_HAN = re.compile(f"[{UNSPACED}]")


def normalised(text: str) -> str:
    """The text with plain digits, quotation marks, spaces and full-width punctuation."""
    text = joined(text).replace("’", "'").replace("‘", "'")
    text = re.sub(r"[*`]{1,3}|^#+ ", "", text)
    text = _FREE_TO.sub(r"\1may", text)
    return _FREE.sub("gratis", _FREE_OF.sub(r"\1-free", text))


def read_statement(text: str) -> Statement:
    """Read one sentence, list entry or table row. It may be in any language."""
    identifiers = tuple(dict.fromkeys(next(filter(None, match.groups())) for match in _IDENTIFIER.finditer(text)))
    text = normalised(text)
    figures = find_figures(text)
    masked = text
    for figure in figures:
        masked = f"{masked[: figure.start]}{_MASK * (figure.end - figure.start)}{masked[figure.end :]}"
    clauses: list[Clause] = []
    inherited: frozenset[str] = frozenset()
    for start, end in _clause_spans(masked):
        part = masked[start:end]
        contrast = bool(_CONTRAST.match(part))
        if contrast:
            inherited = frozenset()
        within = [figure for figure in figures if start <= figure.start < end]
        segments: list[Segment] = []
        for left, right, own in _segment_spans(masked, start, end, within):
            words = content_words(masked[left:right])
            segments.append(Segment(words, inherited, tuple(own)))
            inherited |= segments[-1].around
        if clauses and _CONDITION.match(part):
            # What holds only under a condition belongs to the number before it.
            last = clauses[-1]
            condition = frozenset().union(*(segment.words for segment in segments))
            final = replace(last.segments[-1], words=last.segments[-1].words | condition)
            clauses[-1] = replace(last, segments=(*last.segments[:-1], final))
        all_words = frozenset().union(*(segment.words for segment in segments))
        if all_words or within:
            negative = clauses[-1].negative if clauses and _SO_TOO.match(part) else is_negative(part)
            clauses.append(Clause(all_words, _tokens(part), negative, contrast, tuple(segments)))
        elif clauses and is_negative(part):
            # A clause such as "Not at all." belongs to the clause before.
            last = clauses[-1]
            clauses[-1] = replace(last, negative=not last.negative)
    words = frozenset().union(*(clause.words for clause in clauses))
    return Statement(text, tuple(clauses), tuple(figures), words, _tokens(text), tuple(_names(masked)), identifiers)


def content_words(text: str) -> frozenset[str]:
    """Stems of the content words; in scripts without spaces, single characters and pairs of them."""
    found: set[str] = set()
    for token in _TOKEN.findall(text):
        if _HAN.match(token):
            for run in _STOP_PHRASES.split(token):
                characters = syllables(run)
                found.update(characters)
                found.update(map("".join, pairwise(characters)))
        elif token.lower() not in STOP and (len(token) > 1 or token.isdigit()):
            for part in _without_ending(token.lower()).split("_"):
                if part and part not in STOP:
                    found.add(canonical(part))
    return frozenset(found)


def _tokens(text: str) -> frozenset[str]:
    written = {token.lower() for token in _TOKEN.findall(text)}
    return frozenset(written | {stem(token) for token in written})


def canonical(word: str) -> str:
    """The stem of a lower-case word, or that of its group of synonyms."""
    base = stem(word)
    return CANONICAL.get(base, base)


def is_negative(text: str) -> bool:
    """Whether a clause has an odd number of negations. "Free" and "refused" count as one."""
    text = _COMPARISON.sub(" ", text)
    count = len(_NOT.findall(text))
    text = _NOT.sub(" ", text)
    for token in _TOKEN.findall(text):
        if _HAN.match(token):
            count += len(_NEGATION.findall(_NO_NEGATION.sub(" ", token)))
        else:
            count += token.lower() in NEGATORS
    return (count + _lexical_negations(text)) % 2 == 1


def _lexical_negations(text: str) -> int:
    """Words such as "refused", but not before a noun, as in "a refused payment"."""
    words = _TOKEN.findall(text.lower())
    return sum(
        stem(word) in LEXICAL_NEGATORS and words[max(0, number - 1)] not in _ARTICLES
        for number, word in enumerate(words)
    )


def _without_ending(token: str) -> str:
    """The word of a contraction: "we" of "we'll", "is" of "isn't"."""
    return token.removesuffix("n't") if token.endswith("n't") else token.split("'")[0]


def _clause_spans(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    introduction = _INTRODUCTION.match(text)
    if introduction and is_negative(introduction.group()) != is_negative(text[introduction.end() :]):
        yield 0, introduction.end()
        start = introduction.end()
    for match in _CLAUSE_END.finditer(text, start):
        if text[start : match.start()].strip():
            yield start, match.start()
        start = match.end()
    if text[start:].strip():
        yield start, len(text)


def _segment_spans(text: str, start: int, end: int, figures: list[Figure]) -> Iterator[tuple[int, int, list[Figure]]]:
    """Cut a clause between its figures, at the first comma or conjunction after a figure but not in a range."""
    own: list[Figure] = []
    for number, figure in enumerate(figures):
        own.append(figure)
        if number + 1 == len(figures):
            break
        cut = _BETWEEN_FIGURES.search(text, figure.end, figures[number + 1].start)
        following = figures[number + 1]
        range_of_one = figure.kind == following.kind and RANGE_LINK.fullmatch(text, figure.end, following.start)
        if cut and not range_of_one:
            yield start, cut.start(), own
            start, own = cut.end(), []
    yield start, end, own


def _names(text: str) -> Iterator[str]:
    tokens = [match for match in re.finditer(r"[^\W\d_][\w'-]*", text) if not _HAN.match(match.group())]
    capitalised = [match.group()[0].isupper() for match in tokens]
    if tokens and sum(capitalised) > 0.75 * len(tokens):
        # A heading, or a sentence in capitals.
        return
    for number, match in enumerate(tokens):
        word = match.group().removesuffix("'s")
        if not capitalised[number] or word.lower() in STOP or len(word) < 2:
            continue
        following = number + 1 < len(tokens) and capitalised[number + 1]
        first = number == 0 or bool(re.search(r"[.!?:]\s*[\"'(]?$", text[: match.start()]))
        if not first or word.isupper() or (following and tokens[number + 1].group().lower() not in STOP):
            yield from (part for part in re.split(r"[-']", word) if len(part) > 1 and part[0].isupper())
