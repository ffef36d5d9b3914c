"""A domain, opened for use: ingest, train, evaluate, and the chain that answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, cast

from chains import Conversations, DomainChain, DomainRetriever, LocalSpeaker, RemoteSpeaker
from chains.speakers.speakers import ChatModel
from evaluation import Report, System, TaskReport, evaluate
from evaluation.items import Item, spread
from evaluation.questions.closed_answers import closed_answers
from evaluation.rows import split_file
from retrieval import IngestProgress, IngestReport, ingest, plan_ingest
from retrieval.ranking.evidence_score import EvidenceScale
from retrieval.store.faiss_record import IndexChoice
from soft_prompt import SoftPrompt
from softgraft.assembly.answer_form import CANDIDATES, FORM, ChosenForm, choose_form, save_form
from softgraft.assembly.answers import Graft, answer_settings
from softgraft.assembly.evaluation import MAJORITY, SOURCE, held_out, system_names, write_report
from softgraft.assembly.parts import DomainParts
from softgraft.assembly.passage_cache import WarmReport, warm_passages
from softgraft.assembly.status import domain_status
from softgraft.assembly.teacher import named_teacher
from softgraft.errors import UsageError
from softgraft.settings.domain_file import MEMORY, TrainSettings, read_domain_file
from softgraft.settings.question_files import SPLITS, QuestionReport, SplitItems, SplitName, has_split, read_questions
from softgraft.sources.shelf import Source
from softgraft.sources.start import unlike
from softgraft.tasks.adversarial_texts import adversarial_texts
from softgraft.tasks.evaluation import evaluate_task
from softgraft.tasks.training import TaskTraining
from softgraft.tasks.work import TaskWork
from softgraft.training.advice import next_steps
from softgraft.training.attacks import training_attacks
from softgraft.training.grafting import Grafting
from softgraft.training.methods import MethodSources, methods_of, replayed_domains, require_method, sources_like
from softgraft.training.refusal_fit import fit_refusals
from softgraft.training.retrieval_fit import fit_evidence, fit_weights
from softgraft.training.start_choice import choose_start
from softgraft.training.task import ChatTraining, OnScore, OnStep, Prompted, TrainingTask, TrainReport

# More dev questions hardly change which form of answers is chosen.
MAX_FORM_QUESTIONS = 100


@dataclass(frozen=True)
class Ingested:
    """What an ingest did.

    Attributes:
        scale: the evidence scale: fitted to the questions if there are enough, else the default one.
        questions: a report on each question file.
    """

    report: IngestReport
    scale: EvidenceScale
    questions: tuple[QuestionReport, ...] = ()


class Domain(DomainParts):
    """One domain on its backbone. `softgraft.open_domain` opens one; models load on first use."""

    def items(self, split: SplitName) -> list[Item]:
        """The questions of a split, or the examples of a task."""
        return self.work.items(split) if self.file.text_task is not None else self.questions(split).items

    def questions(self, split: SplitName) -> SplitItems:
        """The questions of a split, with columns that are not used, and documents and quotes that do not exist."""
        return read_questions(self.folder, split, self.build)

    def question_reports(self) -> tuple[QuestionReport, ...]:
        """A report on each file of questions or examples."""
        read = self.questions if self.file.text_task is None else self.work.split
        return tuple(read(split).report for split in SPLITS if has_split(self.folder, split))

    # What it does

    @cached_property
    def chain(self) -> DomainChain:
        """The chain: `chain.invoke({"question": "..."}, config={"configurable": {"thread_id": "42"}})`."""
        return DomainChain(self.answering(self.graft), self.build / MEMORY)

    @property
    def chat_model(self) -> ChatModel:
        """The LangChain chat model of the chain, with the domain's graft; see docs/citations.md for its use in agents.

        A local backbone is a `SoftPromptChat` that fills the domain's soft slots. A model behind an API takes no
        vectors: `GraftMiddleware` and the chain give it the text twin.
        """
        speaker = self.chain.answering.speaker
        # A domain that quotes makes its speaker on first use.
        return cast(LocalSpeaker | RemoteSpeaker, getattr(speaker, "speaker", speaker)).chat

    @cached_property
    def conversations(self) -> Conversations:
        """The stored conversations; unlike the chain they need no model."""
        return Conversations(self.build / MEMORY)

    @property
    def retriever(self) -> DomainRetriever:
        """The domain's index as a LangChain retriever, with the passages, weights and neighbours of its answers."""
        s = answer_settings(self.file, self.build)
        return DomainRetriever(index=self.index, k=s.passages, weights=s.weights, neighbours=s.neighbours)

    @cached_property
    def work(self) -> TaskWork:
        """The task of a domain that is not a conversation."""
        return TaskWork(self)

    def classify(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Label texts: for each its `text`, `label` and `probabilities`, the likeliest label first.

        Raises:
            UsageError: if the domain has another task.
            InputError: if a text is empty.
        """
        if self.file.task != "classification":
            raise UsageError(
                found=f"the task of {self.cli_name} is {self.file.task}",
                expected="classification",
                next_step="make a domain of that task: softgraft new NAME --from FOLDER --task classification",
            )
        return self.work.run(texts)

    def ingest(
        self, *, index: IndexChoice | None = None, on_progress: Callable[[IngestProgress], None] | None = None
    ) -> Ingested:
        """Update the index to the documents, then fit retrieval to the questions, if there are any.

        Two things are fitted: the weights of the two rankings, unless domain.yaml sets them, and the evidence scale.

        Args:
            index: kind of FAISS index from now on, instead of the one in domain.yaml.
            on_progress: called as files are read, passages embedded and questions searched for.

        Raises:
            NoDocumentsError: if docs/ holds nothing readable; the index stays as it was.
        """
        report = self._read_documents(partial(ingest, index=index or self.file.retrieval.index), on_progress)
        self.forget("index", "examples", "chain")
        train, dev = self._items_if_any("train"), self._items_if_any("dev")
        report_progress = on_progress or (lambda _: None)

        def on_fit(done: int, total: int) -> None:
            report_progress(IngestProgress("scoring", done, total))

        fit_weights(self.file, self.build, self.index, [*train, *dev], on_fit)
        scale = fit_evidence(self.build, self.index, answer_settings(self.file, self.build), train, dev, on_fit)
        fit_refusals(self.build, self.encoder, train)
        return Ingested(report, scale, self.question_reports())

    def plan_ingest(self, *, on_progress: Callable[[IngestProgress], None] | None = None) -> IngestReport:
        """Report what `ingest` would do; nothing is embedded or written."""
        return self._read_documents(plan_ingest, on_progress)

    def warm(self, *, on_progress: Callable[[int, int], None] | None = None) -> WarmReport:
        """Compute the keys and values of all passages before any question, and store them in build/passages."""
        trained = self.manifest
        attention = trained.attention if trained else self.file.attention
        return warm_passages(self.store, self.index, self.template.current(), attention, on_progress)

    def train(
        self,
        *,
        limit: int | None = None,
        dev_limit: int | None = None,
        settings: TrainSettings | None = None,
        on_step: OnStep | None = None,
        on_score: OnScore | None = None,
    ) -> TrainReport:
        """Train the soft prompt; it is kept if it beats its start and its text twin on dev. Then choose the form of the
        answers.

        Args:
            limit: maximum number of train questions, spread over the file; None uses all.
            dev_limit: the same for dev.
            settings: used instead of those in domain.yaml.
            on_step: called after each training step.
            on_score: called as dev questions are answered.

        Raises:
            TrainingError: if there is nothing to train on, or the loss diverged.
        """
        # First, because it refuses a model behind an API.
        grafting = self.grafting(settings, start=False)
        require_method(grafting.settings.method, methods_of(self.file.task), self.cli_name)
        train, dev = spread(self.items("train"), limit), spread(self.items("dev"), dev_limit)
        choose_start(grafting, self.file, self.build, dev, on_score=on_score)
        grafting = replace(grafting, source=self._source_for(grafting.settings))
        report = grafting.run(train, dev, on_step=on_step, on_score=on_score)
        self.forget("chain", "work")
        if report.kept and self.file.text_task is None and self.file.answer.form == "auto":
            chosen = self.choose_form(dev, on_score)
            if chosen is not None:
                report = replace(report, form=chosen.form, form_metric=chosen.metric, form_scores=chosen.ranked())
        advice = next_steps(report, grafting.settings, self.cli_name, answers_questions=self.file.text_task is None)
        return replace(report, questions=self.question_reports(), next_steps=tuple(advice))

    def choose_form(self, dev: Sequence[Item], on_score: OnScore | None = None) -> ChosenForm | None:
        """Answer dev questions with the trained soft prompt in each form, and store the best form for `form: auto`.

        None if no dev question has an answer.
        """
        report, manifest = on_score or (lambda *_: None), self.manifest
        assert manifest is not None
        asked = spread([item for item in dev if item.answerable], MAX_FORM_QUESTIONS)
        if not asked:
            return None
        settings = answer_settings(self.file, self.build)
        soft = self.answering("soft", form="generate")
        systems = [
            System(form, replace(soft, settings=replace(settings, form=form)), "retrieved", "soft")
            for form in CANDIDATES
        ]
        _, answers = evaluate(asked, systems, None, {}, on_progress=lambda name, *done: report(f"as {name}", *done))
        by_form = {system.name: one for system, one in zip(systems, answers, strict=True)}
        chosen = choose_form(cast(Any, by_form), manifest.vectors_sha256)
        save_form(chosen, self.build / FORM)
        return chosen

    def evaluate(
        self,
        *,
        split: Literal["dev", "test"] = "test",
        limit: int | None = None,
        systems: Sequence[str] | None = None,
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> Report:
        """Compare the systems on held-out questions; the report and every reply are written to build/reports/.

        Args:
            split: which questions.
            limit: maximum number of questions, spread over the file; None takes all.
            systems: names of the systems to compare; None compares all that this domain has.
            on_progress: called with the system's name, the number of finished answers and of all.

        Raises:
            UsageError: if the domain has another task, there are no questions, or a system is unknown or not trained.
        """
        if self.file.text_task is not None:
            raise UsageError(
                found=f"the task of {self.cli_name} is {self.file.task}, which has a report of its own",
                expected="a domain that answers questions",
                next_step=f"softgraft eval {self.cli_name}; in Python, domain.evaluate_task()",
            )
        items = held_out(self.items(split), limit, split_file(self.folder, split))
        train = self._items_if_any("train")
        closed = closed_answers(train)
        trained, source = self.graft == "soft", self.source is not None
        names = system_names(systems, trained=trained, cli_name=self.cli_name, closed=closed is not None, source=source)
        compared = [self.system(name) for name in names if name != MAJORITY]
        majority = closed.majority if closed is not None and MAJORITY in names else None
        judge = fit_refusals(self.build, self.encoder, train)
        config = self.evaluation_config(split, items)
        report, answers = evaluate(items, compared, judge, config, majority=majority, on_progress=on_progress)
        replies = (
            {**asdict(answer), "item": answer.item.id, "system": system.system}
            for system in answers
            for answer in system.answers
        )
        write_report(self.build, split, report.as_json(), replies)
        return report

    def evaluate_task(
        self,
        *,
        split: Literal["dev", "test"] = "test",
        limit: int | None = None,
        systems: Sequence[str] | None = None,
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> TaskReport:
        """Compare the systems on held-out examples of a task other than chat; see `evaluate`."""
        return evaluate_task(self.work, split=split, limit=limit, systems=systems, on_progress=on_progress)

    def status(self) -> dict[str, Any]:
        """What exists and what is missing, as plain data; loads no model."""
        return domain_status(self.folder, self.build, self.file, self.cli_name, self.notices, lambda: self.source)

    def close(self) -> None:
        """Close files and release models."""
        for name in ("chain", "conversations", "index", "store"):
            if name in self.__dict__:
                self.__dict__[name].close()
        self.forget("chain", "conversations", "index", "store", "examples", "encoder", "work")

    # How it is put together

    def grafting(self, settings: TrainSettings | None = None, *, start: bool = True) -> Grafting:
        """A training run, with these settings or those in domain.yaml; from the text twin if `start` is False."""
        chat, settings = self.chat("text-twin"), settings or self.file.train
        if settings.attack_share is not None and self.file.text_task is not None:
            raise UsageError(
                found=f"attack_share with the task {self.file.text_task} of {self.cli_name}",
                expected="attacks in the evidence of questions, with `task: chat` or `extractive-qa`",
                next_step="leave out `train.attack_share` in domain.yaml, or --attack-share",
            )
        task: TrainingTask = (
            ChatTraining(
                self.answering("text-twin", form="generate", speaker=LocalSpeaker(chat)),
                training_attacks(settings, self.folder),
            )
            if self.file.text_task is None
            else TaskTraining(self.work)
        )
        return Grafting(
            self.file.name,
            task,
            self.template,
            chat,
            settings,
            self.file.attention,
            self.build,
            source=self._source_for(settings) if start else None,
            licence=self.file.licence,
            method_sources=MethodSources(
                partial(self._replayed, settings),
                partial(self._mixed, settings),
                lambda: named_teacher(self.file, settings, self.template, self.build, self.store.backbone),
                lambda: adversarial_texts(self.work, settings),
            ),
        )

    def _replayed(self, settings: TrainSettings, count: int) -> Prompted:
        """About this many train examples of the domains that the settings replay, with evidence of their own."""
        examples: Prompted = []
        folders, own = replayed_domains(settings, self.source), self.template.current()
        for folder in folders:
            with closing(open_domain(folder)) as domain:
                if domain.template.current().content_hash != own.content_hash:
                    raise UsageError(
                        found=f"{domain.cli_name} has another template than {self.cli_name}",
                        expected="one template in all domains that are trained on",
                        next_step=f"softgraft train {self.cli_name} --method {settings.method} --replay-from OTHERS",
                    )
                if domain.file.encoder == self.file.encoder:
                    domain.encoder = self.encoder
                items = spread(domain.items("train"), math.ceil(count / len(folders)))
                examples += domain.grafting(start=False).training_set(items, ()).train
        return examples

    def _mixed(self, settings: TrainSettings) -> list[SoftPrompt]:
        """The soft prompts of all sources that fit."""
        found = sources_like(self.file, self.template.current(), settings, self.store.backbone)
        return [soft_prompt for _, soft_prompt in found]

    def _source_for(self, settings: TrainSettings) -> Source | None:
        """The source that training with these settings starts from; None for the text twin.

        Raises:
            UsageError: if domain.yaml names a source that the settings cannot continue.
        """
        source = self.source
        problems = [] if source is None else unlike(source.manifest, settings)
        if problems and self.file.start != "auto":
            raise UsageError(
                found=f"`start: {self.file.start}` with {', '.join(problems)}",
                expected="the settings of the source, which training continues",
                next_step="change them under `train:`, or set `start: text-twin` in domain.yaml",
            )
        return None if problems else source

    def _items_if_any(self, split: SplitName) -> list[Item]:
        return self.items(split) if has_split(self.folder, split) else []

    def _read_documents(
        self, work: Callable[..., IngestReport], on_progress: Callable[[IngestProgress], None] | None
    ) -> IngestReport:
        given = {"max_tokens": self.file.retrieval.passage_tokens, **self.file.ingest.arguments()}
        return work(self.docs, self.build / "index", self.encoder, **given, progress=on_progress)

    def system(self, name: str) -> System:
        """One of the systems that `evaluate` compares, by a name that this domain has."""
        if name == "base":
            closed = self.template_file(self.file.closed_book_template)
            return System(name, self.answering("empty", closed, form="generate"), "none")
        if name == "quote":
            return System(name, self.answering("text-twin", form="quote"), "retrieved")
        if name == "auto":
            return System(name, self.answering(self.graft), "retrieved", self.graft)
        graft = cast(Graft, {"template": "empty", "text-twin": "text-twin", SOURCE: "source"}.get(name, "soft"))
        evidence: Literal["gold", "retrieved"] = "gold" if name == "soft-gold" else "retrieved"
        return System(name, self.answering(graft, form="generate"), evidence, graft)


def open_domain(path: str | Path, *, build: str | Path | None = None) -> Domain:
    """Open a domain by the path of its folder; everything generated goes to `build`, by default a folder in it.

    Raises:
        DomainError: if there is no such domain, or its domain.yaml has problems.
    """
    folder = Path(path)
    return Domain(folder, read_domain_file(folder), Path(build) if build else folder / "build")
