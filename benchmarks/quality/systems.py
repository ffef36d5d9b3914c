"""Softgraft's systems of the quality benchmark, and what every system can be asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import save

from benchmarks.quality.data import Evidence, Question
from benchmarks.quality.training import BATCH, Trained, train_for
from evaluation.items import spread
from prompts import Message, RenderedPrompt, SoftSegment, TextSegment
from soft_prompt import (
    Attention,
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
from soft_prompt.training.answer_loss import answer_loss, with_below
from soft_prompt.training.example import Example
from soft_prompt.training.trained_tensors import TrainedTensors
from soft_prompt.training.upper_layers import untrained_layers

# Longest answer that is trained on, in tokens; covidqa has a few that are whole paragraphs.
ANSWER_TOKENS = 64
REPLY_TOKENS = {"squad": 24, "covidqa": 48}


class System(Protocol):
    """A way to answer, perhaps trained.

    Attributes:
        parameters: how many numbers are trained.
        bytes: what they take on disk.
    """

    parameters: int
    bytes: int

    def train(self, questions: Sequence[Question], seconds: float) -> Trained | None: ...
    def reply(self, questions: Sequence[Question], max_tokens: int) -> list[str]: ...
    def text_loss(self, texts: Sequence[str]) -> float: ...


@dataclass(frozen=True, slots=True)
class Where:
    """What a system is made for.

    Attributes:
        backbone: the frozen model.
        slot, twin: of the template.
        passages: folder of keys and values of test passages, which trained vectors do not change.
        seed: of everything drawn by chance.
    """

    backbone: Backbone
    slot: str
    twin: str
    passages: Path
    seed: int


def answer_ids(backbone: Backbone, question: Question) -> tuple[int, ...]:
    """What is learned: the answer, and the token that ends it."""
    return (*backbone.encode_text(question.item.target)[: ANSWER_TOKENS - 1], backbone.end_id)


def general_prompt(slot: str, text: str) -> RenderedPrompt:
    """General text where a user writes it, behind the slot of a domain whose prompt was left on."""
    system = (TextSegment("You are a helpful assistant.\n\n"), SoftSegment(slot))
    return RenderedPrompt((Message("system", system), Message("user", (TextSegment(text),))))


class Untrained:
    """The template with its slot empty, with its text twin, or behind example conversations."""

    parameters = bytes = 0

    def __init__(
        self, where: Where, fill: SlotFill, render: Callable[[Question], RenderedPrompt] = lambda q: q.prompt
    ) -> None:
        self.where, self.fill, self.render = where, fill, render

    def train(self, questions: Sequence[Question], seconds: float) -> Trained | None:
        return None

    def reply(self, questions: Sequence[Question], max_tokens: int) -> list[str]:
        return _replies(self.where, [self.row(self.render(q)) for q in questions], max_tokens)

    def row(self, prompt: RenderedPrompt) -> Row:
        return encode_prompt(self.where.backbone, prompt, {self.where.slot: self.fill})

    def text_loss(self, texts: Sequence[str]) -> float:
        return _text_loss(self.where, [self.row(general_prompt(self.where.slot, text)) for text in texts])


@dataclass(frozen=True, slots=True)
class GraftSettings:
    """What of a soft prompt is trained, and how; each was chosen on dev.

    Attributes:
        kind: `embedding`, `kv`, or `adapter`, which leaves the text twin in the slot.
        length: positions of the first two.
        rank: of low-rank weights beside the frozen ones; 0 for none.
        scaling: (IA)³ in their place.
        rate, adapter_rate: highest learning rates.
        before: the slot stands before the passages, so that they run through the model at every step.
        last: the slot stands behind the question, so that the question too is read once and only the reply runs again.
        uncached: the slot stands behind the passages and nothing is kept, as SPRING trains (arXiv:2405.19670).
        random_length: a random number of the first positions is trained at each step.
        attention: whether passages see one another.
        epochs: at most so many.
        questions: of the training questions; fewer contexts are read, and each is met more often in the same time.
        retrieved_questions: the same with retrieved passages, which take longer to read; None for as many.
        layers: only the last so many are trained; None for all.
        batch_size: examples a step.
        passages: at most so many stand in a training prompt; None for all that retrieval finds.
    """

    kind: str = "kv"
    length: int = 32
    rank: int = 0
    scaling: bool = False
    rate: float = 1e-2
    adapter_rate: float = 1e-3
    before: bool = False
    last: bool = False
    uncached: bool = False
    random_length: bool = False
    attention: Attention = "exact"
    epochs: int | None = None
    questions: int | None = None
    retrieved_questions: int | None = None
    layers: int | None = None
    batch_size: int = BATCH
    passages: int | None = None

    def behind(self, evidence: Evidence) -> GraftSettings:
        """The settings with that evidence."""
        if evidence == "gold" or self.retrieved_questions is None:
            return self
        return replace(self, questions=self.retrieved_questions)


class Graft:
    """A soft prompt, trained by the engine's own pieces."""

    def __init__(self, where: Where, settings: GraftSettings) -> None:
        self.where, self.settings = where, settings

    def train(self, questions: Sequence[Question], seconds: float) -> Trained | None:
        backbone, settings = self.where.backbone, self.settings
        questions = spread(questions, settings.questions)
        with closing(PrefixStore(backbone, memory_bytes=6 * GIB)) as store:
            start = self._start(store, questions[0])
            config = TrainConfig(
                learning_rate=settings.rate,
                adapter_learning_rate=settings.adapter_rate,
                seed=self.where.seed,
                random_length=settings.random_length,
                attention=settings.attention,
            )
            trained = TrainedTensors(start, config, backbone.device)
            self.soft_prompt = start
            examples = [Example(self.row(q.prompt), answer_ids(backbone, q)) for q in questions]

            layers = untrained_layers(start)

            def loss_of(batch: list[int], step: int) -> tuple[torch.Tensor, int]:
                new = [i for i in batch if layers and examples[i].below is None]
                if new:
                    kept = with_below(store, [examples[i] for i in new], layers)
                    for i, example in zip(new, kept, strict=True):
                        examples[i] = example
                now = trained.for_step(step)
                return answer_loss(store, [examples[i].with_soft_prompt(now) for i in batch])

            groups = [(group["params"], group["lr"]) for group in trained.optimizer.param_groups]
            lengths = [example.row.run_length + len(example.answer) for example in examples]
            done = train_for(
                seconds, lengths, loss_of, groups, self.where.seed,
                epochs=settings.epochs, batch_size=settings.batch_size,
            )  # fmt: skip
        self.soft_prompt = start.with_tensors(trained.plain())
        tensors = {name: t.detach().contiguous() for name, t in self.soft_prompt.tensors().items()}
        self.parameters, self.bytes = sum(t.numel() for t in tensors.values()), len(save(tensors))
        return done

    def reply(self, questions: Sequence[Question], max_tokens: int) -> list[str]:
        return _replies(self.where, [self.row(q.prompt) for q in questions], max_tokens)

    def text_loss(self, texts: Sequence[str]) -> float:
        return _text_loss(self.where, [self.row(general_prompt(self.where.slot, text)) for text in texts])

    def row(self, prompt: RenderedPrompt) -> Row:
        """The prompt with the soft prompt where the settings have it."""
        prompt = self._placed(prompt)
        fills = {self.where.slot: self.soft_prompt}
        row = encode_prompt(self.where.backbone, prompt, fills, self.settings.attention)
        return Row((), (row.prefix, *row.suffix)) if self.settings.uncached else row

    def _placed(self, prompt: RenderedPrompt) -> RenderedPrompt:
        if self.settings.last:
            return _slot_last(prompt)
        return _slot_before(prompt) if self.settings.before else prompt

    def _start(self, store: PrefixStore, question: Question) -> SoftPrompt:
        where, settings = self.where, self.settings
        backbone = where.backbone
        adapter = initial_adapter(backbone, settings.rank, where.seed, settings.layers) if settings.rank else None
        adapter = initial_scaling(backbone) if settings.scaling else adapter
        if settings.kind == "adapter":
            assert adapter is not None
            return adapter_prompt(backbone, where.slot, where.twin, adapter)
        if settings.kind == "embedding":
            return replace(from_text_twin(backbone, where.slot, where.twin, settings.length), adapter=adapter)
        prompt = self._placed(question.prompt)
        prefix = encode_prompt(backbone, prompt, {}).prefix
        kv = kv_from_text_twin(store.backbone, where.slot, where.twin, prefix, settings.length)
        kv = replace(kv, adapter=adapter)
        return kv.with_top(settings.layers) if settings.layers else kv


