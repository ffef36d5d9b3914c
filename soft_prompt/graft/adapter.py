"""Adapters: trained weights beside the frozen ones, active from the soft slot on.

They are low-rank weights (LoRA, Hu et al. 2021, arXiv:2106.09685), or scales of the outputs of the key and value layers
and of the inputs of the MLP's last layer: a few numbers per layer ((IA)³, Liu et al. 2022, arXiv:2205.05638). Nothing
before the slot meets an adapter, so the keys and values of the prefix stay the frozen backbone's and come from the
prefix store. `adapter_hooks` applies adapters without touching the backbone's weights.
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
# The last part of a layer's name in the families of Transformers.
_KEYS = frozenset({"k_proj", "key"})
_VALUES = frozenset({"v_proj", "value"})
# The MLP's last layer, whose inputs are the inner activations.
_INNER = frozenset({"down_proj", "fc2", "fc_out"})


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

    It adapts the linear layers of the last `layers` blocks, or of all blocks.

    Raises:
        BackboneError: if the backbone has no linear layers in its blocks, or is an encoder-decoder.
    """
    backbone.require_decoder_only("an adapter")
    rng = torch.Generator().manual_seed(seed)
    shapes = adapter_shapes(backbone, rank, layers)
    if not shapes:
        raise BackboneError(
            found=f"the backbone {backbone.id!r} has no linear layers in its blocks",
            expected="linear layers that an adapter can change",
            next_step="train without an adapter: softgraft train DOMAIN --kind embedding --adapter none",
        )
    down = {n: torch.randn(s, generator=rng) / math.sqrt(s[1]) for n, s in shapes.items() if n.startswith("down.")}
    return Adapter.from_tensors(down | {n: torch.zeros(s) for n, s in shapes.items() if n not in down})


def initial_scaling(backbone: Backbone, layers: int | None = None) -> Adapter:
    """An adapter of scales that changes nothing yet. Scales are stored as the difference from 1.

    It scales the last `layers` blocks, or all blocks.

    Raises:
        BackboneError: if the names of the key layer, the value layer or the MLP's last layer are not known, for example
            because one layer computes queries, keys and values, or if the backbone is an encoder-decoder.
    """
    backbone.require_decoder_only("an adapter")
    return Adapter.from_tensors({name: torch.zeros(shape) for name, shape in scaling_shapes(backbone, layers).items()})


def adapter_shapes(backbone: Backbone, rank: int, layers: int | None = None) -> dict[str, tuple[int, int]]:
    """Names and shapes of the weights of a low-rank adapter, as in `Adapter.tensors`."""
    adapted = linear_layers(backbone, layers).items()
    return {f"down.{name}": (rank, layer.in_features) for name, layer in adapted} | {
        f"up.{name}": (layer.out_features, rank) for name, layer in adapted
    }


def scaling_shapes(backbone: Backbone, layers: int | None = None) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the scales, as in `Adapter.tensors`. Raises `BackboneError` as `initial_scaling` does."""
    blocks: dict[int, dict[str, torch.nn.Linear]] = {}
    for name, layer in linear_layers(backbone, layers).items():
        # Layers before the blocks, such as a projection of the embeddings, are not scaled.
        if (number := block_index(name)) >= 0:
            blocks.setdefault(number, {})[name] = layer
    if not blocks:
        raise _unknown_layers(backbone, "no linear layers in its blocks")
    inputs: dict[str, tuple[int, ...]] = {}
    outputs: dict[str, tuple[int, ...]] = {}
    for block in blocks.values():
        key, value, inner = (_only_layer(backbone, block, names) for names in (_KEYS, _VALUES, _INNER))
        inputs[f"scale_in.{inner}"] = (block[inner].in_features,)
        outputs |= {f"scale_out.{name}": (block[name].out_features,) for name in (key, value)}
    return inputs | outputs


def _only_layer(backbone: Backbone, block: Iterable[str], last_names: frozenset[str]) -> str:
    last_name_of = {name: name.rsplit(".", 1)[-1] for name in block}
    layers = [name for name, last in last_name_of.items() if last in last_names]
    if len(layers) != 1:
        raise _unknown_layers(backbone, f"in one block the layers {', '.join(last_name_of.values())}")
    return layers[0]


def _unknown_layers(backbone: Backbone, found: str) -> BackboneError:
    names = (" or ".join(sorted(last_names)) for last_names in (_KEYS, _VALUES, _INNER))
    return BackboneError(
        found=f"the backbone {backbone.id!r} has {found}",
        expected=f"in every block one key layer, one value layer and one last layer of the MLP: {'; '.join(names)}",
        next_step="train low-rank weights instead: softgraft train DOMAIN --adapter lora",
    )


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
