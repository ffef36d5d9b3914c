"""Elements that a browser does not show, except what the reader of the page can open."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from retrieval.conversion.html.elements import attribute, count_words, names
from retrieval.conversion.html.left_out import HIDDEN, STRUCK, LeftOut

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

_TOGGLES = (
    "[aria-controls], [commandfor], [popovertarget], [data-bs-target], [data-target], [data-toggle], [data-bs-toggle]"
)
_PANELS = frozenset({"tabpanel", "tab-pane", "accordion-body", "accordion-content", "accordion-panel", "collapse"})
# A page that is hidden until its scripts have run.
_WHOLE = frozenset({"html", "body", "main", "article"})
_FOR_SCREEN_READERS = re.compile(
    r"(?:^|[-_\s])(?:sr-only|visually-?hidden|screen-?reader(?:-text)?|katex-mathml|assistive-mml)"
)
_SCRIPTS = re.compile(r"java\s?script|scripts?\b", re.IGNORECASE)
_LONG_FALLBACK_WORDS, _MAX_FALLBACKS = 25, 500
# A note such as an icon's is shorter than this.
_MAX_SIBLINGS = 50


def find_hidden(tree: LexborHTMLParser, styled: list[LexborNode], left_out: LeftOut) -> None:
    """`styled`: the elements that their inline style hides."""
    openable = _openable(tree)
    hidden = [node for node in tree.css("[hidden]") if attribute(node, "hidden").lower() != "until-found"]
    hidden += [node for node in tree.css("dialog") if "open" not in node.attributes]
    for node in (*hidden, *styled):
        is_panel = attribute(node, "role") == "tabpanel" or bool(names(node) & _PANELS)
        if node.tag in _WHOLE or is_panel or attribute(node, "id") in openable:
            continue
        # The formula that a picture or drawn letters stand for.
        if node.tag == "math" or node.css_first("math") is not None:
            continue
        left_out.add(node, HIDDEN)
    for node in tree.css("[aria-hidden='true' i]"):
        if node.tag not in _WHOLE and _is_double(node):
            left_out.add(node, HIDDEN)
    for node in tree.css("noscript")[:_MAX_FALLBACKS]:
        text = node.text(separator=" ")
        if count_words(text) < _LONG_FALLBACK_WORDS or _SCRIPTS.search(text):
            left_out.add(node, HIDDEN)
    for node in tree.css("del, s, strike"):
        left_out.add(node, STRUCK)


def _openable(tree: LexborHTMLParser) -> set[str]:
    """The ids of the elements that a button or tab of the page opens."""
    ids: set[str] = set()
    for node in tree.css(_TOGGLES):
        attributes = node.attributes
        for name in ("aria-controls", "commandfor", "popovertarget", "data-bs-target", "data-target", "href"):
            ids.update(part.removeprefix("#") for part in (attributes.get(name) or "").split())
    return ids - {""}


def _is_double(node: LexborNode) -> bool:
    """Whether an element kept from screen readers is a sign, or says what stands beside it for them."""
    if not any(character.isalnum() for character in node.text()):
        return True
    return any(
        other.tag == "math" or _FOR_SCREEN_READERS.search(attribute(other, "class")) is not None
        for other in _siblings(node)
    )


def _siblings(node: LexborNode) -> Iterator[LexborNode]:
    for direction in ("prev", "next"):
        other = getattr(node, direction)
        for _ in range(_MAX_SIBLINGS):
            if other is None:
                break
            if not other.tag.startswith("-"):
                yield other
            other = getattr(other, direction)
