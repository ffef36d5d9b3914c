"""The steps from a question to what the model reads, for one question or many.

The graph calls them one question at a time and evaluation in batches; both go through the same code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from chains.answering.citations import Cited, cite, verified
from chains.answering.condense import Way, joined_query, leans_on_history, standalone_queries, usable_rewrite
from chains.answering.evidence import Evidence, passage_input
from chains.answering.examples import Nearest, chosen_examples, no_examples
from chains.answering.history import Budget, Overflow, newest, without_oldest
from chains.answering.speaker import PreparedPrompt, Speaker
from prompts import RenderedPrompt, TemplateFile, Turn
from retrieval import Index, RankedPassage
from retrieval.ranking.evidence_budget import EvidenceBudget, within_budget
from retrieval.ranking.evidence_score import EvidenceScale

# The evidence score looks at so many passages, however few of them the model is given.
JUDGED = 4


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    """How questions are turned into prompts.

    Attributes:
        passages: give the model at most so many.
        margin: and none whose score is so far below the best one's.
        evidence_tokens: and at most so many tokens of them; the best passage always counts.
        history_turns: exchanges of the conversation that the model reads.
        history_tokens: and at most so many tokens of them.
        history_overflow: whether what is beyond that is dropped, the oldest first, or summed up.
        condense: how a follow-up becomes a query.
        weights: of the dense and the BM25 ranking.
        neighbours: each passage takes in so many of those beside it, on either side.
        refusal: said when nothing in the documents fits.
    """

    passages: int = 4
    margin: float = math.inf
    evidence_tokens: int = 320
    history_turns: int = 3
    history_tokens: int = 512
    history_overflow: Overflow = "drop"
    condense: Way = "join"
    weights: tuple[float, float] = (1.0, 0.5)
    neighbours: int = 0
    refusal: str = "I do not have information about that."

    @property
    def evidence_budget(self) -> EvidenceBudget:
        """Limits on the evidence that the model reads."""
        return EvidenceBudget(self.passages, self.margin, self.evidence_tokens, self.neighbours)

    @property
    def history(self) -> Budget:
        """What the model reads of the conversation at most."""
        return Budget(self.history_turns, self.history_tokens)


@dataclass(frozen=True, slots=True)
class PreparedAnswer:
    """One question, ready for the speaker.

    Attributes:
        evidence: the passages that the model reads.
        turns: the turns of the conversation that it reads.
        prompt: the tokenised prompt; None if the evidence is too weak, so that the question is refused.
    """

    evidence: Evidence
    turns: list[Turn]
    prompt: PreparedPrompt | None


@dataclass(frozen=True)
class Answering:
    """Everything that one domain answers with.

    Attributes:
        index: the domain's passages.
        template: of the answer; `condense_template` rewrites follow-ups and `summary_template` sums up the history
            where the settings say so; without one it is the English one of the project.
        speaker: words the answers; `rewriter` rewrites follow-ups.
        count_tokens: in the speaker's own tokens, as near as is known.
        scale: of the evidence score; None never refuses.
        notices: what the caller should know about this domain, such as a template edited after training.
        examples: gives the worked examples nearest to a question, so many at most, the nearest first; asked only where
            the template chooses some.
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
    examples: Nearest = no_examples
    summary_template: TemplateFile | None = None

    def query(self, question: str, turns: Sequence[Turn]) -> str:
        """What is searched for: the question, or its standalone form where that finds better evidence."""
        return self.queries([(question, turns)])[0]

    def queries(self, asked: Sequence[tuple[str, Sequence[Turn]]]) -> list[str]:
        """`query` for many questions, each with the conversation before it."""
        way, weights = self.settings.condense, self.settings.weights
        if way == "off":
            return [question for question, _ in asked]
        found = standalone_queries(self.index, asked, weights=weights)
        if way == "model":
            for number, ((question, turns), query) in enumerate(zip(asked, found, strict=True)):
                if turns and (query != question or leans_on_history(question)):
                    found[number] = self._rewritten(question, turns) or joined_query(question, turns)
        return found

    def _rewritten(self, question: str, turns: Sequence[Turn]) -> str | None:
        prompt = self.condense_template.current().render({"history": self.recent(turns), "question": question})
        return usable_rewrite(self.rewriter.reply_many([self.rewriter.prepare(prompt)])[0])

    def evidence_many(self, queries: Sequence[str]) -> list[Evidence]:
        """Ranked passages for each query, cut to the token budget, with their score."""
        settings = self.settings
        depth = max(settings.passages, JUDGED)
        found = self.index.search_many(list(queries), depth, weights=settings.weights)
        return [self.judge(ranked) for ranked in found]

    def judge(self, ranked: Sequence[RankedPassage]) -> Evidence:
        """Score the head of a ranking, and cut it to the evidence budget."""
        budget = self.settings.evidence_budget
        shown = within_budget(ranked, budget, expanded=self.index.expanded, count_tokens=self.count_tokens)
        if self.scale is None:
            return Evidence(shown, None, bool(ranked))
        head = ranked[:JUDGED]
        return Evidence(shown, round(self.scale.score(head), 4), self.scale.enough(head))

    def prompt(self, question: str, turns: Sequence[Turn], evidence: Evidence) -> RenderedPrompt:
        """What the model reads. Evidence that is too weak is withheld, so that it cannot be mistaken for an answer."""
        template = self.template.current()
        values: dict[str, object] = {"question": question, "history": self.recent(turns)}
        if "context" in template.inputs:
            # The best passage stands last, nearest to the slot and the question, where a small model reads it best.
            given = reversed(evidence.passages) if evidence.enough else ()
            values["context"] = [passage_input(entry.passage) for entry in given]
        if template.examples is not None and template.chooses_examples:
            values["examples"] = chosen_examples(self.examples, template.examples, question, self.count_tokens)
        return template.render(values)

    def prepare(
        self, question: str, turns: Sequence[Turn], evidence: Evidence, *, keep: str | None = None
    ) -> PreparedAnswer:
        """Render and tokenise what the model reads, once, and shorten it if it does not fit.

        The oldest turns go first, then the weakest passages. One passage always stays: a question that does not fit
        beside it is refused by the model.

        Args:
            question: the question, as the user asked it.
            turns: the conversation before it; turns beyond the history budget are left out.
            evidence: the evidence; if it is not enough, nothing is prepared.
            keep: id of a passage that always stays.
        """
        turns = self.recent(turns)
        if not evidence.enough:
            return PreparedAnswer(evidence, turns, None)
        while True:
            prompt = self.speaker.prepare(self.prompt(question, turns, evidence))
            if not prompt.fits and turns:
                turns = without_oldest(turns)
            elif not prompt.fits and len(evidence.passages) > 1:
                evidence = _without_weakest(evidence, keep)
            else:
                return PreparedAnswer(evidence, turns, prompt)

    def cited(self, question: str, answer: str, evidence: Evidence) -> Cited:
        """The answer's citations, each with a quote that stands in the index's stored text of its document."""
        passages = [entry.passage for entry in evidence.passages]
        return verified(cite(answer, passages, question=question), self.index.document)

    def recent(self, turns: Sequence[Turn]) -> list[Turn]:
        """The last exchanges that the model still reads."""
        return newest(turns, self.settings.history, self.count_tokens)


def _without_weakest(evidence: Evidence, keep: str | None) -> Evidence:
    last = next(n for n in reversed(range(len(evidence.passages))) if evidence.passages[n].passage.id != keep)
    return replace(evidence, passages=(*evidence.passages[:last], *evidence.passages[last + 1 :]))
