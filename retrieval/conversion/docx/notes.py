"""The footnotes and endnotes of a DOCX: their marks, and their texts after the section that refers to them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias

from retrieval.conversion.docx.blocks import Block, Text
from retrieval.conversion.docx.markup import Element, w

# The kind of a note, "footnote" or "endnote", and its id.
NoteKey: TypeAlias = tuple[str, str]


@dataclass
class Notes:
    """Numbers footnotes from 1, and endnotes after the last footnote, in the order of their marks.

    `due` are the notes whose text is not written yet.
    """

    texts: dict[NoteKey, Element]
    footnotes: int
    due: list[NoteKey] = field(default_factory=list)
    _numbers: dict[NoteKey, int] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def refer(self, kind: str, id_: str, *, has_own_mark: bool) -> int:
        """The number of a note; 0 if the text has the author's own mark, or there is no such note."""
        key = (kind, id_)
        if key not in self.texts:
            return 0
        if key not in self._numbers:
            number = 0
            if not has_own_mark:
                count = self._counts[kind] = self._counts.get(kind, 0) + 1
                number = count + (self.footnotes if kind == "endnote" else 0)
            self._numbers[key] = number
            self.due.append(key)
        return self._numbers[key]

    def labelled(self, key: NoteKey, blocks: list[Block]) -> list[Block]:
        """The text of a note with its mark before the first paragraph."""
        number = self._numbers.get(key, 0)
        if not number:
            return blocks
        label = f"[{number}]"
        for place, block in enumerate(blocks):
            if isinstance(block, Text) and block.text.strip():
                first = replace(block, text=f"{label} {block.text.lstrip()}", kind="paragraph", label="")
                return [*blocks[:place], first, *blocks[place + 1 :]]
        return [Text(label), *blocks] if blocks else []


def read_notes(body: Element, footnotes: Element | None, endnotes: Element | None) -> Notes:
    """The notes of a document, from the roots of its parts."""
    texts: dict[NoteKey, Element] = {}
    for kind, root in (("footnote", footnotes), ("endnote", endnotes)):
        for note in root.findall(w(kind)) if root is not None else ():
            texts[kind, note.get(w("id"), "")] = note
    # Of endnotes alone, the first is 1.
    count = len({mark.get(w("id")) for mark in body.iter(w("footnoteReference"))}) if endnotes is not None else 0
    return Notes(texts, count)
