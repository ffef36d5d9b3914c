"""A soft prompt at a part of its strength: between its text twin and what training made of it.

What was learned for a domain costs other text something; a part of it costs less (for whole models: Wortsman et al.
2022, arXiv:2109.01903).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from soft_prompt.errors import TrainingError
from soft_prompt.graft.adapter import Adapter
from soft_prompt.graft.prompt import SoftPrompt
from soft_prompt.model.backbone import Backbone
from soft_prompt.model.prefill import prefill
from soft_prompt.positions.probe import require_movable_positions
from soft_prompt.positions.rotary import unrotate


def at_strength(backbone: Backbone, soft_prompt: SoftPrompt, strength: float, prefix: Sequence[int]) -> SoftPrompt:
    """The soft prompt with so much of what was learned.

    Vectors go so far on the way from their text twin to what they are, and an adapter changes each layer's output by so
    many times as much. At 0 the text twin is left, at 1 nothing changes. A `kv` soft prompt began as its text twin
    stood behind another prompt than `prefix`, which makes no difference beyond chance (docs/research/performance.md).

    Args:
        backbone: the soft prompt's; the text twin of a `kv` soft prompt runs through it.
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
        start = from_text_twin(backbone, slot, twin, length)
    else:
        start = kv_from_text_twin(backbone, slot, twin, prefix, length).with_trained_layers(int(soft_prompt.vectors.shape[0]))
    vectors = torch.lerp(start.vectors.to(soft_prompt.vectors.device), soft_prompt.vectors, strength)
    return replace(soft_prompt, vectors=vectors, adapter=adapter)


def from_text_twin(backbone: Backbone, slot: str, text_twin: str, length: int | None = None) -> SoftPrompt:
    """An `embedding` soft prompt that starts as the embeddings of its text twin.

    Args:
        backbone: whose embeddings are taken.
        slot: name of the soft slot.
        text_twin: the text to start from.
        length: number of positions; None means one a token of the text. A shorter length keeps the first
            tokens, a longer one repeats the text; the trained prompt is measured against the whole text either way.

    Returns:
        A soft prompt with vectors `[length, hidden]`, fp32.

    Raises:
        TrainingError: the text is empty or the length is not positive.
    """
    ids = _twin_ids(backbone, text_twin, length)
    return SoftPrompt(slot, backbone.embed(ids).to(torch.float32).clone(), text_twin)


def adapter_prompt(backbone: Backbone, slot: str, text_twin: str, adapter: Adapter) -> SoftPrompt:
    """A soft prompt of the kind `adapter`: the text twin stays in the slot, and weights act from there on.

    With an adapter that changes nothing yet it answers as the text twin does.

    Args:
        backbone: whose embeddings of the text are taken.
        slot: name of the soft slot.
        text_twin: the text in the slot; it may be empty.
        adapter: the weights, such as `initial_adapter` or `initial_scaling` makes them.

    Returns:
        A soft prompt with vectors `[tokens, hidden]`, fp32, which are never trained.
    """
    vectors = backbone.embed(backbone.encode_text(text_twin)).to(torch.float32).clone()
    return SoftPrompt(slot, vectors, text_twin, "adapter", adapter)


def kv_from_text_twin(
    backbone: Backbone, slot: str, text_twin: str, prefix: Sequence[int], length: int | None = None
) -> SoftPrompt:
    """A `kv` soft prompt that starts as the keys and values of its text twin behind a prefix.

    Args:
        backbone: the frozen model.
        slot: name of the soft slot.
        text_twin: the text to start from.
        prefix: token ids of a typical prompt before the slot; the text is read behind them.
        length: as in `from_text_twin`.

    Returns:
        A soft prompt with vectors `[layers, 2, kv_heads, length, head_dim]`, fp32, keys without position.

    Raises:
        TrainingError: the text is empty or the length is not positive.
        BackboneError: keys and values of this backbone cannot be moved.
    """
    require_movable_positions(backbone)
    ids = _twin_ids(backbone, text_twin, length)
    whole = prefill(backbone, [*prefix, *ids])[..., len(prefix) :, :].to(torch.float32)
    keys = unrotate(backbone, whole[:, 0], len(prefix))
    return SoftPrompt(slot, torch.stack((keys, whole[:, 1]), dim=1).clone(), text_twin, "kv")


def _twin_ids(backbone: Backbone, text_twin: str, length: int | None) -> list[int]:
    ids = backbone.encode_text(text_twin)
    if not ids or (length is not None and length < 1):
        raise TrainingError(
            found=f"a text twin of {len(ids)} tokens and a length of {length}",
            expected="a text twin with at least one token and a length of at least 1",
            next_step="write the text twin under `soft_slots:` in the template, or set `train.length` in domain.yaml",
        )
    wanted = len(ids) if length is None else length
    return [ids[i % len(ids)] for i in range(wanted)]
