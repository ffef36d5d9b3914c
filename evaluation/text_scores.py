"""Scores of a reply's text, normalised as SQuAD does; Chinese by character.

Source of the normalisation and the token F1: Rajpurkar et al. 2016, arXiv:1606.05250.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

from retrieval.splitting.scripts import UNSPACED

_ARTICLES = frozenset(("a", "an", "the"))
# Unicode counts some of these, such as the dollar sign, as symbols; SQuAD takes them all away.
_MARKS = frozenset(string.punctuation)
_CJK = re.compile(f"([{UNSPACED}])")


def normalise(text: str) -> list[str]:
    """Lower-case tokens without punctuation and articles; each Chinese or Japanese character is a token."""
    kept = "".join(c for c in text.lower() if c not in _MARKS and not unicodedata.category(c).startswith("P"))
    return [token for token in _CJK.sub(r" \1 ", kept).split() if token not in _ARTICLES]


def token_f1(reply: str, references: Sequence[str]) -> float:
    """The best token F1 against any reference, 0 to 1."""
    return max((_f1(normalise(reply), normalise(reference)) for reference in references), default=0.0)


def exact_match(reply: str, references: Sequence[str]) -> float:
    """1 where the normalised reply equals a reference."""
    tokens = normalise(reply)
    return float(any(tokens == normalise(reference) for reference in references))


def contains_answer(reply: str, answers: Sequence[str]) -> float:
    """1 where a short answer stands in the reply, whole tokens in a row."""
    text = f" {' '.join(normalise(reply))} "
    return float(any(tokens and f" {' '.join(tokens)} " in text for tokens in map(normalise, answers)))


def _f1(reply: list[str], reference: list[str]) -> float:
    common = sum((Counter(reply) & Counter(reference)).values())
    return 2 * common / (len(reply) + len(reference)) if common else float(not reply and not reference)
