"""How a batch of known answers runs through the backbone: for their loss, or for what its first layers put out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from soft_prompt.graft.adapter_hooks import adapted, together
from soft_prompt.model.backbone import Backbone
from soft_prompt.model.decoder import attends_beside, decoder
from soft_prompt.model.frozen_attention import beside, cache_beside
from soft_prompt.model.kv_cache import filled_cache
from soft_prompt.rows.batch import Batch, assemble
from soft_prompt.rows.encoder_inputs import _inputs, _start_id
from soft_prompt.rows.prefix_store import PrefixStore
from soft_prompt.training.upper_layers import entered, lower_part, noted, upper_part

if TYPE_CHECKING:
    from soft_prompt.training.example import Example
from soft_prompt.training.example import Below, Example


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


_IGNORED = -100


def encoder_decoder_loss(backbone: Backbone, examples: Sequence[Example]) -> tuple[Tensor, int]:
    """Summed cross entropy of the answers, and how many tokens were summed, as `answer_loss` gives them.

    The decoder reads nothing but the answers, so logits are made at answer positions only.

    Raises:
        ContextError: a prompt or an answer is longer than the backbone's context.
        BackboneError: a prompt has a `kv` soft prompt or an adapter.
    """
    embeddings, mask = _inputs(backbone, [e.row for e in examples], max(len(e.answer) for e in examples))
    answers = [torch.tensor(example.answer, device=backbone.device) for example in examples]
    labels = torch.nn.utils.rnn.pad_sequence(answers, batch_first=True, padding_value=_IGNORED)
    start = labels.new_full((len(examples), 1), _start_id(backbone))
    read = torch.cat((start, labels[:, :-1]), dim=1)
    logits = backbone.model(
        inputs_embeds=embeddings,
        attention_mask=mask,
        # Behind an answer its row says nothing that counts, so any id may stand there.
        decoder_input_ids=read.masked_fill(read == _IGNORED, 0),
        use_cache=False,
    ).logits.float()
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=_IGNORED, reduction="sum"
    )
    return loss, sum(len(example.answer) for example in examples)
