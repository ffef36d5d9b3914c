"""Training a domain's soft prompt: what is trained on, and whether the result is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from chains import Answering, Evidence, LocalSpeaker, SoftPromptChat
from evaluation.items import Item, items_hash
from evaluation.retrieval_scores import Gold
from evaluation.systems import gold_evidence, retrieve_all, turns_of
from evaluation.text_scores import token_f1
from prompts import RenderedPrompt
from soft_prompt import (
    Adapter,
    Attention,
    Manifest,
    PrefixStore,
    Scores,
    SlotFill,
    SoftPrompt,
    TrainConfig,
    TrainingError,
    TrainResult,
    TrainStep,
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
from soft_prompt.artifact.manifest import manifest_of
from soft_prompt.training.checkpoint import remove_checkpoint
from soft_prompt.training.devices import Devices, joined
from softgraft.settings.domain_file import TrainSettings

OBJECTIVE = "cross entropy of the response, evidence as retrieved"


@dataclass(frozen=True, slots=True)
class TrainReport:
    """How a training run ended.

    `kept` says whether the soft prompt beat its text twin on dev, by the score that `metric` names, and is used from
    now on. F1 is token F1 on dev, losses are nats an answer token. `examples` were trained on; `withheld` questions
    never reach the model, because the evidence score refuses them. `adapter` is `lora`, `ia3` or None, and only `lora`
    has an `adapter_rank` above 0. `layers` is how many of the last layers were trained, None for all; `micro_batch` how
    many examples ran at once in each of the `processes`.
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


OnStep = Callable[[TrainStep], None]
OnScore = Callable[[str, int, int], None]
Told = list[tuple[RenderedPrompt, Item]]
TRAIN_LOG = "train_log.jsonl"


@dataclass(frozen=True)
class Questions:
    """What a run is given: questions as prompts, without those whose evidence is too weak; `items` are all of train."""

    items: Sequence[Item]
    told: Told
    dev_told: Told


