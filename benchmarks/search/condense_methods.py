"""The methods of making a query from a follow-up question that `condense.py` compares."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.search.data import EncoderWrapper
from benchmarks.search.rankings import DOCUMENTS, RANKED_PASSAGES, Weights, documents_of
from chains import LocalSpeaker, SoftPromptChat
from chains.answering.condense import joined_query, leans_on_history, standalone_queries, usable_rewrite
from prompts import Turn, find_template, load_template
from retrieval import Encoder, Index, RankedPassage
from soft_prompt import Backbone, PrefixStore

SALIENT_WORDS = 10
# Turns of the conversation that the backbone reads, as in the chain.
HISTORY_TURNS = 3


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A question and the [question, answer] pairs before it."""

    question: str
    history: tuple[tuple[str, str], ...]

    @property
    def turns(self) -> list[Turn]:
        """The history as messages."""
        return [turn for q, a in self.history for turn in (Turn("user", q), Turn("assistant", a))]

    @property
    def joined(self) -> str:
        """The previous question, then this one."""
        return joined_query(self.question, self.turns)

    def after(self, texts: Sequence[str]) -> str:
        """The texts, then the question."""
        return " ".join([*texts, self.question])


@dataclass(frozen=True, slots=True)
class Ranking:
    """Document ids, best first, and whether the query differed from the question."""

    documents: list[str]
    rewritten: bool


Search = Callable[[Index, Sequence[FollowUp], Weights], list[Ranking]]
MakeQueries = Callable[[Index, Sequence[FollowUp], Weights], Sequence[str]]


def search_with(make: MakeQueries, index: Index, follow_ups: Sequence[FollowUp], weights: Weights) -> list[Ranking]:
    """Search with one query per question."""
    queries = make(index, follow_ups, weights)
    rankings = index.search_many(queries, RANKED_PASSAGES, weights=weights)
    return [
        Ranking(documents_of(ranked), query != follow_up.question)
        for follow_up, query, ranked in zip(follow_ups, queries, rankings, strict=True)
    ]


def one_by_one(make: Callable[[FollowUp], str]) -> Search:
    """Search with a query that is made from the follow-up alone."""
    return partial(search_with, lambda index, follow_ups, weights: [make(follow_up) for follow_up in follow_ups])


def _by_evidence(index: Index, follow_ups: Sequence[FollowUp], weights: Weights) -> Sequence[str]:
    return standalone_queries(index, [(f.question, f.turns) for f in follow_ups], weights=weights)


def _answer_words(index: Index, follow_ups: Sequence[FollowUp], weights: Weights, *, question: bool) -> Sequence[str]:
    words = _SalientWords(index)
    return [f.after([*([f.history[-1][0]] if question else []), *words.of(f.history[-1][1])]) for f in follow_ups]


def mixed_vectors(index: Index, follow_ups: Sequence[FollowUp], weights: Weights) -> list[Ranking]:
    """Search with joined queries and the mean of the two vectors."""
    encoder = index.encoder
    index.encoder = _MixingEncoder(encoder, {follow_up.joined: follow_up.question for follow_up in follow_ups})
    try:
        return one_by_one(lambda follow_up: follow_up.joined)(index, follow_ups, weights)
    finally:
        index.encoder = encoder


def fused(
    score: Callable[[Sequence[RankedPassage]], list[float]],
    index: Index,
    follow_ups: Sequence[FollowUp],
    weights: Weights,
) -> list[Ranking]:
    """Search alone and joined, and add up the passages' scores. Every question counts as rewritten."""
    alone = index.search_many([follow_up.question for follow_up in follow_ups], RANKED_PASSAGES, weights=weights)
    joined = index.search_many([follow_up.joined for follow_up in follow_ups], RANKED_PASSAGES, weights=weights)
    rankings = []
    for both in zip(alone, joined, strict=True):
        scores: dict[str, float] = {}
        documents: dict[str, str] = {}
        for ranked in both:
            for entry, value in zip(ranked, score(ranked), strict=True):
                scores[entry.passage.id] = scores.get(entry.passage.id, 0.0) + value
                documents[entry.passage.id] = entry.passage.doc_id
        best = sorted(scores, key=lambda passage: -scores[passage])
        rankings.append(Ranking(list(dict.fromkeys(documents[passage] for passage in best))[:DOCUMENTS], True))
    return rankings


