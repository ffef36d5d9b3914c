"""Text that is safe to show: control characters of documents, names and answers become visible, and control nothing.

A terminal executes control characters: they change its title and its links, delete and overwrite what was printed, or
reverse the order of letters. Line breaks and tabs are kept, and so are texts that are written from right to left.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

Clean = Callable[[str], str]

# Controls of 7 and 8 bits, line and paragraph separators, overrides of the direction, and halves of characters, which
# cannot be encoded.
_BEYOND_ASCII = "\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_CONTROL = re.compile(f"[\x00-\x08\x0b-\x1f{_BEYOND_ASCII}]")
# What JSON leaves as it is.
_UNESCAPED = re.compile(f"[{_BEYOND_ASCII}]")


def visible(text: str) -> str:
    r"""The text with escapes such as `\x1b` and `\u202e` in place of control characters."""
    return _CONTROL.sub(_escaped, text.replace("\r\n", "\n"))


def json_text(data: Any, *, indent: int | None = 1) -> str:
    """JSON without control characters, so that it is the same data for a program and safe on a terminal."""
    return safe_json(json.dumps(data, ensure_ascii=False, indent=indent))


def safe_json(text: str) -> str:
    """The same JSON with escapes in place of control characters."""
    return _UNESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


class SafeStream:
    """A text stream that cleans what is written to it, for everything that does not write through our console.

    Consoles of `rich` write to the stream behind it, since their own colours are control characters.
    """

    def __init__(self, stream: TextIO, clean: Clean) -> None:
        self.rich_proxied_file = stream
        self._clean = clean

    def write(self, text: str) -> int:
        self.rich_proxied_file.write(self._clean(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextmanager
def safe_streams(clean_out: Clean = visible, clean_err: Clean = visible) -> Iterator[None]:
    """In this context standard output and standard error show no control characters.

    That holds for prompts, warnings, log lines and tracebacks as well.
    """
    out, err = sys.stdout, sys.stderr
    safe_out, safe_err = SafeStream(out, clean_out), SafeStream(err, clean_err)
    sys.stdout, sys.stderr = cast(TextIO, safe_out), cast(TextIO, safe_err)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
