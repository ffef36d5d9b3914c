"""Forward hooks that apply the adapters of a batch.

The hooks change inputs and outputs of linear layers only within `apply_adapters`, only in its thread, and only for the
rows that have an adapter.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from soft_prompt.graft.adapter import PARTS, Adapter, adapted_layers, linear_layers
from soft_prompt.model.backbone import Backbone


@dataclass(frozen=True, eq=False)
class LayerAdapter:
    """The adapter weights of a batch for one layer, in the backbone's dtype.

    Each attribute is shared by all rows, or has one entry per row, where a row without it has zeros.

    Attributes:
        down, up: `[rank, inputs]` and `[outputs, rank]`, or `[rows, rank, inputs]` and `[rows, outputs, rank]`; None
            if no row has low-rank weights.
        scale_in: `[inputs]` or `[rows, 1, inputs]`; None if no row scales inputs.
        scale_out: `[outputs]` or `[rows, 1, outputs]`; None if no row scales outputs.
        own: of tokens that stand one after the other, `[tokens, rank]`, 1 where a column of `down` belongs to the
            token's own adapter; then `down` and `up` hold all adapters of the step side by side, and the scales are
            `[tokens, ...]`. None if `down` and `up` are shared or per row.
    """

    down: Tensor | None
    up: Tensor | None
    scale_in: Tensor | None
    scale_out: Tensor | None
    own: Tensor | None = None


# By name of the layer. Layers that no row adapts are left out, so that backward need not run through them.
BatchAdapters = Mapping[str, LayerAdapter]

_active = threading.local()
_lock = threading.Lock()
# Attribute of a hooked model: names of the layers whose inputs are hooked too. It is on the model itself, so that a
# copy of the model, which has the hooks too, is not hooked twice.
_HOOKED = "_softgraft_adapters"


def batch_adapters(backbone: Backbone, adapters: Sequence[Adapter | None]) -> BatchAdapters | None:
    """The adapters of a batch, one per row, for `apply_adapters`.

    Returns:
        Shared weights if all rows have the same adapter, else weights per row, with ranks padded by zeros. None if no
        row has an adapter.
    """
    first = adapters[0]
    if all(adapter is first for adapter in adapters):
        return None if first is None else _shared_weights(backbone, first)
    layers = adapted_layers(adapter for adapter in adapters if adapter is not None)
    return {name: _weights_per_row(backbone, name, adapters) for name in layers}


def _shared_weights(backbone: Backbone, adapter: Adapter) -> BatchAdapters:
    def weights(part: str, name: str) -> Tensor | None:
        tensor = getattr(adapter, part).get(name)
        return None if tensor is None else _to_backbone(backbone, tensor)

    return {name: LayerAdapter(*(weights(part, name) for part in PARTS)) for name in adapted_layers([adapter])}


def _weights_per_row(backbone: Backbone, name: str, adapters: Sequence[Adapter | None]) -> LayerAdapter:
    def stacked(part: str) -> Tensor | None:
        """`[rows, ...]`, each row padded with zeros to the largest one."""
        tensors = [None if adapter is None else getattr(adapter, part).get(name) for adapter in adapters]
        shapes = [tensor.shape for tensor in tensors if tensor is not None]
        if not shapes:
            return None
        shape = [max(sizes) for sizes in zip(*shapes, strict=True)]
        zeros = torch.zeros(shape, device=backbone.device, dtype=backbone.dtype)
        return torch.stack([zeros if t is None else _padded(_to_backbone(backbone, t), shape) for t in tensors])

    down, up, scale_in, scale_out = map(stacked, PARTS)
    scales = (None if scale is None else scale[:, None] for scale in (scale_in, scale_out))
    return LayerAdapter(down, up, *scales)


def _to_backbone(backbone: Backbone, weights: Tensor) -> Tensor:
    return weights.to(device=backbone.device, dtype=backbone.dtype)


def _padded(weights: Tensor, shape: Sequence[int]) -> Tensor:
    padding = [(0, size - own) for own, size in zip(weights.shape, shape, strict=True)]
    return torch.nn.functional.pad(weights, [amount for pair in reversed(padding) for amount in pair])


@contextmanager
def apply_adapters(backbone: Backbone, adapters: BatchAdapters | None) -> Iterator[None]:
    """Within this context, forward passes of the backbone in this thread apply the adapters of a batch."""
    if adapters is None:
        yield
        return
    _add_hooks(backbone, {name for name, layer in adapters.items() if layer.scale_in is not None})
    before = getattr(_active, "adapters", None)
    _active.adapters = adapters
    try:
        yield
    finally:
        _active.adapters = before


def _add_hooks(backbone: Backbone, scaled_inputs: set[str]) -> None:
    """Hook the outputs of all linear layers, and the inputs of those in `scaled_inputs`, each once per model."""
    hooked: set[str] | None = getattr(backbone.model, _HOOKED, None)
    if hooked is not None and scaled_inputs <= hooked:
        return
    with _lock:
        hooked = getattr(backbone.model, _HOOKED, None)
        for name, layer in linear_layers(backbone).items():
            if hooked is None:
                layer.register_forward_hook(_output_hook(name))
            if name in scaled_inputs - (hooked or set()):
                layer.register_forward_pre_hook(_input_hook(name))
        setattr(backbone.model, _HOOKED, scaled_inputs | (hooked or set()))


def _active_adapter(name: str) -> LayerAdapter | None:
    adapters: BatchAdapters | None = getattr(_active, "adapters", None)
    return None if adapters is None else adapters.get(name)


def _input_hook(name: str) -> Any:
    def hook(_: torch.nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        adapter = _active_adapter(name)
        scale = None if adapter is None else adapter.scale_in
        return None if scale is None else (_scaled(inputs[0], scale), *inputs[1:])

    return hook


def _output_hook(name: str) -> Any:
    def hook(_: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        adapter = _active_adapter(name)
        if adapter is None:
            return None
        if adapter.scale_out is not None:
            output = _scaled(output, adapter.scale_out)
        if adapter.down is not None and adapter.up is not None:
            inner = inputs[0] @ adapter.down.mT
            output = output + (inner if adapter.own is None else inner * adapter.own) @ adapter.up.mT
        return output

    return hook


def _scaled(values: Tensor, scale: Tensor) -> Tensor:
    # In bf16 `1 + scale` would lose a small scale. This rounds once, at the end.
    return torch.addcmul(values, values, scale)