class BackboneRewriting:
    """Queries that the embedded backbone writes for questions whose words depend on the conversation.

    Its replies are stored in the work folder, because decoding takes minutes.
    """

    def __init__(self, work: Path) -> None:
        self._path = work / "rewritten.json"

    def __call__(self, index: Index, follow_ups: Sequence[FollowUp], weights: Weights) -> Sequence[str]:
        leaning = [follow_up for follow_up in follow_ups if leans_on_history(follow_up.question)]
        replies = self._replies(leaning)
        return [usable_rewrite(replies.get(repr(f), "")) or f.question for f in follow_ups]

    def _replies(self, leaning: Sequence[FollowUp]) -> Mapping[str, str]:
        path = self._path
        replies: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        missing = [follow_up for follow_up in leaning if repr(follow_up) not in replies]
        if missing:
            store = PrefixStore(Backbone.load())
            template = load_template(find_template("condense-question"))
            twins = {slot: template.text_twin(slot) for slot in template.soft_slots}
            speaker = LocalSpeaker(SoftPromptChat(store=store, fills=twins, graft="text-twin", max_tokens=48))
            for first in range(0, len(missing), 16):
                some = missing[first : first + 16]
                prompts = [
                    speaker.prepare(template.render({"history": f.turns[-2 * HISTORY_TURNS :], "question": f.question}))
                    for f in some
                ]
                replies.update(zip(map(repr, some), speaker.reply_many(prompts), strict=True))
                path.write_text(json.dumps(replies, ensure_ascii=False), encoding="utf-8")
        return replies


# Name -> description and search.
METHODS: dict[str, tuple[str, Search]] = {
    "off": ("the last turn alone", one_by_one(lambda f: f.question)),
    "join": ("the previous question before each", one_by_one(lambda f: f.joined)),
    "join by words": (
        "the previous question before those whose words depend on the conversation",
        one_by_one(lambda f: f.joined if leans_on_history(f.question) else f.question),
    ),
    "join by evidence": (
        "as in the chain: the previous question if that finds better evidence",
        partial(search_with, _by_evidence),
    ),
    "join two": ("the previous two questions", one_by_one(lambda f: f.after([q for q, _ in f.history[-2:]]))),
    "join every": ("all earlier questions", one_by_one(lambda f: f.after([q for q, _ in f.history]))),
    "answer words": (
        "the ten most salient words of the previous answer",
        partial(search_with, partial(_answer_words, question=False)),
    ),
    "both": (
        "the previous question and ten words of its answer",
        partial(search_with, partial(_answer_words, question=True)),
    ),
    "fused ranks": (
        "alone and joined, fused by reciprocal rank",
        partial(fused, lambda ranked: [1 / (60 + n) for n in range(1, len(ranked) + 1)]),
    ),
    "fused scores": (
        "alone and joined, fused by the sum of scores",
        partial(fused, lambda ranked: [entry.score - ranked[-1].score for entry in ranked]),
    ),
    "mixed vectors": ("joined, with the mean of its vector and that of the question alone", mixed_vectors),
}


def all_methods(work: Path, *, model: bool) -> dict[str, tuple[str, Search]]:
    """The methods, with rewriting by the embedded backbone if `model`."""
    if not model:
        return METHODS
    rewriting = partial(search_with, BackboneRewriting(work))
    return {**METHODS, "model": ("rewritten by the backbone if the words depend on the conversation", rewriting)}


class _MixingEncoder(EncoderWrapper):
    """Gives some texts the mean of their own vector and that of another text."""

    def __init__(self, encoder: Encoder, other: Mapping[str, str]) -> None:
        super().__init__(encoder)
        self._other = other

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        own = self.encoder.encode(texts, progress)
        mixed = own + self.encoder.encode([self._other.get(text, text) for text in texts])
        return np.asarray(mixed / np.linalg.norm(mixed, axis=1, keepdims=True), dtype=np.float32)


class _SalientWords:
    """The words of a text that are frequent in it and rare in the index."""

    _WORD = re.compile(r"[^\W_][\w'-]{2,}")

    def __init__(self, index: Index) -> None:
        self._passages = 0
        self._frequency: Counter[str] = Counter()
        for passage in index.passages():
            self._passages += 1
            self._frequency.update(set(self._WORD.findall(passage.text.lower())))

    def of(self, text: str) -> list[str]:
        """The words in the order of the text; only words that the index contains."""
        counts = Counter(word for word in self._WORD.findall(text.lower()) if self._frequency[word])
        weights = {w: math.sqrt(n) * math.log(1 + self._passages / self._frequency[w]) for w, n in counts.items()}
        best = set(sorted(weights, key=lambda word: -weights[word])[:SALIENT_WORDS])
        return [word for word in counts if word in best]
