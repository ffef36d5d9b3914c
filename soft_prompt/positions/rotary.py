"""Rotate stored keys to a position, and back (Su et al. 2021, arXiv:2104.09864).

Keys of a `kv` soft prompt are stored without position and rotated to the position of the slot. The rotation is computed
in fp32: in bf16 it would be off by half a percent.
"""

from __future__ import annotations

import torch
from torch import Tensor

from soft_prompt.model.backbone import Backbone
from soft_prompt.positions.angles import Angles, angles
from soft_prompt.positions.probe import probe, require_movable_positions


def rotate(backbone: Backbone, keys: Tensor, first: int, layer: int = 0) -> Tensor:
    """Rotate unpositioned keys to the positions `first`, `first + 1`, ...

    Args:
        backbone: whose rotary embedding is used.
        keys: `[layers, kv_heads, tokens, head_dim]`, fp32.
        first: position of the first token.
        layer: number of the first layer in `keys`, since layers may have different angles.

    Returns:
        Rotated keys of the same shape and dtype; differentiable. Layers without rotary positions pass through.

    Raises:
        BackboneError: if keys of this backbone cannot be moved.
    """
    return _angles(backbone, keys.shape[-2], first).layer_range(layer, keys.shape[0]).rotate(keys)


def unrotate(backbone: Backbone, keys: Tensor, first: int) -> Tensor:
    """Remove the positions `first`, `first + 1`, ... from keys of all layers: the inverse of `rotate`."""
    return _angles(backbone, keys.shape[-2], first).unrotate(keys)


def shift(backbone: Backbone, keys: Tensor, by: int) -> Tensor:
    """Move rotated keys, `[layers, kv_heads, tokens, head_dim]`, by a number of positions, back if it is negative.

    The result has the same shape and dtype. The rotation is computed in fp32.

    Raises:
        BackboneError: if keys of this backbone cannot be moved.
    """
    # Every key rotates by the same angle, so the angles of one position are enough.
    turn = _angles(backbone, 1, abs(by)).unscaled()
    return (turn.rotate(keys.float()) if by >= 0 else turn.unrotate(keys.float())).to(keys.dtype)


def _angles(backbone: Backbone, tokens: int, first: int) -> Angles:
    require_movable_positions(backbone)
    result = angles(backbone, first, tokens)
    rotated = probe(backbone).rotated_layers
    return result if all(rotated) else result.masked(torch.tensor(rotated, device=backbone.device))
