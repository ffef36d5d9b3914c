"""The ways of making a query of a follow-up that `condense.py` compares."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from chains.answering.condense import joined_query, leans_on_history, standalone_queries, usable_rewrite
from prompts import Turn, find_template, load_template
from retrieval import Encoder, Index, RankedPassage

Weights = tuple[float, float]
DEEP = 50
SALIENT = 10
# Turns that the backbone reads, as the chain has it.
READ_EXCHANGES = 3


@dataclass(frozen=True, slots=True)
class Follow:
    """A question and the [question, answer] pairs before it."""

    question: str
    history: tuple[tuple[str, str], ...]

    @property
    def turns(self) -> list[Turn]:
        return [turn for asked, told in self.history for turn in (Turn("user", asked), Turn("assistant", told))]

    @property
    def joined(self) -> str:
        return joined_query(self.question, self.turns)


@dataclass(frozen=True, slots=True)
class Found:
    """Ids of documents, best first, and whether something else than the question was searched for."""

    documents: list[str]
    rewritten: bool


class Way(Protocol):
    """Questions with their conversations to what is found."""

    __doc__: str | None

    def __call__(self, index: Index, asked: Sequence[Follow], weights: Weights) -> list[Found]: ...


def by_query(index: Index, asked: Sequence[Follow], queries: Sequence[str], weights: Weights) -> list[Found]:
    """What one query a question finds."""
    ranked = index.search_many(queries, DEEP, weights=weights)
    return [
        Found(_documents(found), query != follow.question)
        for follow, query, found in zip(asked, queries, ranked, strict=True)
    ]


def off(index: Index, asked: Sequence[Follow], weights: Weights) -> list[Found]:
    """the last turn alone"""
    return by_query(index, asked, [follow.question for follow in asked], weights)


def join_all_ways(index: Index, asked: Sequence[Follow], weights: Weights) -> list[Found]:
    """the last question in front of each"""
    return by_query(index, asked, [follow.joined for follow in asked], weights)


def join_by_words(index: Index, asked: Sequence[Follow], weights: Weights) -> list[Found]:
    """the last question in front where the words lean on the conversation"""
    queries = [follow.joined if leans_on_history(follow.question) else follow.question for follow in asked]
    return by_query(index, asked, queries, weights)


def join_by_evidence(index: Index, asked: Sequence[Follow], weights: Weights) -> list[Found]:
    """what the chain does: the last question in front where that finds better evidence"""
    queries = standalone_queries(index, [(follow.question, follow.turns) for follow in asked], weights=weights)
    return by_query(index, asked, queries, weights)


def join_two(index: Index, asked: Sequence[Follow], weights: Weights) -> list[Found]:
    """the last two questions in front of each"""
    return by_query(index, asked, [_behind([q for q, _ in f.history[-2:]], f) for f in asked], weights)


def join_every(index: Index, asked: Sequence[Follow], weights: Weights) -> list[Found]:
    """all earlier questions in front of each"""
    return by_query(index, asked, [_behind([q for q, _ in f.history], f) for f in asked], weights)


def answer_words(index: Index, asked: Sequence[Follow], weights: Weights) -> list[Found]:
    """the ten words that say most of the last answer in front of each"""
    say = _Salience(index)
    return by_query(index, asked, [_behind(say.words(f.history[-1][1]), f) for f in asked], weights)


def question_and_answer_words(index: Index, asked: Sequence[Follow], weights: Weights) -> list[Found]:
    """the last question and ten words of its answer in front of each"""
    say = _Salience(index)
    queries = [_behind([f.history[-1][0], *say.words(f.history[-1][1])], f) for f in asked]
    return by_query(index, asked, queries, weights)


def fused_ranks(index: Index, asked: Sequence[Follow], weights: Weights) -> list[Found]:
    """alone and joined, fused by reciprocal rank"""
    return _fused(index, asked, weights, lambda ranked: [1 / (60 + n) for n in range(1, len(ranked) + 1)])


def fused_scores(index: Index, asked: Sequence[Follow], weights: Weights) -> list[Found]:
    """alone and joined, fused by the sum of scores"""
    return _fused(index, asked, weights, lambda ranked: [e.score - ranked[-1].score for e in ranked])


def mixed_vectors(index: Index, asked: Sequence[Follow], weights: Weights) -> list[Found]:
    """joined, with the mean of its vector and that of the question alone"""
    own = index.encoder
    index.encoder = _Mixing(own, {follow.joined: follow.question for follow in asked})
    try:
        return by_query(index, asked, [follow.joined for follow in asked], weights)
    finally:
        index.encoder = own


class ModelRewriting:
    """the embedded backbone rewrites what leans by its words"""

    def __init__(self, work: Path) -> None:
        self._kept = work / "rewritten.json"

    def __call__(self, index: Index, asked: Sequence[Follow], weights: Weights) -> list[Found]:
        leaning = [follow for follow in asked if leans_on_history(follow.question)]
        said = dict(zip(map(repr, leaning), self._replies(leaning), strict=True))
        queries = [usable_rewrite(said.get(repr(f), "")) or f.question for f in asked]
        return by_query(index, asked, queries, weights)

    def _replies(self, leaning: Sequence[Follow]) -> list[str]:
        """Kept in the work folder, since decoding takes minutes."""
        kept: dict[str, str] = json.loads(self._kept.read_text(encoding="utf-8")) if self._kept.is_file() else {}
        missing = [follow for follow in leaning if repr(follow) not in kept]
        if missing:
            from chains import LocalSpeaker, SoftPromptChat
            from soft_prompt import Backbone, PrefixStore

            store = PrefixStore(Backbone.load())
            template = load_template(find_template("condense-question"))
            twins = {slot: template.text_twin(slot) for slot in template.soft_slots}
            speaker = LocalSpeaker(SoftPromptChat(store=store, fills=twins, graft="text-twin", max_tokens=48))
            prompts = [
                template.render({"history": follow.turns[-2 * READ_EXCHANGES :], "question": follow.question})
                for follow in missing
            ]
            for first in range(0, len(missing), 16):
                replies = speaker.reply_many(prompts[first : first + 16])
                kept.update(zip(map(repr, missing[first : first + 16]), replies, strict=True))
                self._kept.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
        return [kept[repr(follow)] for follow in leaning]


WAYS: dict[str, Way] = {
    "off": off,
    "join": join_all_ways,
    "join by words": join_by_words,
    "join by evidence": join_by_evidence,
    "join two": join_two,
    "join every": join_every,
    "answer words": answer_words,
    "both": question_and_answer_words,
    "fused ranks": fused_ranks,
    "fused scores": fused_scores,
    "mixed vectors": mixed_vectors,
}


def _fused(
    index: Index, asked: Sequence[Follow], weights: Weights, worth: Callable[[Sequence[RankedPassage]], list[float]]
) -> list[Found]:
    """Every question is searched for twice, so every one counts as rewritten."""
    alone = index.search_many([follow.question for follow in asked], DEEP, weights=weights)
    joined = index.search_many([follow.joined for follow in asked], DEEP, weights=weights)
    found = []
    for both in zip(alone, joined, strict=True):
        scores: dict[str, float] = {}
        documents: dict[str, str] = {}
        for ranked in both:
            for entry, score in zip(ranked, worth(ranked), strict=True):
                scores[entry.passage.id] = scores.get(entry.passage.id, 0.0) + score
                documents[entry.passage.id] = entry.passage.doc_id
        best = sorted(scores, key=lambda one: -scores[one])
        found.append(Found(list(dict.fromkeys(documents[one] for one in best))[:10], True))
    return found


class _Mixing:
    """An encoder that gives some texts the mean of their own vector and another text's."""

    def __init__(self, encoder: Encoder, other: dict[str, str]) -> None:
        self._encoder, self._other = encoder, other
        self.id, self.dimension, self.window = encoder.id, encoder.dimension, encoder.window

    def count_tokens(self, text: str) -> int:
        return self._encoder.count_tokens(text)

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        own = self._encoder.encode(texts, progress)
        mixed = own + self._encoder.encode([self._other.get(text, text) for text in texts])
        return np.asarray(mixed / np.linalg.norm(mixed, axis=1, keepdims=True), dtype=np.float32)


class _Salience:
    """The words of a text that say most: often there, and seldom in the index."""

    _WORD = re.compile(r"[^\W_][\w'-]{2,}")

    def __init__(self, index: Index) -> None:
        self._passages = 0
        self._held: Counter[str] = Counter()
        for passage in index.passages():
            self._passages += 1
            self._held.update(set(self._WORD.findall(passage.text.lower())))

    def words(self, text: str) -> list[str]:
        """In the order of the text; none that the index does not hold."""
        counts = Counter(word for word in self._WORD.findall(text.lower()) if self._held[word])
        weight = {word: math.sqrt(n) * math.log(1 + self._passages / self._held[word]) for word, n in counts.items()}
        best = set(sorted(weight, key=lambda word: -weight[word])[:SALIENT])
        return [word for word in counts if word in best]


def _behind(before: Sequence[str], follow: Follow) -> str:
    return " ".join([*before, follow.question])


def _documents(ranked: Sequence[RankedPassage]) -> list[str]:
    return list(dict.fromkeys(entry.passage.doc_id for entry in ranked))[:10]
