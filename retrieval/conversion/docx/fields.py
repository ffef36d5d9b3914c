"""Fields of a DOCX: their results are text, their instructions are not."""

from __future__ import annotations

from retrieval.conversion.docx.markup import Element, as_number, number, switch, value, w

_TYPE = w("fldCharType")


class Fields:
    """Follows the begin, middle and end of fields, which may be nested."""

    def __init__(self) -> None:
        # For each open field, whether its instruction is being read.
        self._instructions: list[bool] = []

    @property
    def in_instruction(self) -> bool:
        return any(self._instructions)

    def meet(self, character: Element) -> str:
        """Note a `w:fldChar`. Returns the text of a form field that has no result as text."""
        kind = character.get(_TYPE)
        if kind == "begin":
            text = "" if self.in_instruction else _filled(character.find(w("ffData")))
            self._instructions.append(True)
            return text
        if kind == "separate" and self._instructions:
            self._instructions[-1] = False
        elif kind == "end" and self._instructions:
            self._instructions.pop()
        return ""

    def end_paragraph(self) -> None:
        """An instruction ends with its paragraph at the latest: a damaged field must not hide the document."""
        self._instructions = [False for _ in self._instructions]


def _filled(data: Element | None) -> str:
    """A check box as "[x]" or "[ ]", a list as its chosen entry. The text of a text field is its result."""
    if data is None:
        return ""
    box, choices = data.find(w("checkBox")), data.find(w("ddList"))
    if box is not None:
        checked = switch(box, "checked")
        return "[x]" if (switch(box, "default") if checked is None else checked) else "[ ]"
    if choices is None:
        return ""
    entries = [entry.get(w("val"), "") for entry in choices.findall(w("listEntry"))]
    chosen = number(choices, "result")
    if chosen is None:
        chosen = as_number(value(choices, "default")) or 0
    return entries[chosen] if 0 <= chosen < len(entries) else ""
