"""Whether keys and values can be moved to other positions, found by trying.

The same ids run at two offsets. Where a model puts positions in by rotating keys and in no other way, the keys without
rotation and the values agree in every layer. The name of a family is never asked: a learned position, another order of
the rotated dimensions or a position in the values all show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from soft_prompt.errors import BackboneError
from soft_prompt.model.backbone import Backbone
from soft_prompt.model.kv_cache import filled_cache
from soft_prompt.positions.angles import Angles, angles, rotary_module

TOKENS = 4
OFFSET = 500
# Largest relative difference (2-norm, a layer) that rounding explains. SmolLM2-135M has 3e-6 in fp32 and 0.04 in bf16,
# where it grows from layer to layer; a wrong rotation makes 0.9 in the first layer already.
TOLERANCE = {torch.float64: 1e-3, torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.15}


@dataclass(frozen=True)
class Probe:
    """What a backbone does with positions.

    Attributes:
        refusal: why keys and values cannot be moved, continuing "the backbone ..."; None where they can.
        turned: whether keys are rotated, a layer; some models leave layers without positions.
        kv_heads: heads of keys and values.
        head_dim: width of a head.
        error: largest relative difference between the two offsets.
    """

    refusal: str | None
    turned: tuple[bool, ...] = ()
    kv_heads: int = 0
    head_dim: int = 0
    error: float = 0.0


_probed: WeakKeyDictionary[Backbone, Probe] = WeakKeyDictionary()


def probe(backbone: Backbone) -> Probe:
    """Try it, once a backbone: one forward pass over two rows of 4 tokens."""
    found = _probed.get(backbone)
    if found is None:
        found = _probed[backbone] = _try(backbone)
    return found


def positions_can_move(backbone: Backbone) -> bool:
    """Whether stored keys and values can stand at other positions, as `kv` soft prompts and `block` attention need."""
    return probe(backbone).refusal is None


def require_movable_positions(backbone: Backbone) -> None:
    """Refuse a backbone whose keys and values cannot be moved.

    Raises:
        BackboneError: says what the probe found.
    """
    refusal = probe(backbone).refusal
    if refusal is not None:
        raise BackboneError(
            found=f"the backbone {backbone.id!r} {refusal}, so keys and values cannot be moved",
            expected="a decoder whose positions rotate keys and do nothing else",
            next_step="train the kind `embedding` in `exact` attention: softgraft train DOMAIN --kind embedding",
        )


def _try(backbone: Backbone) -> Probe:
    if backbone.encoder_decoder:
        return Probe("is an encoder-decoder, whose encoder reads in both directions")
    rotary = rotary_module(backbone)
    if rotary is None:
        return Probe("has no rotary positions")
    tokens = min(TOKENS, backbone.max_tokens // 2)
    offset = min(OFFSET, backbone.max_tokens - tokens)
    layers = _run(backbone, tokens, offset)
    if len({keys.shape for keys, _ in layers}) > 1:
        return Probe("has layers of different width")
    keys, values = (torch.stack([layer[i].to(torch.float32) for layer in layers]) for i in (0, 1))
    here, there = (angles(backbone, rotary, first, tokens) for first in (0, offset))
    return _compare(keys, values, here, there, TOLERANCE.get(backbone.dtype, 1e-3))


def _run(backbone: Backbone, tokens: int, offset: int) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of the same ids at positions 0 and `offset`, a layer, each `[2, kv_heads, tokens, head_dim]`."""
    rows = backbone.model.get_input_embeddings().weight.shape[0]
    # Spread over the vocabulary; which ids does not matter.
    ids = torch.tensor([[(7919 * n + 11) % rows for n in range(tokens)]] * 2, device=backbone.device)
    positions = torch.arange(tokens, device=backbone.device) + torch.tensor([[0], [offset]], device=backbone.device)
    cache = filled_cache([])
    with torch.no_grad():
        backbone.model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
    return [(layer.keys, layer.values) for layer in cache.layers]


def _compare(keys: Tensor, values: Tensor, here: Angles, there: Angles, tolerance: float) -> Probe:
    """`keys` and `values`: `[layers, 2, kv_heads, tokens, head_dim]`, fp32."""
    still = _difference(keys[:, 0], keys[:, 1])
    turning = _difference(here.take_off(keys[:, 0]), there.take_off(keys[:, 1]))
    turned = [moved < raw for moved, raw in zip(turning, still, strict=True)]
    off = [min(pair) for pair in zip(turning, still, strict=True)]
    for what, found in (("keys", off), ("values", _difference(values[:, 0], values[:, 1]))):
        worst = max(range(len(found)), key=lambda layer: found[layer])
        if found[worst] > tolerance:
            return Probe(f"has {what} that depend on the position otherwise (by {found[worst]:.0%} in layer {worst})")
        off += found
    # A model that does not look at the positions it is given would pass without moving anything.
    if not any(turned):
        return Probe("rotates keys in no layer")
    return Probe(None, tuple(turned), int(keys.shape[2]), int(keys.shape[4]), max(off))


def _difference(one: Tensor, other: Tensor) -> Sequence[float]:
    """Relative difference a layer; infinite where one is no number."""
    off, size = (torch.linalg.vector_norm(part, dim=(1, 2, 3)) for part in (one - other, one))
    found: list[float] = torch.nan_to_num(off / size.clamp_min(1e-30), nan=torch.inf).tolist()
    return found
