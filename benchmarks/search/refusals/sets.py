"""Rankings of answerable and unanswerable questions of several domains, with the features of the evidence score.

The sets are the example domains, the sets of the data folder and the projects of `benchmarks/projects`. No choice was
made on those in `HELD_OUT`. Where a set has few unanswerable questions, two kinds are made: rankings of its questions
without the documents that answer them (`removed`), and questions of the other sets (`foreign`). `pair` puts each
unanswerable question, and some answerable ones, behind five answered questions of the same split, as in a conversation.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.projects.questions import read_projects
from benchmarks.script import ROOT
from benchmarks.search.data import PASSAGE_TOKENS, CachingEncoder
from chains.answering.condense import asked_alone, standalone_queries
from evaluation import Item, contains_answer, read_items
from evaluation.items import spread
from evaluation.retrieval_scores import GoldSpans
from evaluation.systems import question_and_history
from prompts import Turn
from retrieval import Encoder, Index, RankedPassage, ingest, open_index
from retrieval.markup import plain
from retrieval.ranking.evidence_features import SCORED_PASSAGES, JudgedRanking
from retrieval.ranking.index import DEFAULT_WEIGHTS
from retrieval.ranking.rerank import POOL
from softgraft.training.retrieval_fit import BM25_ONLY, holds_answer, usual_weights, without_gold

DOMAINS = ("bank", "clinic", "college", "playhouse")
HELD_OUT = ("college", "playhouse", *(project.name for project in read_projects("test")))
SETS = (*DOMAINS, "squad", "covidqa", "mtrag", "xquad_zh", *(project.name for project in read_projects()))
Kind = Literal["own", "removed", "foreign", "pair", "pair-removed"]
Weights = tuple[float, float]
# Questions of each set, and of every other set that are asked to it.
QUESTIONS, FOREIGN = 60, 8
# Documents of each set: those that answer its questions, and others up to this number.
DOCUMENTS = 130
# Earlier questions that each unanswerable question follows.
EARLIER = 5
_DEPTH, _BATCH = POOL + 16, 64
# Sets whose expected answers are replies that no document contains.
_LONG_ANSWERS = ("mtrag",)


@dataclass(frozen=True, slots=True)
class Case:
    """One question to one index.

    Attributes:
        set, split: the set whose index was asked, and the split of the question.
        answered, answerable: whether the passages hold the answer, and whether any document does.
        has_history: whether the question came after another.
        features: of the ranking, by name; empty if nothing was found.
        is_follow_up: whether the earlier question was put before it for the search.
    """

    set: str
    split: str
    kind: Kind
    answered: bool
    answerable: bool
    has_history: bool
    features: Mapping[str, float]
    is_follow_up: bool

    @property
    def judged(self) -> JudgedRanking:
        """As the evidence score reads it."""
        ranked = [_SOME] if self.features else []
        return JudgedRanking(ranked, self.features, self.is_follow_up)

    def as_json(self) -> dict[str, Any]:
        """The case as a line of the cache."""
        rounded = {name: round(value, 6) for name, value in self.features.items()}
        return {**asdict(self), "features": rounded}


# A case keeps the features of its ranking and not the passages.
_SOME: Any = object()


@dataclass(frozen=True)
class Questions:
    """The questions of one set by split."""

    name: str
    by_split: Mapping[str, Sequence[Item]]

    def answered_alone(self, split: str) -> list[Item]:
        """The answerable questions that need no conversation."""
        return [item for item in self.by_split[split] if item.answerable and not item.history]


def read_questions(name: str, data: Path) -> Questions:
    """Train and test; dev belongs to train, because the default scale treats both alike."""
    questions: dict[str, Sequence[Item]] = {}
    for project in read_projects():
        if project.name == name:
            return Questions(name, {"train": [], "test": [], project.split: project.questions()})
    if name in DOMAINS:
        train, dev, test = (
            read_items(ROOT / "domains" / name / f"{split}.jsonl") for split in ("train", "dev", "test")
        )
        return Questions(name, {"train": [*train, *dev], "test": test})
    for split in ("train", "test"):
        questions[split] = spread(read_items(data / name / f"{split}.jsonl"), QUESTIONS)
        if name == "mtrag":
            none = read_items(data / name / f"{split}_unanswerable.jsonl")
            none = [item.model_copy(update={"answerable": False}) for item in none]
            questions[split] = [*questions[split], *none]
    return Questions(name, questions)


def make_index(asked: Questions, data: Path, work: Path, encoder: Encoder) -> Index:
    """The index of a set, with the documents that answer its questions and some others."""
    index = work / asked.name / "index"
    if asked.name in DOMAINS:
        ingest(ROOT / "domains" / asked.name / "docs", index, encoder, max_tokens=PASSAGE_TOKENS)
        return open_index(index, encoder)
    answering = {doc_id for items in asked.by_split.values() for item in items for doc_id in item.documents}
    for project in read_projects():
        if project.name == asked.name:
            ingest(project.documents(data), index, encoder, max_tokens=PASSAGE_TOKENS)
            return open_index(index, encoder)
    lines = (data / asked.name / "docs.jsonl").read_text(encoding="utf-8").splitlines()
    rows = {json.loads(line)["id"]: line for line in lines}
    others = spread([doc_id for doc_id in rows if doc_id not in answering], max(0, DOCUMENTS - len(answering)))
    kept = answering | {*others}
    docs = work / asked.name / "docs"
    docs.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for doc_id, line in rows.items() if doc_id in kept)
    (docs / "docs.jsonl").write_text(text, encoding="utf-8")
    ingest(docs, index, encoder, max_tokens=PASSAGE_TOKENS)
    return open_index(index, encoder)


def measure_set(
    asked: Questions, others: Sequence[Questions], index: Index, split: str, *, vectors: bool
) -> list[Case]:
    """All cases of one set and split, searched by words alone if `vectors` is False."""
    weights = DEFAULT_WEIGHTS if vectors else BM25_ONLY
    items = asked.by_split[split]
    measure = _Measure(asked.name, index, split, weights)
    cases = measure.cases([(item, *question_and_history(item)) for item in items], "own", "removed")
    foreign = [q for other in others if other.name != asked.name for q in spread(other.answered_alone(split), FOREIGN)]
    outside = [item.model_copy(update={"answerable": False, "doc_id": "", "doc_ids": ()}) for item in foreign]
    cases += measure.cases([(item, item.question, []) for item in outside], "foreign", None)
    return cases + measure.cases(conversations(asked, split), "pair", "pair-removed")


def conversations(asked: Questions, split: str) -> list[tuple[Item, str, list[Turn]]]:
    """Questions that need no conversation, each behind answered questions of the same split."""
    rng, answered = random.Random(0), asked.answered_alone(split)
    unanswerable = [item for item in asked.by_split[split] if not item.answerable and not item.history]
    pairs = []
    for item in [*unanswerable, *spread(answered, 20)]:
        earlier = [other for other in answered if other.id != item.id]
        for before in rng.sample(earlier, min(EARLIER, len(earlier))):
            history = [Turn("user", before.question), Turn("assistant", before.target or "Yes.")]
            pairs.append((item, item.question, history))
    return pairs


class _Measure:
    def __init__(self, name: str, index: Index, split: str, weights: Weights) -> None:
        self.name, self.index, self.split, self.weights = name, index, split, weights
        self.gold = GoldSpans(index)

    def cases(self, questions: Sequence[tuple[Item, str, list[Turn]]], kind: Kind, removed: Kind | None) -> list[Case]:
        """The cases of these questions; `removed` is the kind of those without their documents, if they are made."""
        cases: list[Case] = []
        for first in range(0, len(questions), _BATCH):
            batch = questions[first : first + _BATCH]
            index, items = self.index, [item for item, _, _ in batch]
            queries = standalone_queries(index, [(q, history) for _, q, history in batch], weights=self.weights)
            rankings = index.search_many(queries, _DEPTH, weights=self.weights)
            own = [asked_alone(query, q) for query, (_, q, _) in zip(queries, batch, strict=True)]
            history = [bool(turns) for _, _, turns in batch]
            whole = dict(enumerate(ranked[:POOL] for ranked in rankings))
            cases += self._judged(items, queries, own, history, whole, kind)
            if removed is not None:
                cases += self._judged(items, queries, own, history, without_gold(items, rankings), removed)
        return cases

    def _judged(
        self,
        items: Sequence[Item],
        queries: Sequence[str],
        own: Sequence[str],
        history: Sequence[bool],
        rankings: Mapping[int, Sequence[RankedPassage]],
        kind: Kind,
    ) -> list[Case]:
        judged = self.index.judged(
            [queries[n] for n in rankings],
            list(rankings.values()),
            [own[n] for n in rankings],
            vectors=self.weights[0] > 0,
            quotes=self.weights[0] > 0,
        )
        cases = []
        for n, one in zip(rankings, judged, strict=True):
            is_own = kind in ("own", "pair")
            answered = is_own and holds_answer(self.gold, items[n], one.ranked)
            if answered and not items[n].quote and self.name not in _LONG_ANSWERS:
                answered = _has_short_answer(items[n], one.ranked)
            answerable = is_own and items[n].answerable
            cases.append(
                Case(self.name, self.split, kind, answered, answerable, history[n], one.features, one.is_follow_up)
            )
        return cases


def _has_short_answer(item: Item, ranked: Sequence[RankedPassage]) -> bool:
    """Whether a scored passage of the item's documents has a short answer; True if the item has no short answers."""
    texts = [e.passage.text for e in ranked[:SCORED_PASSAGES] if e.passage.doc_id in item.documents]
    return not item.answers or any(contains_answer(plain(text), item.answers) > 0 for text in texts)


