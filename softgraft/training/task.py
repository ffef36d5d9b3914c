"""What a training run trains on, and how its replies are scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from chains import Answering, Evidence, LocalSpeaker, SoftPromptChat
from chains.answering.speaker import PreparedPrompt
from evaluation.items import Item
from evaluation.retrieval_scores import GoldSpans
from evaluation.systems import gold_evidence, question_and_history
from evaluation.text_scores import token_f1
from soft_prompt import TrainStep
from softgraft.settings.question_files import QuestionReport
from softgraft.training.attacks import TrainingAttacks
from softgraft.training.decision import DevComparison, MajorityComparison

OBJECTIVE = "cross entropy of the response, evidence as retrieved"


# Why a question does not reach the model. The first is as it should be.
Reason = Literal[
    "unanswerable, refused",
    "score below the threshold, passage with the answer found",
    "score below the threshold, passage with the answer not found",
    "score below the threshold, no doc_id to tell whether the passage was found",
    "no answer and no response to learn",
]


UNTAUGHT: Reason = "no answer and no response to learn"


@dataclass(frozen=True, slots=True)
class TrainReport:
    """How a training run ended.

    Attributes:
        kept: whether the soft prompt beat its text twin on dev by `metric`, so that the domain uses it from now on.
        length: positions of the soft prompt.
        layers: number of last layers that were trained; None for all.
        withheld: number of train questions that do not reach the model, because the evidence score refuses them.
        train_withheld, dev_withheld: the same by reason, for train and dev.
        without_document: number of answerable train questions that name no document of the index.
        dev_questions: number of dev questions that reach the model.
        dev_f1, dev_f1_text_twin: mean token F1 on dev, 0 to 1.
        dev_loss, dev_loss_text_twin: nats per answer token on dev.
        best_epoch: the epoch whose vectors were kept.
        steps: number of optimiser steps.
        micro_batch: number of examples that ran at once in each of the `processes`.
        metric: name of the score that decides on dev, of which `dev_score` and `dev_score_text_twin` are the means.
        comparison: soft prompt against text twin on dev; None if this run did not make the replies of the text twin.
        start: the source graft that training started from; empty for the text twin.
        dev_score_start: its mean score on dev; None for the text twin.
        method: how it was trained; with `replayed`, the number of questions of the source domains, and, if these were
            weighted, how many equally weighted ones would have the same variance.
        taught: number of train and dev questions whose answers are the teacher's, since they had none.
        attack_share: share of the train questions whose evidence had an instruction inserted; None if none had.
        sourced, unlabelled: for `adversarial`: number of labelled examples of other domains, and of unlabelled texts.
        domain_accuracy: for `adversarial`: mean accuracy of the domain classifier in the last steps; every domain has
            the same weight.
        majority: the soft prompt beside the most frequent answer; None unless the answers are from a closed set.
        form: the form of the answers that was chosen on dev; None if nothing was kept, or domain.yaml sets a form.
        form_scores: what each form scored there by `form_metric`, the best first.
        questions: a report on each question file.
        next_steps: what to try next, the most promising first.
    """

    domain: str
    kept: bool
    kind: str
    length: int
    adapter: str | None
    adapter_rank: int
    layers: int | None
    examples: int
    withheld: int
    dev_questions: int
    dev_f1: float
    dev_f1_text_twin: float
    dev_loss: float
    dev_loss_text_twin: float
    best_epoch: int
    epochs: int
    seconds: float
    resumed: bool
    micro_batch: int
    processes: int
    folder: str
    metric: str
    dev_score: float
    dev_score_text_twin: float
    steps: int = 0
    train_withheld: Mapping[Reason, int] = field(default_factory=dict)
    dev_withheld: Mapping[Reason, int] = field(default_factory=dict)
    without_document: int = 0
    comparison: DevComparison | None = None
    majority: MajorityComparison | None = None
    form: str | None = None
    form_metric: str = ""
    form_scores: Mapping[str, float] = field(default_factory=dict)
    start: str = ""
    dev_score_start: float | None = None
    method: str = "plain"
    replayed: int = 0
    effective_replayed: float | None = None
    taught: int = 0
    attack_share: float | None = None
    sourced: int = 0
    unlabelled: int = 0
    domain_accuracy: float | None = None
    questions: tuple[QuestionReport, ...] = ()
    next_steps: tuple[str, ...] = ()


OnStep = Callable[[TrainStep], None]
OnScore = Callable[[str, int, int], None]
# Questions or texts as the model reads them, each with the item that it comes from.
Prompted = list[tuple[PreparedPrompt, Item]]
# Number of items that the model does not read, by reason.
Withheld = Mapping[Reason, int]


class TrainingTask(Protocol):
    """A domain's task, as a training run sees it.

    Attributes:
        objective: what is trained, in words.
        metric: name of the score that decides on dev.
        answers_questions: False for tasks that work on texts.
    """

    objective: str
    metric: str
    answers_questions: bool = False

    def prompted(self, items: Sequence[Item], *, teach: bool) -> tuple[Prompted, Withheld]:
        """The prompts of items, and the number of items without one, by reason.

        `teach` is for training: the answer is added to the evidence if retrieval missed it.
        """

    def replies(self, chat: SoftPromptChat, examples: Prompted, report: Callable[[int, int], None]) -> list[str]:
        """The replies with the chat model's slots filled as they are."""
        prompts = [prompt for prompt, _ in examples]
        replies = LocalSpeaker(chat).reply_many(prompts, on_reply=lambda done: report(done, len(examples)))
        return [reply.strip() for reply in replies]

    def score(self, reply: str, item: Item) -> float:
        """The score of one reply by the metric that decides."""

    def with_gold(self, items: Sequence[Item]) -> list[PreparedPrompt | None]:
        """The items with the passages that hold their answers as the only evidence; None where these are not known."""
        return [None] * len(items)

    def unanswered(self, items: Sequence[Item]) -> list[PreparedPrompt | None]:
        """Questions without an answer, as a teacher reads them; None for those whose evidence is too weak."""
        return [None] * len(items)

    def refuses(self, reply: str) -> bool:
        """Whether a teacher's reply refuses to answer."""
        return False

    def finished(self, report: TrainReport) -> None:
        """Called once, in the main process, when a run has ended."""
        return


