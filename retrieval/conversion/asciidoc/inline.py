"""The text of a paragraph of AsciiDoc, without its markup."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from retrieval.conversion.converted import one_line
from retrieval.conversion.raised import in_line, lowered, raised

# Lengths are limited here, so that a text with many openings and no end takes linear time.
_ATTRIBUTE = re.compile(r"\{([\w-]+)\}")
# Characters that AsciiDoc has names for, mostly because they would be markup.
_CHARACTERS = {
    "amp": "&", "apos": "'", "asterisk": "*", "backslash": "\\", "backtick": "`", "blank": "", "brvbar": "¦",
    "caret": "^", "cpp": "C++", "cxx": "C++", "deg": "°", "empty": "", "endsb": "]", "gt": ">", "ldquo": "“",
    "lsquo": "‘", "lt": "<", "nbsp": " ", "plus": "+", "pp": "++", "quot": '"', "rdquo": "”", "rsquo": "’", "sp": " ",
    "startsb": "[", "tilde": "~", "two-colons": "::", "two-semicolons": ";;", "vbar": "|", "wj": "", "zwsp": "",
}  # fmt: skip
_BREAK = re.compile(r" \+$", re.MULTILINE)
_PASSED = re.compile(r"\+\+\+(.{0,2000}?)\+\+\+|pass:(\w{0,20})\[(.{0,2000}?)\]", re.DOTALL)
_FORMULA = re.compile(r"\b(?:stem|latexmath|asciimath):\[((?:[^\\\]]|\\.){0,2000})\]", re.DOTALL)
_LITERAL = re.compile(r"(?<![\w\\+])\+(?=[^\s+])(.{0,400}?[^\s\\])\+(?![\w+])", re.DOTALL)
# A backslash before what would be markup.
_ESCAPED = re.compile(
    r"\\(?:(\{)(?=[\w-]+\})|(<<)(?=[^<>]{1,400}>>)|(\*\*|__|``|##)(?=\S.{0,400}?\3)|([*_`#+^~])(?=\S.{0,400}?\4)"
    r"|([a-z])(?=[a-z]{2,12}(?:://|:[^\s\[\]]{0,400}\[)))",
    re.DOTALL,
)
# What a macro shows: its text, up to the named attributes after it, or its target.
_MACRO = re.compile(
    r"\b(xref|link|mailto|menu|https?|ftp):([^\s\[\]]{0,2000})\[((?:[^\[\]\\]|\\.|\[[^\[\]]*\]){0,2000})\]"
)
_SHOWN = re.compile(r"\b(?:kbd|btn):\[([^\]]{0,2000})\]")
_FOOTNOTE = re.compile(r"\s{0,9}footnote:[\w-]{0,80}\[((?:[^\[\]]|\[[^\[\]]*\]){0,2000})\]")
_LABEL = re.compile(r"\[\[\[([^\[\],]{1,400})(?:,([^\[\]]{1,400}))?\]\]\]")
_HIDDEN = re.compile(
    r"(?:image|icon|anchor|indexterm2?):[^\s\[\]]{0,2000}\[[^\]]{0,2000}\]|\[\[[^\[\]]*\]\]|\(\(\(.{0,400}?\)\)\)"
)
_REFERENCE = re.compile(r"<<([^<>,]{1,400})(?:,\s{0,9}([^<>]{0,400}))?>>")
_ROLE = re.compile(r"\[[^\[\]]{0,400}\](?=[#*_`+])")
_NAMED = re.compile(r",\s*[\w-]+=.*$", re.DOTALL)
# Between letters, only doubled marks are formatting; else single ones at the edges of words are.
_DOUBLED = re.compile(r"(\*\*|__|``|##)(?=\S)(.{1,400}?)(?<=\S)\1", re.DOTALL)
_SINGLE = re.compile(r"(?<![\w\\])([*_`#])(?!\1)(?=\S)(.{1,400}?)(?<=[^\s\\])\1(?!\w)", re.DOTALL)
_SUPERSCRIPT = re.compile(r"\^([^\s^]{1,80})\^")
_SUBSCRIPT = re.compile(r"~([^\s~]{1,80})~")
_DEPTH = 4
# Stand around the number of a text that is kept as it is. They are noncharacters: no text contains them.
_KEPT, _KEPT_END = "\ufdd4", "\ufdd5"
_PLACE = re.compile(f"{_KEPT}(\\d+){_KEPT_END}")
_STRAY = re.compile(f"[{_KEPT}{_KEPT_END}]")


def inline_text(text: str, attributes: Mapping[str, str]) -> str:
    """On one line. `attributes` are those that the document has set."""
    kept: list[str] = []

    def keep(literal: str) -> str:
        kept.append(literal)
        return f"{_KEPT}{len(kept) - 1}{_KEPT_END}"

    text = _BREAK.sub("", _STRAY.sub("", text))
    text = _PASSED.sub(lambda found: found[3] if found[2] else keep(found[1] or found[3] or ""), text)
    text = _ESCAPED.sub(lambda found: keep(next(filter(None, found.groups()))), text)
    text = _FORMULA.sub(lambda found: keep(found[1].replace("\\]", "]")), text)
    text = _LITERAL.sub(lambda found: keep(found[1]), text)
    text = _ATTRIBUTE.sub(lambda found: _value(found, attributes, keep), text)
    text = _FOOTNOTE.sub(lambda found: f" ({found[1]})" if found[1].strip() else "", text)
    text = _LABEL.sub(lambda found: keep(f"[{found[2] or found[1]}]"), text)
    text = _HIDDEN.sub("", text)
    text = _MACRO.sub(_shown, text)
    text = _SHOWN.sub(r"\1", text)
    text = _REFERENCE.sub(lambda found: found[2] or found[1], text)
    text = _ROLE.sub("", text)
    text = _SUPERSCRIPT.sub(lambda found: raised(found[1]), text)
    text = _SUBSCRIPT.sub(lambda found: lowered(found[1]), text)
    for pattern in (_DOUBLED, _SINGLE):
        text = _repeated(pattern, text)
    # What is kept may have others in it, each of which stands in one place only.
    while _PLACE.search(text):
        text = _PLACE.sub(lambda found: kept[int(found[1])], text)
    return one_line(in_line(text))


def _value(found: re.Match[str], attributes: Mapping[str, str], keep: Callable[[str], str]) -> str:
    name = found[1].lower()
    if name in attributes:
        return attributes[name]
    return keep(_CHARACTERS[name]) if name in _CHARACTERS else found[0]


def _repeated(pattern: re.Pattern[str], text: str) -> str:
    """Marks may stand in each other, a few deep."""
    strip: Callable[[re.Match[str]], str] = lambda found: found[2]  # noqa: E731
    for _ in range(_DEPTH):
        text, count = pattern.subn(strip, text)
        if not count:
            break
    return text


def _shown(found: re.Match[str]) -> str:
    kind, target, text = found.groups()
    text = _NAMED.sub("", text).strip().strip('"').rstrip("^")
    if kind == "menu":
        return f"{target} > {text}" if text else target
    return text or (f"{kind}:{target}" if kind in {"http", "https", "ftp"} else target)
