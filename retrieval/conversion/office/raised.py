"""Raised and lowered characters: 30\u00b2 must not become 302."""

from __future__ import annotations

_UP = str.maketrans("0123456789+-=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿ")
_DOWN = str.maketrans("0123456789+-=()", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎")


def raised(text: str) -> str:
    """The text as raised characters if all of them exist, else behind a circumflex."""
    return _moved(text, _UP, "^")


def lowered(text: str) -> str:
    """The text as lowered characters if all of them exist, else behind an underscore."""
    return _moved(text, _DOWN, "_")


def _moved(text: str, table: dict[int, int], mark: str) -> str:
    if not text.strip():
        return text
    return text.translate(table) if all(ord(one) in table for one in text) else f"{mark}{text}"
