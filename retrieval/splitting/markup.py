"""Text as a reader sees it, without the Markdown and HTML markup that its source contains."""

from __future__ import annotations

import re

_CODE = re.compile(r"(`[^`\n]*`)")
_FENCE = re.compile(r"^[ \t]*```.*$", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\([^()\s]*(?:\s+\"[^\"]*\")?\)|\[[^\[\]]*\])")
# Named, because `<name>` is often a placeholder.
_TAG = re.compile(
    r"</?(?:a|abbr|b|br|code|div|em|h[1-6]|i|img|kbd|li|mark|ol|p|pre|small|span|strong|sub|sup|table|tbody|td|th|thead|"
    r"tr|u|ul)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_EMPHASIS = re.compile(r"\*\*|(?<!\w)__|__(?!\w)")


def plain(text: str) -> str:
    """The text in one line, without link targets, HTML tags, emphasis and the fences of code blocks.

    What stands between backticks stays as it is.
    """
    # The text of a link may be code, so links are replaced first.
    parts = _CODE.split(_LINK.sub(r"\1", _FENCE.sub("", text)))
    parts[::2] = [_EMPHASIS.sub("", _TAG.sub("", part)) for part in parts[::2]]
    return " ".join("".join(parts).split())
