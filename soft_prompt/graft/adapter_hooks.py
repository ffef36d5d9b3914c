"""Forward hooks that apply adapters beside the frozen weights while rows of a batch run."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from soft_prompt.graft.adapter import _PARTS, Adapter, _layers, linear_layers
from soft_prompt.model.backbone import Backbone


@dataclass(frozen=True, eq=False)
class Beside:
    """What a batch has beside one layer, as `together` makes it, in the backbone's dtype.

    Each is for all rows alike, or a row's own. With both kinds in a batch, what a row does not have is zero.

    Attributes:
        down, up: `[rank, inputs]` and `[outputs, rank]`, or `[rows, rank, inputs]` and `[rows, outputs, rank]`; None
            where no row has low-rank weights.
        scale_in: `[inputs]` or `[rows, 1, inputs]`; None where no row scales what goes in.
        scale_out: `[outputs]` or `[rows, 1, outputs]`; None where no row scales what comes out.
    """

    down: Tensor | None
    up: Tensor | None
    scale_in: Tensor | None
    scale_out: Tensor | None


Together = Mapping[str, Beside]


_active = threading.local()


# Stands on the model itself, so that a copy of it, which has the hooks too, is not hooked twice.
_MARK = "_softgraft_adapters"


_hooking = threading.Lock()


def together(backbone: Backbone, adapters: Sequence[Adapter | None]) -> Together | None:
    """The adapters of a batch as `adapted` takes them.

    Args:
        backbone: whose layers they stand beside.
        adapters: one a row of the batch; None for a row without.

    Returns:
        By layer, what stands beside it: the same for all rows where they share one adapter, else each row's own,
        ranks filled up with zeros. A layer beside which nothing stands is left out, so that backward need not run
        through it. None where no row has an adapter.
    """
    first = adapters[0]
    if all(adapter is first for adapter in adapters):
        return None if first is None else _of_one(backbone, first)
    changed = _layers([adapter for adapter in adapters if adapter is not None])
    return {name: _of_rows(backbone, name, adapters) for name in changed}


def _of_one(backbone: Backbone, adapter: Adapter) -> Together:
    def own(part: str, name: str) -> Tensor | None:
        weights = getattr(adapter, part).get(name)
        return None if weights is None else _as_in(backbone, weights)

    return {name: Beside(*(own(part, name) for part in _PARTS)) for name in _layers([adapter])}


def _of_rows(backbone: Backbone, name: str, adapters: Sequence[Adapter | None]) -> Beside:
    def stacked(part: str) -> Tensor | None:
        """One a row, `[rows, ...]`, each filled up to the largest with zeros."""
        found = [None if adapter is None else getattr(adapter, part).get(name) for adapter in adapters]
        shapes = [weights.shape for weights in found if weights is not None]
        if not shapes:
            return None
        widest = [max(sizes) for sizes in zip(*shapes, strict=True)]
        blank = torch.zeros(widest, device=backbone.device, dtype=backbone.dtype)
        return torch.stack([blank if w is None else _padded(_as_in(backbone, w), widest) for w in found])

    down, up, scale_in, scale_out = map(stacked, _PARTS)
    scales = (None if scale is None else scale[:, None] for scale in (scale_in, scale_out))
    return Beside(down, up, *scales)


def _as_in(backbone: Backbone, weights: Tensor) -> Tensor:
    return weights.to(device=backbone.device, dtype=backbone.dtype)


def _padded(weights: Tensor, sizes: Sequence[int]) -> Tensor:
    behind = [(0, size - own) for own, size in zip(weights.shape, sizes, strict=True)]
    return torch.nn.functional.pad(weights, [amount for pair in reversed(behind) for amount in pair])


@contextmanager
def adapted(backbone: Backbone, weights: Together | None) -> Iterator[None]:
    """Within this context the backbone's forward passes in this thread have the batch's adapters."""
    if weights is None:
        yield
        return
    _hook(backbone, {name for name, beside in weights.items() if beside.scale_in is not None})
    before = getattr(_active, "weights", None)
    _active.weights = weights
    try:
        yield
    finally:
        _active.weights = before


def _hook(backbone: Backbone, scaled: set[str]) -> None:
    """Put the hooks in place, once a model. Without an active adapter they give everything back as it is.

    Those on what goes into a layer are put beside the few whose inputs are scaled.
    """
    hooked: set[str] | None = getattr(backbone.model, _MARK, None)
    if hooked is not None and scaled <= hooked:
        return
    with _hooking:
        hooked = getattr(backbone.model, _MARK, None)
        for name, layer in linear_layers(backbone).items():
            if hooked is None:
                layer.register_forward_hook(_changing_outputs(name))
            if name in scaled - (hooked or set()):
                layer.register_forward_pre_hook(_scaling_inputs(name))
        setattr(backbone.model, _MARK, scaled | (hooked or set()))


def _beside(name: str) -> Beside | None:
    weights: Together | None = getattr(_active, "weights", None)
    return None if weights is None else weights.get(name)


def _scaling_inputs(name: str) -> Any:
    def scale(_: torch.nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        beside = _beside(name)
        if beside is None or beside.scale_in is None:
            return None
        return (_scaled(inputs[0], beside.scale_in), *inputs[1:])

    return scale


def _changing_outputs(name: str) -> Any:
    def change(_: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        beside = _beside(name)
        if beside is None:
            return None
        if beside.scale_out is not None:
            output = _scaled(output, beside.scale_out)
        if beside.down is not None and beside.up is not None:
            output = output + (inputs[0] @ beside.down.mT) @ beside.up.mT
        return output

    return change


def _scaled(values: Tensor, scale: Tensor) -> Tensor:
    # In bf16 `1 + scale` would lose a small scale; this rounds once, at the end.
    return torch.addcmul(values, values, scale)
