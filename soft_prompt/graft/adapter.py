"""Weights beside the frozen ones, active from the soft slot on: low-rank ones (LoRA, Hu et al. 2021, arXiv:2106.09685)
and scales of what goes into or comes out of a layer ((IA)³, Liu et al. 2022, arXiv:2205.05638).

What stands before the slot never meets them, so its keys and values stay the frozen backbone's and come from the prefix
store. The backbone's own weights are not touched: hooks change what a linear layer takes and puts out, for the rows
that have an adapter, in the thread that asked for it, and only while it asks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from soft_prompt.errors import BackboneError
from soft_prompt.model.backbone import Backbone

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


def _layers(adapters: Sequence[Adapter]) -> dict[str, None]:
    """Names of the layers that any of them changes, in order."""
    return {name: None for adapter in adapters for part in _PARTS for name in getattr(adapter, part)}
