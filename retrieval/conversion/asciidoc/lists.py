"""The lists of AsciiDoc around an entry, and its number."""

from __future__ import annotations


class ListState:
    """The open lists, from the outer to the inner one.

    An entry whose mark is that of an open list goes on with that list. With any other mark, it begins a list in the
    last entry, whatever the length of the mark.
    """

    def __init__(self) -> None:
        self._marks: list[str] = []
        self._numbers: list[int] = []
        self._in_callouts = False
        self.callouts = 0

    def is_empty(self) -> bool:
        return not self._marks

    def end(self) -> None:
        """All lists end."""
        self._marks, self._numbers = [], []
        self._in_callouts = False

    def begins(self, mark: str) -> bool:
        """Whether an entry is not one of the lists that are open."""
        is_callout = mark[0] == "<"
        return is_callout != self._in_callouts or not (is_callout or self._marks)

    def next(self, mark: str, first: int) -> tuple[int, str]:
        """The depth of an entry, and what is written before it. `first`: the number of the first entry of a list."""
        self._in_callouts = mark[0] == "<"
        if self._in_callouts:
            # Explanations of marks in a code block, which may stand among the entries of a list.
            self.callouts = int(mark[1:-1]) if mark[1:-1].isdecimal() else self.callouts + 1
            return 0, f"{self.callouts}. "
        is_written = mark[0].isdecimal()
        is_new = self._at("1." if is_written else mark)
        # Asciidoctor counts by itself, so that a file may have `1.` before each entry.
        written = int(mark[:-1][:9]) if is_written else 0
        if is_new:
            self._numbers[-1] = written if is_written else first
        else:
            self._numbers[-1] = max(self._numbers[-1] + 1, written)
        depth = sum(one[0] not in ":;" for one in self._marks) - 1
        return depth, "- " if mark[0] in "*-" else f"{self._numbers[-1]}. "

    def term(self, mark: str) -> None:
        """A term of a list of descriptions, which may be in a list and have lists in it."""
        self._at(mark)

    def _at(self, mark: str) -> bool:
        """Go to the list with a mark; whether it is a new one."""
        is_new = mark not in self._marks
        if is_new:
            self._marks.append(mark)
            self._numbers.append(0)
        else:
            count = self._marks.index(mark) + 1
            del self._marks[count:], self._numbers[count:]
        return is_new
