"""From questions to tokenised prompts, and from answers to citations: the same code for the graph and evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from chains.answering.citations import CheckedCitations, cite, verify_citations
from chains.answering.condense import CondenseMethod, joined_query, leans_on_history, standalone_queries, usable_rewrite
from chains.answering.evidence import Evidence, passage_input
from chains.answering.examples import ExampleSelector, select_examples
from chains.answering.history import HistoryBudget, Overflow, newest_turns, without_oldest_turn
from chains.answering.speaker import PreparedPrompt, Speaker
from prompts import RenderedPrompt, TemplateFile, Turn
from retrieval import Index, RankedPassage
from retrieval.ranking.evidence_budget import EvidenceBudget, within_budget
from retrieval.ranking.evidence_score import EvidenceScale

# The evidence score uses this many passages, even if the model reads fewer.
SCORED_PASSAGES = 4


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

    @property
    def evidence_budget(self) -> EvidenceBudget:
        return EvidenceBudget(self.passages, self.margin, self.evidence_tokens, self.neighbours)

    @property
    def history(self) -> HistoryBudget:
        return HistoryBudget(self.history_turns, self.history_tokens)


@dataclass(frozen=True, slots=True)
class PreparedAnswer:
    """One question, ready for the speaker, with the evidence and the history that the model reads.

    `prompt` is None if the evidence is too weak, so that the question is refused.
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

    def query(self, question: str, history: Sequence[Turn]) -> str:
        """The search query: the question, or its standalone form if that retrieves better evidence."""
        return self.queries([(question, history)])[0]

    def queries(self, questions: Sequence[tuple[str, Sequence[Turn]]]) -> list[str]:
        """`query` for many questions, each with the conversation before it."""
        method = self.settings.condense
        if method == "off":
            return [question for question, _ in questions]
        queries = standalone_queries(self.index, questions, weights=self.settings.weights)
        if method == "model":
            for number, ((question, history), query) in enumerate(zip(questions, queries, strict=True)):
                if history and (query != question or leans_on_history(question)):
                    queries[number] = self._rewrite(question, history) or joined_query(question, history)
        return queries

    def _rewrite(self, question: str, history: Sequence[Turn]) -> str | None:
        prompt = self.condense_template.current().render({"history": self.recent(history), "question": question})
        return usable_rewrite(self.rewriter.reply_many([self.rewriter.prepare(prompt)])[0])

    def evidence_many(self, queries: Sequence[str]) -> list[Evidence]:
        """Ranked passages for each query, within the evidence budget, with their score."""
        settings = self.settings
        depth = max(settings.passages, SCORED_PASSAGES)
        rankings = self.index.search_many(list(queries), depth, weights=settings.weights)
        return [self._evidence(ranking) for ranking in rankings]

    def _evidence(self, ranked: Sequence[RankedPassage]) -> Evidence:
        budget = self.settings.evidence_budget
        passages = within_budget(ranked, budget, expanded=self.index.expanded, count_tokens=self.count_tokens)
        if self.scale is None:
            return Evidence(passages, None, bool(ranked))
        head = ranked[:SCORED_PASSAGES]
        return Evidence(passages, round(self.scale.score(head), 4), self.scale.enough(head))

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
        if not evidence.enough:
            return PreparedAnswer(evidence, history, None)
        while True:
            prompt = self.speaker.prepare(self.prompt(question, history, evidence))
            if not prompt.fits and history:
                history = without_oldest_turn(history)
            elif not prompt.fits and len(evidence.passages) > 1:
                evidence = _without_weakest(evidence, keep)
            else:
                return PreparedAnswer(evidence, history, prompt)

    def cite(self, question: str, answer: str, evidence: Evidence) -> CheckedCitations:
        """The answer's citations, each checked against the stored text of its document."""
        passages = [entry.passage for entry in evidence.passages]
        return verify_citations(cite(answer, passages, question=question), self.index.document)

    def recent(self, history: Sequence[Turn]) -> list[Turn]:
        """The newest turns within the history budget."""
        return newest_turns(history, self.settings.history, self.count_tokens)


def _without_weakest(evidence: Evidence, keep: str | None) -> Evidence:
    last = next(n for n in reversed(range(len(evidence.passages))) if evidence.passages[n].passage.id != keep)
    return replace(evidence, passages=(*evidence.passages[:last], *evidence.passages[last + 1 :]))
