"""From questions to tokenised prompts, and from answers to citations: the same code for the graph and evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from chains.answering.answer_writer import AnswerForm, AnswerRules, AnswerWriter, RefusalWriter, Unsupported
from chains.answering.citations import CheckedCitations, Citation, cite, verify_citations
from chains.answering.condense import (
    CondenseMethod,
    asked_alone,
    joined_query,
    leans_on_history,
    standalone_queries,
    usable_rewrite,
)
from chains.answering.evidence import Evidence, passage_input
from chains.answering.examples import ExampleSelector, select_examples
from chains.answering.history import HistoryBudget, Overflow, newest_turns, without_oldest_turn
from chains.answering.speaker import PreparedPrompt, Speaker
from chains.answering.support import check_support
from prompts import RenderedPrompt, TemplateFile, Turn
from retrieval import Index, RankedPassage, UnknownDocumentError
from retrieval.ranking.evidence_budget import EvidenceBudget, within_budget
from retrieval.ranking.evidence_features import JudgedRanking
from retrieval.ranking.evidence_score import EvidenceScale
from retrieval.ranking.evidence_sentences import EvidenceSentence, with_introduced, with_whole_sentences
from retrieval.ranking.rerank import POOL
from retrieval.ranking.sentence_selection import CLOSE
from retrieval.splitting.sentences import sentence_spans
from soft_prompt import Constraint

# Chosen on train and dev of bank and dev of xquad_zh; three times as much quotes nothing better.
_QUOTE_EVIDENCE = 2


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    """Limits and methods of retrieval, history and refusal.

    Attributes:
        margin: passages whose score is lower than the best one's by more than this are left out.
        evidence_tokens: maximum number of tokens of all passages; the best passage is always kept.
        condense: method that rewrites a follow-up to a search query.
        weights: of the dense and the BM25 ranking.
        neighbours: number of adjacent passages on each side that are merged into a passage.
        refusal: the answer if nothing in the documents fits.
        form: what an answer consists of.
        quotes: maximum number of sentences to quote; those after the best one have to score almost as high.
        unsupported: what happens to a generated sentence that the evidence does not support.
    """

    passages: int = 4
    margin: float = math.inf
    evidence_tokens: int = 320
    history_turns: int = 3
    history_tokens: int = 512
    history_overflow: Overflow = "drop"
    condense: CondenseMethod = "join"
    weights: tuple[float, float] = (1.0, 0.5)
    neighbours: int = 0
    refusal: str = "I do not have information about that."
    form: AnswerForm = "generate"
    quotes: int = 2
    unsupported: Unsupported = "keep"

    @property
    def evidence_budget(self) -> EvidenceBudget:
        """The limits of the evidence; a quote is selected from twice as much, because no model has to read it."""
        factor = _QUOTE_EVIDENCE if self.form == "quote" else 1
        return EvidenceBudget(
            factor * self.passages, factor * self.margin, factor * self.evidence_tokens, self.neighbours
        )

    @property
    def history(self) -> HistoryBudget:
        return HistoryBudget(self.history_turns, self.history_tokens)


@dataclass(frozen=True, slots=True)
class PreparedAnswer:
    """One question, ready for the speaker, with the evidence and the history that the model reads.

    `prompt` is None if no model is needed: the evidence is too weak, or the answer is a quote.
    """

    evidence: Evidence
    history: list[Turn]
    prompt: PreparedPrompt | None


@dataclass(frozen=True)
class Answering:
    """Everything that one domain needs to answer questions.

    Attributes:
        condense_template, rewriter: rewrite follow-ups with the condense method `model`.
        count_tokens: number of tokens of a text, by the speaker's tokenizer or an approximation.
        scale: of the evidence score; None never refuses.
        notices: returns warnings about the domain, such as a template that was edited after training.
        examples: selects the worked examples nearest to a question, if the template has a place for them.
        summary_template: summarises the history; None uses the built-in English one.
        answered_by: returns what answers, as names and digests, so that a rating of an answer can be counted for it.
        refuses: whether a sentence of the model refuses, in words that may differ from the domain's refusal.
    """

    index: Index
    template: TemplateFile
    condense_template: TemplateFile
    speaker: Speaker
    rewriter: Speaker
    count_tokens: Callable[[str], int]
    scale: EvidenceScale | None
    settings: AnswerSettings
    notices: Callable[[], list[str]] = list
    examples: ExampleSelector = lambda question, count: ()
    summary_template: TemplateFile | None = None
    refuses: Callable[[str], bool] | None = None
    answered_by: Callable[[], Mapping[str, str]] = dict

    @cached_property
    def for_a_model(self) -> Answering:
        """The same with the form `generate`: its evidence is what a model reads; a quote is chosen from more."""
        if self.settings.form == "generate":
            return self
        return replace(self, settings=replace(self.settings, form="generate"))

    def query(self, question: str, history: Sequence[Turn], config: Mapping[str, Any] | None = None) -> str:
        """The search query: the question, or its standalone form if that retrieves better evidence.

        `config` is LangChain's, for a model that rewrites the question.
        """
        return self.queries([(question, history)], config)[0]

    def queries(
        self, questions: Sequence[tuple[str, Sequence[Turn]]], config: Mapping[str, Any] | None = None
    ) -> list[str]:
        """`query` for many questions, each with the conversation before it."""
        method = self.settings.condense
        if method == "off":
            return [question for question, _ in questions]
        queries = standalone_queries(self.index, questions, weights=self.settings.weights)
        if method == "model":
            for number, ((question, history), query) in enumerate(zip(questions, queries, strict=True)):
                if history and (query != question or leans_on_history(question)):
                    queries[number] = self._rewrite(question, history, config) or joined_query(question, history)
        return queries

    def _rewrite(self, question: str, history: Sequence[Turn], config: Mapping[str, Any] | None = None) -> str | None:
        prompt = self.condense_template.current().render({"history": self.recent(history), "question": question})
        prepared = self.rewriter.prepare(prompt)
        if config is None:
            return usable_rewrite(self.rewriter.reply_many([prepared])[0])
        # Streamed, so that the caller's callbacks see the model's run.
        return usable_rewrite("".join(self.rewriter.stream(prepared, config)))

    def evidence_many(self, queries: Sequence[str], questions: Sequence[str] | None = None) -> list[Evidence]:
        """Ranked passages for each query, within the evidence budget, with their score.

        `questions` are what was asked, if the queries may be `joined_query` of it; a scale with a model
        for follow-ups judges them too.
        """
        settings = self.settings
        count = max(settings.evidence_budget.passages, POOL)
        rankings = self.index.search_many(list(queries), count, weights=settings.weights)
        if self.scale is None:
            return [self._evidence(ranking, None) for ranking in rankings]
        own = [asked_alone(query, question) for query, question in zip(queries, questions or queries, strict=True)]
        scale = self.scale
        judged = self.index.judged(queries, rankings, own, vectors=scale.reads_vectors, quotes=scale.reads_quotes)
        return [self._evidence(one.ranked, one) for one in judged]

    def _evidence(self, ranked: Sequence[RankedPassage], judged: JudgedRanking | None) -> Evidence:
        budget = self.settings.evidence_budget
        passages = within_budget(ranked, budget, expanded=self.index.expanded, count_tokens=self.count_tokens)
        if self.scale is None or judged is None:
            return Evidence(passages, None, bool(ranked))
        return Evidence(passages, round(self.scale.score(judged), 4), self.scale.enough(judged))

    def prompt(self, question: str, history: Sequence[Turn], evidence: Evidence) -> RenderedPrompt:
        """Render the prompt. Evidence that is too weak is left out, so that the model cannot answer from it."""
        template = self.template.current()
        values: dict[str, object] = {"question": question, "history": self.recent(history)}
        if "context" in template.inputs:
            # The best passage comes last, next to the slot and the question, where small models use it best.
            ranked = reversed(evidence.passages) if evidence.enough else ()
            values["context"] = [passage_input(entry.passage) for entry in ranked]
        if template.examples is not None and template.chooses_examples:
            values["examples"] = select_examples(self.examples, template.examples, question, self.count_tokens)
        return template.render(values)

    def prepare(
        self, question: str, history: Sequence[Turn], evidence: Evidence, *, keep: str | None = None
    ) -> PreparedAnswer:
        """Render and tokenise the prompt, and shorten it until it fits.

        The oldest turns are dropped first, then the weakest passages, but never the one with the id `keep`. One passage
        always stays: the model raises an error if the question does not fit beside it.
        """
        history = self.recent(history)
        if not evidence.enough or self.settings.form == "quote":
            return PreparedAnswer(evidence, history, None)
        while True:
            prompt = self.speaker.prepare(self.prompt(question, history, evidence))
            if not prompt.fits and history:
                history = without_oldest_turn(history)
            elif not prompt.fits and len(evidence.passages) > 1:
                evidence = _without_weakest(evidence, keep)
            elif self.settings.form == "extract":
                return PreparedAnswer(evidence, history, replace(prompt, constraint=_excerpt_of(evidence)))
            else:
                return PreparedAnswer(evidence, history, prompt)

    def finish(
        self, question: str, history: Sequence[Turn], evidence: Evidence, reply: str, query: str = ""
    ) -> AnswerWriter:
        """The answer that is shown for a whole reply of the model; the refusal if the evidence is too weak."""
        writer = self.writer(question, history, evidence, query)
        writer.add(reply)
        writer.finish()
        return writer

    def writer(self, question: str, history: Sequence[Turn], evidence: Evidence, query: str = "") -> AnswerWriter:
        """What turns the model's reply to a question into the answer that is shown.

        `query` is the search query of the evidence; quotes are selected by it. Empty if it is the question.
        """
        if not evidence.enough:
            return RefusalWriter(self.settings.refusal)
        passages = [entry.passage for entry in evidence.passages]
        earlier = [turn.text for turn in history]
        settings = self.settings

        def supports(sentence: str) -> bool:
            return check_support(sentence, passages, question=question, earlier=earlier).supported

        def quotes() -> list[EvidenceSentence]:
            return self.quotes(question, evidence, query)

        return AnswerWriter(AnswerRules(settings.form, settings.unsupported, supports, self._refuses, quotes))

    def quotes(self, question: str, evidence: Evidence, query: str = "") -> list[EvidenceSentence]:
        """The evidence sentence that answers a question best, and others that score almost as high.

        `query` is the search query of the evidence.
        """
        selected = self.index.selector.select(question, self.quotable(evidence), search_query=query)
        close = [one for one in selected[: self.settings.quotes] if one.score > selected[0].score - CLOSE]
        return [with_introduced(one.sentence) for one in close]

    def quotable(self, evidence: Evidence) -> list[RankedPassage]:
        """The passages of the evidence, each with whole sentences."""
        texts: dict[str, str] = {}
        for name in {entry.passage.doc_id for entry in evidence.passages}:
            # A document may have left the index since it was searched; `cite` then reports it.
            with suppress(UnknownDocumentError):
                texts[name] = self.index.document(name).text
        return [
            replace(entry, passage=with_whole_sentences(entry.passage, texts.get(entry.passage.doc_id, "")))
            for entry in evidence.passages
        ]

    def _refuses(self, sentence: str) -> bool:
        if self.refuses is not None:
            return self.refuses(sentence)
        return sentence.strip() == self.settings.refusal.strip()

    def cite(self, question: str, answer: str, evidence: Evidence, quoted: Sequence[Citation] = ()) -> CheckedCitations:
        """The answer's citations, each checked against the stored text of its document.

        `quoted` has the citations of the quotes that the answer contains.
        """
        passages = [entry.passage for entry in evidence.passages]
        own_words = [
            citation
            for citation in cite(answer, passages, question=question)
            if not any(c.answer_start < citation.answer_end and citation.answer_start < c.answer_end for c in quoted)
        ]
        citations = sorted([*own_words, *quoted], key=lambda citation: citation.answer_start)
        return verify_citations(citations, self.index.document)

    def recent(self, history: Sequence[Turn]) -> list[Turn]:
        """The newest turns within the history budget."""
        return newest_turns(history, self.settings.history, self.count_tokens)


def _excerpt_of(evidence: Evidence) -> Constraint:
    """Consecutive sentences of one passage."""
    texts = []
    for entry in evidence.passages:
        text, chunks, position = entry.passage.text, [], 0
        for start, end in sentence_spans(text, entry.passage.markup):
            chunks += [text[position:start], text[start:end]]
            position = end
        texts.append([chunk for chunk in chunks if chunk])
    return Constraint.excerpt([chunks for chunks in texts if chunks])


def _without_weakest(evidence: Evidence, keep: str | None) -> Evidence:
    last = next(n for n in reversed(range(len(evidence.passages))) if evidence.passages[n].passage.id != keep)
    return replace(evidence, passages=(*evidence.passages[:last], *evidence.passages[last + 1 :]))
