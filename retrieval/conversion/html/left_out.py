"""What a page leaves out of its text, and how many words that was."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from retrieval.conversion.html.elements import DROPPED, children, count_words

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

NAVIGATION, FOOTERS, BANNERS = "navigation", "footers", "banners"
HIDDEN, STRUCK = "hidden text", "struck-out text"
_ORDER = (NAVIGATION, FOOTERS, BANNERS, HIDDEN, STRUCK)


@dataclass(slots=True)
class LeftOut:
    """Elements by their id in the tree, with why they are left out, and the words left out so far."""

    parts: dict[int, str] = field(default_factory=dict)
    words: Counter[str] = field(default_factory=Counter)
    _counted: set[int] = field(default_factory=set)

    def add(self, node: LexborNode, why: str) -> None:
        self.parts.setdefault(node.mem_id, why)

    def passes_over(self, node: LexborNode) -> bool:
        """Whether an element is left out. Its words are counted the first time."""
        if not self.parts or (why := self.parts.get(node.mem_id)) is None:
            return False
        if node.mem_id not in self._counted:
            self._counted.add(node.mem_id)
            self.words[why] += count_words(shown_text(node))
        return True

    def spare(self, *kinds: str) -> LeftOut:
        """The same without these kinds, and with nothing counted."""
        return LeftOut({id_: why for id_, why in self.parts.items() if why not in kinds})

    def notes(self) -> tuple[str, ...]:
        kinds = [kind for kind in _ORDER if self.words[kind]]
        if not kinds:
            return ()
        total = sum(self.words.values())
        listed = " and ".join(filter(None, [", ".join(kinds[:-1]), kinds[-1]]))
        return (f"left out {total:,} {'word' if total == 1 else 'words'} of {listed}",)


def shown_text(root: LexborNode) -> str:
    """The text of an element without its scripts and styles, the parts of it set apart."""
    pieces: list[str] = []
    stack = [root]
    while stack:
        node = stack.pop()
        tag = node.tag or ""
        if tag == "-text":
            pieces.append(node.text_content or "")
        elif tag not in DROPPED:
            stack.extend(reversed(children(node)))
    return " ".join(pieces)
