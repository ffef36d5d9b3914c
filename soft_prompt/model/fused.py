"""Fewer and larger operations per layer, for forward passes of few tokens that need no gradient.

Query, key and value layers read the same input, and so do the gate and up layers of an MLP. Each group runs as one
product. The layers stay modules of their own with their own hooks, so adapters act on them as before.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from soft_prompt.model.linear import FlattenedLinear, packed_product, packed_weights

# Attribute names of layers with the same input, in the order in which Transformers calls them.
_GROUPS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
# Root mean square norms that multiply by the weight itself; Gemma's multiply by one plus the weight.
_NORMS = frozenset({"LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm", "Phi3RMSNorm"})


class _FirstLinear(FlattenedLinear):
    """The first layer of a group: runs all of them, and keeps the others' outputs until they are asked for."""

    group: _Group

    def forward(self, x: Tensor) -> Tensor:
        """`[..., inputs]` to `[..., outputs]`."""
        return super().forward(x) if x.requires_grad else self.group.run(x)


class _LaterLinear(FlattenedLinear):
    """Another layer of a group."""

    group: _Group
    number: int

    def forward(self, x: Tensor) -> Tensor:
        """`[..., inputs]` to `[..., outputs]`."""
        return super().forward(x) if x.requires_grad else self.group.output(self.number, x)


class _Group(threading.local):
    """Linear layers with the same input. Each thread has its own outputs."""

    def __init__(self, sizes: Sequence[int], inputs: int, packed: Tensor, bias: Tensor | None) -> None:
        self._sizes, self._inputs, self._packed, self._bias = list(sizes), inputs, packed, bias
        self._input: Tensor | None = None
        self._outputs: tuple[Tensor, ...] = ()

    def run(self, x: Tensor) -> Tensor:
        product = packed_product(x.reshape(-1, self._inputs), self._packed, self._bias)
        self._outputs = torch.split(product.view(*x.shape[:-1], -1), self._sizes, dim=-1)
        self._input = x
        return self._outputs[0]

    def output(self, number: int, x: Tensor) -> Tensor:
        # A hook of an adapter may have given one of the layers another input.
        if x is not self._input:
            self.run(x)
        outputs = self._outputs[number]
        if number == len(self._sizes) - 1:
            # Nothing is kept alive from one layer to the next.
            self._input, self._outputs = None, ()
        return outputs

    def __deepcopy__(self, _memo: object) -> _Group:
        # It holds no weights of its own, so copies of a model share it.
        return self


class _RMSNorm(torch.nn.Module):
    """As Transformers' own, in one operation, which rounds once."""

    weight: Tensor
    variance_epsilon: float

    def forward(self, hidden: Tensor) -> Tensor:
        """`[..., hidden]`, normalised."""
        return torch.rms_norm(hidden, self.weight.shape, self.weight, self.variance_epsilon)


def fuse_linear_layers(model: Any) -> None:
    """Let linear layers with the same input run as one product, in place."""
    for parent in model.modules():
        for names in _GROUPS:
            found = [getattr(parent, name, None) for name in names]
            layers = [layer for layer in found if type(layer) is torch.nn.Linear]
            if len(layers) < len(names) or len({layer.bias is None for layer in layers}) > 1:
                continue
            bias = None if layers[0].bias is None else torch.cat([layer.bias.detach() for layer in layers])
            sizes = [layer.out_features for layer in layers]
            group = _Group(sizes, layers[0].in_features, packed_weights([layer.weight for layer in layers]), bias)
            for number, layer in enumerate(layers):
                layer.__class__ = _LaterLinear if number else _FirstLinear
                object.__setattr__(layer, "group", group)
                object.__setattr__(layer, "number", number)


def fuse_norms(model: Any) -> None:
    """Let norms of a known kind be one operation, in place."""
    for module in model.modules():
        if type(module).__name__ in _NORMS:
            module.__class__ = _RMSNorm
