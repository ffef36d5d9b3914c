"""A task that is not a conversation: its examples, prompts and labels, and doing it for texts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chains import LocalSpeaker, SoftPromptChat
from chains.answering.evidence import passage_input
from chains.answering.examples import ContextExample, NearestExampleRetriever
from chains.answering.speaker import PreparedPrompt
from chains.tasks.labels import Calibration, LabelScorer
from chains.tasks.task_chain import Classifier, Lookup, TaskChain, TaskModel, TaskPrompts, Writer
from evaluation.errors import ItemsError
from evaluation.items import Item, items_hash
from evaluation.questions.dev_split import cut_dev
from evaluation.task_items import TextTask, read_task_file, stratified_split
from prompts import PassageInput, RenderedPrompt
from retrieval.encoders.kept_vectors import kept_vectors
from retrieval.ranking.evidence_budget import within_budget
from soft_prompt import SoftPrompt
from softgraft.assembly.answers import Graft, answer_settings
from softgraft.assembly.parts import EXAMPLES, DomainParts
from softgraft.errors import UsageError
from softgraft.settings.label_file import read_labels
from softgraft.settings.question_files import SPLITS, SplitItems, SplitName, has_split, read_split
from softgraft.settings.sections import ClassificationSettings
from softgraft.tasks.label_fit import LabelFit, OnFit, fit_labels, keep_fit, read_fit

if TYPE_CHECKING:
    from chains.tasks.verbalizer import Verbalizer


class TaskWork:
    """A domain's task. Make one with `Domain.work`.

    Raises:
        UsageError: if the domain answers questions, which `Domain.chain` does.
    """

    def __init__(self, domain: DomainParts) -> None:
        task = domain.file.text_task
        if task is None:
            raise UsageError(
                found=f"the task of {domain.cli_name} is {domain.file.task}",
                expected="classification, summarisation or translation",
                next_step=f'softgraft ask {domain.cli_name} "..."; in Python, domain.chain.invoke',
            )
        self.domain = domain
        self.task: TextTask = task
        self._worker: TaskModel | None = None

    def run(self, texts: Sequence[str], *, on_fit: OnFit | None = None) -> list[dict[str, Any]]:
        """Do the task for many texts, with the soft prompt if one was kept, else with its text twin.

        Args:
            texts: what to work on.
            on_fit: called while labels are calibrated, which happens once, with the number of scored texts and of all.

        Returns:
            One plain object per text: `text`, and `label` with `probabilities`, the likeliest first, or `reply`.

        Raises:
            InputError: if a text is empty.
        """
        return self._ready(on_fit).run(texts)

    @cached_property
    def chain(self) -> TaskChain:
        """The task as a LangChain runnable: `chain.invoke("I lost my card")`."""
        return TaskChain(self._ready(), f"{self.domain.file.name}-{self.task}")

    @cached_property
    def verbalizer(self) -> Verbalizer:
        """The labels and their words, from labels.yaml."""
        return read_labels(self.domain.folder)

    @property
    def classification(self) -> ClassificationSettings:
        """How labels are compared."""
        return self.domain.file.classification or ClassificationSettings()

    def items(self, split: SplitName) -> list[Item]:
        """The examples of a split; see `split`."""
        return self.split(split).items

    def split(self, split: SplitName) -> SplitItems:
        """The examples of a split. A missing dev set is cut from train.

        Raises:
            ItemsError: if the file is malformed, or has a label that is not in labels.yaml.
        """
        classify = self.task == "classification"
        found = read_split(
            self.domain.folder,
            split,
            partial(read_task_file, task=self.task),
            stratified_split if classify else cut_dev,
        )
        if classify:
            unknown = sorted({item.target for item in found.items} - set(self.verbalizer.words))
            if unknown:
                path = self.domain.folder / found.report.file
                raise ItemsError(
                    found=f"{path}: {len(unknown)} labels that labels.yaml does not have: {', '.join(unknown[:5])}",
                    expected=f"one of its {len(self.verbalizer.words)} labels in every line",
                    next_step="add them to labels.yaml and examples of them to train.jsonl, or correct the lines",
                )
        return found

    def answer_words(self, item: Item) -> str:
        """The reply to learn: the words of the label, the summary or the translation."""
        return self.verbalizer.words[item.target] if self.task == "classification" else item.target

    def prompts(self, prepare: Callable[[RenderedPrompt], PreparedPrompt]) -> TaskPrompts:
        """From texts to prompts, with the context that domain.yaml asks for."""
        return TaskPrompts(self.domain.template, self.lookup(), prepare)

    def worker(self, graft: Graft, *, on_fit: OnFit | None = None) -> TaskModel:
        """The worker with one graft. For labels, the calibration is fitted first if it was not yet.

        Raises:
            UsageError: if labels are to be scored by a backbone behind an API, which gives no likelihoods.
        """
        if self.task != "classification":
            speaker = self.domain.speaker(graft)
            return Writer(self.prompts(speaker.prepare), speaker)
        chat = self.domain.chat(graft)
        return self.classifier(chat, self.label_fit(chat, on_fit).calibration)

    def classifier(self, chat: SoftPromptChat, calibration: Calibration) -> Classifier:
        """A classifier over a backbone with its slots filled."""
        return Classifier(self.prompts(LocalSpeaker(chat).prepare), LabelScorer(chat, self.verbalizer), calibration)

    def label_fit(self, chat: SoftPromptChat, on_fit: OnFit | None = None) -> LabelFit:
        """The calibration of the labels for one fill of the slots, from build/labels/ or fitted and stored there."""
        train, dev = (self.items(s) if has_split(self.domain.folder, s) else [] for s in SPLITS[:2])
        path, fingerprint = self._fit_path(chat.graft), self._fingerprint(chat, train, dev)
        if (known := read_fit(path, fingerprint)) is not None:
            return known
        fit = self.fit(chat, train, dev, on_fit)
        keep_fit(path, fingerprint, fit)
        return fit

    def fit(
        self, chat: SoftPromptChat, train: Sequence[Item], dev: Sequence[Item], on_fit: OnFit | None = None
    ) -> LabelFit:
        """Choose the calibration of the labels for one fill of the slots."""
        prompts, teaching = self.prompts(LocalSpeaker(chat).prepare), self.lookup(teach=True)
        return fit_labels(
            LabelScorer(chat, self.verbalizer),
            lambda texts, own: prompts.prompts(texts, teaching if own else None),
            train,
            dev,
            self.classification,
            on_fit,
        )

    def remember(self, fits: Mapping[Graft, LabelFit]) -> None:
        """Store calibrations that a training run has fitted."""
        train, dev = self.items("train"), self.items("dev")
        for graft, fit in fits.items():
            # A calibration from a part of dev, or of a soft prompt that was not kept, cannot be reused.
            if len(fit.dev_labels) == len(dev) and (graft != "soft" or self.domain.manifest is not None):
                keep_fit(self._fit_path(graft), self._fingerprint(self.domain.chat(graft), train, dev), fit)

    def lookup(self, *, teach: bool = False) -> Lookup | None:
        """Looks up the context of texts; None if domain.yaml asks for none. With `teach`, no text finds itself.

        Raises:
            NotIngestedError: if documents are asked for, and none were ingested.
        """
        if self.domain.file.context == "examples":
            return partial(self._nearest.search, exclude_same_text=teach)
        return self._documents if self.domain.file.context == "documents" else None

    @cached_property
    def _nearest(self) -> NearestExampleRetriever:
        items, domain = self.items("train"), self.domain
        settings = domain.file.retrieval
        return NearestExampleRetriever(
            [ContextExample(item.id, item.question, self.answer_words(item)) for item in items],
            kept_vectors([item.question for item in items], domain.encoder, domain.build / EXAMPLES),
            domain.encoder,
            settings.passages,
            settings.evidence_tokens,
            domain.count_tokens,
        )

    def _documents(self, texts: Sequence[str]) -> list[list[PassageInput]]:
        """Passages for each text, within the evidence budget, the best last."""
        index, settings = self.domain.index, answer_settings(self.domain.file, self.domain.build)
        select = partial(
            within_budget,
            budget=settings.evidence_budget,
            expanded=index.expanded,
            count_tokens=self.domain.count_tokens,
        )
        rankings = index.search_many(list(texts), settings.passages, weights=settings.weights)
        return [[passage_input(entry.passage) for entry in reversed(select(ranked))] for ranked in rankings]

    def _ready(self, on_fit: OnFit | None = None) -> TaskModel:
        """The worker with the best graft, made once."""
        if self._worker is None:
            self._worker = self.worker(self.domain.graft, on_fit=on_fit)
        return self._worker

    def _fit_path(self, graft: str) -> Path:
        return self.domain.build / "labels" / f"{graft}.json"

    def _fingerprint(self, chat: SoftPromptChat, train: Sequence[Item], dev: Sequence[Item]) -> str:
        """A digest of everything that a calibration depends on."""
        backbone, file, manifest = chat.store.backbone, self.domain.file, self.domain.manifest
        vectors = f"{manifest.vectors_sha256} {file.answer.strength}" if manifest is not None else ""
        fills = {slot: vectors if isinstance(fill, SoftPrompt) else fill for slot, fill in chat.fills.items()}
        parts = (
            backbone.digest, str(backbone.dtype), self.domain.template.current().content_hash, fills, chat.attention,
            dict(self.verbalizer.words), self.classification.model_dump(), file.context, file.retrieval.passages,
            file.retrieval.evidence_tokens, items_hash(train), items_hash(dev),
        )  # fmt: skip
        return hashlib.sha256(repr(parts).encode()).hexdigest()
