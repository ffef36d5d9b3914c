"""Shared by the tests of PEFT interop: grafts of each kind, and their logits by the engine and by PEFT."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from oracle import batch_logits, some_ids, some_kv, some_soft_prompt
from torch import Tensor

from soft_prompt import Backbone, PrefixStore, Row, SoftPrompt, adapter_prompt, initial_adapter
from soft_prompt.graft.adapter_hooks import apply_adapters, batch_adapters
from soft_prompt.rows.batch import assemble

IDS = some_ids(40, 3)
# Position of an adapter's slot, and the tokens after it.
AT = 20
INVOCATION = IDS[AT : AT + 3]
KINDS = ("embedding", "kv", "adapter")


def some_adapter(backbone: Backbone, rank: int = 3, seed: int = 5) -> SoftPrompt:
    """An adapter that changes every layer, with an empty slot."""
    rng = torch.Generator().manual_seed(seed)
    start = initial_adapter(backbone, rank, seed)
    up = {name: torch.randn(weights.shape, generator=rng) * 0.3 for name, weights in start.up.items()}
    return adapter_prompt(backbone, "domain", "", replace(start, up=up))


def some_graft(backbone: Backbone, kind: str) -> SoftPrompt:
    makers: dict[str, Callable[[], SoftPrompt]] = {
        "embedding": lambda: some_soft_prompt(backbone, 10, 1),
        "kv": lambda: some_kv(backbone, 10, 1),
        "adapter": lambda: some_adapter(backbone),
    }
    return makers[kind]()


def invocation_of(kind: str) -> tuple[int, ...] | None:
    return INVOCATION if kind == "adapter" else None


def row_of(graft: SoftPrompt) -> Row:
    """The ids with the slot where PEFT has it: before everything, or before the invocation tokens."""
    return Row(IDS[:AT], (graft, IDS[AT:])) if graft.adapter else Row((), (graft, IDS))


def engine_logits(backbone: Backbone, graft: SoftPrompt, row: Row | None = None) -> Tensor:
    """Of what runs from the slot on, vectors left out: `[tokens, vocabulary]`."""
    row = row or row_of(graft)
    # The tokens before the slot run without the adapter.
    batch = assemble(PrefixStore(backbone), [row])
    with apply_adapters(backbone, batch_adapters(backbone, [row.adapter])):
        logits = batch_logits(backbone, batch)[0]
    return logits[-len(IDS) + len(row.prefix) :]


def peft_logits(model: Any, tokens: int) -> Tensor:
    """Of the last tokens, by a model of PEFT."""
    ids = torch.tensor([IDS])
    with torch.no_grad():
        logits: Tensor = model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
    return logits[-tokens:]


def loaded_by_peft(model: Any, folder: Path) -> Any:
    """The adapter on a model of its own, which PEFT changes."""
    import peft

    with warnings.catch_warnings():
        # PEFT asks Transformers for an attribute by its old name.
        warnings.simplefilter("ignore", FutureWarning)
        return peft.PeftModel.from_pretrained(model, folder)
