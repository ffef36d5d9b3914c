"""Low-rank weights beside the frozen ones, active from the soft slot on (LoRA, Hu et al. 2021, arXiv:2106.09685).

What stands before the slot never meets them, so its keys and values stay the frozen backbone's and come from the prefix
store. The backbone's own weights are not touched: hooks add to what a linear layer puts out, for the rows that have an
adapter, in the thread that asked for it, and only while it asks.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from soft_prompt.backbone import Backbone
from soft_prompt.errors import BackboneError

# Layer to what its inputs are multiplied with, as `together` makes it.
Together = Mapping[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Adapter:
    """What is added to the output of the linear layers of the backbone's blocks: `(x @ down.T) @ up.T`.

    Attributes:
        down: name of a layer to `[rank, inputs]`, fp32.
        up: name of a layer to `[outputs, rank]`, fp32.
    """

    down: Mapping[str, Tensor]
    up: Mapping[str, Tensor]

    @property
    def rank(self) -> int:
        """Rows of `down`."""
        return int(next(iter(self.down.values())).shape[0])

    @property
    def lowest_block(self) -> int:
        """Number of the first block that it acts in."""
        return min(_block(name) for name in self.down)

    def tensors(self) -> dict[str, Tensor]:
        """All weights by name, `down.<layer>` and `up.<layer>`."""
        named = (("down", self.down), ("up", self.up))
        return {f"{part}.{layer}": tensor for part, layers in named for layer, tensor in layers.items()}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> Adapter:
        """The inverse of `tensors`."""
        parts: dict[str, dict[str, Tensor]] = {"down": {}, "up": {}}
        for name, tensor in tensors.items():
            part, layer = name.split(".", 1)
            parts[part][layer] = tensor
        return cls(**parts)


def initial_adapter(backbone: Backbone, rank: int, seed: int, layers: int | None = None) -> Adapter:
    """An adapter that changes nothing yet: `down` is random and `up` is zero.

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
            next_step="train without an adapter: softgraft train DOMAIN --adapter-rank 0",
        )
    return Adapter(down, up)


def adapter_shapes(backbone: Backbone, rank: int, layers: int | None = None) -> dict[str, tuple[int, int]]:
    """Names and shapes of the weights of an adapter of that rank, as `Adapter.tensors` gives them."""
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
    return {name: layer for name, layer in layers.items() if _block(name) >= first}


def _block(name: str) -> int:
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
        By layer, in the backbone's dtype and turned for multiplying from the right: `[inputs, rank]` and
        `[rank, outputs]` where all rows share one adapter, else `[rows, inputs, rank]` and `[rows, rank, outputs]`,
        ranks filled up with zeros, which add nothing. None where no row has an adapter.
    """
    first = adapters[0]
    if first is not None and all(adapter is first for adapter in adapters):
        return {name: (_as_in(backbone, down), _as_in(backbone, first.up[name])) for name, down in first.down.items()}
    rank = max((adapter.rank for adapter in adapters if adapter is not None), default=0)
    if not rank:
        return None
    return {
        name: (
            torch.stack([_row(backbone, a.down[name] if a else None, layer.in_features, rank) for a in beside]),
            torch.stack([_row(backbone, a.up[name].T if a else None, layer.out_features, rank).T for a in beside]),
        )
        for name, layer in linear_layers(backbone).items()
        # An adapter may stand beside the last blocks alone. Where none stands, backward need not run.
        if any(beside := [a if a is not None and name in a.down else None for a in adapters])
    }


def _as_in(backbone: Backbone, weights: Tensor) -> Tensor:
    return weights.to(device=backbone.device, dtype=backbone.dtype).T


def _row(backbone: Backbone, weights: Tensor | None, width: int, rank: int) -> Tensor:
    """`[rank of its own, width]`, or nothing, as `[width, rank]`."""
    if weights is None:
        return torch.zeros(width, rank, device=backbone.device, dtype=backbone.dtype)
    return torch.nn.functional.pad(_as_in(backbone, weights), (0, rank - weights.shape[0]))


@contextmanager
def adapted(backbone: Backbone, weights: Together | None) -> Iterator[None]:
    """Within this context the backbone's forward passes in this thread have the batch's adapters."""
    if weights is None:
        yield
        return
    _hook(backbone)
    before = getattr(_active, "weights", None)
    _active.weights = weights
    try:
        yield
    finally:
        _active.weights = before


def _hook(backbone: Backbone) -> None:
    """Put the hooks in place, once a model. Without an active adapter they give the output back as it is."""
    with _hooking:
        if getattr(backbone.model, _MARK, False):
            return
        for name, layer in linear_layers(backbone).items():
            layer.register_forward_hook(_adding(name))
        setattr(backbone.model, _MARK, True)


def _adding(name: str) -> Any:
    def add(_: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        weights: Together | None = getattr(_active, "weights", None)
        if weights is None or name not in weights:
            return None
        down, up = weights[name]
        return output + (inputs[0] @ down) @ up

    return add