def caching(encoder: Encoder) -> Encoder:
    """The encoder with a cache: the same questions are asked to several indexes."""
    return CachingEncoder(encoder)


def config(encoder_id: str) -> dict[str, Any]:
    """What the results depend on."""
    return {
        "encoder": encoder_id,
        "questions": QUESTIONS,
        "foreign_questions": FOREIGN,
        "documents": DOCUMENTS,
        "earlier_questions": EARLIER,
        "passage_tokens": PASSAGE_TOKENS,
        "seed": 0,
    }


def all_cases(data: Path, work: Path, encoder: Encoder, *, fresh: bool = False) -> list[Case]:
    """The cases of all sets, from the work folder or measured now; those of words alone have no vector features."""
    folder = work / encoder.id.replace("/", "-")[:60]
    questions = [read_questions(name, data) for name in SETS]
    cases: list[Case] = []
    for asked in questions:
        path = folder / f"{asked.name}.cases.jsonl"
        if fresh or not path.is_file():
            with make_index(asked, data, folder, encoder) as index:
                vectors = usual_weights("zh" if asked.name == "xquad_zh" else "en", encoder.id)[0] > 0
                found = [
                    case
                    for split in ("train", "test")
                    for case in measure_set(asked, questions, index, split, vectors=vectors)
                ]
                print(f"{asked.name}: {index.counts()[1]} passages, {len(found)} cases", flush=True)
            path.write_text("".join(json.dumps(case.as_json()) + "\n" for case in found), encoding="utf-8")
        lines = path.read_text(encoding="utf-8").splitlines()
        cases += [Case(**json.loads(line)) for line in lines]
    return cases
