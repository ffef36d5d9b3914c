"""Rotary positions on and off stored keys (Su et al. 2021, arXiv:2104.09864).

Keys of a `kv` soft prompt are kept without position and rotated to where the slot falls. All of it is done in fp32:
in bf16 the rotation alone costs half a percent.
"""

from __future__ import annotations

import torch
from torch import Tensor

from soft_prompt.backbone import Backbone
from soft_prompt.errors import BackboneError


def rotate(backbone: Backbone, keys: Tensor, first: int) -> Tensor:
    """Rotate unpositioned keys to the positions `first`, `first + 1`, ...

    Args:
        backbone: whose rotary embedding is used.
        keys: `[layers, kv_heads, tokens, head_dim]`, fp32.
        first: position of the first token.

    Returns:
        Rotated keys of the same shape and dtype; differentiable.
    """
    cos, sin = _angles(backbone, keys.shape[-2], first)
    return _turn(keys, cos, sin)


def unrotate(backbone: Backbone, keys: Tensor, first: int) -> Tensor:
    """Take the positions `first`, `first + 1`, ... off keys; the inverse of `rotate`.

    Some families scale cosine and sine, so the inverse divides by the square of the scale.
    """
    cos, sin = _angles(backbone, keys.shape[-2], first)
    scale = float(getattr(_rotary(backbone), "attention_scaling", 1.0))
    return _turn(keys, cos / scale**2, -sin / scale**2)


def shift(backbone: Backbone, keys: Tensor, by: int) -> Tensor:
    """Move rotated keys by a number of positions.

    Args:
        backbone: whose rotary embedding is used.
        keys: `[layers, kv_heads, tokens, head_dim]`, any dtype, rotated to where they stand.
        by: how many positions further on; negative moves them back.

    Returns:
        Keys of the same shape and dtype; the rotation between is in fp32.
    """
    # One position stands for all, since each key is turned by the same angle; the scale is on the keys already.
    cos, sin = _angles(backbone, 1, abs(by))
    scale = float(getattr(_rotary(backbone), "attention_scaling", 1.0))
    return _turn(keys.float(), cos / scale, (sin if by >= 0 else -sin) / scale).to(keys.dtype)


def _turn(keys: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    # Some families rotate only the first part of a head.
    width = cos.shape[-1]
    turned, rest = keys[..., :width], keys[..., width:]
    first, second = turned.chunk(2, dim=-1)
    half = torch.cat((-second, first), dim=-1)
    return torch.cat((turned * cos + half * sin, rest), dim=-1)


def _angles(backbone: Backbone, tokens: int, first: int) -> tuple[Tensor, Tensor]:
    positions = torch.arange(first, first + tokens, device=backbone.device)[None]
    like = torch.zeros((), dtype=torch.float32, device=backbone.device)
    cos, sin = _rotary(backbone)(like, positions)
    return cos[0], sin[0]


def _rotary(backbone: Backbone) -> torch.nn.Module:
    found = getattr(backbone.model.base_model, "rotary_emb", None)
    layered = getattr(backbone.model.config.get_text_config(), "rope_parameters", None)
    per_layer = isinstance(layered, dict) and any(isinstance(value, dict) for value in layered.values())
    if not isinstance(found, torch.nn.Module) or per_layer:
        raise BackboneError(
            found=f"the backbone {backbone.id!r} has no rotary positions that are the same in every layer",
            expected="one rotary embedding for all layers",
            next_step="train the kind `embedding`: softgraft train DOMAIN --kind embedding",
        )
    return found
