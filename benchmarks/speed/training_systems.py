"""Softgraft as the benchmark trains it, and what it has in common with PEFT's methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from benchmarks.speed.training_data import Task
from soft_prompt import Backbone, PrefixStore, Row, SoftPrompt, from_text_twin, initial_adapter, kv_from_text_twin
from soft_prompt.training.answer_loss import answer_loss
from soft_prompt.training.example import Example

TWIN = "Answer the customer's question from the passages above, in one short sentence and in the bank's own words."
LEARNING_RATE, CLIP, RANK = 1e-3, 1.0, 4
BLOCK = "softgraft-kv-block"
SOFTGRAFT = ("softgraft-embedding", "softgraft-kv", "softgraft-kv-adapter", BLOCK)


class System(Protocol):
    """One way to train.

    `start` forgets everything and takes its first weights, `fill` computes what is computed once, `step` trains on a
    batch and returns its loss, `stop` leaves the backbone as it was and lets go of memory.
    """

    def start(self) -> None: ...
    def fill(self, tasks: Sequence[Task]) -> None: ...
    def step(self, tasks: Sequence[Task]) -> float: ...
    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where keys and values of prefixes are kept.

    Attributes:
        memory_bytes: how much in memory.
        folder: for what is beyond that; None means a temporary one.
    """

    memory_bytes: int
    folder: Path | None = None

    def open(self, backbone: Backbone) -> PrefixStore:
        """An empty store."""
        return PrefixStore(backbone, memory_bytes=self.memory_bytes, folder=self.folder)


class Softgraft:
    """The engine's own pieces: prefix store, loss at answer positions, AdamW on fp32 vectors."""

    def __init__(self, backbone: Backbone, initial: SoftPrompt, store: StoreSettings, *, block: bool = False) -> None:
        self.backbone, self.initial, self.store_settings, self.block = backbone, initial, store, block
        self.store = store.open(backbone)

    def start(self) -> None:
        self.store.close()
        self.store = self.store_settings.open(self.backbone)
        initial = self.initial.tensors().items()
        self.trained = {n: t.detach().to(self.backbone.device).clone().requires_grad_(True) for n, t in initial}
        self.soft_prompt = self.initial.with_tensors(self.trained)
        self.optimizer = torch.optim.AdamW(self.trained.values(), lr=LEARNING_RATE, weight_decay=0.0)

    def fill(self, tasks: Sequence[Task]) -> None:
        for task in {task.context: task for task in tasks}.values():
            self.store.warm(self._row(task))

    def step(self, tasks: Sequence[Task]) -> float:
        examples = [Example(self._row(task), task.answer) for task in tasks]
        total, tokens = answer_loss(self.store, examples)
        return descend(total / tokens, list(self.trained.values()), self.optimizer)

    def stop(self) -> None:
        self.store.close()

    def _row(self, task: Task) -> Row:
        row = Row(task.context, (self.soft_prompt, task.question))
        return replace(row, cuts=task.cuts, attention="block") if self.block else row


def softgraft_system(
    name: str, backbone: Backbone, tasks: Sequence[Task], length: int, store: StoreSettings
) -> Softgraft:
    """A system of `SOFTGRAFT`, whose virtual tokens start from the text twin behind the first context."""
    if name == "softgraft-embedding":
        return Softgraft(backbone, from_text_twin(backbone, "domain", TWIN, length), store)
    kv = kv_from_text_twin(backbone, "domain", TWIN, tasks[0].context, length)
    adapter = initial_adapter(backbone, RANK, 0) if name == "softgraft-kv-adapter" else None
    return Softgraft(backbone, replace(kv, adapter=adapter), store, block=name == BLOCK)


def slot_first_loss(backbone: Backbone, tasks: Sequence[Task], first: SoftPrompt | None) -> float:
    """Loss of Softgraft with a soft prompt before everything, where PEFT has its own; None for none at all.

    PEFT's first loss is near it if both see the same tokens.
    """
    slot = () if first is None else (first,)
    examples = [Example(Row((), (*slot, (*task.context, *task.question))), task.answer) for task in tasks]
    with torch.no_grad():
        total, tokens = answer_loss(PrefixStore(backbone), examples)
    return float(total) / tokens


def bytes_per_token(backbone: Backbone) -> int:
    """Size of the keys and values of one token in a store."""
    config = backbone.model.config.get_text_config()
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    numbers = config.num_hidden_layers * 2 * config.num_key_value_heads * head_dim
    return int(numbers * torch.finfo(backbone.dtype).bits // 8)


def descend(loss: Tensor, trained: Sequence[Tensor], optimizer: torch.optim.Optimizer) -> float:
    """One step of the optimiser; the loss as a number."""
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(trained, CLIP)
    optimizer.step()
    return float(loss.detach())
