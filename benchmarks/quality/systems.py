"""Softgraft's systems of the quality benchmark, and the interface of all systems."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import save

from benchmarks.quality.data import Question
from benchmarks.quality.settings import BATCH, GraftSettings
from benchmarks.quality.training import TrainingSummary, train_for
from evaluation.items import spread
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
from soft_prompt.training.answer_loss import answer_loss, with_lower_states
from soft_prompt.training.example import TrainingExample
from soft_prompt.training.layer_split import frozen_lower_layers
from soft_prompt.training.trained_tensors import TrainedTensors

# Maximum tokens of a trained answer; a few answers of covidqa are whole paragraphs.
ANSWER_TOKENS = 64
REPLY_TOKENS = {"squad": 24, "covidqa": 48}


class QualitySystem(Protocol):
    """A system that answers questions, possibly after training.

    Attributes:
        parameters: number of trained parameters.
        bytes: their size on disk.
    """

    parameters: int
    bytes: int

    def train(self, questions: Sequence[Question], seconds: float) -> TrainingSummary | None: ...
    def reply(self, questions: Sequence[Question], max_tokens: int) -> list[str]: ...
    def text_loss(self, texts: Sequence[str]) -> float: ...


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


class EngineSystem:
    """A system that answers with the project's own engine."""

    parameters = bytes = 0

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def row(self, prompt: RenderedPrompt) -> Row:
        """The prompt as the engine reads it."""
        raise NotImplementedError

    def render(self, question: Question) -> RenderedPrompt:
        """The prompt of a question."""
        return question.prompt

    def reply(self, questions: Sequence[Question], max_tokens: int) -> list[str]:
        rows = [self.row(self.render(question)) for question in questions]
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


class UntrainedSystem(EngineSystem):
    """The template with an empty slot, with its text twin, or after worked examples.

    Args:
        setup: what all systems share.
        fill: of the slot.
        few_shot: renders a question after worked examples, if given.
    """

    def __init__(
        self, setup: Setup, fill: SlotFill, few_shot: Callable[[Question], RenderedPrompt] | None = None
    ) -> None:
        super().__init__(setup)
        self.fill, self.few_shot = fill, few_shot

    def train(self, questions: Sequence[Question], seconds: float) -> TrainingSummary | None:
        return None

    def render(self, question: Question) -> RenderedPrompt:
        return self.few_shot(question) if self.few_shot else question.prompt

    def row(self, prompt: RenderedPrompt) -> Row:
        return encode_prompt(self.setup.backbone, prompt, {self.setup.slot: self.fill})


class GraftSystem(EngineSystem):
    """A soft prompt, trained with the engine's own parts."""

    def __init__(self, setup: Setup, settings: GraftSettings) -> None:
        super().__init__(setup)
        self.settings = settings

    def train(self, questions: Sequence[Question], seconds: float) -> TrainingSummary | None:
        backbone, settings = self.setup.backbone, self.settings
        questions = spread(questions, settings.questions)
        with closing(PrefixStore(backbone, memory_bytes=6 * GIB)) as store:
            initial = self._initial(store, questions[0])
            config = TrainConfig(
                learning_rate=settings.learning_rate,
                adapter_learning_rate=settings.adapter_learning_rate,
                seed=self.setup.seed,
                attention=settings.attention,
            )
            trained = TrainedTensors(initial, config, backbone.device)
            self.soft_prompt = initial
            examples = [TrainingExample(self.row(q.prompt), self.setup.answer_ids(q)) for q in questions]
            layers = frozen_lower_layers(initial)

            def loss_of(batch: list[int], step: int) -> tuple[torch.Tensor, int]:
                new = [i for i in batch if layers and examples[i].lower_states is None]
                if new:
                    cached = with_lower_states(store, [examples[i] for i in new], layers)
                    for i, example in zip(new, cached, strict=True):
                        examples[i] = example
                current = self._positions(trained.soft_prompt(), step)
                return answer_loss(store, [examples[i].with_soft_prompt(current) for i in batch])

            groups = [(group["params"], group["lr"]) for group in trained.optimizer.param_groups]
            lengths = [example.row.run_length + len(example.answer) for example in examples]
            summary = train_for(
                seconds, lengths, loss_of, groups, self.setup.seed,
                epochs=settings.epochs, batch_size=settings.batch_size,
            )  # fmt: skip
        self.soft_prompt = initial.with_tensors(trained.snapshot())
        tensors = {name: t.detach().contiguous() for name, t in self.soft_prompt.tensors().items()}
        self.parameters, self.bytes = sum(t.numel() for t in tensors.values()), len(save(tensors))
        return summary

    def row(self, prompt: RenderedPrompt) -> Row:
        """The prompt with the soft prompt in the slot, at the position of the settings."""
        fills = {self.setup.slot: self.soft_prompt}
        row = encode_prompt(self.setup.backbone, self._place_slot(prompt), fills, self.settings.attention)
        return Row((), (row.prefix, *row.suffix)) if self.settings.uncached else row

    def _positions(self, soft_prompt: SoftPrompt, step: int) -> SoftPrompt:
        """The positions that a step trains: all, or with `random_length` a random number of the first ones."""
        if not self.settings.random_length:
            return soft_prompt
        length = random.Random(f"{self.setup.seed}-length-{step}").randint(1, soft_prompt.length)
        return replace(soft_prompt, vectors=soft_prompt.vectors[:length])

    def _initial(self, store: PrefixStore, question: Question) -> SoftPrompt:
        setup, settings = self.setup, self.settings
        backbone = setup.backbone
        adapter = initial_adapter(backbone, settings.rank, setup.seed, settings.layers) if settings.rank else None
        adapter = initial_scaling(backbone) if settings.scaling else adapter
        if settings.kind == "adapter":
            assert adapter is not None
            return adapter_prompt(backbone, setup.slot, setup.twin, adapter)
        if settings.kind == "embedding":
            return replace(from_text_twin(backbone, setup.slot, setup.twin, settings.length), adapter=adapter)
        prefix = encode_prompt(backbone, self._place_slot(question.prompt), {}).prefix
        kv = kv_from_text_twin(store.backbone, setup.slot, setup.twin, prefix, settings.length)
        kv = replace(kv, adapter=adapter)
        return kv.with_trained_layers(settings.layers) if settings.layers else kv

    def _place_slot(self, prompt: RenderedPrompt) -> RenderedPrompt:
        """Move the slot of the system message to the position of the settings."""
        if self.settings.slot == "after passages":
            return prompt
        system, *others = prompt.messages
        slot = next(part for part in system.segments if isinstance(part, SoftSegment))
        first, *rest = (part for part in system.segments if not isinstance(part, SoftSegment))
        if self.settings.slot == "before passages":
            # After the first sentence of the system message.
            return RenderedPrompt((Message(system.role, (first, slot, *rest)), *others))
        *others, user = others
        question = Message(user.role, (*user.segments, TextSegment("\n"), slot))
        return RenderedPrompt((Message(system.role, (first, *rest)), *others, question))
