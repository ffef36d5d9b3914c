"""A domain opened for use: ingest, train, evaluate, and the chain."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from chains import Conversations, DomainChain, DomainRetriever, LocalSpeaker
from evaluation import Report, System, SystemAnswers, TaskReport, evaluate, fit_refusal_classifier, read_items
from evaluation.items import Item, spread
from retrieval import (
    IngestProgress,
    IngestReport,
    ingest,
    plan_ingest,
)
from retrieval.ranking.evidence_score import EvidenceScale
from retrieval.store.faiss_record import IndexChoice
from softgraft.assembly.answers import Graft, answer_settings
from softgraft.assembly.parts import DomainParts
from softgraft.assembly.passage_cache import WarmReport, warm_passages
from softgraft.assembly.status import domain_status
from softgraft.assembly.system_names import system_names
from softgraft.errors import UsageError
from softgraft.settings.domain_file import MEMORY, TrainSettings, read_domain_file
from softgraft.tasks.evaluation import evaluate_task
from softgraft.tasks.training import TaskTraining
from softgraft.tasks.work import TaskWork
from softgraft.training.grafting import ChatTraining, Grafting, OnScore, OnStep, TrainingTask, TrainReport
from softgraft.training.retrieval_fit import fit_evidence, fit_weights

if TYPE_CHECKING:
    pass
from softgraft.settings.location import domain_folder


@dataclass(frozen=True)
class Ingested:
    """What an ingest did, and the evidence score that was fitted afterwards, if the questions allow one."""

    report: IngestReport
    scale: EvidenceScale | None


class Domain(DomainParts):
    """One domain on its backbone. Make one with `softgraft.open_domain`; models load when they are first needed."""

    def items(self, split: Literal["train", "dev", "test"]) -> list[Item]:
        """The questions of a split, or the examples of a task."""
        if self.file.text_task is not None:
            return self.work.items(split)
        return read_items(self.folder / f"{split}.jsonl")

    # What it does

    @cached_property
    def chain(self) -> DomainChain:
        """The chain: `chain.invoke({"question": "..."}, config={"configurable": {"thread_id": "42"}})`."""
        graft: Graft = "text-twin" if self.remote or self.manifest is None else "soft"
        return DomainChain(self.answering(graft), self.build / MEMORY)

    @cached_property
    def conversations(self) -> Conversations:
        """The conversations that are remembered; unlike the chain it needs no model."""
        return Conversations(self.build / MEMORY)

    @property
    def retriever(self) -> DomainRetriever:
        """The domain's index as a LangChain retriever, with the passages, weights and neighbours of its answers."""
        settings = answer_settings(self.file, self.build)
        return DomainRetriever(
            index=self.index, k=settings.passages, weights=settings.weights, neighbours=settings.neighbours
        )

    @cached_property
    def work(self) -> TaskWork:
        """The task of a domain that holds no conversation: its runnable, its evaluation, and doing it for texts.

        Raises:
            UsageError: the task is `chat` or `extractive-qa`.
        """
        return TaskWork(self)

    def classify(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Label texts: `text`, `label` and `probabilities`, the likeliest first, of each.

        Raises:
            UsageError: the domain's task is another.
            InputError: a text is empty.
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
        """Bring the index up to the documents, then fit how it is searched to the questions, if there are any.

        That is: the weights of the two rankings, where domain.yaml leaves them to be chosen, and the evidence score.
        `index` is the kind of FAISS index from now on, in place of what domain.yaml says.

        Raises:
            NoDocumentsError: docs/ holds nothing that can be read; the index stays as it was.
        """
        report = self._read_documents(partial(ingest, index=index or self.file.retrieval.index), on_progress)
        self.forget("index", "examples", "chain")
        train, dev = (self.items(s) if (self.folder / f"{s}.jsonl").is_file() else [] for s in ("train", "dev"))
        tell = on_progress or (lambda _: None)

        def fitting(done: int, total: int) -> None:
            tell(IngestProgress("scoring", done, total))

        fit_weights(self.file, self.build, self.index, [*train, *dev], fitting)
        scale = fit_evidence(self.build, self.index, answer_settings(self.file, self.build), train, dev, fitting)
        return Ingested(report, scale)

    def plan_ingest(self, *, on_progress: Callable[[IngestProgress], None] | None = None) -> IngestReport:
        """What `ingest` would do to the index; nothing is embedded or written."""
        return self._read_documents(plan_ingest, on_progress)

    def warm(self, *, on_progress: Callable[[int, int], None] | None = None) -> WarmReport:
        """Compute the keys and values of all passages ahead of the questions, and keep them in build/passages."""
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
        """Train the soft prompt; it is kept if it beats its text twin on dev.

        Args:
            limit, dev_limit: use so many questions of train and of dev, spread over the file; None uses all.
            settings: in place of those in domain.yaml.
            on_step, on_score: progress.

        Raises:
            TrainingError: nothing to train on, or the loss diverged.
        """
        grafting = self.grafting(settings)
        train, dev = spread(self.items("train"), limit), spread(self.items("dev"), dev_limit)
        report = grafting.run(train, dev, on_step=on_step, on_score=on_score)
        self.forget("chain", "work")
        return report

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
            limit: so many of them, spread over the file; None takes all.
            systems: names of those to compare; None compares all that this domain has.
            on_progress: called with the system's name, answers done and answers in all.
        """
        if self.file.text_task is not None:
            raise UsageError(
                found=f"the task of {self.cli_name} is {self.file.task}, whose report is another",
                expected="a domain that answers questions",
                next_step=f"softgraft eval {self.cli_name}; in Python, domain.evaluate_task()",
            )
        items = spread(self.items(split), limit)
        if not items:
            raise UsageError(
                found=f"no questions in {self.folder / f'{split}.jsonl'}",
                expected="questions with answers to evaluate on",
                next_step=f"write some to {split}.jsonl",
            )
        trained = not self.remote and self.manifest is not None
        compared = [self._system(n) for n in system_names(systems, trained=trained, cli_name=self.cli_name)]
        told = self.items("train") if (self.folder / "train.jsonl").is_file() else []
        judge = fit_refusal_classifier(self.encoder, told)
        config = self.evaluation_config(split, items)
        report, answers = evaluate(items, compared, judge, config, on_progress=on_progress)
        self._write_report(report, answers, split)
        return report

    def evaluate_task(
        self,
        *,
        split: Literal["dev", "test"] = "test",
        limit: int | None = None,
        systems: Sequence[str] | None = None,
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> TaskReport:
        """Compare the systems on held-out examples of a task other than chat; see `evaluate`.

        Raises:
            UsageError: if the task is `chat` or `extractive-qa`, there are no examples, or a system is unknown.
        """
        return evaluate_task(self.work, split=split, limit=limit, systems=systems, on_progress=on_progress)

    def status(self) -> dict[str, Any]:
        """What is there and what is missing, as plain data; loads no model."""
        return domain_status(self.folder, self.build, self.file, self.cli_name, self.notices)

    def close(self) -> None:
        """Close files and forget models."""
        for name in ("chain", "conversations", "index", "store"):
            if name in self.__dict__:
                self.__dict__[name].close()
        self.forget("chain", "conversations", "index", "store", "examples", "encoder", "work")

    # How it is put together

    def grafting(self, settings: TrainSettings | None = None) -> Grafting:
        """A training run, with these settings or those in domain.yaml."""
        task: TrainingTask
        if self.file.text_task is not None:
            self.work.require_vectors("trained")
            task, speaker = TaskTraining(self.work), self.work.speaker("text-twin")
        else:
            _ = self.store  # raises UsageError for a backbone behind an API
            answering = self.answering("text-twin")
            task, speaker = ChatTraining(answering), answering.speaker
        assert isinstance(speaker, LocalSpeaker)
        return Grafting(
            self.file.name,
            task,
            self.template,
            speaker.chat,
            settings or self.file.train,
            self.file.attention,
            self.build,
        )

    def _read_documents(
        self, work: Callable[..., IngestReport], on_progress: Callable[[IngestProgress], None] | None
    ) -> IngestReport:
        tokens, limits = self.file.retrieval.passage_tokens, self.file.ingest.limits()
        index = self.build / "index"
        return work(self.docs, index, self.encoder, max_tokens=tokens, limits=limits, progress=on_progress)

    def _system(self, name: str) -> System:
        if name == "base":
            closed = self.template_file(self.file.closed_book_template)
            return System(name, self.answering("empty", closed), "none")
        graft: Graft = {"template": "empty", "text-twin": "text-twin"}.get(name, "soft")  # type: ignore[assignment]
        return System(name, self.answering(graft), "gold" if name == "soft-gold" else "retrieved")

    def _write_report(self, report: Report, answers: list[SystemAnswers], split: str) -> None:
        folder = self.build / "reports"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"eval-{split}.json").write_text(json.dumps(report.as_json(), indent=1, ensure_ascii=False))
        with (folder / f"eval-{split}-replies.jsonl").open("w", encoding="utf-8") as file:
            for found in answers:
                for answer in found.answers:
                    row = {**asdict(answer), "item": answer.item.id, "system": found.system}
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")


def open_domain(path: str | Path, *, build: Path | None = None) -> Domain:
    """Open a domain by the path of its folder.

    Args:
        path: the folder with domain.yaml.
        build: where everything generated goes; `build/` in the folder by default.

    Raises:
        DomainError: no such domain, or its domain.yaml has problems.
    """
    folder = Path(path)
    return Domain(folder, read_domain_file(folder), build or folder / "build")


def resolve(name: str) -> Domain:
    """Open a domain by its name under domains/ or by its path."""
    return open_domain(domain_folder(name))
