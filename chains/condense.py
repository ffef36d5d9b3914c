"""A follow-up as a query that stands alone.

Only a question that leans on the conversation is changed: a question that names its own subject retrieves best as it
is, and foreign words from an earlier topic pull other passages up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from prompts import Turn

Way = Literal["off", "join", "model"]

_LEANING = re.compile(
    r"\b(it|its|that|this|these|those|they|them|their|he|him|his|she|her|one|ones|there|then|so|same|either|instead|"
    r"else|too|also|otherwise)\b|^\s*(and|or|but|what about|how about|what if|which|why|how much|how many|how long|"
    r"when|where|who)\b[^?]{0,24}\?*\s*$|^\s*(and|but|or|so|what about|how about)\b",
    re.IGNORECASE,
)
_LEANING_CJK = re.compile(r"(它|他|她|这|那|其|该|此|呢|还有|另外|同样)")
_FEW_WORDS = 6


def leans_on_history(question: str) -> bool:
    """Whether a question cannot be understood without the conversation before it.

    It can not when it points back ("that", "instead", an opening "and") or is too short to name a subject.
    """
    if re.search(r"[぀-ヿ一-鿿]", question):
        return bool(_LEANING_CJK.search(question)) or len(question) <= 8
    return bool(_LEANING.search(question)) or len(question.split()) <= _FEW_WORDS


def joined_query(question: str, turns: Sequence[Turn]) -> str:
    """The last earlier question with this one behind it."""
    earlier = [turn.text for turn in turns if turn.role == "user"]
    return f"{earlier[-1]} {question}" if earlier else question


def usable_rewrite(text: str) -> str | None:
    """The first line of a model's rewriting, or None where it is empty or rambles."""
    line = text.strip().splitlines()[0].strip() if text.strip() else ""
    return line if line and len(line.split()) <= 40 and len(line) <= 300 else None