@dataclass(frozen=True)
class Grafting:
    """One training run of a domain.

    Attributes:
        answering: the domain's, over its index and template; its evidence is what the soft prompt learns to read.
        attention: whether passages see one another.
        folder: the domain's build folder.
        objective: what is trained, in words.
        metric: the score that decides on dev.
    """

    name: str
    answering: Answering
    store: PrefixStore
    settings: TrainSettings
    attention: Attention
    folder: Path
    objective: str = OBJECTIVE
    metric: str = "token F1"

    def run(
        self,
        items: Sequence[Item],
        dev: Sequence[Item],
        *,
        on_step: OnStep | None = None,
        on_score: OnScore | None = None,
    ) -> TrainReport:
        """Train, compare with the text twin on dev, and keep the better of the two.

        Raises:
            TrainingError: nothing to train on, or the loss diverged.
        """
        return self.train(self.questions(items, dev), on_step=on_step, on_score=on_score)

    def questions(self, items: Sequence[Item], dev: Sequence[Item]) -> Questions:
        """Train and dev questions as the prompts that are trained on and measured with."""
        return Questions(items, self._told(items, teach=True), self._told(dev, teach=False))

    def train(
        self,
        questions: Questions,
        *,
        twin_f1: float | None = None,
        above: float = -1.0,
        on_step: OnStep | None = None,
        on_score: OnScore | None = None,
    ) -> TrainReport:
        """Train, compare with the text twin on dev, and keep the better of the two.

        Args:
            questions: of this domain, whose settings may be others.
            twin_f1: of the text twin on dev, where it is known; it depends on no setting of a run.
            above: keep nothing that has no higher token F1 than this.
            on_step, on_score: progress.
        """
        told, dev_told = questions.told, questions.dev_told
        start = self._start(told)
        devices = joined(self.store.backbone.device)
        config = TrainConfig(
            attention=self.attention, **self.settings.model_dump(exclude={"kind", "length", "adapter", "adapter_rank"})
        )
        result = train(
            self.store,
            start,
            [(prompt, item.target) for prompt, item in told],
            [(prompt, item.target) for prompt, item in dev_told],
            config,
            folder=self.folder / "checkpoint",
            log=self.folder / TRAIN_LOG,
            keep_state=True,
            on_step=on_step,
        )
        tell = on_score or (lambda *_: None)
        soft, soft_f1 = self.scores(dev_told, result.soft_prompt, "soft", tell, devices)
        if twin_f1 is None:
            twin, twin_f1 = self.scores(dev_told, start.text_twin, "text-twin", tell, devices)
        else:
            twin = twin_f1
        kept = soft > max(twin, above)
        if kept and devices.main:
            scores = Scores(
                dev_loss=result.dev_loss,
                dev_loss_text_twin=result.start_loss,
                dev_token_f1=soft_f1,
                dev_token_f1_text_twin=twin_f1,
            )
            save_soft_prompt(
                self.folder / "soft_prompt",
                result.soft_prompt,
                self._manifest(result, config, questions.items, scores),
                self.answering.template.current().text,
            )
        if devices.main:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_loss_curve(result, self.folder / "loss_curve.png", f"{self.name}: {start.kind} soft prompt")
            # Not before: whoever is stopped while dev is answered need not train again.
            remove_checkpoint(self.folder / "checkpoint")
        devices.wait()
        return TrainReport(
            domain=self.name,
            kept=kept,
            kind=start.kind,
            length=start.length,
            adapter=start.adapter.form if start.adapter else None,
            adapter_rank=start.adapter.rank if start.adapter else 0,
            layers=config.layers,
            examples=len(told),
            withheld=len(_with_target(questions.items)) - len(told),
            dev_questions=len(dev_told),
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
            metric=self.metric,
            dev_score=soft,
            dev_score_text_twin=twin,
        )

    def _told(self, items: Sequence[Item], *, teach: bool) -> Told:
        """Prompts as at answering time. Where retrieval missed the answer, teaching puts it in: a prompt that is
        taught to answer without it learns to invent."""
        chosen = _with_target(items)
        evidence, _ = retrieve_all(self.answering, chosen)
        if teach:
            gold = Gold(self.answering.index)
            known = gold_evidence(self.answering, chosen, gold)
            most = self.answering.settings.passages
            evidence = [_with_gold(e, k, i, gold, most) for e, k, i in zip(evidence, known, chosen, strict=True)]
        return [
            (self.answering.prompt(item.question, turns_of(item), found), item)
            for item, found in zip(chosen, evidence, strict=True)
            if found.enough
        ]

    def _start(self, told: Told) -> SoftPrompt:
        template = self.answering.template.current()
        slots = sorted(template.soft_slots)
        if len(slots) != 1 or not told:
            raise TrainingError(
                found=f"{len(slots)} soft slots in the template {template.name!r}, {len(told)} questions to train on",
                expected="one soft slot, and questions in train.jsonl that the documents answer",
                next_step="put one slot under `soft_slots:` in the template, and write questions to train.jsonl",
            )
        slot, twin, length = slots[0], template.text_twin(slots[0]), self.settings.length
        backbone, adapter = self.store.backbone, self._adapter()
        if self.settings.kind == "adapter":
            assert adapter is not None
            return adapter_prompt(backbone, slot, twin, adapter)
        if self.settings.kind == "embedding":
            return replace(from_text_twin(backbone, slot, twin, length), adapter=adapter)
        prefix = encode_prompt(backbone, told[0][0], {}).prefix
        return replace(kv_from_text_twin(self.store.backbone, slot, twin, prefix, length), adapter=adapter)

    def _adapter(self) -> Adapter | None:
        backbone, settings = self.store.backbone, self.settings
        # Training the last layers alone would be in vain with weights beside those below.
        if settings.adapter_form == "lora":
            return initial_adapter(backbone, settings.adapter_rank, settings.seed, settings.layers)
        return initial_scaling(backbone, settings.layers) if settings.adapter_form == "ia3" else None

    def scores(self, told: Told, fill: SlotFill, name: str, tell: OnScore, devices: Devices) -> tuple[float, float]:
        """Of the answers to these questions, with the soft slot filled like that: the mean of the score that decides,
        and mean token F1."""
        speaker = self.answering.speaker
        assert isinstance(speaker, LocalSpeaker)
        slot = next(iter(self.answering.template.current().soft_slots))
        chat: SoftPromptChat = speaker.chat.model_copy(update={"fills": {slot: fill}, "graft": name})
        own = list(devices.share(told))
        replies = self.replies(chat, own, lambda done, total: tell(name, done, total))
        f1 = [token_f1(reply, item.references) for reply, (_, item) in zip(replies, own, strict=True)]
        deciding = [self.score(reply, item) for reply, (_, item) in zip(replies, own, strict=True)]
        return devices.total(sum(deciding)) / len(told), devices.total(sum(f1)) / len(told)

    def replies(self, chat: SoftPromptChat, told: Told, tell: Callable[[int, int], None]) -> list[str]:
        """The answers of one fill of the slot."""
        prompts = [prompt for prompt, _ in told]
        return LocalSpeaker(chat).reply_many(prompts, on_reply=lambda done: tell(done, len(told)))

    def score(self, reply: str, item: Item) -> float:
        """How good one answer is, by what decides."""
        return token_f1(reply, item.references)

    def _manifest(self, result: TrainResult, config: TrainConfig, items: Sequence[Item], scores: Scores) -> Manifest:
        return manifest_of(
            result.soft_prompt,
            self.store.backbone,
            self.answering.template.current(),
            attention=config.attention,
            objective=self.objective,
            seed=config.seed,
            data_hash=items_hash(_with_target(items)),
            train={**asdict(config), "micro_batch": result.micro_batch, "processes": result.processes},
            scores=scores,
            adapter_layers=config.layers,
        )


def _with_target(items: Sequence[Item]) -> list[Item]:
    return [item for item in items if item.target]


def _with_gold(found: Evidence, known: Evidence, item: Item, gold: Gold, most: int) -> Evidence:
    """Evidence in which an answerable question finds its answer: gold comes last or, where there are as many passages
    as the model may be given, takes the place of the weakest."""
    if not known.enough or any(gold.passage_holds(item, entry.passage) for entry in found.passages):
        return found
    return replace(found, passages=(*found.passages[: most - 1], known.passages[0]), enough=True)
