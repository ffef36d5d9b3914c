"""Whether a backbone's keys and values can be moved to other positions, found by a test run.

The same ids run at two offsets. If the model encodes positions by rotating keys and in no other way, then the unrotated
keys and the values agree in every layer. The result does not depend on the name of the model family: learned positions,
another order of the rotated dimensions, or positions in the values all show.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from soft_prompt.errors import BackboneError
from soft_prompt.model.backbone import Backbone
from soft_prompt.model.kv_cache import dynamic_cache
from soft_prompt.positions.angles import Angles, angles, rotary_module

TOKENS = 4
OFFSET = 500
# Largest relative difference (2-norm, per layer) that rounding explains. SmolLM2-135M has 3e-6 in fp32, and 0.04 in
# bf16, where it grows from layer to layer. A wrong rotation gives 0.9 in the first layer.
TOLERANCE = {torch.float64: 1e-3, torch.float32: 1e-3, torch.float16: 0.05, torch.bfloat16: 0.15}


@dataclass(frozen=True)
class PositionProbe:
    """How a backbone encodes positions.

    Attributes:
        refusal: why keys and values cannot be moved, as the rest of a sentence "the backbone ..."; None if they can.
        rotated_layers: for each layer, whether it rotates keys; some models have layers without positions.
        error: largest relative difference between the two offsets.
    """

    refusal: str | None
    rotated_layers: tuple[bool, ...] = ()
    error: float = 0.0


_probes: WeakKeyDictionary[Backbone, PositionProbe] = WeakKeyDictionary()


def probe(backbone: Backbone) -> PositionProbe:
    """How a backbone encodes positions, found once in a forward pass over two rows of 4 tokens."""
    if backbone not in _probes:
        _probes[backbone] = _run_probe(backbone)
    return _probes[backbone]


def positions_can_move(backbone: Backbone) -> bool:
    """Whether stored keys and values can move to other positions, as `kv` soft prompts and `block` attention need."""
    return probe(backbone).refusal is None


def require_movable_positions(backbone: Backbone) -> None:
    """Raise a `BackboneError` with the reason if the keys and values of a backbone cannot be moved."""
    refusal = probe(backbone).refusal
    if refusal is not None:
        raise BackboneError(
            found=f"the backbone {backbone.id!r} {refusal}, so keys and values cannot be moved",
            expected="a decoder whose positions rotate keys and do nothing else",
            next_step="train the kind `embedding` in `exact` attention: softgraft train DOMAIN --kind embedding",
        )


def _run_probe(backbone: Backbone) -> PositionProbe:
    if backbone.encoder_decoder:
        return PositionProbe("is an encoder-decoder, whose encoder reads in both directions")
    if rotary_module(backbone) is None:
        return PositionProbe("has no rotary positions")
    tokens = min(TOKENS, backbone.context_length // 2)
    offset = min(OFFSET, backbone.context_length - tokens)
    layers = _two_offsets(backbone, tokens, offset)
    if len({keys.shape for keys, _ in layers}) > 1:
        return PositionProbe("has layers of different width")
    keys, values = (torch.stack([layer[i].to(torch.float32) for layer in layers]) for i in (0, 1))
    here, there = (angles(backbone, first, tokens) for first in (0, offset))
    return _compare(keys, values, here, there, TOLERANCE.get(backbone.dtype, 1e-3))


def _two_offsets(backbone: Backbone, tokens: int, offset: int) -> list[tuple[Tensor, Tensor]]:
    """Per layer, keys and values of the same ids at positions 0 and `offset`, `[2, kv_heads, tokens, head_dim]`."""
    rows = backbone.model.get_input_embeddings().weight.shape[0]
    # Any ids will do. These are spread over the vocabulary.
    ids = torch.tensor([[(7919 * n + 11) % rows for n in range(tokens)]] * 2, device=backbone.device)
    positions = torch.arange(tokens, device=backbone.device) + torch.tensor([[0], [offset]], device=backbone.device)
    cache = dynamic_cache([])
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


def _compare(keys: Tensor, values: Tensor, here: Angles, there: Angles, tolerance: float) -> PositionProbe:
    """`keys` and `values`: `[layers, 2, kv_heads, tokens, head_dim]`, fp32."""
    raw = _difference(keys[:, 0], keys[:, 1])
    unrotated = _difference(here.unrotate(keys[:, 0]), there.unrotate(keys[:, 1]))
    rotated = [after < before for after, before in zip(unrotated, raw, strict=True)]
    differences = {
        "keys": [min(pair) for pair in zip(unrotated, raw, strict=True)],
        "values": _difference(values[:, 0], values[:, 1]),
    }
    for what, by_layer in differences.items():
        worst = max(by_layer)
        if worst > tolerance:
            where = f"by {worst:.0%} in layer {by_layer.index(worst)}"
            return PositionProbe(f"has {what} that depend on the position in another form ({where})")
    # A model that ignores the given positions would pass the comparison.
    if not any(rotated):
        return PositionProbe("rotates keys in no layer")
    return PositionProbe(None, tuple(rotated), max(map(max, differences.values())))


def _difference(one: Tensor, other: Tensor) -> list[float]:
    """Relative difference per layer; infinite if a value is NaN."""
    difference, size = (torch.linalg.vector_norm(part, dim=(1, 2, 3)) for part in (one - other, one))
    result: list[float] = torch.nan_to_num(difference / size.clamp_min(1e-30), nan=torch.inf).tolist()
    return result
