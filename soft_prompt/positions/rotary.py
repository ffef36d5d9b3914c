"""Rotary positions on and off stored keys (Su et al. 2021, arXiv:2104.09864).

Keys of a `kv` soft prompt are kept without position and rotated to where the slot falls. All of it is done in fp32:
in bf16 the rotation alone costs half a percent.
"""

from __future__ import annotations

import torch
from torch import Tensor

from soft_prompt.model.backbone import Backbone
from soft_prompt.positions.angles import Angles, angles, rotary_module
from soft_prompt.positions.probe import probe, require_movable_positions


def rotate(backbone: Backbone, keys: Tensor, first: int, layer: int = 0) -> Tensor:
    """Rotate unpositioned keys to the positions `first`, `first + 1`, ...

    Args:
        backbone: whose rotary embedding is used.
        keys: `[layers, kv_heads, tokens, head_dim]`, fp32.
        first: position of the first token.
        layer: number of the layer that comes first in `keys`, since each may turn in its own way.

    Returns:
        Rotated keys of the same shape and dtype; differentiable. Layers without rotary positions pass through.

    Raises:
        BackboneError: keys of this backbone cannot be moved.
    """
    return _angles(backbone, keys.shape[-2], first).of_layers(layer, keys.shape[0]).put_on(keys)


def unrotate(backbone: Backbone, keys: Tensor, first: int) -> Tensor:
    """Take the positions `first`, `first + 1`, ... off keys of all layers; the inverse of `rotate`."""
    return _angles(backbone, keys.shape[-2], first).take_off(keys)


def shift(backbone: Backbone, keys: Tensor, by: int) -> Tensor:
    """Move rotated keys by a number of positions.

    Args:
        backbone: whose rotary embedding is used.
        keys: `[layers, kv_heads, tokens, head_dim]`, any dtype, rotated to where they stand.
        by: how many positions further on; negative moves them back.

    Returns:
        Keys of the same shape and dtype; the rotation between is in fp32.

    Raises:
        BackboneError: keys of this backbone cannot be moved.
    """
    # Each key turns by the same angle, so one position stands for all.
    turn = _angles(backbone, 1, abs(by)).unscaled()
    return (turn.put_on(keys.float()) if by >= 0 else turn.take_off(keys.float())).to(keys.dtype)


def _angles(backbone: Backbone, tokens: int, first: int) -> Angles:
    require_movable_positions(backbone)
    rotary = rotary_module(backbone)
    assert rotary is not None
    found = angles(backbone, rotary, first, tokens)
    turned = probe(backbone).turned
    return found if all(turned) else found.only_in(torch.tensor(turned, device=backbone.device))
