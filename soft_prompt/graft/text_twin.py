"""Soft prompts that start from their text twin, and trained ones interpolated with it.

Training for a domain makes answers to other text slightly worse. Interpolating with the start reduces that (for whole
models: Wortsman et al. 2022, arXiv:2109.01903).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from soft_prompt.errors import TrainingError
from soft_prompt.graft.adapter import Adapter
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.model.backbone import Backbone
from soft_prompt.model.kv_cache import prefill
from soft_prompt.positions.probe import require_movable_positions
from soft_prompt.positions.rotary import unrotate


def at_strength(backbone: Backbone, soft_prompt: SoftPrompt, strength: float, prefix: Sequence[int]) -> SoftPrompt:
    """A trained soft prompt, interpolated with its text twin.

    Vectors are interpolated linearly, and an adapter's change of each layer's output is scaled. Strength 0 gives the
    text twin, strength 1 the soft prompt itself. A `kv` soft prompt may have started behind another prefix, which makes
    no measurable difference (docs/research/performance.md).

    The `prefix` holds the token ids of a typical prompt before the slot, for the text twin of a `kv` soft prompt.

    Raises:
        TrainingError: if the vectors have no text twin, which imported ones may lack.
    """
    if strength == 1:
        return soft_prompt
    adapter = soft_prompt.adapter and soft_prompt.adapter.scaled(strength)
    if soft_prompt.kind == "adapter":
        return replace(soft_prompt, adapter=adapter)
    slot, twin, length = soft_prompt.slot, soft_prompt.text_twin, soft_prompt.length
    if soft_prompt.kind == "embedding":
        start = from_text_twin(backbone, slot, twin, length)
    else:
        start = kv_from_text_twin(backbone, slot, twin, prefix, length).with_trained_layers(len(soft_prompt.vectors))
    vectors = torch.lerp(start.vectors.to(soft_prompt.vectors.device), soft_prompt.vectors, strength)
    return replace(soft_prompt, vectors=vectors, adapter=adapter)


def from_text_twin(backbone: Backbone, slot: str, text_twin: str, length: int | None = None) -> SoftPrompt:
    """An `embedding` soft prompt with the embeddings of its text twin as vectors, `[length, hidden]`, fp32.

    The length is the number of positions; None is one per token of the text. A shorter length keeps the first tokens, a
    longer one repeats the text. Either way the trained prompt is compared with the whole text.

    Raises:
        TrainingError: if the text is empty, or the length is not positive or longer than the backbone's context.
    """
    ids = _twin_ids(backbone, text_twin, length)
    return SoftPrompt(slot, backbone.embed(ids).to(torch.float32).clone(), text_twin)


def adapter_prompt(backbone: Backbone, slot: str, text_twin: str, adapter: Adapter) -> SoftPrompt:
    """A soft prompt of the kind `adapter`: the text twin stays in the slot, and the adapter acts from there on.

    The text twin may be empty. Its embeddings are the vectors, `[tokens, hidden]`, fp32, which are never trained. With
    an adapter from `initial_adapter` or `initial_scaling` the soft prompt answers like the text twin.
    """
    vectors = backbone.embed(backbone.encode_text(text_twin)).to(torch.float32).clone()
    return SoftPrompt(slot, vectors, text_twin, "adapter", adapter)


def kv_from_text_twin(
    backbone: Backbone, slot: str, text_twin: str, prefix: Sequence[int], length: int | None = None
) -> SoftPrompt:
    """A `kv` soft prompt with the keys and values of its text twin behind a prefix.

    The `prefix` holds the token ids of a typical prompt before the slot. The length is as in `from_text_twin`. The
    vectors are `[layers, 2, kv_heads, length, head_dim]`, fp32, keys without position.

    Raises:
        TrainingError: if the text is empty, or the length is not positive or longer than the backbone's context.
        BackboneError: if keys and values of this backbone cannot be moved.
    """
    require_movable_positions(backbone)
    ids = _twin_ids(backbone, text_twin, length)
    vectors = prefill(backbone, [*prefix, *ids])[..., len(prefix) :, :].to(torch.float32)
    keys = unrotate(backbone, vectors[:, 0], len(prefix))
    return SoftPrompt(slot, torch.stack((keys, vectors[:, 1]), dim=1).clone(), text_twin, "kv")


def _twin_ids(backbone: Backbone, text_twin: str, length: int | None) -> list[int]:
    ids = backbone.encode_text(text_twin)
    if not ids or (length is not None and length < 1):
        raise TrainingError(
            found=f"a text twin of {len(ids)} tokens and a length of {length}",
            expected="a text twin with at least one token and a length of at least 1",
            next_step="write the text twin under `soft_slots:` in the template, or set `train.length` in domain.yaml",
        )
    if length is not None and length > backbone.context_length:
        raise TrainingError(
            found=f"a soft prompt of {length:,} positions",
            expected=f"at most {backbone.context_length:,}, the context of {backbone.id!r}",
            next_step="lower `train.length` in domain.yaml, or: softgraft train DOMAIN --length N",
        )
    return [ids[i % len(ids)] for i in range(len(ids) if length is None else length)]
