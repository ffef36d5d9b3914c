"""How a batch of known answers runs through the backbone: for their loss, or for what its first layers put out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from soft_prompt.adapter import adapted, together
from soft_prompt.backbone import Backbone
from soft_prompt.batch import Batch, assemble
from soft_prompt.cache import filled_cache
from soft_prompt.decoder import attends_beside, decoder
from soft_prompt.encode import Row
from soft_prompt.frozen_attention import beside, cache_beside
from soft_prompt.prefix_store import PrefixStore
from soft_prompt.prompt import SoftPrompt
from soft_prompt.seq2seq import encoder_decoder_loss
from soft_prompt.upper_layers import entered, lower_part, noted, upper_part


@dataclass(frozen=True, slots=True, eq=False)
class Below:
    """What the layers put out that stand below those that are trained.

    Attributes:
        layers: how many there are.
        states: `[new, hidden]` over the positions of an example that run through the model, in the backbone's dtype.
    """

    layers: int
    states: Tensor


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and the answer that training aims at.

    Attributes:
        row: the encoded prompt.
        answer: token ids of the answer, with the end token behind it.
        below: where the first layers need not run again.
    """

    row: Row
    answer: tuple[int, ...]
    below: Below | None = None

    @property
    def full(self) -> Row:
        """The prompt with the answer behind it; the last token is only ever predicted."""
        return self.row.followed_by(self.answer[:-1]) if len(self.answer) > 1 else self.row

    def with_soft_prompt(self, soft_prompt: SoftPrompt) -> Example:
        """The example with another soft prompt in the slot of that name."""
        return replace(self, row=self.row.with_soft_prompt(soft_prompt))


def answer_loss(store: PrefixStore, examples: Sequence[Example]) -> tuple[Tensor, int]:
    """Summed cross entropy of the answers, and how many tokens were summed.

    Returns:
        Loss, a scalar in fp32 that is differentiable in the soft prompts' vectors, and the number of answer tokens.
    """
    if store.backbone.encoder_decoder:
        return encoder_decoder_loss(store.backbone, examples)
    logits = answer_logits(store, examples)
    targets = torch.tensor([token for example in examples for token in example.answer], device=logits.device)
    return torch.nn.functional.cross_entropy(logits, targets, reduction="sum"), len(targets)


def answer_logits(store: PrefixStore, examples: Sequence[Example]) -> Tensor:
    """What a causal backbone expects at the answer positions of all examples, one example behind the other.

    Logits are made there only: all rows end at the right, so an answer `n` long is predicted by the last `n` positions
    of its row.

    Returns:
        `[answer tokens, vocabulary]`, fp32, differentiable in the soft prompts' vectors.
    """
    batch = assemble(store, [example.full for example in examples])
    new = batch.embeddings.shape[1]
    wanted = torch.zeros((len(examples), new), dtype=torch.bool, device=batch.mask.device)
    for number, example in enumerate(examples):
        wanted[number, new - len(example.answer) :] = True
    known = [example.below for example in examples if example.below is not None]
    with ExitStack() as entering:
        if len(known) == len(examples):
            backbone = upper_part(store.backbone, known[0].layers)
            entering.enter_context(entered([below.states.to(store.backbone.device) for below in known], new))
        else:
            backbone = decoder(store.backbone, "own")
        logits: Tensor = _run(backbone, batch, examples, wanted).logits.float()
    return logits.reshape(-1, logits.shape[-1])


def with_below(store: PrefixStore, examples: Sequence[Example], layers: int) -> list[Example]:
    """The examples, each with what the backbone's first `layers` layers put out for it, kept in the CPU's memory.

    Nothing that is trained may act in these layers. All examples run at once.
    """
    batch = assemble(store, [example.full for example in examples])
    states: list[Tensor] = []
    with torch.no_grad(), noted(states):
        _run(lower_part(store.backbone, layers), batch, examples, 1)
    [rows] = states
    found = []
    for example, row in zip(examples, rows, strict=True):
        own = row[row.shape[0] - example.full.run_length :].detach().cpu().clone()
        found.append(replace(example, below=Below(layers, own)))
    return found


def _run(backbone: Backbone, batch: Batch, examples: Sequence[Example], logits_to_keep: Tensor | int) -> Any:
    frozen = batch.cached_layers() if attends_beside(backbone) else []
    cache = cache_beside(frozen, batch.front_layers()) if frozen else filled_cache(batch.layers())
    with ExitStack() as active:
        active.enter_context(adapted(backbone, together(backbone, [example.row.adapter for example in examples])))
        if frozen:
            active.enter_context(beside(frozen))
        return backbone.model(
            inputs_embeds=batch.embeddings,
            attention_mask=batch.mask,
            position_ids=batch.positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=logits_to_keep,
        )


def mean_answer_loss(store: PrefixStore, examples: Sequence[Example], batch_size: int) -> float:
    """Mean cross entropy an answer token, in nats, without gradient; at most `batch_size` examples run at once."""
    order = sorted(examples, key=lambda example: example.full.run_length)
    total = 0.0
    with torch.no_grad():
        for first in range(0, len(order), batch_size):
            total += float(answer_loss(store, order[first : first + batch_size])[0])
    return total / sum(len(example.answer) for example in examples)
