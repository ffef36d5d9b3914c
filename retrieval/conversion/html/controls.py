"""The text of elements that show text without containing it: form controls and images."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from retrieval.conversion.converted import one_line
from retrieval.conversion.html.elements import attribute

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_TICKABLE = frozenset({"checkbox", "radio"})
_WITHOUT_TEXT = frozenset({"hidden", "password", "file", "color", "range"})
_FILE_NAME = re.compile(r"[\w.%-]+\.(?:avif|bmp|gif|ico|jpe?g|png|svg|tiff?|webp)|(?:dsc|img)[-_]?\d+", re.IGNORECASE)
_MEANINGLESS = frozenset({"image", "img", "picture", "photo", "icon", "logo", "spacer", "avatar", "thumbnail"})
_ICON_PIXELS = 24
_MAX_FIGURE_DEPTH = 4


def input_text(node: LexborNode) -> str:
    """The value that a control shows, and `[x]` or `[ ]` for one that can be ticked."""
    kind = attribute(node, "type").lower()
    if kind in _TICKABLE:
        return "[x]" if "checked" in node.attributes else "[ ]"
    if kind == "image":
        return attribute(node, "alt")
    return "" if kind in _WITHOUT_TEXT else attribute(node, "value")


def options_text(node: LexborNode) -> str:
    """The options of a `<select>` or `<datalist>` with the names of their groups; a chosen one of several is marked."""
    options: list[str] = []
    group = ""
    found = node.css("optgroup, option")
    for option in found:
        if option.tag == "optgroup":
            group = attribute(option, "label")
            continue
        text = one_line(option.text()) or attribute(option, "label")
        if not text:
            continue
        chosen = " (selected)" if "selected" in option.attributes and len(found) > 1 else ""
        parent = option.parent
        lead = f"{group}: " if group and parent is not None and parent.tag == "optgroup" else ""
        options.append(f"{lead}{text}{chosen}")
        group = "" if lead else group
    return ", ".join(options)


def image_text(node: LexborNode) -> str:
    """The text in place of an image that is content; empty for decoration, icons, and names of files."""
    attributes = node.attributes
    text = one_line(attributes.get("alt") or "") or one_line(attributes.get("aria-label") or "")
    is_decoration = (attributes.get("role") or "") in {"presentation", "none"} or any(
        (attributes.get(side) or "").strip().removesuffix("px").isdecimal()
        and int((attributes.get(side) or "").strip().removesuffix("px")[:6]) <= _ICON_PIXELS
        for side in ("width", "height")
    )
    # A single character is a letter or a sign in the line, whatever its size.
    if is_decoration and len(text) > 1:
        return ""
    if text.lower() in _MEANINGLESS or _FILE_NAME.fullmatch(text) or text == _caption(node):
        return ""
    return text


def _caption(node: LexborNode) -> str:
    """The caption of the figure that an image is in."""
    parent = node.parent
    for _ in range(_MAX_FIGURE_DEPTH):
        if parent is None:
            break
        if parent.tag == "figure":
            caption = parent.css_first("figcaption")
            return "" if caption is None else one_line(caption.text())
        parent = parent.parent
    return ""


def drawing_text(node: LexborNode) -> str:
    """The name of an `<svg>` that says that it is an image."""
    if attribute(node, "role") != "img":
        return ""
    title = node.css_first("title")
    return one_line(attribute(node, "aria-label")) or ("" if title is None else one_line(title.text()))
