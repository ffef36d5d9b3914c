"""The text of a paragraph of AsciiDoc, without its markup."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from retrieval.conversion.converted import one_line
from retrieval.conversion.raised import in_line, lowered, raised

# Lengths are limited here, so that a text with many openings and no end takes linear time.
_ATTRIBUTE = re.compile(r"\{([\w-]+)\}")
_PASSED = re.compile(r"\+\+\+(.{0,2000}?)\+\+\+|pass:\w{0,20}\[(.{0,2000}?)\]", re.DOTALL)
# What a macro shows: its text, up to the named attributes after it, or its target.
_MACRO = re.compile(
    r"\b(xref|link|mailto|menu|https?|ftp):([^\s\[\]]{0,2000})\[((?:[^\[\]\\]|\\.|\[[^\[\]]*\]){0,2000})\]"
)
_SHOWN = re.compile(r"\b(?:kbd|btn|stem|latexmath|asciimath):\[([^\]]{0,2000})\]")
_FOOTNOTE = re.compile(r"\s{0,9}footnote:[\w-]{0,80}\[((?:[^\[\]]|\[[^\[\]]*\]){0,2000})\]")
_HIDDEN = re.compile(
    r"(?:image|icon|anchor|indexterm2?):[^\s\[\]]{0,2000}\[[^\]]{0,2000}\]|\[\[[^\[\]]*\]\]|\(\(\(.{0,400}?\)\)\)"
)
_REFERENCE = re.compile(r"<<([^<>,]{1,400})(?:,\s{0,9}([^<>]{0,400}))?>>")
_ROLE = re.compile(r"\[[^\[\]]{0,400}\](?=[#*_`+])")
_NAMED = re.compile(r",\s*[\w-]+=.*$", re.DOTALL)
# Between letters, only doubled marks are formatting; else single ones at the edges of words are.
_DOUBLED = re.compile(r"(\*\*|__|``|##)(?=\S)(.{1,400}?)(?<=\S)\1", re.DOTALL)
_SINGLE = re.compile(r"(?<![\w\\])([*_`#+])(?=[^\s*_`#+])(.{1,400}?)(?<=[^\s\\])\1(?!\w)", re.DOTALL)
_SUPERSCRIPT = re.compile(r"\^([^\s^]{1,80})\^")
_SUBSCRIPT = re.compile(r"~([^\s~]{1,80})~")
_DEPTH = 4


def inline_text(text: str, attributes: Mapping[str, str]) -> str:
    """On one line. `attributes` are those that the document has set."""
    text = _ATTRIBUTE.sub(lambda found: attributes.get(found[1], found[0]), text)
    text = _PASSED.sub(lambda found: found[1] or found[2] or "", text)
    text = _FOOTNOTE.sub(r" (\1)", text)
    text = _HIDDEN.sub("", text)
    text = _MACRO.sub(_shown, text)
    text = _SHOWN.sub(r"\1", text)
    text = _REFERENCE.sub(lambda found: found[2] or found[1], text)
    text = _ROLE.sub("", text)
    text = _SUPERSCRIPT.sub(lambda found: raised(found[1]), text)
    text = _SUBSCRIPT.sub(lambda found: lowered(found[1]), text)
    for pattern in (_DOUBLED, _SINGLE):
        text = _repeated(pattern, text)
    return one_line(in_line(text))


def _repeated(pattern: re.Pattern[str], text: str) -> str:
    """Marks may stand in each other, a few deep."""
    keep: Callable[[re.Match[str]], str] = lambda found: found[2]  # noqa: E731
    for _ in range(_DEPTH):
        text, count = pattern.subn(keep, text)
        if not count:
            break
    return text


def _shown(found: re.Match[str]) -> str:
    kind, target, text = found.groups()
    text = _NAMED.sub("", text).strip().strip('"').rstrip("^")
    if kind == "menu":
        return f"{target} > {text}" if text else target
    return text or (f"{kind}:{target}" if kind in {"http", "https", "ftp"} else target)