def _slot_before(prompt: RenderedPrompt) -> RenderedPrompt:
    """The slot of the system message before its passages, behind its first sentence."""
    system, *others = prompt.messages
    first, *rest = (part for part in system.segments if not isinstance(part, SoftSegment))
    slot = next(part for part in system.segments if isinstance(part, SoftSegment))
    return RenderedPrompt((Message(system.role, (first, slot, *rest)), *others))


def _slot_last(prompt: RenderedPrompt) -> RenderedPrompt:
    """The slot of the system message behind the question, on a line of its own."""
    system, *others, user = prompt.messages
    slot = next(part for part in system.segments if isinstance(part, SoftSegment))
    rest = tuple(part for part in system.segments if not isinstance(part, SoftSegment))
    asked = Message(user.role, (*user.segments, TextSegment("\n"), slot))
    return RenderedPrompt((Message(system.role, rest), *others, asked))


def _replies(where: Where, rows: Sequence[Row], max_tokens: int) -> list[str]:
    with closing(PrefixStore(where.backbone, folder=where.passages)) as store:
        found = generate(store, rows, Decoding(max_tokens=max_tokens), batch_size=2 * BATCH)
    return [reply.text.strip() for reply in found]


def _text_loss(where: Where, rows: Sequence[Row]) -> float:
    """Mean loss a token of the texts that the rows' user messages hold, in nats."""
    total, tokens = 0.0, 0
    with torch.no_grad(), closing(PrefixStore(where.backbone)) as store:
        for row in rows:
            # The user's text is the last but one part; what closes its message is not text.
            *before, text, _ = row.suffix
            assert isinstance(text, tuple)
            loss, count = answer_loss(store, [Example(replace(row, suffix=tuple(before)), text)])
            total, tokens = total + float(loss), tokens + count
    return total / tokens
