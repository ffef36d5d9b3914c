"""What inline styles say of elements: hidden, shown as a block, raised or lowered."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

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
