"""A domain opened for use: ingest, train, evaluate, and the chain."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from chains import Answering, Conversations, DomainChain, DomainRetriever, TemplateFile
from chains.examples import NearestExamples
from evaluation import Answers, Report, System, evaluate, fit_refusal_judge, items_hash, read_items
from evaluation.items import Item, spread
from prompts import find_template
from retrieval import (
    Encoder,
    Index,
    IngestProgress,
    IngestReport,
    ingest,
    load_encoder,
    load_reranker,
    open_index,
    plan_ingest,
)
from retrieval.evidence_score import EvidenceScale
from retrieval.index_kind import IndexChoice
from soft_prompt import Manifest, PrefixStore, read_manifest
from softgraft.assembly import Graft, answer_settings, is_remote, make_speaker
from softgraft.domain_file import MEMORY, DomainFile, TrainSettings, read_domain_file
from softgraft.errors import UsageError
from softgraft.examples import nearest_examples
from softgraft.fitted import evidence_scale, fit_evidence, fit_weights
from softgraft.grafting import Grafting, OnScore, OnStep, TrainReport
from softgraft.hardware import describe_machine
from softgraft.notices import example_notices, training_notices
from softgraft.passage_cache import Warmed, open_store, warm_passages
from softgraft.resolve import DOMAINS
from softgraft.status import domain_status
from softgraft.systems import system_names
from softgraft.task_training import TaskGrafting
from softgraft.tasks import TaskWork


@dataclass(frozen=True)
class Ingested:
    """What an ingest did, and the evidence score that was fitted afterwards, if the questions allow one."""

    report: IngestReport
    scale: EvidenceScale | None


class Domain:
    """One domain on its backbone. Make one with `softgraft.open_domain`; models load when they are first needed."""

    def __init__(self, folder: Path, file: DomainFile, build: Path) -> None:
        self.folder = folder
        self.file = file
        # Everything generated: index, soft prompt, memory, reports.
        self.build = build

    def __repr__(self) -> str:
        return f"Domain({self.file.name!r}, backbone={self.file.backbone!r})"

    # What it is made of

    @property
    def typed(self) -> str:
        """What a person types for this domain: its name under domains/, or its path."""
        return self.folder.name if self.folder.parent == DOMAINS else str(self.folder)

    @property
    def remote(self) -> bool:
        """Whether the backbone is behind an API and takes no vectors."""
        return is_remote(self.file)

    @property
    def docs(self) -> Path:
        """The folder of its documents."""
        return self.folder / "docs"

    @cached_property
    def encoder(self) -> Encoder:
        """The sentence encoder of the index."""
        return load_encoder(self.file.encoder)

    @cached_property
    def index(self) -> Index:
        """The domain's passages.

        Raises:
            NotIngestedError: nothing was ingested yet.
            RerankerError: the reranker of domain.yaml does not load.
        """
        name = self.file.retrieval.reranker
        return open_index(self.build / "index", self.encoder, load_reranker(name) if name else None)

    @cached_property
    def store(self) -> PrefixStore:
        """The backbone, with the keys and values that were computed so far.

        Raises:
            UsageError: the backbone is behind an API.
            BackboneError: it does not load.
        """
        if self.remote:
            raise UsageError(
                found=f"the backbone {self.file.backbone!r} is behind an API and takes no vectors",
                expected="a local backbone, such as `embedded` or a Hugging Face model id",
                next_step="set `backbone: embedded` in domain.yaml; answering works with the text twin as it is",
            )
        return open_store(self.file, self.build)

    @property
    def manifest(self) -> Manifest | None:
        """Of the trained soft prompt, or None where none was kept."""
        return read_manifest(self.build / "soft_prompt")

    @cached_property
    def template(self) -> TemplateFile:
        """The template of the answers, followed as its file changes."""
        return self._template(self.file.template)

    @cached_property
    def examples(self) -> NearestExamples:
        """Worked examples for a template that chooses some, from train.jsonl."""
        return nearest_examples(self.folder, self.build, lambda: self.encoder)

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
                found=f"the task of {self.typed} is {self.file.task}",
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

    def warm(self, *, on_progress: Callable[[int, int], None] | None = None) -> Warmed:
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
                found=f"the task of {self.typed} is {self.file.task}, whose report is another",
                expected="a domain that answers questions",
                next_step=f"softgraft eval {self.typed}; in Python, domain.work.evaluate()",
            )
        items = spread(self.items(split), limit)
        if not items:
            raise UsageError(
                found=f"no questions in {self.folder / f'{split}.jsonl'}",
                expected="questions with answers to evaluate on",
                next_step=f"write some to {split}.jsonl",
            )
        trained = not self.remote and self.manifest is not None
        compared = [self._system(n) for n in system_names(systems, trained=trained, typed=self.typed)]
        told = self.items("train") if (self.folder / "train.jsonl").is_file() else []
        judge = fit_refusal_judge(self.encoder, told)
        config = self.evaluated(split, items)
        report, answers = evaluate(items, compared, judge, config, on_progress=on_progress)
        self._write_report(report, answers, split)
        return report

    def evaluated(self, split: str, items: Sequence[Item]) -> dict[str, Any]:
        """What an evaluation was made on, as its report records it."""
        return {
            "domain": self.file.model_dump(),
            "split": split,
            "data_sha256": items_hash(items),
            "soft_prompt": manifest.model_dump() if (manifest := self.manifest) else None,
            "machine": describe_machine(),
        }

    def status(self) -> dict[str, Any]:
        """What is there and what is missing, as plain data; loads no model."""
        return domain_status(self.folder, self.build, self.file, self.typed, self.notices)

    def close(self) -> None:
        """Close files and forget models."""
        for name in ("chain", "conversations", "index", "store"):
            if name in self.__dict__:
                self.__dict__[name].close()
        self.forget("chain", "conversations", "index", "store", "examples", "encoder", "work")

    # How it is put together

    def grafting(self, settings: TrainSettings | None = None) -> Grafting:
        """A training run, with these settings or those in domain.yaml."""
        settings = settings or self.file.train
        if self.file.text_task is not None:
            return TaskGrafting.of(self.work, settings)
        answering = self.answering("text-twin")
        return Grafting(self.file.name, answering, self.store, settings, self.file.attention, self.build)

    def answering(self, graft: Graft, template: TemplateFile | None = None) -> Answering:
        """Everything an answer needs, with the soft slot filled in one way.

        Raises:
            UsageError: `soft` where no soft prompt was kept.
            UsageError: the domain's task is no conversation.
            ArtifactError: the soft prompt belongs to another backbone, or is damaged.
        """
        if self.file.text_task is not None:
            raise UsageError(
                found=f"the task of {self.typed} is {self.file.task}, which holds no conversation",
                expected="a text to work on",
                next_step=f'softgraft ask {self.typed} "..."; in Python, domain.work.chain',
            )
        template = template or self.template
        speaker = make_speaker(graft, self.file, self.build, template, lambda: self.store, self.typed)
        return Answering(
            index=self.index,
            template=template,
            condense_template=self._template("condense-question"),
            # Looked for where it is used alone: a domain may be in a language that has none.
            summary_template=self._template("summarise-history")
            if self.file.answer.history_overflow == "summarise"
            else None,
            speaker=speaker,
            rewriter=speaker,
            count_tokens=self._count_tokens,
            scale=evidence_scale(self.file, self.build),
            settings=answer_settings(self.file, self.build),
            notices=self.notices,
            examples=self.examples.nearest,
        )

    def _read_documents(
        self, work: Callable[..., IngestReport], on_progress: Callable[[IngestProgress], None] | None
    ) -> IngestReport:
        tokens, limits = self.file.retrieval.passage_tokens, self.file.ingest.limits()
        index = self.build / "index"
        return work(self.docs, index, self.encoder, max_tokens=tokens, limits=limits, progress=on_progress)

    def notices(self) -> list[str]:
        """What a caller should know: a template that was edited after training, say."""
        template, manifest = self.template.current(), None if self.remote else self.manifest
        found = example_notices(template, self.folder)
        if manifest is not None:
            found += training_notices(manifest, template, self.file.attention, self.typed)
        return found

    def _system(self, name: str) -> System:
        if name == "base":
            closed = self._template(self.file.closed_book_template)
            return System(name, self.answering("empty", closed), "none")
        graft: Graft = {"template": "empty", "text-twin": "text-twin"}.get(name, "soft")  # type: ignore[assignment]
        return System(name, self.answering(graft), "gold" if name == "soft-gold" else "retrieved")

    def _template(self, name: str) -> TemplateFile:
        return TemplateFile(find_template(name, self.file.language, [self.folder / "templates"]))

    def _count_tokens(self, text: str) -> int:
        return self.encoder.count_tokens(text) if self.remote else len(self.store.backbone.encode_text(text))

    def _write_report(self, report: Report, answers: list[Answers], split: str) -> None:
        folder = self.build / "reports"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"eval-{split}.json").write_text(json.dumps(report.as_json(), indent=1, ensure_ascii=False))
        with (folder / f"eval-{split}-replies.jsonl").open("w", encoding="utf-8") as file:
            for found in answers:
                for answer in found.answers:
                    row = {**asdict(answer), "item": answer.item.id, "system": found.system}
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def forget(self, *names: str) -> None:
        """Let go of parts by name, such as `chain`, so that they are made anew when they are next needed."""
        for name in names:
            self.__dict__.pop(name, None)


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
