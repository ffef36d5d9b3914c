"""The kinds of elements, and what their attributes say."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

# Without text of the page. The fallback text of embedded objects is shown by no browser.
# fmt: off
DROPPED = frozenset({
    "script", "style", "template", "head", "iframe", "object", "video", "audio", "noembed", "noframes",
    "-comment", "!doctype",
})
HEADINGS = {f"h{level}": level for level in range(1, 7)}
LISTS = frozenset({"ul", "ol", "menu", "dir"})
PREFORMATTED = frozenset({"pre", "listing", "xmp", "plaintext"})
BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "dir",
    "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html",
    "legend", "li", "listing", "main", "menu", "nav", "ol", "p", "plaintext", "pre", "search", "section", "summary",
    "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul", "xmp", *HEADINGS,
})
# fmt: on
_NOTE_TARGET = re.compile(
    r"#(?:user-content-)?_?(?:fn|footnote|note|cite[-_]?note|endnote|ftn|edn|fussnote)", re.IGNORECASE
)
_NOTE_LINK_NAME = re.compile(r"foot-?note|endnote|note-?ref|fn-?ref", re.IGNORECASE)
_NOTE_NAME = re.compile(rf"{_NOTE_LINK_NAME.pattern}|\breference\b|cite[-_]ref", re.IGNORECASE)
_NOTE_ROLES = frozenset({"doc-noteref", "doc-footnote", "doc-endnote", "noteref"})
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]{1,2}|[^\W\u3040-\u30ff\u3400-\u9fff]+")


def attribute(node: LexborNode, name: str) -> str:
    return node.attributes.get(name) or ""


def names(node: LexborNode) -> set[str]:
    """The classes and the id of an element, in lower case."""
    attributes = node.attributes
    return set(f"{attributes.get('class') or ''} {attributes.get('id') or ''}".lower().split())


def children(node: LexborNode) -> list[LexborNode]:
    return list(node.iter(include_text=True))


def count_words(text: str) -> int:
    """Words; two characters of a script without spaces count as one."""
    return len(_WORD.findall(text))


def follows_link(node: LexborNode) -> bool:
    """Whether a link stands directly after another one, set apart by its looks alone."""
    before = node.prev
    return before is not None and before.tag == "a"


def is_note_link(node: LexborNode) -> bool:
    """Whether a link leads to a note."""
    attributes = node.attributes
    return (
        _NOTE_TARGET.match(attributes.get("href") or "") is not None
        or bool(_NOTE_ROLES & {attributes.get("role") or "", attributes.get("epub:type") or ""})
        or _NOTE_LINK_NAME.search(f"{attributes.get('class') or ''} {attributes.get('id') or ''}") is not None
    )


def is_note(node: LexborNode) -> bool:
    """Whether an element's names say that it is the mark of a note."""
    attributes = node.attributes
    if not attributes:
        return False
    named = f"{attributes.get('class') or ''} {attributes.get('id') or ''}"
    return _NOTE_NAME.search(named) is not None or (attributes.get("role") or "") in _NOTE_ROLES


def is_marked_raised(node: LexborNode) -> bool:
    """Whether a raised element is, contains or stands in a link."""
    if is_note(node) or node.css_first("a") is not None:
        return True
    parent = node.parent
    for _ in range(3):
        if parent is None or parent.tag in BLOCKS:
            return False
        if parent.tag == "a" and parent.text().strip() == node.text().strip():
            return True
        parent = parent.parent
    return False


def starts_a_block(node: LexborNode) -> bool:
    """Whether nothing stands before the element in its block."""
    before = node.prev
    while before is not None and before.tag == "-text" and not (before.text_content or "").strip():
        before = before.prev
    parent = node.parent
    return before is None and parent is not None and parent.tag in BLOCKS


# Inline styles

_HIDDEN = re.compile(r"(?:^|[;\s])(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse))\b")
_BLOCK = re.compile(r"(?:^|[;\s])display\s*:\s*(?:block|flex|grid|table|list-item|flow-root)\b")
_RAISED = re.compile(r"(?:^|[;\s])vertical-align\s*:\s*(super|sub)\b")


@dataclass(slots=True)
class Styles:
    """Elements by their id in the tree."""

    hidden: list[LexborNode] = field(default_factory=list)
    blocks: set[int] = field(default_factory=set)
    raised: dict[int, str] = field(default_factory=dict)


def read_styles(tree: LexborHTMLParser) -> Styles:
    """What inline styles say of elements: hidden, shown as a block, raised or lowered."""
    styles = Styles()
    for node in tree.css("[style]"):
        style = (node.attributes.get("style") or "").lower()
        if _HIDDEN.search(style):
            styles.hidden.append(node)
        elif _BLOCK.search(style):
            styles.blocks.add(node.mem_id)
        else:
            found = _RAISED.search(style)
            if found is not None and node.tag not in {"sup", "sub", "td", "th", "tr", "img"}:
                styles.raised[node.mem_id] = "sup" if found.group(1) == "super" else "sub"
    return styles
