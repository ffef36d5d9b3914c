"""Exact match, token F1 and answer containment with SQuAD normalisation (Rajpurkar et al. 2016, arXiv:1606.05250).

Text in Chinese, Japanese and other scripts without spaces is compared by character.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

from retrieval.splitting.words import SYLLABLE, folded

_ARTICLES = frozenset(("a", "an", "the"))
# SQuAD removes all of these; Unicode classifies some, such as the dollar sign, as symbols, not punctuation.
_MARKS = frozenset(string.punctuation)
_SYLLABLE = re.compile(f"({SYLLABLE})")


def normalise(text: str) -> list[str]:
    """Lower-case tokens without punctuation and articles; in a script without spaces each character is a token.

    Two spellings of a word that look alike are equal (`folded`).
    """
    kept = "".join(c for c in folded(text).lower() if c not in _MARKS and not unicodedata.category(c).startswith("P"))
    return [token for token in _SYLLABLE.sub(r" \1 ", kept).split() if token not in _ARTICLES]


def token_f1(reply: str, references: Sequence[str]) -> float:
    """Maximum token F1 over the references, 0 to 1."""
    return max((_f1(normalise(reply), normalise(reference)) for reference in references), default=0.0)


def exact_match(reply: str, references: Sequence[str]) -> float:
    """1 if the normalised reply equals a reference, else 0."""
    tokens = normalise(reply)
    return float(any(tokens == normalise(reference) for reference in references))


def contains_answer(reply: str, answers: Sequence[str]) -> float:
    """1 if the reply contains a short answer as a sequence of whole tokens, else 0."""
    text = f" {' '.join(normalise(reply))} "
    return float(any(tokens and f" {' '.join(tokens)} " in text for tokens in map(normalise, answers)))


def _f1(reply: list[str], reference: list[str]) -> float:
    common = sum((Counter(reply) & Counter(reference)).values())
    return 2 * common / (len(reply) + len(reference)) if common else float(not reply and not reference)
