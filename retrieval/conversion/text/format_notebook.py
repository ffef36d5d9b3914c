"""Jupyter notebooks: the text and the code of their cells as Markdown, without what the code printed.

The format is nbformat's, https://nbformat.readthedocs.io, versions 3 and 4.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from retrieval.conversion.converted import Converted, decode_utf8, one_line
from retrieval.errors import ConversionError
from retrieval.splitting.sections import first_title

VERSION = "ipynb/2"

# Around code: at least this many backquotes, and more than the code has in a row.
_MIN_FENCE = 8
_BACKQUOTES = re.compile("`+")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})(.*)")


def convert(data: bytes, name: str) -> Converted:
    """Raises ConversionError if the file is not a notebook."""
    try:
        notebook = json.loads(decode_utf8(data, name))
        text = "\n\n".join(filter(None, _blocks(notebook)))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ConversionError(
            found=f"{name} is not a notebook ({type(error).__name__}: {error})",
            expected="a JSON object with `cells`, as Jupyter writes it",
            next_step=f"open {name} in Jupyter and save it again",
        ) from error
    text = f"{text}\n" if text else ""
    return Converted(text, first_title(text), writing="markdown")


def _blocks(notebook: Any) -> Iterator[str]:
    cells = (
        notebook["cells"] if "cells" in notebook else [c for sheet in notebook["worksheets"] for c in sheet["cells"]]
    )
    for cell in cells:
        # A source may be a list of lines with their ends; version 3 calls that of code its input.
        text = _plain("".join(cell.get("source", cell.get("input", "")))).strip("\n")
        if cell["cell_type"] == "heading" and text.strip():
            yield f"{'#' * min(int(cell.get('level', 1)), 6)} {one_line(text)}"
        elif cell["cell_type"] == "markdown":
            # A block of code that is not closed ends with its cell.
            fence = _open_fence(text)
            yield f"{text}\n{fence}" if fence else text
        elif cell["cell_type"] == "code" and text.strip():
            fence = "`" * max(_MIN_FENCE, 1 + max(map(len, _BACKQUOTES.findall(text)), default=0))
            yield f"{fence}\n{text}\n{fence}"


def _plain(text: str) -> str:
    """The text as a file could hold it: JSON can name half a character, and a character that no text has."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _open_fence(text: str) -> str:
    """The mark of a block of code that is not closed; "" if there is none."""
    fence = ""
    for mark in filter(None, map(_FENCE.match, text.split("\n"))):
        if not fence:
            fence = mark[1]
        elif mark[1].startswith(fence) and not mark[2].strip():
            fence = ""
    return fence
