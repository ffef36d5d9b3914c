"""Leave out the links of a part of the page, and keep its prose."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from retrieval.conversion.html.elements import BLOCKS, DROPPED, HEADINGS, children
from retrieval.conversion.html.left_out import LeftOut

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_LINKS = frozenset({"a", "button", "select", "svg"})


def prune(root: LexborNode, why: str, left_out: LeftOut, is_prose: Callable[[str], bool]) -> None:
    """Leave out the blocks below `root` whose own text, without links, is not prose. If none is, leave out `root`.

    A heading stays with the prose that follows it.
    """
    order: list[LexborNode] = []
    parents: dict[int, int] = {}
    texts: dict[int, list[str]] = {}
    stack: list[tuple[LexborNode, int, bool]] = [(root, root.mem_id, False)]
    while stack:
        node, block, in_link = stack.pop()
        tag = node.tag or ""
        if tag == "-text":
            if not in_link:
                texts.setdefault(block, []).append(node.text_content or "")
            continue
        if tag in DROPPED or node.mem_id in left_out.parts:
            continue
        id_ = node.mem_id
        if tag in BLOCKS or not parents:
            parents[id_], block = block, id_
            order.append(node)
        stack.extend((child, block, in_link or tag in _LINKS) for child in reversed(children(node)))
    prose = {id_ for id_, pieces in texts.items() if is_prose(" ".join("".join(pieces).split()))}
    # The blocks that contain prose.
    needed: set[int] = set()
    for id_ in prose:
        while id_ not in needed:
            needed.add(id_)
            id_ = parents[id_]
    if not needed:
        left_out.add(root, why)
        return
    for node in order:
        if node.mem_id not in needed:
            if not (node.tag in HEADINGS and _next_id(node) in needed):
                left_out.add(node, why)
        elif node.mem_id not in prose:
            for child in node.iter():
                if child.tag not in BLOCKS:
                    left_out_inline(child, why, left_out, needed)


def left_out_inline(node: LexborNode, why: str, left_out: LeftOut, needed: set[int]) -> None:
    """Leave out a link between blocks, unless it contains prose itself."""
    if node.tag in _LINKS and not any(inner.mem_id in needed for inner in node.traverse()):
        left_out.add(node, why)


def _next_id(node: LexborNode) -> int:
    after = node.next
    while after is not None and (after.tag or "").startswith("-"):
        after = after.next
    return 0 if after is None else after.mem_id
