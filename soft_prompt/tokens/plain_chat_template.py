"""Chat templates that cannot run for long: loops over the messages, conditions, and texts that are joined.

Without assignments, calls, products and ranges, a template writes at most its own text and the messages once per turn
of its loops. Most templates of small models are of this form.
"""

from __future__ import annotations

import re

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
    words: list[str] = []
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
        words += kept
    return words.count("for") <= _MAX_LOOPS
