"""MathML to a line of text: the page's own text for the formula, or a form such as `x^2` and `a/b`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from retrieval.conversion.converted import one_line
from retrieval.conversion.html.elements import attribute, children

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_STYLE = re.compile(r"\{\\(?:displaystyle|textstyle)\s(.*)\}", re.DOTALL)
_INVISIBLE = re.compile("[\u2061-\u2064\u200b]")
_SIMPLE = re.compile(r"[-−]?\w+(?:[.,]\w+)*|\(.*\)")
_DROPPED = frozenset({"annotation", "annotation-xml", "-comment", "mphantom", "none", "script", "style"})
# Formulas beyond this are read as the text in them.
_MAX_NODES = 5000


def formula_text(node: LexborNode) -> str:
    given = attribute(node, "alttext")
    if not given:
        note = node.css_first("annotation")
        given = note.text() if note is not None and "tex" in attribute(note, "encoding").lower() else ""
    given = one_line(given)
    styled = _STYLE.fullmatch(given)
    return one_line((styled.group(1) if styled is not None else given) or _linear(node))


def _linear(root: LexborNode) -> str:
    parts: list[list[str]] = [[]]
    stack: list[tuple[LexborNode, bool]] = [(root, False)]
    seen = 0
    while stack:
        node, done = stack.pop()
        tag = (node.tag or "").removeprefix("m:")
        seen += 1
        if seen > _MAX_NODES:
            return root.text(separator=" ")
        if done:
            inner = parts.pop()
            parts[-1].append(_written(tag, inner))
        elif tag == "-text":
            text = one_line(_INVISIBLE.sub("", node.text_content or ""))
            if text:
                parts[-1].append(text)
        elif tag not in _DROPPED:
            parts.append([])
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(children(node)))
    return "".join(parts[0])


def _written(tag: str, parts: list[str]) -> str:
    first, second, third = ([_grouped(part) for part in parts] + ["", "", ""])[:3]
    match tag:
        case "msup" if second:
            return f"{first}^{second}"
        case "msub" if second:
            return f"{first}_{second}"
        case "msubsup" | "munderover" if third:
            return f"{first}_{second}^{third}"
        case "mfrac" if second:
            return f"{first}/{second}"
        case "msqrt":
            return f"√({_joined(parts)})"
        case "mroot" if second:
            return f"root({parts[0]}, {parts[1]})"
        case "mfenced":
            return f"({', '.join(parts)})"
        case "mtr" | "mlabeledtr":
            return f"{' '.join(parts)}; "
        case "mspace":
            return " "
        case "mtext":
            return f" {' '.join(parts)} "
    return _joined(parts)


def _joined(parts: list[str]) -> str:
    text = ""
    for part in parts:
        # Two numbers, or a number and its fraction.
        text += f" {part}" if text[-1:].isdigit() and part[:1].isdigit() else part
    return text


def _grouped(part: str) -> str:
    part = part.strip()
    return part if not part or _SIMPLE.fullmatch(part) else f"({part})"
