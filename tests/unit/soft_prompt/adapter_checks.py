"""Adapters to test with, and checks that hold for every adapter."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from oracle import batch_logits, some_ids, some_soft_prompt
from torch import Tensor

from soft_prompt import (
    Adapter,
    Backbone,
    Decoding,
    PrefixStore,
    Row,
    generate,
    initial_adapter,
)
from soft_prompt.graft.adapter import linear_layers
from soft_prompt.graft.adapter_hooks import apply_adapters, batch_adapters
from soft_prompt.model.kv_cache import dynamic_cache, prefill
from soft_prompt.rows.batch import assemble


def hidden_states(backbone: Backbone, rows: list[Row]) -> tuple[Tensor, ...]:
    """Inputs of each block and output of the last one, with gradients."""
    batch = assemble(PrefixStore(backbone), rows)
    with apply_adapters(backbone, batch_adapters(backbone, [row.adapter for row in rows])):
        states: tuple[Tensor, ...] = backbone.model(
            inputs_embeds=batch.embeddings,
            attention_mask=batch.mask,
            position_ids=batch.positions,
            past_key_values=dynamic_cache(batch.layers()),
            use_cache=True,
            output_hidden_states=True,
        ).hidden_states
    return states


def some_adapter_above(backbone: Backbone, layers: int) -> Any:
    whole, top = some_adapter(backbone, 2, 3), initial_adapter(backbone, 2, 3, layers)
    return replace(whole, down={n: whole.down[n] for n in top.down}, up={n: whole.up[n] for n in top.up})


def some_adapter(backbone: Backbone, rank: int, seed: int) -> Adapter:
    """Weights large enough that a layer without them changes the result."""
    rng = torch.Generator().manual_seed(seed)
    blank = initial_adapter(backbone, rank, seed)
    up = {name: torch.randn(t.shape, generator=rng) * 0.2 for name, t in blank.up.items()}
    return Adapter(blank.down, up)


def merged(backbone: Backbone, adapter: Adapter) -> Backbone:
    """The same backbone with the adapter's weights added to its own."""
    model = copy.deepcopy(backbone.model)
    other = Backbone(backbone.id, backbone.digest, model, backbone.tokenizer)
    with torch.no_grad():
        for name, layer in linear_layers(other).items():
            layer.weight += adapter.up[name] @ adapter.down[name]
    return other


def last_logits(backbone: Backbone, rows: Sequence[Row]) -> Tensor:
    """`[rows, vocabulary]`, of the last position of each row."""
    batch = assemble(PrefixStore(backbone), rows)
    with apply_adapters(backbone, batch_adapters(backbone, [row.adapter for row in rows])):
        return batch_logits(backbone, batch)[:, -1]


def check_rows_alone(backbone: Backbone, rows: Sequence[Row]) -> None:
    """Rows have the same logits and replies in a batch as alone."""
    actual = last_logits(backbone, rows)
    for number, row in enumerate(rows):
        torch.testing.assert_close(actual[number], last_logits(backbone, [row])[0], atol=1e-4, rtol=0)
    store, decoding = PrefixStore(backbone), Decoding(max_tokens=9)
    texts = [reply.text for reply in generate(store, rows, decoding)]
    assert texts == [generate(store, [row], decoding)[0].text for row in rows]


def check_adapter_acts_from_the_slot_on(backbone: Backbone) -> None:
    """Behind the prefix a row runs as with merged weights; the prefix is the frozen backbone's."""
    adapter = some_adapter(backbone, 3, 1)
    prefix, suffix = some_ids(12, 1), some_ids(5, 2)
    soft = replace(some_soft_prompt(backbone, 4, 1), adapter=adapter)
    actual = last_logits(backbone, [Row(prefix, (soft, suffix))])
    store, other = PrefixStore(backbone), merged(backbone, adapter)
    prefix_kv = prefill(store.backbone, prefix)
    embeddings = torch.cat([soft.vectors, backbone.embed(suffix)])[None]
    length = len(prefix) + embeddings.shape[1]
    with torch.no_grad():
        expected = other.model(
            inputs_embeds=embeddings,
            attention_mask=torch.ones(1, length, dtype=torch.int64),
            position_ids=torch.arange(len(prefix), length)[None],
            past_key_values=dynamic_cache([(layer[0][None], layer[1][None]) for layer in prefix_kv]),
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)
    without = last_logits(backbone, [Row(prefix, (replace(soft, adapter=None), suffix))])
    assert (actual - without).abs().max() > 1e-2
