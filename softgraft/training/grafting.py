"""One training run of a domain: train a soft prompt, compare it with its text twin on dev, keep the better."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from chains import SoftPromptChat
from evaluation.items import Item, items_hash
from evaluation.questions.closed_answers import closed_answers
from evaluation.text_scores import contains_answer, token_f1
from prompts import TemplateFile
from soft_prompt import (
    Adapter,
    Attention,
    DevScores,
    Manifest,
    PrefixStore,
    SlotFill,
    SoftPrompt,
    TrainConfig,
    TrainedOn,
    TrainingError,
    TrainResult,
    adapter_prompt,
    encode_prompt,
    from_text_twin,
    initial_adapter,
    initial_scaling,
    kv_from_text_twin,
    load_soft_prompt,
    save_loss_curve,
    save_soft_prompt,
    train,
)
from soft_prompt.artifact.manifest import make_manifest
from soft_prompt.artifact.stored_tensors import Stored
from soft_prompt.training.answer_loss import mean_answer_loss
from soft_prompt.training.checkpoint import remove_checkpoint
from soft_prompt.training.config import METHOD_SETTINGS
from soft_prompt.training.distributed import DistributedContext, init_distributed
from soft_prompt.training.example import TrainingExample
from soft_prompt.training.methods.replay import effective_sample_size
from softgraft.settings.domain_file import OWN_TRAIN_SETTINGS, TRAIN_LOG, TrainSettings
from softgraft.sources.shelf import Source
from softgraft.sources.start import unlike
from softgraft.training.decision import MajorityComparison, compare_on_dev, compare_with_majority
from softgraft.training.methods import AdversarialTexts, MethodRun, MethodSources, answered, method_data
from softgraft.training.run_data import DevScoresByQuestion, Trained, TrainingSet
from softgraft.training.task import UNTAUGHT, OnScore, OnStep, Prompted, TrainingTask, TrainReport, with_target
from softgraft.training.teachers import LocalTeacher, Teacher

# The reported accuracy of the domain classifier is the mean of this many last steps.
ACCURACY_STEPS = 20
# Settings that the training loop does not know, and the manifest records.
_RECORDED = ("attack_share", "adversarial_from", "reptile_groups", "reptile_min_questions")
_RATES = ("learning_rate", "adapter_learning_rate")
# Settings of what is trained, and where it comes from.
_NOT_OF_THE_RUN = {"kind", "length", "adapter", "adapter_rank", *OWN_TRAIN_SETTINGS}


@dataclass(frozen=True)
class Grafting:
    """One training run of a domain; `name` is the domain's, `folder` its build folder.

    The fills of `chat` are replaced for each comparison.

    Attributes:
        source: a source graft; training starts from it if the settings continue it, else from the text twin.
        licence: of the domain's documents and questions.
        trained_on: the domains that the run trains on; empty if it is this one.
        stored: how the soft prompt is written.
        method_sources: where the training method finds what it takes from outside the domain.
    """

    name: str
    task: TrainingTask
    template: TemplateFile
    chat: SoftPromptChat
    settings: TrainSettings
    attention: Attention
    folder: Path
    source: Source | None = None
    licence: str = ""
    trained_on: tuple[TrainedOn, ...] = ()
    stored: Stored = "float32"
    method_sources: MethodSources = field(default_factory=MethodSources)

    def run(
        self,
        items: Sequence[Item],
        dev: Sequence[Item],
        *,
        on_step: OnStep | None = None,
        on_score: OnScore | None = None,
    ) -> TrainReport:
        """Train, compare with the text twin on dev, keep the better of the two, and finish the task.

        Raises:
            TrainingError: if there is nothing to train on, or the loss diverged.
        """
        data = self.training_set(items, dev, on_score=on_score)
        report = self.train(data, on_step=on_step, on_score=on_score).report
        if init_distributed(self.chat.store.backbone.device).is_main_process:
            self.task.finished(report)
        return report

    @property
    def start_source(self) -> Source | None:
        """The source that training starts from; None for the text twin."""
        return None if self.source is None or unlike(self.source.manifest, self.settings) else self.source

    def training_set(
        self, items: Sequence[Item], dev: Sequence[Item], *, on_score: OnScore | None = None
    ) -> TrainingSet:
        """Train and dev items as the prompts that a run trains on and measures with.

        With `method: distillation`, the teacher answers those that have no answer.
        """
        before = (*items, *dev)
        if items and self.settings.method == "distillation":
            items, dev = (answered(part, self.task, self.teacher, on_score) for part in (items, dev))
        taught = sum(old is not new for old, new in zip(before, (*items, *dev), strict=True))
        (train, train_withheld), (dev_prompts, dev_withheld) = (
            self.task.prompted(part, teach=teach) for part, teach in ((items, True), (dev, False))
        )
        return TrainingSet(items, train, dev_prompts, train_withheld, dev_withheld, taught=taught)

    def train(
        self,
        data: TrainingSet,
        *,
        twin_f1: float | None = None,
        above: float = -1.0,
        on_step: OnStep | None = None,
        on_score: OnScore | None = None,
    ) -> Trained:
        """Train, compare with the text twin and the source on dev, and keep the soft prompt if it beats both.

        Args:
            data: of this domain, whose settings may be others.
            twin_f1: of the text twin on dev, where it is known; it depends on no setting of a run.
            above: keep nothing that has no higher token F1 than this.
            on_step: called after each training step.
            on_score: called with the fill's name, the replies so far and their number.
        """
        store, start = self.chat.store, self._start(data.train)
        devices = init_distributed(store.backbone.device)
        config = self._config()
        run = MethodRun(
            store, self.task, self.folder, self.method_sources, lambda: self.teacher, lambda: self.adversarial_texts
        )
        extra = method_data(run, data.train, data.groups, start, config)
        result = train(
            store,
            start,
            [(prompt.model_input, item.target) for prompt, item in data.train],
            [(prompt.model_input, item.target) for prompt, item in data.dev],
            config,
            folder=self.folder / "checkpoint",
            log=self.folder / TRAIN_LOG,
            keep_state=True,
            data=extra,
            on_step=on_step,
        )
        report = on_score or (lambda *_: None)
        of_soft = self.scores(data.dev, result.soft_prompt, "soft", report, devices)
        soft, soft_f1, comparison, of_twin = of_soft.score, of_soft.f1, None, None
        source, twin_loss = None, result.start_loss
        if (started_from := self.start_source) is not None:
            source = self.scores(data.dev, start, started_from.name, report, devices).score
            twin_loss = self._loss(data.dev, start.slot, start.text_twin)
        if twin_f1 is None:
            of_twin = self.scores(data.dev, start.text_twin, "text-twin", report, devices)
            twin, twin_f1 = of_twin.score, of_twin.f1
            comparison = compare_on_dev(of_soft.deciding, of_twin.deciding)
        else:
            twin = twin_f1
        kept = soft > max(twin, above, -1.0 if source is None else source)
        kept = kept and math.isfinite(result.dev_loss) and math.isfinite(twin_loss)
        if kept and devices.is_main_process:
            scores = DevScores(
                dev_loss=result.dev_loss,
                dev_loss_text_twin=twin_loss,
                dev_token_f1=soft_f1,
                dev_token_f1_text_twin=twin_f1,
            )
            manifest = self._manifest(result, config, data, scores)
            text = self.template.current().text
            save_soft_prompt(self.folder / "soft_prompt", result.soft_prompt, manifest, text)
        if devices.is_main_process:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_loss_curve(result, self.folder / "loss_curve.png", f"{self.name}: {start.kind} soft prompt")
            # Only now: a run that is stopped while dev is answered does not train again.
            remove_checkpoint(self.folder / "checkpoint")
        devices.barrier()
        train_report = TrainReport(
            domain=self.name,
            kept=kept,
            kind=start.kind,
            length=start.length,
            adapter=start.adapter.method if start.adapter else None,
            adapter_rank=start.adapter.rank if start.adapter else 0,
            layers=config.layers,
            examples=len(data.train),
            withheld=sum(data.train_withheld.values()) - data.train_withheld.get(UNTAUGHT, 0),
            dev_questions=len(data.dev),
            dev_f1=soft_f1,
            dev_f1_text_twin=twin_f1,
            dev_loss=result.dev_loss,
            dev_loss_text_twin=twin_loss,
            best_epoch=result.best_epoch,
            epochs=result.scores[-1].epoch,
            steps=len(result.losses),
            seconds=result.seconds,
            resumed=result.resumed,
            micro_batch=result.micro_batch,
            processes=result.processes,
            folder=str(self.folder / "soft_prompt"),
            metric=self.task.metric,
            dev_score=soft,
            dev_score_text_twin=twin,
            train_withheld=data.train_withheld,
            dev_withheld=data.dev_withheld,
            without_document=self._without_document(data.items),
            comparison=comparison,
            majority=self._majority(data, of_soft),
            start=started_from.name if started_from else "",
            dev_score_start=source,
            method=config.method,
            replayed=len(extra.replayed),
            taught=data.taught,
            effective_replayed=effective_sample_size(extra.weights) if extra.weights else None,
            sourced=len(extra.labelled),
            unlabelled=len(extra.unlabelled),
            domain_accuracy=statistics.mean(last) if (last := result.domain_accuracies[-ACCURACY_STEPS:]) else None,
            attack_share=self.settings.attack_share,
        )
        return Trained(train_report, result.soft_prompt, of_soft, of_twin)

    def _config(self) -> TrainConfig:
        given = self.settings.model_dump(exclude=_NOT_OF_THE_RUN)
        if self.start_source is not None:
            given |= {name: given[name] * self.settings.source_rate for name in _RATES}
        return TrainConfig(attention=self.attention, **given)

    @cached_property
    def adversarial_texts(self) -> AdversarialTexts:
        """What `adversarial` reads besides the domain's own examples; nothing for other methods."""
        return self.method_sources.adversarial() if self.settings.method == "adversarial" else AdversarialTexts()

    @cached_property
    def teacher(self) -> Teacher:
        """The teacher that the settings name; else what training starts from, a source or the text twin."""
        named = self.method_sources.teacher()
        if named is not None:
            return named
        template, source, backbone = self.template.current(), self.start_source, self.chat.store.backbone
        loaded = load_soft_prompt(source.soft_prompt, backbone) if source is not None else None
        start = loaded[0] if loaded else template.text_twin(next(iter(template.soft_slots)))
        chat: SoftPromptChat = self.chat.model_copy(update={"fills": self._fills(start)})
        return LocalTeacher(chat, backbone, self.settings.batch_size)

    def _fills(self, fill: SlotFill) -> dict[str, SlotFill]:
        # Any other slot stays empty, as in training.
        slots = list(self.template.current().soft_slots)
        return {**dict.fromkeys(slots), slots[0]: fill}

    def _without_document(self, items: Sequence[Item]) -> int:
        """Number of answerable questions that name no document."""
        asked = with_target(items) if self.task.answers_questions else []
        return sum(item.answerable and not item.documents for item in asked)

    def _majority(self, data: TrainingSet, soft: DevScoresByQuestion) -> MajorityComparison | None:
        closed = closed_answers(data.items) if self.task.answers_questions else None
        return compare_with_majority(closed, [item for _, item in data.dev], soft.accuracy)

    def _start(self, examples: Prompted) -> SoftPrompt:
        template = self.template.current()
        slots = sorted(template.soft_slots)
        if len(slots) != 1 or not examples:
            raise TrainingError(
                found=f"{len(slots)} soft slots in the template {template.name!r}, {len(examples)} questions",
                expected="one soft slot, and questions in train.jsonl that the documents answer",
                next_step="put one slot under `soft_slots:` in the template, and write questions to train.jsonl",
            )
        slot, twin, length = slots[0], template.text_twin(slots[0]), self.settings.length
        backbone = self.chat.store.backbone
        source = self.start_source
        if source is not None and (loaded := load_soft_prompt(source.soft_prompt, backbone)) is not None:
            # The text twin is the template's own, which may have been edited.
            return replace(loaded[0], text_twin=twin)
        adapter = self._adapter()
        if self.settings.kind == "adapter":
            assert adapter is not None
            return adapter_prompt(backbone, slot, twin, adapter)
        if self.settings.kind == "embedding":
            return replace(from_text_twin(backbone, slot, twin, length), adapter=adapter)
        prefix = encode_prompt(backbone, examples[0][0].model_input, {}).prefix
        return replace(kv_from_text_twin(backbone, slot, twin, prefix, length), adapter=adapter)

    def _adapter(self) -> Adapter | None:
        backbone, settings = self.chat.store.backbone, self.settings
        # An adapter below the trained layers would need their gradients after all.
        if settings.adapter_method == "lora":
            return initial_adapter(backbone, settings.adapter_rank, settings.seed, settings.layers)
        return initial_scaling(backbone, settings.layers) if settings.adapter_method == "ia3" else None

    def scores(
        self, examples: Prompted, fill: SlotFill, name: str, report: OnScore, devices: DistributedContext
    ) -> DevScoresByQuestion:
        """The scores of the replies with `fill` in the soft slot."""
        chat: SoftPromptChat = self.chat.model_copy(update={"fills": self._fills(fill), "graft": name})
        own = list(devices.shard(examples))
        replies = self.task.replies(chat, own, lambda done, total: report(name, done, total))
        pairs = [(reply, item) for reply, (_, item) in zip(replies, own, strict=True)]
        columns = (
            [self.task.score(reply, item) for reply, item in pairs],
            [token_f1(reply, item.references) for reply, item in pairs],
            [contains_answer(reply, item.answers) for reply, item in pairs],
        )
        return DevScoresByQuestion(*(devices.gather(column, len(examples)) for column in columns))

    def _loss(self, examples: Prompted, slot: str, fill: SlotFill) -> float:
        """Mean loss of the target answers with `fill` in the slot, in nats per token."""
        return mean_loss(self.chat.store, examples, slot, fill, self.attention, self.settings.batch_size)

    def _manifest(self, result: TrainResult, config: TrainConfig, data: TrainingSet, scores: DevScores) -> Manifest:
        own = {name: value for name in _RECORDED if (value := getattr(self.settings, name)) is not None}
        return make_manifest(
            result.soft_prompt,
            self.chat.store.backbone,
            self.template.current(),
            attention=config.attention,
            objective=self.task.objective,
            seed=config.seed,
            data_hash=items_hash(with_target(data.items)),
            train={
                **_recorded_settings(config),
                **own,
                "micro_batch": result.micro_batch,
                "processes": result.processes,
            },
            scores=scores,
            adapter_layers=config.layers,
            trained_on=self.trained_on or (self._own(data), *(one for one, _ in self.adversarial_texts.labelled)),
            start=self.start_source.name if self.start_source else "",
            stored=self.stored,
        )

    def _own(self, data: TrainingSet) -> TrainedOn:
        used = [item for _, item in data.train]
        return TrainedOn(domain=self.name, licence=self.licence, questions=len(used), data_hash=items_hash(used))


def _recorded_settings(config: TrainConfig) -> dict[str, Any]:
    """The settings of a run, without those of other methods than its own."""
    return {
        name: value for name, value in config.model_dump().items() if name not in METHOD_SETTINGS or value is not None
    }


def mean_loss(
    store: PrefixStore, examples: Prompted, slot: str, fill: SlotFill, attention: Attention, batch_size: int
) -> float:
    """Mean loss of the target answers with `fill` in the slot, in nats per token."""
    backbone = store.backbone
    encoded = [
        TrainingExample(
            encode_prompt(backbone, prompt.model_input, {slot: fill}, attention),
            (*backbone.encode_text(item.target), backbone.end_id),
        )
        for prompt, item in examples
    ]
    return mean_answer_loss(store, encoded, batch_size)
