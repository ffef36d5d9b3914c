"""A soft prompt at a part of its strength: between its text twin and what training made of it.

What was learned for a domain costs other text something; a part of it costs less (for whole models: Wortsman et al.
2022, arXiv:2109.01903).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from soft_prompt.prefix_store import PrefixStore
from soft_prompt.prompt import SoftPrompt, from_text_twin, kv_from_text_twin


def at_strength(store: PrefixStore, soft_prompt: SoftPrompt, strength: float, prefix: Sequence[int]) -> SoftPrompt:
    """The soft prompt with so much of what was learned.

    Vectors go so far on the way from their text twin to what they are, and an adapter changes each layer's output by so
    many times as much. At 0 the text twin is left, at 1 nothing changes. A `kv` soft prompt began as its text twin
    stood behind another prompt than `prefix`, which makes no difference beyond chance (docs/performance.md).

    Args:
        store: of the soft prompt's backbone; the text twin of a `kv` soft prompt runs through it, and nothing is kept.
        soft_prompt: trained.
        strength: from 0 to 1.
        prefix: token ids of a typical prompt before the slot, which only the text twin of a `kv` is read behind.

    Raises:
        TrainingError: the vectors, imported perhaps, have no text twin to go from.
    """
    if strength == 1:
        return soft_prompt
    adapter = soft_prompt.adapter and soft_prompt.adapter.scaled(strength)
    if soft_prompt.kind == "adapter":
        return replace(soft_prompt, adapter=adapter)
    slot, twin, length = soft_prompt.slot, soft_prompt.text_twin, soft_prompt.length
    if soft_prompt.kind == "embedding":
        start = from_text_twin(store.backbone, slot, twin, length)
    else:
        start = kv_from_text_twin(store, slot, twin, prefix, length).with_top(int(soft_prompt.vectors.shape[0]))
    vectors = torch.lerp(start.vectors.to(soft_prompt.vectors.device), soft_prompt.vectors, strength)
    return replace(soft_prompt, vectors=vectors, adapter=adapter)
