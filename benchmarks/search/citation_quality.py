"""Measures citations against the passages that hold the answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.search.data import EVIDENCE_TOKENS, MAX_PASSAGES, DataSet
from chains import LocalSpeaker, SoftPromptChat, cite
from chains.answering.answering import Answering, AnswerSettings
from chains.answering.citations import THRESHOLD
from evaluation import Item, contains_answer
from evaluation.items import spread
from prompts import TemplateFile, TextTwins, find_template
from retrieval import Encoder, Index, Passage
from soft_prompt import Backbone, PrefixStore

THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7)
# Passages to rank so that some are left after the right documents are removed.
RANKED_PASSAGES = 12

Span = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class GivenReply:
    """A reply with its evidence; `findable` if a passage of the evidence holds the answer."""

    item: Item
    reply: str
    passages: tuple[Passage, ...]
    findable: bool


@dataclass(frozen=True, slots=True)
class CitationScores:
    """Shares; None if there was nothing to score.

    Attributes:
        replies, citations: numbers of each.
        precision: citations whose quote overlaps the answer in its own document.
        document_precision: citations of the right document.
        recall: of the replies whose evidence holds the answer, those with a correct citation.
        cited: of all replies, those with any citation.
    """

    replies: int
    citations: int
    precision: float | None
    document_precision: float | None
    recall: float | None
    cited: float | None


def measure(
    name: str, data: Path, work: Path, encoder: Encoder, limit: int | None, replies: int
) -> dict[str, dict[str, Any]]:
    """The scores of one data set, by threshold on dev and with the default threshold on test.

    `limit` is the maximum number of questions per split. The backbone answers `replies` of them.
    """
    source = DataSet(name, data, work, encoder)
    with source.index() as index:
        dev, test = (list(gold_replies(index, spread(source.items(s), limit))) for s in ("dev", "test"))
        dev_foreign, test_foreign = (list(without_gold(index, some)) for some in (dev, test))
        scores = {
            "dev": {str(t): asdict(score(index, [*dev, *dev_foreign], t)) for t in THRESHOLDS},
            "test": asdict(score(index, test, THRESHOLD)),
            "test_evidence_without_the_answer": asdict(score(index, test_foreign, THRESHOLD)),
        }
        if replies:
            own_dev, own_test = (backbone_replies(index, spread(source.items(s), replies)) for s in ("dev", "test"))
            scores["backbone_dev"] = {str(t): asdict(score(index, own_dev, t)) for t in THRESHOLDS}
            scores["backbone_test"] = asdict(score(index, own_test, THRESHOLD))
    return scores


def gold_replies(index: Index, items: Sequence[Item]) -> Iterator[GivenReply]:
    """The data's answers with the evidence that the question retrieves."""
    for item, ranked in zip(items, index.search_many([item.question for item in items], MAX_PASSAGES), strict=True):
        passages = tuple(entry.passage for entry in ranked)
        yield GivenReply(item, item.answers[0], passages, _holds_answer(index, item, passages))


def without_gold(index: Index, replies: Sequence[GivenReply]) -> Iterator[GivenReply]:
    """The same replies with the best passages of other documents as evidence."""
    rankings = index.search_many([one.item.question for one in replies], RANKED_PASSAGES)
    for one, ranked in zip(replies, rankings, strict=True):
        others = [entry.passage for entry in ranked if entry.passage.doc_id not in one.item.documents]
        yield GivenReply(one.item, one.reply, tuple(others[:MAX_PASSAGES]), False)


def backbone_replies(index: Index, items: Sequence[Item]) -> list[GivenReply]:
    """Replies of the embedded backbone with the text twin, from the evidence that the question retrieves."""
    template = TemplateFile(find_template("rag-chat"))
    store = PrefixStore(Backbone.load())
    speaker = LocalSpeaker(SoftPromptChat(store=store, fills=TextTwins(template), graft="text-twin"))
    answering = Answering(
        index=index,
        template=template,
        condense_template=template,
        speaker=speaker,
        rewriter=speaker,
        count_tokens=lambda text: len(store.backbone.encode_text(text)),
        scale=None,
        settings=AnswerSettings(passages=MAX_PASSAGES, evidence_tokens=EVIDENCE_TOKENS),
    )
    evidence = answering.evidence_many([item.question for item in items])
    prompts = [
        speaker.prepare(answering.prompt(item.question, [], one)) for item, one in zip(items, evidence, strict=True)
    ]
    replies = []
    for item, reply, one in zip(items, speaker.reply_many(prompts), evidence, strict=True):
        passages = tuple(entry.passage for entry in one.passages)
        replies.append(GivenReply(item, reply.strip(), passages, _holds_answer(index, item, passages)))
    return replies


def score(index: Index, replies: Sequence[GivenReply], threshold: float) -> CitationScores:
    """Cite every reply and compare the citations with the spans of the answers."""
    citations = correct = correct_documents = recalled = cited = 0
    for one in replies:
        spans = _answer_spans(index, one.item)
        given = cite(one.reply, one.passages, question=one.item.question, threshold=threshold)
        hits = [_overlaps((c.doc_id, c.start, c.end), spans) for c in given]
        citations += len(given)
        correct += sum(hits)
        correct_documents += sum(c.doc_id in one.item.documents for c in given)
        recalled += one.findable and any(hits)
        cited += bool(given)
    findable = sum(one.findable for one in replies)
    return CitationScores(
        replies=len(replies),
        citations=citations,
        precision=correct / citations if citations else None,
        document_precision=correct_documents / citations if citations else None,
        recall=recalled / findable if findable else None,
        cited=cited / len(replies) if replies else None,
    )


def _holds_answer(index: Index, item: Item, passages: Sequence[Passage]) -> bool:
    spans = _answer_spans(index, item)
    return any(_overlaps((p.doc_id, p.start, p.end), spans) for p in passages)


def _answer_spans(index: Index, item: Item) -> list[Span]:
    """Spans of the answers in the right documents; the whole document if it holds an answer only in other words."""
    spans: list[Span] = []
    for doc_id in sorted(item.documents):
        text = index.document(doc_id).text
        exact = [
            (doc_id, found.start(1), found.end(1))
            for answer in item.answers
            for found in re.finditer(f"(?=({re.escape(answer)}))", text)
        ]
        spans += exact or ([(doc_id, 0, len(text))] if contains_answer(text, item.answers) else [])
    return spans


def _overlaps(span: Span, others: Sequence[Span]) -> bool:
    doc_id, start, end = span
    return any(doc_id == other and start < high and low < end for other, low, high in others)
