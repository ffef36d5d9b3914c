"""The compared systems, and their answers to a set of questions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from chains import Answering, Evidence
from chains.answering.answering import PreparedAnswer
from chains.answering.condense import standalone_queries
from chains.answering.speaker import OnReply
from evaluation.items import Item
from evaluation.refusals import RefusalClassifier
from evaluation.retrieval_scores import GoldSpans
from evaluation.text_scores import contains_answer, exact_match, normalise, token_f1
from prompts import Turn
from retrieval import Index, RankedPassage

Source = Literal["none", "retrieved", "gold"]


@dataclass(frozen=True)
class System:
    """One system: an `Answering`, and the source of its evidence (none, retrieved, or the gold passages).

    `model` names what writes its replies: two systems with the same model, evidence and kind of decoding get the same
    replies, which are then generated once. Empty if there is no such other system.
    """

    name: str
    answering: Answering
    source: Source
    model: str = ""


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """The answer to one question, with its scores.

    Attributes:
        accuracy: 1 if the reply contains a short answer, else 0; None for a question that is unanswerable or has none.
        exact, f1: against the references; None if there are none.
        refused: by the evidence score, or in words according to the refusal classifier.
        supported: whether the evidence supports all of the reply; None if it was refused, or there is no evidence.
        words: number of words of the reply; each Chinese or Japanese character is one.
        right_citations, citations: number of citations that overlap the gold span, and of all citations.
    """

    item: Item
    reply: str
    accuracy: float | None
    exact: float | None
    f1: float | None
    refused: bool
    supported: bool | None
    words: int
    right_citations: int
    citations: int


@dataclass(frozen=True, slots=True)
class SystemAnswers:
    """All answers of one system; `seconds` per question for retrieval and batched generation."""

    system: str
    answers: tuple[ScoredAnswer, ...]
    seconds: float


def question_and_history(item: Item) -> tuple[str, list[Turn]]:
    history = [turn for q, a in item.history for turn in (Turn("user", q), Turn("assistant", a))]
    return item.question, history


def joined_queries(index: Index, items: Sequence[Item], weights: tuple[float, float]) -> list[str]:
    """Search queries of the condense method `join`, which needs no model."""
    return standalone_queries(index, [question_and_history(item) for item in items], weights=weights)


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The search query, evidence and tokenised prompt of each question, made as in the chain, and the time for all."""

    queries: list[str]
    prepared: list[PreparedAnswer]
    seconds: float


def retrieve_all(answering: Answering, items: Sequence[Item]) -> Retrieved:
    start = time.perf_counter()
    queries = answering.queries([question_and_history(item) for item in items])
    prepared = prepare_all(answering, items, answering.evidence_many(queries, [item.question for item in items]))
    return Retrieved(queries, prepared, time.perf_counter() - start)


def prepare_all(answering: Answering, items: Sequence[Item], evidence: Sequence[Evidence]) -> list[PreparedAnswer]:
    """The tokenised prompt of each question with its evidence."""
    return [answering.prepare(*question_and_history(i), e) for i, e in zip(items, evidence, strict=True)]


def gold_evidence(answering: Answering, items: Sequence[Item], gold: GoldSpans) -> list[Evidence]:
    """The passages that hold each answer; marked as not enough if there are none."""
    evidence = []
    for item in items:
        passages = [p for p in _passages_of(answering, item) if gold.passage_overlaps(item, p.passage)]
        if not item.quote and passages:
            # Only the document is known: use its first passage with a short answer, else its first passage.
            containing = [p for p in passages if contains_answer(p.passage.text, item.answers)]
            passages = (containing or passages)[:1]
        gold_passages = tuple(passages) if item.answerable else ()
        evidence.append(Evidence(gold_passages, None, bool(gold_passages)))
    return evidence


@dataclass(frozen=True, slots=True)
class Replies:
    """The model's reply to each question, empty where no model was asked, and the seconds for all."""

    texts: list[str]
    seconds: float


def generate_replies(system: System, prepared: Sequence[PreparedAnswer], *, on_reply: OnReply | None = None) -> Replies:
    """The replies of a system's model, as they were decoded."""
    start = time.perf_counter()
    prompts = {i: answer.prompt for i, answer in enumerate(prepared) if answer.prompt is not None}
    texts = [""] * len(prepared)
    generated = system.answering.speaker.reply_many(list(prompts.values()), on_reply=on_reply) if prompts else []
    for i, text in zip(prompts, generated, strict=True):
        texts[i] = text
    return Replies(texts, time.perf_counter() - start)


def score_answers(
    system: System,
    items: Sequence[Item],
    prepared: Sequence[PreparedAnswer],
    replies: Replies,
    queries: Sequence[str],
    gold: GoldSpans,
    refusal_classifier: RefusalClassifier | None,
    *,
    retrieval_seconds: float = 0.0,
) -> SystemAnswers:
    """Finish the answer to every question as the chain does, and score it; `retrieval_seconds` is added to the time."""
    answering = system.answering
    start = time.perf_counter()
    finished = [
        answering.finish(item.question, answer.history, answer.evidence, reply, query)
        for item, answer, reply, query in zip(items, prepared, replies.texts, queries, strict=True)
    ]
    seconds = time.perf_counter() - start + replies.seconds + retrieval_seconds
    texts = [answer.text for answer in finished]
    refusals = refusal_classifier.refuses(texts) if refusal_classifier else [not text for text in texts]
    answers = []
    for item, one, answer, refuses in zip(items, finished, prepared, refusals, strict=True):
        refused = one.refused or (refuses and not one.citations)
        citations = [] if refused else answering.cite(item.question, one.text, answer.evidence, one.citations).citations
        answers.append(
            score_answer(
                item,
                one.text,
                refused=refused,
                supported=one.supported if answer.evidence.passages and not refused else None,
                right_citations=sum(gold.overlaps(item, c.doc_id, c.start, c.end) for c in citations),
                citations=len(citations),
            )
        )
    return SystemAnswers(system.name, tuple(answers), seconds / max(1, len(items)))


def score_answer(
    item: Item,
    reply: str,
    *,
    refused: bool = False,
    supported: bool | None = None,
    right_citations: int = 0,
    citations: int = 0,
) -> ScoredAnswer:
    """A reply with its scores."""
    return ScoredAnswer(
        item=item,
        reply=reply,
        accuracy=contains_answer(reply, item.answers) if item.answerable and item.answers else None,
        exact=exact_match(reply, (*item.references, *item.answers)) if item.references else None,
        f1=token_f1(reply, item.references) if item.references else None,
        refused=refused,
        supported=supported,
        words=len(normalise(reply)),
        right_citations=right_citations,
        citations=citations,
    )


def constant_answers(name: str, reply: str, items: Sequence[Item]) -> SystemAnswers:
    """A baseline that gives the same reply to every question, without evidence."""
    return SystemAnswers(name, tuple(score_answer(item, reply) for item in items), 0.0)


def _passages_of(answering: Answering, item: Item) -> list[RankedPassage]:
    return [RankedPassage(p, 0.0, 0.0, 0.0, 0.0) for p in answering.index.document_passages(sorted(item.documents))]
