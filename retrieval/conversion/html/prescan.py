"""The character encoding that a page declares, found as the HTML standard's prescan finds it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from webencodings import Encoding

_SPACE = b"\t\n\x0c\r "
# What looks like a tag within these elements is text.
_RAW_TEXT = re.compile(rb"<(script|style|title|textarea|xmp|noframes|iframe)(?=[\t\n\x0c\r />])", re.IGNORECASE)
_META = re.compile(rb"<meta(?=[\t\n\x0c\r /])", re.IGNORECASE)
_TAG = re.compile(rb"</?[A-Za-z][^\t\n\x0c\r >]*")
_XML = re.compile(rb"""<\?xml[^>]*?encoding[\x00-\x20]*=[\x00-\x20]*(?:"([^"\x00-\x20>]+)"|'([^'\x00-\x20>]+)')""")
_CHARSET = re.compile(
    rb"""charset[\t\n\x0c\r ]*=[\t\n\x0c\r ]*(?:"([^"]*)"|'([^']*)'|([^"'\t\n\x0c\r ;][^\t\n\x0c\r ;]*))"""
)


def declared_encoding(head: bytes) -> Encoding | None:
    """The encoding of the first valid declaration in the first bytes of a page, or None.

    A `<meta>` comes before an XML declaration. Comments, and the texts of scripts, declare nothing.
    """
    position = 0
    while (position := head.find(b"<", position)) >= 0:
        if head.startswith(b"<!--", position):
            # The two dashes of the start may be those of the end: <!-->
            end = head.find(b"-->", position + 2)
            if end < 0:
                break
            position = end + 3
        elif _META.match(head, position):
            attributes, position = _attributes(head, position + len(b"<meta"))
            encoding = _of_meta(attributes)
            if encoding is not None:
                return encoding
        elif (tag := _TAG.match(head, position)) is not None:
            raw = _RAW_TEXT.match(head, position)
            _, position = _attributes(head, tag.end())
            if raw is not None:
                position = _end_of_raw_text(head, position, raw.group(1))
        elif head[position + 1 : position + 2] in {b"!", b"/", b"?"}:
            end = head.find(b">", position)
            if end < 0:
                break
            position = end + 1
        else:
            position += 1
    xml = _XML.match(head)
    return None if xml is None else _known(xml.group(1) or xml.group(2))


def _of_meta(attributes: dict[bytes, bytes]) -> Encoding | None:
    if b"charset" in attributes:
        return _known(attributes[b"charset"])
    if attributes.get(b"http-equiv") != b"content-type":
        return None
    found = _CHARSET.search(attributes.get(b"content", b""))
    return None if found is None else _known(found.group(1) or found.group(2) or found.group(3) or b"")


def _known(label: bytes) -> Encoding | None:
    """The encoding of a label. A page whose declaration is readable as ASCII is not in UTF-16."""
    import webencodings

    encoding = webencodings.lookup(label.decode("ascii", "replace"))
    if encoding is not None and encoding.name in {"utf-16le", "utf-16be"}:
        return webencodings.lookup("utf-8")
    if encoding is not None and encoding.name == "x-user-defined":
        return webencodings.lookup("windows-1252")
    return encoding


def _attributes(head: bytes, position: int) -> tuple[dict[bytes, bytes], int]:
    """The attributes of a tag in lower case, the first of each name, and the position after the tag."""
    attributes: dict[bytes, bytes] = {}
    end = len(head)
    while position < end:
        while position < end and head[position] in _SPACE + b"/":
            position += 1
        if position >= end or head[position] == ord(">"):
            return attributes, position + 1
        start = position
        # A name may begin with "=".
        position += 1
        while position < end and head[position] not in _SPACE + b"/>=":
            position += 1
        name = head[start:position].lower()
        value, position = _value(head, position)
        attributes.setdefault(name, value)
    # The tag is cut off, and perhaps its last value too.
    return {}, position


def _value(head: bytes, position: int) -> tuple[bytes, int]:
    end = len(head)
    after = position
    while after < end and head[after] in _SPACE:
        after += 1
    if head[after : after + 1] != b"=":
        return b"", position
    after += 1
    while after < end and head[after] in _SPACE:
        after += 1
    quote = head[after : after + 1]
    if quote in {b'"', b"'"}:
        close = head.find(quote, after + 1)
        # A value without its end declares nothing.
        return (b"", end) if close < 0 else (head[after + 1 : close].lower(), close + 1)
    start = after
    while after < end and head[after] not in _SPACE + b">":
        after += 1
    return head[start:after].lower(), after


def _end_of_raw_text(head: bytes, position: int, name: bytes) -> int:
    found = re.compile(rb"</" + name, re.IGNORECASE).search(head, position)
    return len(head) if found is None else found.start()
