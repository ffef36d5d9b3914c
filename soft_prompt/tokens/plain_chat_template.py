"""Chat templates that cannot run for long: loops over the messages, conditions, and texts that are joined.

Without assignments, calls, products, ranges and loops within loops, a template writes at most its own text and one
message for each message. Most templates of small models are of this form.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_TAG = re.compile(r"\{%[-+]?(.*?)[-+]?%\}|\{\{[-+]?(.*?)[-+]?\}\}|\{#.*?#\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s+ | '[^'\\]*(?:\\.[^'\\]*)*' | "[^"\\]*(?:\\.[^"\\]*)*" | \d{1,4}\b | == | !=
    | [+~\[\]().,:|] | [A-Za-z_]\w*""",
    re.DOTALL | re.VERBOSE,
)
_WORDS = {
    "for", "in", "endfor", "if", "elif", "else", "endif", "and", "or", "not", "is", "defined", "none", "true", "false",
    "message", "messages", "role", "content", "tools", "loop", "first", "last", "index", "index0", "trim",
    "add_generation_prompt", "bos_token", "eos_token",
}  # fmt: skip
# Words after which a parenthesis groups.
_OPERATORS = {"in", "if", "elif", "and", "or", "not", "is"}
_MAX_LOOPS = 2
_MAX_CHARACTERS = 20_000


def is_plain(template: str) -> bool:
    """Whether a chat template is of this form. One that is not may still be harmless."""
    if len(template) > _MAX_CHARACTERS or re.search(r"\{[%{#]", _TAG.sub("", template)):
        return False
    loops = depth = 0
    for tag in _TAG.finditer(template):
        code = (tag[1] or "") + (tag[2] or "")
        tokens = _TOKEN.findall(code)
        # A text that contains the end of a tag is cut here, which leaves an open quote.
        if "".join(tokens) != code:
            return False
        kept = [token for token in tokens if not token.isspace()]
        for before, token in zip(["", *kept], kept, strict=False):
            is_call = token == "(" and (before in (")", "]") or (before.isidentifier() and before not in _OPERATORS))
            if is_call or (before == "|" and token != "trim") or (token.isidentifier() and token not in _WORDS):
                return False
        depth += kept.count("for") - kept.count("endfor")
        loops += kept.count("for")
        if depth > 1 or loops > _MAX_LOOPS or not _is_short(kept, is_output=tag[2] is not None):
            return False
    return True


def _is_short(tokens: Sequence[str], *, is_output: bool) -> bool:
    """Whether a tag writes no whole list, and loops over no list that was joined from others."""
    if not is_output:
        return "for" not in tokens or not {"+", "~"} & set(tokens)
    items = [tokens[at + 1 : at + 4] for at, token in enumerate(tokens) if token == "messages"]
    return "tools" not in tokens and all(item[0::2] == ["[", "]"] and item[1].isdigit() for item in items)
