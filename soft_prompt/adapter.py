"""Weights beside the frozen ones, active from the soft slot on: low-rank ones (LoRA, Hu et al. 2021, arXiv:2106.09685)
and scales of what goes into or comes out of a layer ((IA)³, Liu et al. 2022, arXiv:2205.05638).

What stands before the slot never meets them, so its keys and values stay the frozen backbone's and come from the prefix
store. The backbone's own weights are not touched: hooks change what a linear layer takes and puts out, for the rows
that have an adapter, in the thread that asked for it, and only while it asks.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from soft_prompt.backbone import Backbone
from soft_prompt.errors import BackboneError

AdapterForm = Literal["lora", "ia3"]


@dataclass(frozen=True, eq=False)
class Adapter:
    """What changes the linear layers of the backbone's blocks.

    A layer that makes `layer(x)` of its inputs makes `layer(x') * (1 + scale_out) + (x' @ down.T) @ up.T` of them, with
    `x' = x * (1 + scale_in)`. A layer that a mapping does not name goes without that part, and zeros change nothing.

    Attributes:
        down: name of a layer to `[rank, inputs]`, fp32.
        up: name of a layer to `[outputs, rank]`, fp32.
        scale_in: name of a layer to `[inputs]`, fp32.
        scale_out: name of a layer to `[outputs]`, fp32.
    """

    down: Mapping[str, Tensor] = field(default_factory=dict)
    up: Mapping[str, Tensor] = field(default_factory=dict)
    scale_in: Mapping[str, Tensor] = field(default_factory=dict)
    scale_out: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def form(self) -> AdapterForm:
        """`lora` where it has low-rank weights, `ia3` where it has scales alone."""
        return "lora" if self.down else "ia3"

    @property
    def rank(self) -> int:
        """Rows of `down`; 0 where there are none."""
        return int(next(iter(self.down.values())).shape[0]) if self.down else 0

    @property
    def blocks(self) -> range:
        """From the number of the first block that it acts in to that of the last."""
        numbers = [block_of(name) for name in _layers([self])]
        return range(min(numbers), max(numbers) + 1)

    def scaled(self, strength: float) -> Adapter:
        """An adapter that changes each layer's output by `strength` times as much, for inputs that stay the same.

        With 0 it changes nothing. Low-rank weights and scales of inputs beside one layer make it near that, not exact.
        """
        parts = ("up", "scale_in", "scale_out")
        return replace(self, **{part: {n: t * strength for n, t in getattr(self, part).items()} for part in parts})

    def tensors(self) -> dict[str, Tensor]:
        """All weights by name, `<attribute>.<layer>`."""
        return {f"{part}.{layer}": tensor for part in _PARTS for layer, tensor in getattr(self, part).items()}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> Adapter:
        """The inverse of `tensors`."""
        parts: dict[str, dict[str, Tensor]] = {part: {} for part in _PARTS}
        for name, tensor in tensors.items():
            part, layer = name.split(".", 1)
            parts[part][layer] = tensor
        return cls(**parts)


_PARTS = ("down", "up", "scale_in", "scale_out")


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


def initial_adapter(backbone: Backbone, rank: int, seed: int, layers: int | None = None) -> Adapter:
    """A low-rank adapter that changes nothing yet: `down` is random and `up` is zero.

    Args:
        backbone: beside whose linear layers it stands.
        rank: of each pair of weights.
        seed: of `down`.
        layers: only beside those of the last so many blocks; None for all.

    Raises:
        BackboneError: the backbone has no linear layers to stand beside, or is an encoder-decoder.
    """
    backbone.require_decoder_only("an adapter")
    chance = torch.Generator().manual_seed(seed)
    down, up = {}, {}
    for name, layer in linear_layers(backbone, layers).items():
        down[name] = torch.randn(rank, layer.in_features, generator=chance) / math.sqrt(layer.in_features)
        up[name] = torch.zeros(layer.out_features, rank)
    if not down:
        raise BackboneError(
            found=f"the backbone {backbone.id!r} has no linear layers in its blocks",
            expected="linear layers, beside which an adapter's weights can stand",
            next_step="train without an adapter: softgraft train DOMAIN --kind embedding --adapter none",
        )
    return Adapter(down, up)


def adapter_shapes(backbone: Backbone, rank: int, layers: int | None = None) -> dict[str, tuple[int, int]]:
    """Names and shapes of the weights of a low-rank adapter, as `Adapter.tensors` gives them."""
    beside = linear_layers(backbone, layers).items()
    return {f"down.{name}": (rank, layer.in_features) for name, layer in beside} | {
        f"up.{name}": (layer.out_features, rank) for name, layer in beside
    }


def linear_layers(backbone: Backbone, last: int | None = None) -> dict[str, torch.nn.Linear]:
    """Name to layer, of every linear layer but the one that makes logits, or of those in the last so many blocks."""
    head = backbone.model.get_output_embeddings()
    found = backbone.model.named_modules()
    layers = {name: m for name, m in found if isinstance(m, torch.nn.Linear) and m is not head}
    if last is None:
        return layers
    first = int(backbone.model.config.get_text_config().num_hidden_layers) - last
    return {name: layer for name, layer in layers.items() if block_of(name) >= first}


def block_of(name: str) -> int:
    """Number of the block that a layer is in: the first number in its name. What is in none runs before them all."""
    found = re.search(r"\.(\d+)\.", name)
    return int(found[1]) if found else -1


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


def _layers(adapters: Sequence[Adapter]) -> dict[str, None]:
    """Names of the layers that any of them changes, in order."""
    return {name: None for adapter in adapters for part in _PARTS for name in getattr(adapter, part)}


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
