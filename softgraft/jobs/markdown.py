"""Foreign text in a Markdown page: it stays text, whatever it contains.

Inside code, Markdown has no markup, HTML, links, entities or escapes; only a run of backticks as long as the opening
one ends it. So text stands in code spans and fenced blocks whose runs are longer than every one in the text.
"""

from __future__ import annotations

import re
import unicodedata

_MIN_FENCE = 3
_BACKTICKS = re.compile("`+")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def code_span(text: str) -> str:
    """Text on one line, as inline code; "(empty)" if there is none."""
    line = _printable(" ".join(text.split()))
    if not line:
        return "(empty)"
    ticks = "`" * (_longest_run(line) + 1)
    # Between backticks, one space on each side does not count.
    padding = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{padding}{line}{padding}{ticks}"


def code_block(text: str) -> list[str]:
    """The lines of a fenced block with this text."""
    lines = [_printable(line) for line in text.splitlines()]
    fence = "`" * max(_MIN_FENCE, _longest_run(text) + 1)
    return [f"{fence}text", *lines, fence]


def _longest_run(text: str) -> int:
    return max(map(len, _BACKTICKS.findall(text)), default=0)


def _printable(line: str) -> str:
    """Without control characters, which a terminal may obey, and surrogates, which no file can store."""
    return "".join(
        _REPLACEMENT if unicodedata.category(character) in ("Cc", "Cs") and character != "\t" else character
        for character in line
    )
