"""The text of one block, put together from its inline elements."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from retrieval.conversion.converted import one_line
from retrieval.conversion.html import raised

# Soft hyphens and other places where a word may be broken.
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
_STROKES = {"/", "⁄", "∕"}


@dataclass(slots=True)
class _Frame:
    """An open element whose text is changed at its end: where its text starts, and what is known of it."""

    kind: str
    start: int
    is_mark: bool = False
    readings: list[str] = field(default_factory=list)
    brackets: list[str] = field(default_factory=list)


def without_invisible(text: str) -> str:
    return text if text.isascii() else _INVISIBLE.sub("", text)


class InlineText:
    """Collects text and line breaks. A space is written as it is in the page: none is added, none is lost."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._frames: list[_Frame] = []
        # The last raised text: its piece, and the text itself.
        self._raised = (-1, "")
        self._last_was_raised = False

    def add(self, text: str, *, preformatted: bool = False) -> None:
        if self._last_was_raised and text:
            # A number that follows a raised one is another number.
            if text[0].isdigit() and self._pieces[-1][-1:].isdigit():
                self._pieces.append(" ")
            self._last_was_raised = False
        # Line breaks in the source are spaces, except in preformatted text.
        self._pieces.append(text if preformatted or "\n" not in text else text.replace("\n", " "))

    def add_apart(self, text: str) -> None:
        """Text in a box of its own, such as a button: it does not touch its neighbours."""
        self._pieces.extend((" ", text.replace("\n", " "), " "))
        self._last_was_raised = False

    def add_break(self) -> None:
        self._pieces.append("\n")
        self._last_was_raised = False

    def open(self, kind: str, *, is_mark: bool = False) -> None:
        """Begin a `sup`, `sub`, `note`, `ruby`, `rt` or `rp`."""
        # A second raised number is the mark of a note.
        self._frames.append(_Frame(kind, len(self._pieces), is_mark or (kind == "sup" and self._last_was_raised)))
        self._last_was_raised = False

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
        elif text.strip():
            self._close_raised(frame, text)
        elif text:
            self._pieces.append(text)

    def take(self, *, preformatted: bool = False) -> str:
        """The text so far, which the next block begins without."""
        if not self._pieces:
            self._frames.clear()
            return ""
        text = without_invisible("".join(self._pieces))
        self._pieces, self._frames = [], []
        self._raised, self._last_was_raised = (-1, ""), False
        if preformatted:
            return text.replace("\xa0", " ").strip("\n")
        if "\n" not in text:
            return " ".join(text.split())
        return "\n".join(line for line in map(one_line, text.split("\n")) if line)

    def _before(self) -> str:
        tail = ""
        for piece in reversed(self._pieces):
            tail = piece[-raised.CONTEXT :] + tail
            if len(tail) >= raised.CONTEXT:
                break
        return without_invisible(tail)

    def _close_raised(self, frame: _Frame, text: str) -> None:
        before = self._before()
        if frame.kind == "sub":
            index, above = self._raised
            if 0 <= index == len(self._pieces) - 2 and self._pieces[-1].strip() in _STROKES:
                stroked = self._pieces[index:]
                del self._pieces[index:]
                whole = raised.fraction(self._before(), above, text)
                self._pieces.extend(stroked if whole is None else [whole])
                if whole is not None:
                    self._last_was_raised = True
                    return
            shown = raised.lowered(before, text)
        elif frame.kind == "note":
            shown = raised.raised(before, text, is_mark=True) if text.strip().isdecimal() else text
        else:
            shown = raised.raised(before, text, is_mark=frame.is_mark)
            self._raised = (len(self._pieces), text)
        self._pieces.append(shown)
        self._last_was_raised = shown != text
        if any(outer.kind in {"sup", "sub"} for outer in self._frames):
            self._last_was_raised = False

    def _close_ruby(self, frame: _Frame) -> None:
        readings = [reading for reading in frame.readings if reading]
        if readings:
            first, last = (frame.brackets[0], frame.brackets[-1]) if len(frame.brackets) > 1 else ("(", ")")
            self._pieces.append(f"{first}{''.join(readings)}{last}")
