"""Fewer and larger operations per layer, for forward passes of few tokens that need no gradient.

Query, key and value layers read the same input, and so do the gate and up layers of an MLP. Each group runs as one
product. The layers stay modules of their own with their own hooks, so adapters act on them as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from soft_prompt.model.linear import PackedLinear, packed_weights

# Attribute names of layers with the same input, in the order in which Transformers calls them.
_GROUPS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
# Root mean square norms that multiply by the weight itself; Gemma's multiply by one plus the weight.
_NORMS = frozenset({"LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm", "Phi3RMSNorm"})


class _FirstLinear(PackedLinear):
    """The first layer of a group: runs all of them, and keeps the others' outputs until they are asked for."""

    group: _Group

    def forward(self, x: Tensor) -> Tensor:
        """`[..., inputs]` to `[..., outputs]`."""
        return self.group.run(x)


class _LaterLinear(PackedLinear):
    """Another layer of a group."""

    group: _Group
    number: int

    def forward(self, x: Tensor) -> Tensor:
        """`[..., inputs]` to `[..., outputs]`."""
        return self.group.output(self.number, x)


class _Group:
    """Linear layers with the same input. Only one thread may run them."""

    def __init__(self, layers: Sequence[torch.nn.Linear]) -> None:
        self._sizes = [layer.out_features for layer in layers]
        self._inputs = layers[0].in_features
        self._packed = packed_weights(tuple(layer.weight for layer in layers))
        biases = [layer.bias for layer in layers]
        self._bias = None if biases[0] is None else torch.cat([bias.detach() for bias in biases])
        self._input: Tensor | None = None
        self._outputs: tuple[Tensor, ...] = ()

    def run(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, self._inputs)
        product = torch.ops.mkldnn._linear_pointwise(rows, self._packed, self._bias, "none", [], "")
        self._outputs = product.view(*x.shape[:-1], -1).split(self._sizes, dim=-1)
        self._input = x
        return self._outputs[0]

    def output(self, number: int, x: Tensor) -> Tensor:
        # An input hook of an adapter may have given one of the layers another input.
        if x is not self._input:
            self.run(x)
            self._input = None
        return self._outputs[number]


class _RMSNorm(torch.nn.Module):
    """As Transformers' own, in one operation, which rounds once."""

    weight: Tensor
    variance_epsilon: float

    def forward(self, hidden: Tensor) -> Tensor:
        """`[..., hidden]`, normalised."""
        return torch.rms_norm(hidden, self.weight.shape, self.weight, self.variance_epsilon)


def fuse_layers(model: Any) -> None:
    """Fuse the packed linear layers and the norms of a model in place, where their structure is known."""
    for parent in model.modules():
        for names in _GROUPS:
            layers = [getattr(parent, name, None) for name in names]
            if all(type(layer) is PackedLinear for layer in layers) and len({x.bias is None for x in layers}) == 1:
                group = _Group(layers)
                for number, layer in enumerate(layers):
                    layer.__class__ = _LaterLinear if number else _FirstLinear
                    object.__setattr__(layer, "group", group)
                    object.__setattr__(layer, "number", number)
                    # The group has packed weights of its own.
                    object.__setattr__(layer, "packed", None)
        if type(parent).__name__ in _NORMS:
            parent.__class__ = _RMSNorm
