"""One training run of a domain: train a soft prompt, compare it with its text twin on dev, keep the better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from chains import SoftPromptChat
from evaluation.items import Item, items_hash
from evaluation.text_scores import token_f1
from prompts import TemplateFile
from soft_prompt import (
    Adapter,
    Attention,
    DevScores,
    Manifest,
    SlotFill,
    SoftPrompt,
    TrainConfig,
    TrainingError,
    TrainResult,
    adapter_prompt,
    encode_prompt,
    from_text_twin,
    initial_adapter,
    initial_scaling,
    kv_from_text_twin,
    save_loss_curve,
    save_soft_prompt,
    train,
)
from soft_prompt.artifact.manifest import make_manifest
from soft_prompt.training.checkpoint import remove_checkpoint
from soft_prompt.training.distributed import DistributedContext, init_distributed
from softgraft.settings.domain_file import TrainSettings
from softgraft.training.task import OnScore, OnStep, Prompted, TrainingTask, TrainReport, with_target

TRAIN_LOG = "train_log.jsonl"


@dataclass(frozen=True)
class TrainingSet:
    """What a run trains on and measures with; questions whose evidence is too weak are in `items` alone."""

    items: Sequence[Item]
    train: Prompted
    dev: Prompted


@dataclass(frozen=True)
class Grafting:
    """One training run of a domain; `name` is the domain's, `folder` its build folder.

    The fills of `chat` are replaced for each comparison.
    """

    name: str
    task: TrainingTask
    template: TemplateFile
    chat: SoftPromptChat
    settings: TrainSettings
    attention: Attention
    folder: Path

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
        report = self.train(self.training_set(items, dev), on_step=on_step, on_score=on_score)
        if init_distributed(self.chat.store.backbone.device).is_main_process:
            self.task.finished(report)
        return report

    def training_set(self, items: Sequence[Item], dev: Sequence[Item]) -> TrainingSet:
        """Train and dev items as the prompts that a run trains on and measures with."""
        return TrainingSet(items, self.task.prompted(items, teach=True), self.task.prompted(dev, teach=False))

    def train(
        self,
        data: TrainingSet,
        *,
        twin_f1: float | None = None,
        above: float = -1.0,
        on_step: OnStep | None = None,
        on_score: OnScore | None = None,
    ) -> TrainReport:
        """Train, compare with the text twin on dev, and keep the better of the two.

        Args:
            data: of this domain, whose settings may be others.
            twin_f1: of the text twin on dev, where it is known; it depends on no setting of a run.
            above: keep nothing that has no higher token F1 than this.
            on_step: called after each training step.
            on_score: called with the fill's name, the replies so far and their number.
        """
        store, start = self.chat.store, self._start(data.train)
        devices = init_distributed(store.backbone.device)
        config = TrainConfig(
            attention=self.attention, **self.settings.model_dump(exclude={"kind", "length", "adapter", "adapter_rank"})
        )
        result = train(
            store,
            start,
            [(prompt.model_input, item.target) for prompt, item in data.train],
            [(prompt.model_input, item.target) for prompt, item in data.dev],
            config,
            folder=self.folder / "checkpoint",
            log=self.folder / TRAIN_LOG,
            keep_state=True,
            on_step=on_step,
        )
        report = on_score or (lambda *_: None)
        soft, soft_f1 = self.scores(data.dev, result.soft_prompt, "soft", report, devices)
        if twin_f1 is None:
            twin, twin_f1 = self.scores(data.dev, start.text_twin, "text-twin", report, devices)
        else:
            twin = twin_f1
        kept = soft > max(twin, above)
        if kept and devices.is_main_process:
            scores = DevScores(
                dev_loss=result.dev_loss,
                dev_loss_text_twin=result.start_loss,
                dev_token_f1=soft_f1,
                dev_token_f1_text_twin=twin_f1,
            )
            manifest = self._manifest(result, config, data.items, scores)
            text = self.template.current().text
            save_soft_prompt(self.folder / "soft_prompt", result.soft_prompt, manifest, text)
        if devices.is_main_process:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_loss_curve(result, self.folder / "loss_curve.png", f"{self.name}: {start.kind} soft prompt")
            # Only now: a run that is stopped while dev is answered does not train again.
            remove_checkpoint(self.folder / "checkpoint")
        devices.barrier()
        return TrainReport(
            domain=self.name,
            kept=kept,
            kind=start.kind,
            length=start.length,
            adapter=start.adapter.method if start.adapter else None,
            adapter_rank=start.adapter.rank if start.adapter else 0,
            layers=config.layers,
            examples=len(data.train),
            withheld=len(with_target(data.items)) - len(data.train),
            dev_questions=len(data.dev),
            dev_f1=soft_f1,
            dev_f1_text_twin=twin_f1,
            dev_loss=result.dev_loss,
            dev_loss_text_twin=result.start_loss,
            best_epoch=result.best_epoch,
            epochs=len(result.scores) - 1,
            seconds=result.seconds,
            resumed=result.resumed,
            micro_batch=result.micro_batch,
            processes=result.processes,
            folder=str(self.folder / "soft_prompt"),
            metric=self.task.metric,
            dev_score=soft,
            dev_score_text_twin=twin,
        )

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
        backbone, adapter = self.chat.store.backbone, self._adapter()
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
    ) -> tuple[float, float]:
        """Mean deciding score and mean token F1 of the replies with `fill` in the soft slot."""
        slot = next(iter(self.template.current().soft_slots))
        chat: SoftPromptChat = self.chat.model_copy(update={"fills": {slot: fill}, "graft": name})
        own = list(devices.shard(examples))
        replies = self.task.replies(chat, own, lambda done, total: report(name, done, total))
        f1 = [token_f1(reply, item.references) for reply, (_, item) in zip(replies, own, strict=True)]
        deciding = [self.task.score(reply, item) for reply, (_, item) in zip(replies, own, strict=True)]
        return devices.sum(sum(deciding)) / len(examples), devices.sum(sum(f1)) / len(examples)

    def _manifest(self, result: TrainResult, config: TrainConfig, items: Sequence[Item], scores: DevScores) -> Manifest:
        return make_manifest(
            result.soft_prompt,
            self.chat.store.backbone,
            self.template.current(),
            attention=config.attention,
            objective=self.task.objective,
            seed=config.seed,
            data_hash=items_hash(with_target(items)),
            train={**config.model_dump(), "micro_batch": result.micro_batch, "processes": result.processes},
            scores=scores,
            adapter_layers=config.layers,
        )
