"""Text as a reader sees it, without the markup of Markdown, HTML and site generators that its source contains."""

from __future__ import annotations

import re
from typing import Literal

# How a text is written: Markdown, or text that means what it says, character by character.
Markup = Literal["markdown", "plain"]

_CODE = re.compile(r"(`[^`\n]*`)")
_FENCE = re.compile(r"^[ \t]*```.*$", re.MULTILINE)
# Text and target may contain one level of brackets.
_LINK = re.compile(
    r"!?\[((?:[^\[\]]|\[[^\[\]]*\]){0,500})\](?:\((?:[^()\n]|\([^()\n]*\)){0,2000}\)|\[[^\[\]\n]{0,200}\])"
)
# Named, because `<name>` is often a placeholder.
_TAG = re.compile(
    r"<!--.{0,2000}?-->|</?(?:a|abbr|b|br|code|div|em|h[1-6]|i|img|kbd|li|mark|ol|p|pre|small|span|strong|sub|sup|table|tbody|"
    r"td|th|thead|tr|u|ul)(?:\s[^<>]*)?/?>",
    re.IGNORECASE | re.DOTALL,
)
# Named, because documentation of templates shows others.
_LIQUID = re.compile(r"\{%-?\s*(?:end)?(?:alert|figure|image|include|link|page|post_url|raw|slack_channel)\b[^%\n]*%\}")
# Attributes after a heading or paragraph.
_ATTRIBUTES = re.compile(r"(?<![ \t])[ \t]*\{[#:.][^{}\n]*\}[ \t]*$", re.MULTILINE)
_STRONG = re.compile(r"\*\*|(?<!\w)__|__(?!\w)")
_EMPHASIS = re.compile(r"(?<![\w*])([*_])(?=[^\s*_])([^*_\n]*[^\s*_\n])\1(?![\w*])")
_SPACES = re.compile(r"[ \t]{2,}")


def without_markup(text: str) -> str:
    """The text without link targets, tags, emphasis and the fences of code blocks; its lines stay.

    Code blocks and inline code keep their text; only a link within inline code is replaced by its text.
    """
    if not any(mark in text for mark in "[<*_`{"):
        return text
    blocks = _FENCE.split(text)
    # Every second one is between two fences.
    blocks[::2] = map(_prose, blocks[::2])
    return "".join(blocks)


def _prose(text: str) -> str:
    text = _LINK.sub(r"\1", _ATTRIBUTES.sub("", _LIQUID.sub("", text)))
    parts = _CODE.split(text)
    parts[::2] = [_EMPHASIS.sub(r"\2", _STRONG.sub("", _TAG.sub("", part))) for part in parts[::2]]
    return _SPACES.sub(" ", "".join(parts))


def without_links(text: str) -> str:
    """The text without links, their texts included: what a navigation entry says besides them."""
    return _LINK.sub("", text)


def readable(text: str, markup: Markup) -> str:
    """What a reader sees of a text: of Markdown without its markup, of plain text all of it."""
    return without_markup(text) if markup == "markdown" else text


def plain(text: str, markup: Markup = "markdown") -> str:
    """The text as a reader sees it, in one line."""
    return " ".join(readable(text, markup).split())


def whole_characters(text: str) -> str:
    """The text with U+FFFD in place of lone surrogates, which JSON can contain and UTF-8 cannot encode."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
