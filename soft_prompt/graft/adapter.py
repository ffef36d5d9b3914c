"""Adapters: trained weights beside the frozen ones, active from the soft slot on.

They are low-rank weights (LoRA, Hu et al. 2021, arXiv:2106.09685) or scales of the inputs or outputs of a layer ((IA)³,
Liu et al. 2022, arXiv:2205.05638). Nothing before the slot meets an adapter, so the keys and values of the prefix stay
the frozen backbone's and come from the prefix store. `adapter_hooks` applies adapters without touching the backbone's
weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from soft_prompt.errors import BackboneError
from soft_prompt.model.backbone import Backbone

AdapterMethod = Literal["lora", "ia3"]

PARTS = ("down", "up", "scale_in", "scale_out")


@dataclass(frozen=True, eq=False)
class Adapter:
    """Changes the outputs of linear layers of the backbone.

    A layer with the output `layer(x)` gets the output `layer(x') * (1 + scale_out) + (x' @ down.T) @ up.T` with
    `x' = x * (1 + scale_in)`. A part without an entry for the layer is left out, and zeros change nothing.

    Attributes:
        down: layer name to `[rank, inputs]`, fp32.
        up: layer name to `[outputs, rank]`, fp32.
        scale_in: layer name to `[inputs]`, fp32.
        scale_out: layer name to `[outputs]`, fp32.
    """

    down: Mapping[str, Tensor] = field(default_factory=dict)
    up: Mapping[str, Tensor] = field(default_factory=dict)
    scale_in: Mapping[str, Tensor] = field(default_factory=dict)
    scale_out: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def method(self) -> AdapterMethod:
        """`lora` if it has low-rank weights, `ia3` if it has scales alone."""
        return "lora" if self.down else "ia3"

    @property
    def rank(self) -> int:
        """Rank of the low-rank weights; 0 if there are none."""
        return int(next(iter(self.down.values())).shape[0]) if self.down else 0

    @property
    def blocks(self) -> range:
        """From the first block that it changes to the last."""
        numbers = [block_index(name) for name in adapted_layers([self])]
        return range(min(numbers), max(numbers) + 1)

    def scaled(self, strength: float) -> Adapter:
        """An adapter whose change of each layer's output is multiplied by `strength`.

        A layer with both low-rank weights and input scales changes by approximately that factor, others exactly.
        """
        parts = ("up", "scale_in", "scale_out")
        return replace(self, **{part: {n: t * strength for n, t in getattr(self, part).items()} for part in parts})

    def tensors(self) -> dict[str, Tensor]:
        """All weights by name, `<attribute>.<layer>`."""
        return {f"{part}.{layer}": tensor for part in PARTS for layer, tensor in getattr(self, part).items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Adapter:
        """The inverse of `tensors`."""
        parts: dict[str, dict[str, Tensor]] = {part: {} for part in PARTS}
        for name, tensor in tensors.items():
            part, layer = name.split(".", 1)
            parts[part][layer] = tensor
        return cls(**parts)


def initial_adapter(backbone: Backbone, rank: int, seed: int, layers: int | None = None) -> Adapter:
    """A low-rank adapter that changes nothing yet: `down` is random and `up` is zero.

    Args:
        backbone: whose linear layers it adapts.
        rank: of the weights.
        seed: for `down`.
        layers: number of last blocks to adapt; None for all.

    Raises:
        BackboneError: if the backbone has no linear layers in its blocks, or is an encoder-decoder.
    """
    backbone.require_decoder_only("an adapter")
    rng = torch.Generator().manual_seed(seed)
    down, up = {}, {}
    for name, layer in linear_layers(backbone, layers).items():
        down[name] = torch.randn(rank, layer.in_features, generator=rng) / math.sqrt(layer.in_features)
        up[name] = torch.zeros(layer.out_features, rank)
    if not down:
        raise BackboneError(
            found=f"the backbone {backbone.id!r} has no linear layers in its blocks",
            expected="linear layers that an adapter can change",
            next_step="train without an adapter: softgraft train DOMAIN --kind embedding --adapter none",
        )
    return Adapter(down, up)


def adapter_shapes(backbone: Backbone, rank: int, layers: int | None = None) -> dict[str, tuple[int, int]]:
    """Names and shapes of the weights of a low-rank adapter, as in `Adapter.tensors`."""
    adapted = linear_layers(backbone, layers).items()
    return {f"down.{name}": (rank, layer.in_features) for name, layer in adapted} | {
        f"up.{name}": (layer.out_features, rank) for name, layer in adapted
    }


def linear_layers(backbone: Backbone, last: int | None = None) -> dict[str, torch.nn.Linear]:
    """Linear layers by name, without the output head; of the `last` blocks alone if given."""
    head = backbone.model.get_output_embeddings()
    modules = backbone.model.named_modules()
    layers = {name: m for name, m in modules if isinstance(m, torch.nn.Linear) and m is not head}
    if last is None:
        return layers
    first = int(backbone.model.config.get_text_config().num_hidden_layers) - last
    return {name: layer for name, layer in layers.items() if block_index(name) >= first}


def block_index(name: str) -> int:
    """Index of the block that holds a layer: the first number in its name, or -1 for a layer before all blocks."""
    match = re.search(r"\.(\d+)\.", name)
    return int(match[1]) if match else -1


def adapted_layers(adapters: Iterable[Adapter]) -> list[str]:
    """Names of the layers that any of the adapters changes, each once."""
    return list(dict.fromkeys(name for adapter in adapters for part in PARTS for name in getattr(adapter, part)))
