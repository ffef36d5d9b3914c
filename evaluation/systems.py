"""The systems that are compared, and how one of them answers a set of questions."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from chains import Answering, Evidence
from chains.answering.answering import PreparedAnswer
from chains.answering.condense import standalone_queries
from evaluation.items import Item
from evaluation.refusals import RefusalJudge
from evaluation.retrieval_scores import Gold
from evaluation.text_scores import contains_answer, exact_match, token_f1
from prompts import Turn
from retrieval import Index, RankedPassage

Source = Literal["none", "retrieved", "gold"]


@dataclass(frozen=True)
class System:
    """One row of the table: an answering, and where its evidence comes from."""

    name: str
    answering: Answering
    source: Source


@dataclass(frozen=True, slots=True)
class Answer:
    """How one question was answered.

    Attributes:
        accuracy: 1 where a short answer stands in the reply; None for an unanswerable question.
        exact, f1: against the references; None where the data gives none.
        refused: by the gate or, as far as can be judged, in words.
        right_citations, citations: how many citations the reply has, and how many stand where the answer does.
    """

    item: Item
    reply: str
    accuracy: float | None
    exact: float | None
    f1: float | None
    refused: bool
    right_citations: int
    citations: int


@dataclass(frozen=True, slots=True)
class Answers:
    """All answers of one system. `seconds` a question, retrieval and batched decoding together."""

    system: str
    answers: tuple[Answer, ...]
    seconds: float


def turns_of(item: Item) -> list[Turn]:
    """The conversation before a question."""
    return [turn for asked, told in item.history for turn in (Turn("user", asked), Turn("assistant", told))]


def searched_for(index: Index, items: Sequence[Item], weights: tuple[float, float]) -> list[str]:
    """What is searched for where follow-ups are joined to the question before them, for which no model is needed."""
    return standalone_queries(index, [(item.question, turns_of(item)) for item in items], weights=weights)


def asked_of(item: Item) -> tuple[str, list[Turn]]:
    """A question with the conversation before it."""
    return item.question, turns_of(item)


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Questions searched for and tokenised as in the chain.

    Attributes:
        queries: the search query of each question.
        prepared: each question as the model reads it.
        seconds: for all of them.
    """

    queries: list[str]
    prepared: list[PreparedAnswer]
    seconds: float


def retrieve_all(answering: Answering, items: Sequence[Item]) -> Retrieved:
    """Search for every question, and tokenise what the model reads."""
    began = time.perf_counter()
    asked = [asked_of(item) for item in items]
    queries = answering.queries(asked)
    prepared = [
        answering.prepare(*question, evidence)
        for question, evidence in zip(asked, answering.evidence_many(queries), strict=True)
    ]
    return Retrieved(queries, prepared, time.perf_counter() - began)


def gold_evidence(answering: Answering, items: Sequence[Item], gold: Gold) -> list[Evidence]:
    """The passages that hold each answer; not enough where there are none."""
    found = []
    for item in items:
        passages = [p for p in _passages_of(answering, item) if gold.passage_holds(item, p.passage)]
        if not item.quote and passages:
            # Only the document is known: its passages that show a short answer, else its beginning.
            shown = [p for p in passages if contains_answer(p.passage.text, item.answers)]
            passages = (shown or passages)[:1]
        kept = tuple(passages) if item.answerable else ()
        found.append(Evidence(kept, None, bool(kept)))
    return found


def answer_all(
    system: System,
    items: Sequence[Item],
    prepared: Sequence[PreparedAnswer],
    gold: Gold,
    judge: RefusalJudge | None,
    *,
    retrieval_seconds: float = 0.0,
    on_reply: Callable[[int], None] | None = None,
) -> Answers:
    """Let one system answer every question, and score it.

    Args:
        system: the system, whose speaker answers.
        items: the questions.
        prepared: each question as the model reads it.
        gold: where the answers stand in the documents.
        judge: recognises refusals in words; None counts only refusals by the evidence score.
        retrieval_seconds: added to the time of decoding.
        on_reply: called with the number of replies so far.
    """
    answering = system.answering
    began = time.perf_counter()
    asked = [(i, one.prompt) for i, one in enumerate(prepared) if one.prompt is not None]
    replies = [answering.settings.refusal] * len(items)
    written = answering.speaker.reply_many([prompt for _, prompt in asked], on_reply=on_reply)
    for (i, _), reply in zip(asked, written, strict=True):
        replies[i] = reply.strip()
    seconds = time.perf_counter() - began + retrieval_seconds
    in_words = judge.refuses(replies) if judge is not None else [not reply for reply in replies]
    answers = []
    for item, reply, one, refuses in zip(items, replies, prepared, in_words, strict=True):
        refused = one.prompt is None or refuses
        citations = [] if refused else answering.cited(item.question, reply, one.evidence).citations
        answers.append(
            Answer(
                item=item,
                reply=reply,
                accuracy=contains_answer(reply, item.answers) if item.answerable else None,
                exact=exact_match(reply, (*item.references, *item.answers)) if item.references else None,
                f1=token_f1(reply, item.references) if item.references else None,
                refused=refused,
                right_citations=sum(gold.holds(item, c.doc_id, c.start, c.end) for c in citations),
                citations=len(citations),
            )
        )
    return Answers(system.name, tuple(answers), seconds / max(1, len(items)))


def _passages_of(answering: Answering, item: Item) -> list[RankedPassage]:
    return [RankedPassage(p, 0.0, 0.0, 0.0, 0.0) for p in answering.index.document_passages(sorted(item.documents))]
