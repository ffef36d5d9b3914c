"""What the prototypes of better soft prompts share: each dresses an encoded prompt with what it trains.

A prototype changes one thing of `quality_systems.Graft`, and is trained and asked in the same way. One that helps on
dev is worth a place in the engine; one that does not stays here, with its figure in `docs/methods.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from prompts import RenderedPrompt, TextSegment
from quality_data import Question
from quality_systems import GraftSettings, Where, _text_loss, answer_ids, general_prompt
from quality_training import BATCH, Trained, train_for
from soft_prompt import (
    Attention,
    Decoding,
    PrefixStore,
    Row,
    SoftPrompt,
    encode_prompt,
    generate,
    kv_from_text_twin,
)
from soft_prompt.forward import Example, answer_loss
from soft_prompt.prefix_store import GIB
from soft_prompt.prompt import VECTORS

# What is trained: its start, and its highest learning rate.
Start = Mapping[str, tuple[Tensor, float]]
# With the rate of "kv rate 2e-2": at 1e-2 a training this short has not learned enough to compare ways by.
PLAIN = GraftSettings(rate=2e-2)


class RowPrototype:
    """A `kv` soft prompt, trained as `Graft` trains it; subclasses change one of the methods that follow `reply`.

    Attributes:
        begun: the soft prompt as training began.
        tensors: what is trained, by name: those of the soft prompt, and those of `extra`.
    """

    parameters = bytes = 0
    attention: Attention = "exact"

    def __init__(self, where: Where) -> None:
        self.where = where
        self.begun: SoftPrompt
        self.tensors: dict[str, Tensor] = {}

    def train(self, questions: Sequence[Question], seconds: float) -> Trained | None:
        with closing(self.store()) as store:
            self.begun = self.start(store, questions[0])
            own: Start = {name: (t, self.rate(name)) for name, t in self.begun.tensors().items() if self.rate(name)}
            started = {**own, **self.extra(store, questions)}
            self.tensors = {name: t.detach().float().clone().requires_grad_(True) for name, (t, _) in started.items()}
            rows = [self.encode(q.prompt) for q in questions]
            texts = [asked(q.prompt) for q in questions]
            answers = [answer_ids(self.where.backbone, q) for q in questions]

            def loss_of(batch: list[int], step: int) -> tuple[Tensor, int]:
                now = self.now(step)
                examples = [Example(self.dress(rows[i], texts[i], now), answers[i]) for i in batch]
                return self.loss(store, examples, batch)

            groups = [([self.tensors[name]], rate) for name, (_, rate) in started.items()]
            lengths = [row.run_length + len(answer) for row, answer in zip(rows, answers, strict=True)]
            done = train_for(self.seconds(seconds), lengths, loss_of, groups, self.where.seed, epochs=self.epochs)
        self.tensors = {name: t.detach() for name, t in self.tensors.items()}
        kept = self.kept()
        self.parameters, self.bytes = sum(t.numel() for t in kept.values()), len(save(kept))
        return done

    def reply(self, questions: Sequence[Question], max_tokens: int) -> list[str]:
        now = self.now(None)
        rows = [self.dress(self.encode(q.prompt), asked(q.prompt), now) for q in questions]
        with torch.no_grad(), closing(self.store(self.where.passages)) as store:
            found = generate(store, rows, Decoding(max_tokens=max_tokens), batch_size=2 * BATCH)
        return [reply.text.strip() for reply in found]

    def text_loss(self, texts: Sequence[str]) -> float:
        now, slot = self.now(None), self.where.slot
        prompts = [general_prompt(slot, text) for text in texts]
        return _text_loss(self.where, [self.dress(self.encode(p), asked(p), now) for p in prompts])

    epochs: int | None = None

    def seconds(self, given: float) -> float:
        """Of training, where the cell gives so many."""
        return given

    def store(self, folder: Path | None = None) -> PrefixStore:
        """Where keys and values of passages come from; with a folder those of test, which stay."""
        return PrefixStore(self.where.backbone, memory_bytes=6 * GIB, folder=folder)

    def start(self, store: PrefixStore, question: Question) -> SoftPrompt:
        """The soft prompt that training begins with."""
        return self.vectors_of_twin(store, question, PLAIN.length)

    def rate(self, name: str) -> float:
        """Highest learning rate of a tensor of the soft prompt; 0 where it is not trained."""
        return PLAIN.rate if name == VECTORS else PLAIN.adapter_rate

    def extra(self, store: PrefixStore, questions: Sequence[Question]) -> Start:
        """What is trained besides the soft prompt."""
        return {}

    def now(self, step: int | None) -> SoftPrompt:
        """The soft prompt in that training step, or to answer with where it is None."""
        return self.begun.with_tensors({name: self.tensors.get(name, t) for name, t in self.begun.tensors().items()})

    def dress(self, row: Row, text: str, now: SoftPrompt) -> Row:
        """An encoded prompt with what is trained. `text` is what its user asks."""
        return row.with_soft_prompt(now)

    def loss(self, store: PrefixStore, examples: Sequence[Example], batch: Sequence[int]) -> tuple[Tensor, int]:
        """Summed loss of the examples, whose numbers are `batch`, and how many tokens it is summed over."""
        return answer_loss(store, examples)

    def kept(self) -> dict[str, Tensor]:
        """What a trained prototype has to be kept with, and is counted."""
        return {name: t.contiguous() for name, t in self.tensors.items()}

    def encode(self, prompt: RenderedPrompt) -> Row:
        """The prompt with the soft prompt of the beginning in its slot."""
        return encode_prompt(self.where.backbone, prompt, {self.where.slot: self.begun}, self.attention)

    def vectors_of_twin(self, store: PrefixStore, question: Question, length: int) -> SoftPrompt:
        """A `kv` soft prompt as `Graft` starts it."""
        prefix = encode_prompt(self.where.backbone, question.prompt, {}).prefix
        return kv_from_text_twin(store, self.where.slot, self.where.twin, prefix, length)


def asked(prompt: RenderedPrompt) -> str:
    """The text of a prompt's last message."""
    return "".join(part.text for part in prompt.messages[-1].segments if isinstance(part, TextSegment))
