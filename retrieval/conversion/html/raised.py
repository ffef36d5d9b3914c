"""Raised and lowered numbers as plain text: `10^6`, `H_2O`, and `[2]` for the mark of a note."""

from __future__ import annotations

import re

# How much of the text before a raised number decides what it is.
CONTEXT = 16

_NUMBER = re.compile(r"([-+−–±]?)\d+(?:\s?[.,–-]\s?\d+|\s\d+)*")
_NOTE = re.compile(r"(\d+)\)")
# Ordinals and trade marks are no marks of notes, even in a link.
_MARK = re.compile(r"(?!(?:st|nd|rd|th|er|re|tm|sm)$)\w{1,3}", re.IGNORECASE)
_EXPONENT = re.compile(r"[nkx](?:\s?[-+−]\s?\d+)?")
# A unit or a variable. The 2 of "in" is an exponent after a number only.
_BASE = re.compile(
    r"(?:^|[\s(/*·\d])(?:[a-z]|[cdkmnµμ]m|ft|yd|mi|(?<=\d)in|(?<=\d\s)in)$|"
    r"(?:^|\()[A-Za-z]$|[/*·=+−-]\s?[A-Za-z]{1,2}$"
)


def raised(before: str, text: str, *, is_mark: bool) -> str:
    """A raised text, after the text before it; `is_mark`: it belongs to a link or a note."""
    plain = text.strip()
    if is_mark and _MARK.fullmatch(plain):
        return f"[{plain}]"
    after_digit = before[-1:].isdigit()
    number = _NUMBER.fullmatch(plain)
    if number is None:
        note = _NOTE.fullmatch(plain)
        if note is not None:
            return f"[{note.group(1)}]"
        joins = after_digit and (plain[:1].isdigit() or _EXPONENT.fullmatch(plain) is not None)
        return f"^{plain}" if joins else text
    is_power = after_digit or number.group(1) or (plain in {"2", "3"} and _BASE.search(before) is not None)
    return f"^{plain}" if is_power and not is_mark else f"[{plain}]"


def lowered(before: str, text: str) -> str:
    """A lowered text, after the text before it."""
    plain = text.strip()
    if _NUMBER.fullmatch(plain) or (plain[:1].isdigit() and before[-1:].isdigit()):
        return f"_{plain}"
    return text


def fraction(before: str, above: str, below: str) -> str | None:
    """A raised number, a stroke and a lowered number as a fraction; None if they are not numbers."""
    if not (above.strip().isdecimal() and below.strip().isdecimal()):
        return None
    return f"{' ' if before[-1:].isdigit() else ''}{above.strip()}/{below.strip()}"
