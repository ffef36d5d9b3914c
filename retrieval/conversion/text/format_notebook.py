"""Jupyter notebooks: the text and the code of their cells as Markdown, without what the code printed.

The format is nbformat's, https://nbformat.readthedocs.io, versions 3 and 4.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from retrieval.conversion.converted import Converted, decode_utf8
from retrieval.errors import ConversionError
from retrieval.splitting.sections import first_title

VERSION = "ipynb/1"

# Longer than any run of backquotes that a cell may hold as code.
_FENCE = "`" * 8


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
        source = cell.get("source", cell.get("input", ""))
        text = "".join(source).replace("\r\n", "\n").strip("\n")
        if cell["cell_type"] == "heading":
            yield f"{'#' * int(cell.get('level', 1))} {text}"
        elif cell["cell_type"] == "markdown":
            yield text
        elif cell["cell_type"] == "code" and text.strip():
            yield f"{_FENCE}\n{text}\n{_FENCE}"
