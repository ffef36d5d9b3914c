"""Joins the lines of a paragraph, and decides from the whole document whether to keep a hyphen at a line's end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from retrieval.conversion.converted import one_line
from retrieval.conversion.pdf.words import HYPHEN

_MARKED_HYPHEN = re.compile(f"(\\w*){HYPHEN}\\s*(\\w*)")
_WORD = re.compile(r"\w+(?:-\w+)*")


class Hyphens:
    """Knows the words of all lines of a document."""

    def __init__(self, lines: Iterable[str]) -> None:
        text = "\n".join(lines)
        self._known = {word.lower() for word in _WORD.findall(text.replace(HYPHEN, "\n"))}
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
        return known or (plain if self._hyphenated else hyphenated)
