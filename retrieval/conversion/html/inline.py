"""The text of one block, put together from its inline elements."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from retrieval.conversion.converted import one_line
from retrieval.conversion.raised import in_line, lowered, note_mark, raised

# Soft hyphens and other places where a word may be broken.
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
# Characters that are digits in a smaller or other shape.
_SMALL = re.compile(
    "[\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u209c\u2150-\u218b\u2460-\u24ff\u2776-\u2793\u3248-\u33ff"
    "\U0001f100-\U0001f10c]"
)
# Ordinals and trade marks are not marks of notes, even in a link.
_MARK = re.compile(r"\d+(?:[\s,;–-]+\d+)*|(?!(?:st|nd|rd|th|er|re|tm|sm)$)\w{1,3}", re.IGNORECASE)


@dataclass(slots=True)
class _Frame:
    """An open element whose text is changed at its end: where its text starts, and what is known of it."""

    kind: str
    start: int
    is_mark: bool = False
    readings: list[str] = field(default_factory=list)
    brackets: list[str] = field(default_factory=list)


def written(text: str, notes: Collection[str], *, has_raised: bool = False) -> str:
    """The text without invisible characters, its raised and lowered numbers set apart.

    `notes`: the numbers of the page's notes. `has_raised`: the text has the markers of `raised`.
    """
    if text.isascii():
        return text
    text = _INVISIBLE.sub("", text)
    return in_line(text, notes) if has_raised or _SMALL.search(text) else text


class InlineText:
    """Collects text and line breaks. A space is written as it is in the page: none is added, none is lost."""

    def __init__(self, notes: Collection[str]) -> None:
        self._notes = notes
        self._has_raised = False
        self._pieces: list[str] = []
        self._frames: list[_Frame] = []
        # Where the text after the last raised number begins.
        self._after_raised = 0

    def add(self, text: str, *, preformatted: bool = False) -> None:
        # Line breaks in the source are spaces, except in preformatted text.
        self._pieces.append(text if preformatted or "\n" not in text else text.replace("\n", " "))

    def add_apart(self, text: str) -> None:
        """Text in a box of its own, such as a button: it does not touch its neighbours."""
        self._pieces.extend((" ", text.replace("\n", " "), " "))

    def add_break(self) -> None:
        self._pieces.append("\n")

    def open(self, kind: str, *, is_mark: bool = False) -> None:
        """Begin a `sup`, `sub`, `note`, `ruby`, `rt` or `rp`. `is_mark`: it is the mark of a note."""
        start = len(self._pieces)
        # So is a second raised number.
        self._frames.append(_Frame(kind, start, is_mark or (kind == "sup" and 0 < start == self._after_raised)))

    def close(self, kind: str) -> None:
        """End it. A block within it has ended it already."""
        if not self._frames or self._frames[-1].kind != kind:
            return
        frame = self._frames.pop()
        if kind == "ruby":
            self._close_ruby(frame)
            return
        text = "".join(self._pieces[frame.start :])
        del self._pieces[frame.start :]
        if kind in {"rt", "rp"}:
            if self._frames and self._frames[-1].kind == "ruby":
                (self._frames[-1].readings if kind == "rt" else self._frames[-1].brackets).append(text.strip())
        elif text:
            self._pieces.append(_changed(text, frame))
            self._has_raised = True
            self._after_raised = len(self._pieces) if kind == "sup" else 0

    def take(self, *, preformatted: bool = False) -> str:
        """The text so far, which the next block begins without."""
        if not self._pieces:
            self._frames.clear()
            return ""
        text = "".join(self._pieces)
        has_raised = self._has_raised
        self._pieces, self._frames, self._after_raised, self._has_raised = [], [], 0, False
        if preformatted:
            text = text.replace("\xa0", " ").strip("\n")
        elif "\n" not in text:
            text = " ".join(text.split())
        else:
            text = "\n".join(line for line in map(one_line, text.split("\n")) if line)
        return written(text, self._notes, has_raised=has_raised)

    def _close_ruby(self, frame: _Frame) -> None:
        readings = [reading for reading in frame.readings if reading]
        if readings:
            first, last = (frame.brackets[0], frame.brackets[-1]) if len(frame.brackets) > 1 else ("(", ")")
            self._pieces.append(f"{first}{''.join(readings)}{last}")


def _changed(text: str, frame: _Frame) -> str:
    plain = text.strip()
    if frame.kind == "sub":
        return lowered(text)
    if (frame.is_mark and _MARK.fullmatch(plain)) or (frame.kind == "note" and plain.isdecimal()):
        return note_mark(int(plain)) if plain.isdecimal() else f"[{plain}]"
    return text if frame.kind == "note" else raised(text)
