"""Rewrite a follow-up to a standalone search query.

A follow-up retrieves better when it is joined with the question before it; any other question retrieves worse. Words
such as "that" and "which" occur in both, so they cannot decide. Instead, both queries are searched, and their results
decide. Chosen on the training questions of `mtrag` and `squad` (docs/citations.md).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from prompts import Turn
from retrieval import Index, RankedPassage
from retrieval.splitting.scripts import UNSPACED

CondenseMethod = Literal["off", "join", "model"]

_LEANING = re.compile(
    r"\b(it|its|that|this|these|those|they|them|their|he|him|his|she|her|one|ones|there|then|so|same|either|instead|"
    r"else|too|also|otherwise)\b|^\s*(and|or|but|what about|how about|what if|which|why|how much|how many|how long|"
    r"when|where|who)\b[^?]{0,24}\?*\s*$|^\s*(and|but|or|so|what about|how about)\b",
    re.IGNORECASE,
)
_CJK = re.compile(f"[{UNSPACED}]")
# 其他, 其中 and similar words refer to nothing, and inside a sentence 他 mostly refers to somebody named in it.
_LEANING_CJK = re.compile(
    r"^\s*(它|他|她|这|那(?!里)|其(?!他|它|中|实|余)|该|此|还有|另外|同样)|[，,]\s*[它他她]|呢\W*$|^\s*.{0,6}\s*$"
)
_FEW_WORDS = 4

# A query is rated by the best cosine among this many passages.
_RATED_PASSAGES = 3
# Minimum gain of the joined query over the question, on the scale of MiniLM's cosines.
_MIN_GAIN = 0.05
# Ranking depth: the joined query's best passage has to be in this ranking of the question.
_DEPTH = 10


def standalone_queries(
    index: Index, questions: Sequence[tuple[str, Sequence[Turn]]], *, weights: tuple[float, float]
) -> list[str]:
    """Search query of each question: the question itself, or joined with the question before it.

    It is joined if that raises the cosine of the evidence, and the question either refers back by its words or also
    retrieves the joined query's best passage. With a dense weight of 0, its words alone decide.
    """
    queries = [question for question, _ in questions]
    joined = {n: query for n, (q, history) in enumerate(questions) if (query := joined_query(q, history)) != q}
    if not weights[0] > 0:
        return [joined.get(n, q) if leans_on_history(q) else q for n, q in enumerate(queries)]
    if joined:
        rankings = index.search_many([*(queries[n] for n in joined), *joined.values()], _DEPTH, weights=weights)
        for n, (number, query) in enumerate(joined.items()):
            if _joining_helps(queries[number], rankings[n], rankings[n + len(joined)], index.cosine_scale):
                queries[number] = query
    return queries


def _joining_helps(
    question: str, alone: Sequence[RankedPassage], joined: Sequence[RankedPassage], cosine_scale: float
) -> bool:
    if not alone or not joined:
        return bool(joined)
    if (_rating(joined) - _rating(alone)) * cosine_scale <= _MIN_GAIN:
        return False
    return leans_on_history(question) or joined[0].passage.id in {entry.passage.id for entry in alone}


def _rating(ranked: Sequence[RankedPassage]) -> float:
    return max(entry.dense for entry in ranked[:_RATED_PASSAGES])


def leans_on_history(question: str) -> bool:
    """Whether a question refers back ("that", a leading "and") or is too short; many standalone questions do so as
    well.
    """
    if _CJK.search(question):
        return bool(_LEANING_CJK.search(question))
    return bool(_LEANING.search(question)) or len(question.split()) <= _FEW_WORDS


def joined_query(question: str, history: Sequence[Turn]) -> str:
    """The question before, followed by this one."""
    earlier = [turn.text for turn in history if turn.role == "user"]
    return f"{earlier[-1]} {question}" if earlier else question


def asked_alone(query: str, question: str) -> str:
    """What evidence for `query` is also judged by: the question, if another was put before it, else the query itself.

    A model's rewrite holds what the question refers to, so the question alone has less.
    """
    return question if query != question and query.endswith(f" {question}") else query


def usable_rewrite(text: str) -> str | None:
    """The first line of a model's rewrite; None if it is empty or too long for a question."""
    line = text.strip().splitlines()[0].strip() if text.strip() else ""
    return line if line and len(line.split()) <= 40 and len(line) <= 300 else None
