"""Softgraft's systems of the quality benchmark."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save

from benchmarks.quality.data import Question
from benchmarks.quality.settings import BATCH, GraftSettings
from benchmarks.quality.training import TrainingSummary, train_for
from prompts import Message, RenderedPrompt, SoftSegment, TextSegment
from soft_prompt import (
    Backbone,
    Decoding,
    PrefixStore,
    Row,
    SlotFill,
    SoftPrompt,
    TrainConfig,
    adapter_prompt,
    encode_prompt,
    from_text_twin,
    generate,
    initial_adapter,
    initial_scaling,
    kv_from_text_twin,
)
from soft_prompt.rows.prefix_store import GIB
from soft_prompt.training.answer_loss import answer_loss
from soft_prompt.training.example import TrainingExample
from soft_prompt.training.methods.parametrisation import Plain
from soft_prompt.training.trained_tensors import TrainedTensors

# Maximum tokens of a trained answer; a few answers of covidqa are whole paragraphs.
ANSWER_TOKENS = 64
REPLY_TOKENS = {"squad": 24, "covidqa": 48}


@dataclass(frozen=True, slots=True)
class Setup:
    """What all systems of one cell share.

    Attributes:
        backbone: the frozen model.
        slot, twin: of the template.
        passages: folder for keys and values of test passages, which do not depend on trained vectors.
        seed: of all randomness.
    """

    backbone: Backbone
    slot: str
    twin: str
    passages: Path
    seed: int

    def answer_ids(self, question: Question) -> tuple[int, ...]:
        """The trained tokens: the answer and the end token."""
        return (*self.backbone.encode_text(question.item.target)[: ANSWER_TOKENS - 1], self.backbone.end_id)

    def general_prompt(self, text: str) -> RenderedPrompt:
        """General text in the user's message, after the soft slot of a domain."""
        system = (TextSegment("You are a helpful assistant.\n\n"), SoftSegment(self.slot))
        return RenderedPrompt((Message("system", system), Message("user", (TextSegment(text),))))


class PromptSystem:
    """The template with a fill of its slot, answered by the project's own engine.

    Attributes:
        fill: of the slot: the text twin, or None for an empty slot.
        few_shot: renders a question after worked examples, if given.
        parameters: number of trained parameters.
        bytes: their size on disk.
    """

    parameters = bytes = 0

    def __init__(
        self, setup: Setup, fill: SlotFill, few_shot: Callable[[Question], RenderedPrompt] | None = None
    ) -> None:
        self.setup, self.fill, self.few_shot = setup, fill, few_shot

    def train(self, questions: Sequence[Question], seconds: float) -> TrainingSummary | None:
        """Train for these CPU seconds; None if there is nothing to train."""
        return None

    def row(self, prompt: RenderedPrompt) -> Row:
        """The prompt as the engine reads it."""
        return encode_prompt(self.setup.backbone, prompt, {self.setup.slot: self.fill})

    def reply(self, questions: Sequence[Question], max_tokens: int) -> list[str]:
        rows = [self.row(self.few_shot(q) if self.few_shot else q.prompt) for q in questions]
        with closing(PrefixStore(self.setup.backbone, folder=self.setup.passages)) as store:
            replies = generate(store, rows, Decoding(max_tokens=max_tokens), batch_size=2 * BATCH)
        return [reply.text.strip() for reply in replies]

    def text_loss(self, texts: Sequence[str]) -> float:
        """Mean loss per token of general texts, in nats."""
        total, tokens = 0.0, 0
        with torch.no_grad(), closing(PrefixStore(self.setup.backbone)) as store:
            for row in (self.row(self.setup.general_prompt(text)) for text in texts):
                # The user's text is the second to last part; the last one ends the message.
                *before, ids, _ = row.suffix
                assert isinstance(ids, tuple)
                loss, count = answer_loss(store, [TrainingExample(replace(row, suffix=tuple(before)), ids)])
                total, tokens = total + float(loss), tokens + count
        return total / tokens


class GraftSystem(PromptSystem):
    """A soft prompt, trained with the engine's own parts."""

    def __init__(self, setup: Setup, settings: GraftSettings) -> None:
        super().__init__(setup, None)
        self.settings = settings

    def train(self, questions: Sequence[Question], seconds: float) -> TrainingSummary:
        backbone, settings = self.setup.backbone, self.settings
        with closing(PrefixStore(backbone, memory_bytes=6 * GIB)) as store:
            self.fill = initial = self._initial(store, questions[0])
            config = TrainConfig(
                learning_rate=settings.learning_rate,
                adapter_learning_rate=settings.adapter_learning_rate,
                seed=self.setup.seed,
                attention=settings.attention,
            )
            trained = TrainedTensors(Plain(initial), config, backbone.device)
            examples = [TrainingExample(self.row(q.prompt), self.setup.answer_ids(q)) for q in questions]

            def loss_of(batch: list[int], step: int) -> tuple[torch.Tensor, int]:
                current = self._positions(trained.soft_prompt(), step)
                return answer_loss(store, [examples[i].with_soft_prompt(current) for i in batch])

            groups = [(group["params"], group["lr"]) for group in trained.optimizer.param_groups]
            lengths = [example.row.run_length + len(example.answer) for example in examples]
            summary = train_for(seconds, lengths, loss_of, groups, self.setup.seed)
        self.fill = initial.with_tensors(trained.snapshot())
        tensors = {name: t.detach().contiguous() for name, t in self.fill.tensors().items()}
        self.parameters, self.bytes = sum(t.numel() for t in tensors.values()), len(save(tensors))
        return summary

    def row(self, prompt: RenderedPrompt) -> Row:
        fills = {self.setup.slot: self.fill}
        row = encode_prompt(self.setup.backbone, self._place_slot(prompt), fills, self.settings.attention)
        return Row((), (row.prefix, *row.suffix)) if self.settings.spring else row

    def _positions(self, soft_prompt: SoftPrompt, step: int) -> SoftPrompt:
        """The positions that a step trains."""
        if not self.settings.spring:
            return soft_prompt
        length = random.Random(f"{self.setup.seed}-length-{step}").randint(1, soft_prompt.length)
        return replace(soft_prompt, vectors=soft_prompt.vectors[:length])

    def _initial(self, store: PrefixStore, question: Question) -> SoftPrompt:
        setup, settings, backbone = self.setup, self.settings, self.setup.backbone
        adapter = initial_adapter(backbone, settings.rank, setup.seed) if settings.rank else None
        adapter = initial_scaling(backbone) if settings.scaling else adapter
        if settings.kind == "adapter":
            assert adapter is not None
            return adapter_prompt(backbone, setup.slot, setup.twin, adapter)
        if settings.kind == "embedding":
            return replace(from_text_twin(backbone, setup.slot, setup.twin, settings.length), adapter=adapter)
        prefix = encode_prompt(backbone, self._place_slot(question.prompt), {}).prefix
        kv = kv_from_text_twin(store.backbone, setup.slot, setup.twin, prefix, settings.length)
        return replace(kv, adapter=adapter)

    def _place_slot(self, prompt: RenderedPrompt) -> RenderedPrompt:
        """Move the slot to after the first sentence of the system message if the settings want it there."""
        if not self.settings.before_passages:
            return prompt
        system, *others = prompt.messages
        slot = next(part for part in system.segments if isinstance(part, SoftSegment))
        first, *rest = (part for part in system.segments if not isinstance(part, SoftSegment))
        return RenderedPrompt((Message(system.role, (first, slot, *rest)), *others))
