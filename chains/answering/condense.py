"""A follow-up as a query that stands alone.

Joined with the question before it, a follow-up finds what it leaves out; any other question finds worse, since foreign
words pull other passages up. Words tell the two apart badly, for "that" and "which" stand in both. So both ways are
searched for, and what they find decides. Chosen on the training questions of `mtrag` and `squad`;
`benchmarks/condense.py` measures it beside other ways.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from prompts import Turn
from retrieval import Index, RankedPassage
from retrieval.splitting.scripts import UNSPACED

Way = Literal["off", "join", "model"]

_LEANING = re.compile(
    r"\b(it|its|that|this|these|those|they|them|their|he|him|his|she|her|one|ones|there|then|so|same|either|instead|"
    r"else|too|also|otherwise)\b|^\s*(and|or|but|what about|how about|what if|which|why|how much|how many|how long|"
    r"when|where|who)\b[^?]{0,24}\?*\s*$|^\s*(and|but|or|so|what about|how about)\b",
    re.IGNORECASE,
)
_CJK = re.compile(f"[{UNSPACED}]")
# 其他, 其中 and their like point nowhere, and inside a sentence 他 mostly stands for somebody named in it.
_LEANING_CJK = re.compile(
    r"^\s*(它|他|她|这|那(?!里)|其(?!他|它|中|实|余)|该|此|还有|另外|同样)|[，,]\s*[它他她]|呢\W*$|^\s*.{0,6}\s*$"
)
_FEW_WORDS = 4

# The best cosine of so many passages counts for a query,
_LOOKED_AT = 3
# joining has to raise it by so much,
_GAIN = 0.05
# and what the joined query finds best stands among so many that the question alone finds.
_NEAR = 10


def standalone_queries(
    index: Index, asked: Sequence[tuple[str, Sequence[Turn]]], *, weights: tuple[float, float]
) -> list[str]:
    """What to search for in place of each question: the question itself, or joined with the one before it.

    It is joined where that finds better evidence by meaning, and the question either leans on the conversation by its
    words or finds the same passage by itself, further down. Where an index is searched by words alone (a dense weight
    of 0), the question's words decide.

    Args:
        index: what is searched.
        asked: each question with the conversation before it.
        weights: of the dense and the BM25 ranking.
    """
    queries = [question for question, _ in asked]
    joined = {n: query for n, (q, turns) in enumerate(asked) if (query := joined_query(q, turns)) != q}
    if not weights[0] > 0:
        return [joined.get(n, q) if leans_on_history(q) else q for n, q in enumerate(queries)]
    if joined:
        found = index.search_many([*(queries[n] for n in joined), *joined.values()], _NEAR, weights=weights)
        for place, (number, query) in enumerate(joined.items()):
            if _joining_helps(queries[number], found[place], found[place + len(joined)]):
                queries[number] = query
    return queries


def _joining_helps(question: str, alone: Sequence[RankedPassage], joined: Sequence[RankedPassage]) -> bool:
    if not alone or not joined:
        return bool(joined)
    if _evidence(joined) - _evidence(alone) <= _GAIN:
        return False
    return leans_on_history(question) or joined[0].passage.id in {entry.passage.id for entry in alone}


def _evidence(ranked: Sequence[RankedPassage]) -> float:
    return max(entry.dense for entry in ranked[:_LOOKED_AT])


def leans_on_history(question: str) -> bool:
    """Whether a question, by its words, seems to need the conversation before it.

    It does when it points back ("that", "instead", an opening "and") or is too short to name a subject. So do many
    questions that stand alone.
    """
    if _CJK.search(question):
        return bool(_LEANING_CJK.search(question))
    return bool(_LEANING.search(question)) or len(question.split()) <= _FEW_WORDS


def joined_query(question: str, turns: Sequence[Turn]) -> str:
    """The last earlier question with this one behind it."""
    earlier = [turn.text for turn in turns if turn.role == "user"]
    return f"{earlier[-1]} {question}" if earlier else question


def usable_rewrite(text: str) -> str | None:
    """The first line of a model's rewriting, or None where it is empty or rambles."""
    line = text.strip().splitlines()[0].strip() if text.strip() else ""
    return line if line and len(line.split()) <= 40 and len(line) <= 300 else None
