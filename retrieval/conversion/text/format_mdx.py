"""MDX: Markdown with components, without the JavaScript that imports and exports them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from retrieval.conversion.converted import Converted, decode_utf8
from retrieval.splitting.sections import first_title

VERSION = "mdx/2"

_FENCE = re.compile(r"\s*(`{3,}(?=[^`]*$)|~{3,})(.*)")
# Words alone are text: "import goods from abroad".
_STATEMENT = re.compile(
    r"import\s[^'\"]*\sfrom\s*['\"]|import\s*(['\"])[^'\"]+\1\s*;?\s*$|import\s+(?:type\s+)?(?:[\w$]+\s*,\s*)?\{[^}]*$"
    r"|export\s+(?:async|class|const|default|enum|function|interface|let|type|var)\s|export\s*[{*]"
)
# Brackets in strings and comments do not count.
_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`(?:[^`\\]|\\.)*`|//.*")
_CONTINUED = ("=", "=>", ",", "(", "from")
_LONGEST_STATEMENT = 300


def convert(data: bytes, name: str) -> Converted:
    """Raises ConversionError if the file is not UTF-8 text."""
    text = "\n".join(_kept(decode_utf8(data, name).split("\n")))
    return Converted(text, first_title(text), writing="markdown")


def _kept(lines: list[str]) -> Iterator[str]:
    fence, at = "", 0
    while at < len(lines):
        line = lines[at]
        mark = _FENCE.match(line)
        if not fence and _STATEMENT.match(line):
            at = _end(lines, at)
            continue
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence) and not mark[2].strip():
            fence = ""
        yield line
        at += 1


def _end(lines: list[str], first: int) -> int:
    """The line after a statement, which ends where its brackets are closed.

    If they never are, it ends before the next empty line, so that no text is lost.
    """
    depth = 0
    last = min(len(lines), first + _LONGEST_STATEMENT)
    for at in range(first, last):
        code = _STRING.sub("", lines[at]).rstrip()
        depth += sum(map(code.count, "{[(")) - sum(map(code.count, "}])"))
        if depth <= 0 and not code.endswith(_CONTINUED):
            return at + 1
    return next((at for at in range(first, last) if not lines[at].strip()), last)