class ChatTraining(TrainingTask):
    """Training on questions whose evidence is retrieved as when they are answered."""

    objective = OBJECTIVE
    metric = "token F1"
    answers_questions = True

    def __init__(self, answering: Answering, attacks: TrainingAttacks | None = None) -> None:
        self.attacks = attacks
        # Whatever the form of the answers, what is trained are the model's own words.
        self.answering = replace(answering, settings=replace(answering.settings, form="generate"))

    def prompted(self, items: Sequence[Item], *, teach: bool) -> tuple[Prompted, Withheld]:
        """Where retrieval missed the answer, teaching adds the passage that holds it.

        A prompt that is taught to answer without its answer learns to invent. Attacks are inserted in what is taught
        alone: dev measures normal answers.
        """
        answering, chosen = self.answering, with_target(items)
        asked = [question_and_history(item) for item in chosen]
        evidence = answering.evidence_many(answering.queries(asked), [question for question, _ in asked])
        keep: list[str | None] = [None] * len(chosen)
        gold = GoldSpans(answering.index)
        if teach:
            known = gold_evidence(answering, chosen, gold)
            for n, item in enumerate(chosen):
                evidence[n], keep[n] = _with_gold(evidence[n], known[n], item, gold, answering.settings.passages)
            if self.attacks is not None:
                evidence = self.attacks.insert(evidence)
        prepared = [answering.prepare(*asked[n], evidence[n], keep=keep[n]) for n in range(len(chosen))]
        withheld: Counter[Reason] = Counter()
        if untaught := len(items) - len(chosen):
            withheld[UNTAUGHT] = untaught
        examples: Prompted = []
        for one, item in zip(prepared, chosen, strict=True):
            if one.prompt is None:
                withheld[_reason(item, one.evidence, gold)] += 1
            else:
                examples.append((one.prompt, item))
        return examples, dict(withheld)

    def with_gold(self, items: Sequence[Item]) -> list[PreparedPrompt | None]:
        known = gold_evidence(self.answering, items, GoldSpans(self.answering.index))
        asked = [question_and_history(item) for item in items]
        return [
            self.answering.prepare(*of, evidence).prompt if evidence.enough else None
            for of, evidence in zip(asked, known, strict=True)
        ]

    def unanswered(self, items: Sequence[Item]) -> list[PreparedPrompt | None]:
        answering = self.answering
        asked = [question_and_history(item) for item in items]
        evidence = answering.evidence_many(answering.queries(asked), [question for question, _ in asked])
        found = [answering.prepare(*of, one).prompt for of, one in zip(asked, evidence, strict=True)]
        # A question whose document is known is answered from it.
        return [gold or prompt for gold, prompt in zip(self.with_gold(items), found, strict=True)]

    def refuses(self, reply: str) -> bool:
        check = self.answering.refuses
        return check(reply) if check is not None else reply == self.answering.settings.refusal

    def score(self, reply: str, item: Item) -> float:
        return token_f1(reply, item.references)


def with_target(items: Sequence[Item]) -> list[Item]:
    """The items that have a reply to learn."""
    return [item for item in items if item.target]


def _reason(item: Item, evidence: Evidence, gold: GoldSpans) -> Reason:
    """Why the evidence score refuses a question."""
    if not item.answerable:
        return "unanswerable, refused"
    if not item.documents:
        return "score below the threshold, no doc_id to tell whether the passage was found"
    if any(gold.passage_overlaps(item, entry.passage) for entry in evidence.passages):
        return "score below the threshold, passage with the answer found"
    return "score below the threshold, passage with the answer not found"


def _with_gold(
    evidence: Evidence, known: Evidence, item: Item, gold: GoldSpans, passages: int
) -> tuple[Evidence, str | None]:
    """Evidence in which an answerable question finds its answer, and the id of the passage that was added for it.

    The passage comes last or, if there are as many passages as the model may be given, replaces the weakest.
    """
    if not known.enough or any(gold.passage_overlaps(item, entry.passage) for entry in evidence.passages):
        return evidence, None
    answer = known.passages[0]
    return replace(evidence, passages=(*evidence.passages[: passages - 1], answer), enough=True), answer.passage.id
