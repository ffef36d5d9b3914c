"""Vectors trained through a small residual network (Residual Prompt Tuning, Razdaibiedina et al. 2023,
arXiv:2305.03937).

What is used is `vectors + network(vectors)`. One network serves every position and, for `kv`, every layer, keys and
values alike, so what one position learns helps the others. It is thrown away after training: only its sum is kept.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from soft_prompt.graft.prompt import Kind

BOTTLENECK = 128
DOWN, UP, GAIN, SHIFT = "network.down", "network.up", "network.gain", "network.shift"
NETWORK = (DOWN, UP, GAIN, SHIFT)


def initial_network(vectors: Tensor, kind: Kind, seed: int) -> dict[str, Tensor]:
    """Weights of a network that changes nothing yet, fp32, by name.

    Its last step is a layer norm whose gain starts at zero, so training starts at the vectors as they are.

    Args:
        vectors: as in `SoftPrompt`.
        kind: their kind, which decides what a row is: an embedding, or the keys or values of all heads at a position.
        seed: of the two matrices.
    """
    width = _rows(vectors, kind).shape[-1]
    chance = torch.Generator().manual_seed(seed)
    return {
        DOWN: torch.randn(BOTTLENECK, width, generator=chance) / math.sqrt(width),
        UP: torch.randn(width, BOTTLENECK, generator=chance) / math.sqrt(BOTTLENECK),
        GAIN: torch.zeros(width),
        SHIFT: torch.zeros(width),
    }


def reparameterised(vectors: Tensor, kind: Kind, network: dict[str, Tensor]) -> Tensor:
    """Vectors plus what the network makes of them, in the same shape; differentiable in both."""
    rows = _rows(vectors, kind)
    inner = torch.relu(rows @ network[DOWN].T) @ network[UP].T
    added = torch.nn.functional.layer_norm(inner, inner.shape[-1:], network[GAIN], network[SHIFT])
    if kind == "embedding":
        return vectors + added
    layers, pair, heads, length, head_dim = vectors.shape
    return vectors + added.reshape(layers, pair, length, heads, head_dim).transpose(2, 3)


def _rows(vectors: Tensor, kind: Kind) -> Tensor:
    """`[length, hidden]`, or `[layers, 2, length, kv_heads * head_dim]`."""
    return vectors if kind == "embedding" else vectors.transpose(2, 3).flatten(-2)
