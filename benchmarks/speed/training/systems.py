"""Softgraft as the training benchmark runs it, and the code it shares with PEFT's methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.speed.training.data import TokenExample
from benchmarks.speed.training.report import BLOCK
from soft_prompt import Backbone, PrefixStore, Row, SoftPrompt, from_text_twin, initial_adapter, kv_from_text_twin
from soft_prompt.training.answer_loss import answer_loss
from soft_prompt.training.example import TrainingExample

TWIN = "Answer the customer's question from the passages above, in one short sentence and in the bank's own words."
LEARNING_RATE, CLIP, RANK = 1e-3, 1.0, 4

NewStore = Callable[[], PrefixStore]


class SoftgraftTraining:
    """The engine's own parts: prefix store, loss at answer positions, AdamW on fp32 vectors.

    `start` resets the trained weights, `fill` computes what is computed once per run, `step` trains on a batch and
    returns its loss, `stop` frees memory.
    """

    def __init__(self, backbone: Backbone, initial: SoftPrompt, new_store: NewStore, *, block: bool = False) -> None:
        self.backbone, self.initial, self.new_store, self.block = backbone, initial, new_store, block
        self.store = new_store()

    def start(self) -> None:
        self.store.close()
        self.store = self.new_store()
        initial = self.initial.tensors().items()
        self.trained = {n: t.detach().to(self.backbone.device).clone().requires_grad_(True) for n, t in initial}
        self.soft_prompt = self.initial.with_tensors(self.trained)
        self.optimizer = torch.optim.AdamW(self.trained.values(), lr=LEARNING_RATE, weight_decay=0.0)

    def fill(self, examples: Sequence[TokenExample]) -> None:
        for example in {example.context: example for example in examples}.values():
            self.store.warm(self._row(example))

    def step(self, examples: Sequence[TokenExample]) -> float:
        total, tokens = answer_loss(self.store, [TrainingExample(self._row(e), e.answer) for e in examples])
        return optimizer_step(total / tokens, list(self.trained.values()), self.optimizer)

    def stop(self) -> None:
        self.store.close()

    def _row(self, example: TokenExample) -> Row:
        row = Row(example.context, (self.soft_prompt, example.question))
        return replace(row, cuts=example.cuts, attention="block") if self.block else row


def softgraft_system(
    name: str, backbone: Backbone, examples: Sequence[TokenExample], length: int, new_store: NewStore
) -> SoftgraftTraining:
    """A system of `SOFTGRAFT`, whose virtual tokens start from the text twin after the first context."""
    if name == "softgraft-embedding":
        return SoftgraftTraining(backbone, from_text_twin(backbone, "domain", TWIN, length), new_store)
    kv = kv_from_text_twin(backbone, "domain", TWIN, examples[0].context, length)
    adapter = initial_adapter(backbone, RANK, 0) if name == "softgraft-kv-adapter" else None
    return SoftgraftTraining(backbone, replace(kv, adapter=adapter), new_store, block=name == BLOCK)


def slot_first_loss(backbone: Backbone, examples: Sequence[TokenExample], soft_prompt: SoftPrompt | None) -> float:
    """Mean loss per answer token, in nats, of Softgraft with the soft prompt (if any) before all text.

    PEFT places its virtual tokens there, so its first loss is close to this one if both see the same tokens.
    """
    slot = () if soft_prompt is None else (soft_prompt,)
    rows = [TrainingExample(Row((), (*slot, (*e.context, *e.question))), e.answer) for e in examples]
    with torch.no_grad():
        total, tokens = answer_loss(PrefixStore(backbone), rows)
    return float(total) / tokens


def bytes_per_token(backbone: Backbone) -> int:
    """Size of the keys and values of one token."""
    config = backbone.model.config.get_text_config()
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    numbers = config.num_hidden_layers * 2 * config.num_key_value_heads * head_dim
    return int(numbers * torch.finfo(backbone.dtype).bits // 8)


def optimizer_step(loss: Tensor, trained: Sequence[Tensor], optimizer: torch.optim.Optimizer) -> float:
    """One optimizer step with gradient clipping; returns the loss as a number."""
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(trained, CLIP)
    optimizer.step()
    return float(loss.detach())
