"""Reference results: each row alone and whole, without cache, mask, padding or positions."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from soft_prompt import Backbone, Row, SoftPrompt
from soft_prompt.model.kv_cache import dynamic_cache
from soft_prompt.rows.batch import Batch


def some_ids(count: int, seed: int) -> tuple[int, ...]:
    """Ordinary token ids of the tiny tokenizer, control tokens left out."""
    rng = random.Random(seed)
    return tuple(rng.randrange(3, 300) for _ in range(count))


def some_soft_prompt(backbone: Backbone, length: int, seed: int, slot: str = "domain") -> SoftPrompt:
    """Vectors that are the embeddings of no token."""
    generator = torch.Generator().manual_seed(seed)
    scale = backbone.model.get_input_embeddings().weight.std()
    return SoftPrompt(slot, torch.randn(length, backbone.hidden_size, generator=generator) * scale, "twin")


def some_kv(backbone: Backbone, length: int, seed: int) -> SoftPrompt:
    """Keys and values of no token."""
    rng = torch.Generator().manual_seed(seed)
    layers, heads, head_dim = backbone.cache_layout
    shape = (layers, 2, heads, length, head_dim)
    return SoftPrompt("domain", torch.randn(shape, generator=rng), "twin", "kv")


def some_rows(backbone: Backbone) -> list[Row]:
    """Rows of different lengths, with the slot first, in the middle, last, twice and nowhere."""
    soft = some_soft_prompt(backbone, 4, 1)
    other = some_soft_prompt(backbone, 2, 2, "style")
    return [
        Row(some_ids(24, 1), (soft, some_ids(6, 2))),
        Row((), (soft, some_ids(3, 3))),
        Row(some_ids(3, 4), (some_ids(9, 5), soft, some_ids(11, 6))),
        Row(some_ids(17, 7), (some_ids(2, 8), soft)),
        # Its suffix is much shorter than the longest one, so part of its prefix runs through the model again.
        Row(some_ids(31, 9), (some_ids(1, 10),)),
        Row((), (some_ids(5, 11),)),
        Row(some_ids(12, 12), (soft, some_ids(4, 13), other, some_ids(2, 14))),
    ]


def whole(backbone: Backbone, row: Row) -> Tensor:
    """Embeddings of the whole row, `[tokens, hidden]`, differentiable in the soft prompts' vectors."""
    parts = [part for part in (row.prefix, *row.suffix) if isinstance(part, SoftPrompt) or part]
    return torch.cat([p.vectors if isinstance(p, SoftPrompt) else backbone.embed(p) for p in parts])


def full_logits(backbone: Backbone, embeddings: Tensor) -> Tensor:
    """Logits of one plain forward pass over `[tokens, hidden]`: `[tokens, vocabulary]`."""
    logits: Tensor = backbone.model(inputs_embeds=embeddings[None], use_cache=False).logits[0]
    return logits


def batch_logits(backbone: Backbone, batch: Batch) -> Tensor:
    """Logits of the new positions of a batch: `[batch, new, vocabulary]`."""
    with torch.no_grad():
        logits: Tensor = backbone.model(
            inputs_embeds=batch.embeddings,
            attention_mask=batch.mask,
            position_ids=batch.positions,
            past_key_values=dynamic_cache(batch.layers()),
            use_cache=True,
        ).logits
    return logits


def greedy_ids(backbone: Backbone, row: Row, max_tokens: int, ends: frozenset[int]) -> list[int]:
    """Greedy decoding that runs the whole row for every token."""
    embeddings, ids = whole(backbone, row), []
    with torch.no_grad():
        for _ in range(max_tokens):
            token = int(full_logits(backbone, embeddings)[-1].argmax())
            if token in ends:
                break
            ids.append(token)
            embeddings = torch.cat([embeddings, backbone.embed([token])])
    return ids


def full_loss(backbone: Backbone, rows: Sequence[Row], answers: Sequence[tuple[int, ...]]) -> Tensor:
    """Summed cross entropy of answers behind rows, each row alone."""
    losses = []
    for row, answer in zip(rows, answers, strict=True):
        logits = full_logits(backbone, whole(backbone, row.followed_by(answer)))
        predicted = logits[-len(answer) - 1 : -1]
        losses.append(torch.nn.functional.cross_entropy(predicted, torch.tensor(answer), reduction="sum"))
    return torch.stack(losses).sum()
