"""Text to words: what is compared is words, not the marks of Markdown or HTML around them."""

from __future__ import annotations

import html
import re
import unicodedata

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_IMAGE_OR_LINK = re.compile(r"!?\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\([^()\s]*(?:\s+\"[^\"]*\")?\)")
_SPACED_TAGS = r"sup|sub|br|table|thead|tbody|tfoot|tr|td|th|p|div|ul|ol|li|h[1-6]|dl|dt|dd|rt|rp|ruby|img|colgroup|col"
_SPACED_TAG = re.compile(rf"</?(?:{_SPACED_TAGS})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_INLINE_TAGS = r"b|i|em|strong|span|u|a|mark|s|del|ins|code|pre|small|kbd|details|summary|figure|figcaption|caption"
_INLINE_TAG = re.compile(rf"</?(?:{_INLINE_TAGS})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_STRUCK = re.compile(r"(?<!~)~~(?!~)[^~\n]+~~(?!~)|<(?P<tag>del|s)>[^<]*</(?P=tag)>")
_FENCE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[^\n`]*$", re.MULTILINE)
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_RAISED = re.compile(r"[\u00b2\u00b3\u00b9\u2070-\u209c]+")
_BULLETS = r"[-+*\u2022\u00b7\u25aa\u25e6\u2013o]"
_ORDINAL = r"\(?(?:\d+|[a-zA-Z]|[ivxIVX]+)[.)](?=[ \t]|[A-Z])"
_LIST_MARK = re.compile(rf"^[ \t>]*(?:#{{1,6}}[ \t]+)?(?:{_BULLETS}[ \t]+)*(?:{_ORDINAL})?", re.MULTILINE)
# A number with its separators, a letter of a script without spaces between words, or a word.
_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(rf"\d+(?:[.,:]\d+)*|[{_UNSPACED}]|(?:(?![{_UNSPACED}])[^\W\d_])+")


def without_struck(text: str) -> str:
    """The text without comments and without what is marked as struck out."""
    return _STRUCK.sub(" ", _COMMENT.sub(" ", text))


def plain(text: str) -> str:
    """The text without the marks of Markdown and HTML.

    What is marked as struck out is left out, and a raised or lowered part is separate from what is before it.
    """
    text = _IMAGE_OR_LINK.sub(r"\1", _FENCE.sub("", without_struck(text)))
    text = html.unescape(_INLINE_TAG.sub("", _SPACED_TAG.sub(" ", text)))
    text = _RAISED.sub(lambda found: f" {found.group()} ", _INVISIBLE.sub("", text))
    text = _ESCAPED.sub(r"\1", text).translate({ord("*"): None, ord("`"): None, ord("^"): " "})
    # Compatibility forms: ligatures, full-width digits, letters in the shape that they have inside a word.
    return unicodedata.normalize("NFKC", text.replace("~", " "))


def words(text: str, *, list_marks: bool = False) -> list[str]:
    """The words in order. A number is one word; letters and digits are different words (H2O and H~2~O are alike).

    Marks at the start of list entries are left out unless `list_marks`: not every format shows them.
    """
    shown = plain(text)
    return _TOKEN.findall(shown if list_marks else _LIST_MARK.sub("", shown))


def is_number(word: str) -> bool:
    return word[0].isdigit()
