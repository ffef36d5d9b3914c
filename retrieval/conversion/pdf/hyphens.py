"""Joins the lines of a paragraph, and decides from the whole document whether to keep a hyphen at a line's end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from retrieval.conversion.converted import one_line
from retrieval.conversion.pdf.words import HYPHEN

_MIN_PART = 4
_WHOLE = re.compile(r"(?<![\w-])[^\W\d_]+(?![\w-])")
_MARKED_HYPHEN = re.compile(f"(\\w*){HYPHEN}\\s*(\\w*)")
_TENS = frozenset({
    *("eighty", "fifty", "forty", "ninety", "seventy", "sixty", "thirty", "twenty"),
})  # fmt: skip
_UNITS = frozenset({
    *("eight", "eighth", "fifth", "first", "five", "four", "fourth", "nine", "ninth"),
    *("one", "second", "seven", "seventh", "six", "sixth", "third", "three", "two"),
})  # fmt: skip
# Words that are also parts of longer ones: where they stand at a hyphen, the typesetter may have broken a word.
_BEGINNINGS = frozenset({
    *("after", "back", "before", "data", "down", "every", "fore", "hand", "here"),
    *("inter", "like", "mean", "other", "over", "some", "super", "them", "there"),
    *("through", "under", "what", "when", "where", "with", "work", "your"),
})  # fmt: skip
_ENDINGS = frozenset({
    *("able", "ages", "ally", "base", "body", "ends", "ever", "form", "forms"),
    *("hood", "ions", "late", "less", "like", "line", "mine", "more", "name"),
    *("names", "note", "over", "point", "port", "ports", "pose", "press", "rate"),
    *("rates", "ring", "rings", "self", "selves", "sent", "ship", "side", "stance"),
    *("stand", "sure", "tact", "tend", "tent", "thing", "things", "time", "times"),
    *("vide", "ward", "where", "wise", "word", "words", "work", "works"),
})  # fmt: skip
_WORD = re.compile(r"\w+(?:-\w+)*")


class Hyphens:
    """Knows the words of all lines of a document."""

    def __init__(self, lines: Iterable[str]) -> None:
        text = "\n".join(lines)
        whole = text.replace(HYPHEN, "-\n")
        self._words = set(_WHOLE.findall(whole))
        self._known = {word.lower() for word in _WORD.findall(whole)}
        count = max(1, text.count("\n") + 1)
        # If many lines break inside words, the typesetter hyphenated. Otherwise the author wrote the hyphens.
        self._hyphenated = (text.count(HYPHEN) + text.count("-\n")) / count >= 0.05

    def join(self, lines: Sequence[str]) -> str:
        joined = lines[0]
        for line in lines[1:]:
            if re.search(r"\w-$", joined) and re.match(r"\w", line):
                joined = f"{joined[:-1]}{HYPHEN}{line}"
            else:
                joined = f"{joined} {line}"
        return one_line(_MARKED_HYPHEN.sub(self._join_word, joined)).replace("\u00ad", "")

    def _join_word(self, match: re.Match[str]) -> str:
        head, tail = match.group(1), match.group(2)
        plain, hyphenated = f"{head}{tail}", f"{head}-{tail}"
        if not head.isalpha() or not tail[:1].islower():
            return hyphenated
        known = next((word for word in (hyphenated, plain) if word.lower() in self._known), None)
        if known is not None:
            return known
        return plain if self._hyphenated and not self._is_compound(head, tail) else hyphenated

    def _is_compound(self, head: str, tail: str) -> bool:
        """Whether both parts are words of their own: a number, or words that stand elsewhere in the document."""
        first = head.lower()
        if first in _TENS and tail in _UNITS:
            return True
        are_long = len(head) >= _MIN_PART and len(tail) >= _MIN_PART
        are_words = are_long and first in self._words and tail in self._words
        return are_words and first not in _BEGINNINGS and tail not in _ENDINGS
