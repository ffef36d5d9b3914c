"""MDX: Markdown with components, without the JavaScript that imports and exports them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from retrieval.conversion.converted import Converted, decode_utf8
from retrieval.splitting.sections import first_title

VERSION = "mdx/1"

_FENCE = re.compile(r"\s*(`{3,}|~{3,})")
_STATEMENT = re.compile(r"import\s.*\sfrom\s|import\s*['\"{]|export\s+(?:const|default|function|let)\s")


def convert(data: bytes, name: str) -> Converted:
    """Raises ConversionError if the file is not UTF-8 text."""
    text = "".join(_kept(decode_utf8(data, name)))
    return Converted(text, first_title(text), writing="markdown")


def _kept(text: str) -> Iterator[str]:
    fence, in_statement = "", False
    for line in text.splitlines(keepends=True):
        mark = _FENCE.match(line)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence):
            fence = ""
        elif not fence and (in_statement or _STATEMENT.match(line)):
            # A statement with braces may go on over several lines, to an empty one at most.
            opened = line.count("{") > line.count("}")
            in_statement = (opened or in_statement) and "}" not in line and bool(line.strip())
            continue
        yield line
