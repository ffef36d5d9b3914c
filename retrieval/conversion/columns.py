"""Names of columns: find the known name that a misspelt one means."""

from __future__ import annotations

from collections.abc import Iterable

# Short names such as `id` are one edit away from too many others.
_MIN_LENGTH = 4


def likely_meant(name: str, known: Iterable[str]) -> str | None:
    """The known name that is one edit away: a letter added, left out, replaced, or two neighbours swapped.

    Case does not count. A name that begins with `_` is never taken for another.
    """
    plain = name.strip().casefold()
    if plain.startswith("_"):
        return None
    plain = "_".join(plain.replace("-", " ").split())
    return next((one for one in sorted(known) if len(one) >= _MIN_LENGTH and _one_edit(plain, one)), None)


def _one_edit(a: str, b: str) -> bool:
    """Whether the Damerau-Levenshtein distance of two different texts is 1."""
    if a == b or abs(len(a) - len(b)) > 1:
        return False
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    rest_a, rest_b = a[start:], b[start:]
    if len(a) != len(b):
        longer, shorter = (rest_a, rest_b) if len(a) > len(b) else (rest_b, rest_a)
        return longer[1:] == shorter
    return rest_a[1:] == rest_b[1:] or (rest_a[:2] == rest_b[1::-1] and rest_a[2:] == rest_b[2:])
