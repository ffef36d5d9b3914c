"""The layers that (IA)³ scales (Liu et al. 2022, arXiv:2205.05638), and an adapter of scales to start from.

In each block (IA)³ scales the outputs of the key and value layers and the inputs of the MLP's last layer: a few numbers
per layer, where low-rank weights take thousands.
"""

from __future__ import annotations

import torch

from soft_prompt.errors import BackboneError
from soft_prompt.graft.adapter import Adapter, block_index, linear_layers
from soft_prompt.model.backbone import Backbone

# The last part of a layer's name in the families of Transformers.
_KEYS = frozenset({"k_proj", "key"})
_VALUES = frozenset({"v_proj", "value"})
# The MLP's last layer, whose inputs are the inner activations.
_INNER = frozenset({"down_proj", "fc2", "fc_out"})


def initial_scaling(backbone: Backbone, layers: int | None = None) -> Adapter:
    """An adapter of scales that changes nothing yet. Scales are stored as the difference from 1.

    Args:
        backbone: whose layers it scales.
        layers: number of last blocks to scale; None for all.

    Raises:
        BackboneError: if the names of the key layer, the value layer or the MLP's last layer are not known, for example
            because one layer computes queries, keys and values, or if the backbone is an encoder-decoder.
    """
    backbone.require_decoder_only("an adapter")
    return Adapter.from_tensors({name: torch.zeros(shape) for name, shape in scaling_shapes(backbone, layers).items()})


def scaling_shapes(backbone: Backbone, layers: int | None = None) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the scales, as in `Adapter.tensors`.

    Raises:
        BackboneError: as in `initial_scaling`.
    """
    blocks: dict[int, dict[str, torch.nn.Linear]] = {}
    for name, layer in linear_layers(backbone, layers).items():
        blocks.setdefault(block_index(name), {})[name] = layer
    inputs: dict[str, tuple[int, ...]] = {}
    outputs: dict[str, tuple[int, ...]] = {}
    for block in blocks.values():
        # Layers before the blocks, such as a projection of the embeddings, are not scaled.
        if block_index(next(iter(block))) < 0:
            continue
        for names in (_KEYS, _VALUES):
            name = _only_layer(backbone, block, names)
            outputs[f"scale_out.{name}"] = (block[name].out_features,)
        name = _only_layer(backbone, block, _INNER)
        inputs[f"scale_in.{name}"] = (block[name].in_features,)
    if not inputs:
        raise _unknown_layers(backbone, "no linear layers in its blocks")
    return inputs | outputs


def _only_layer(backbone: Backbone, block: dict[str, torch.nn.Linear], names: frozenset[str]) -> str:
    """Name of the only layer of a block with one of these last names."""
    layers = [name for name in block if name.rsplit(".", 1)[-1] in names]
    if len(layers) != 1:
        raise _unknown_layers(
            backbone, f"in one block the layers {', '.join(name.rsplit('.', 1)[-1] for name in block)}"
        )
    return layers[0]


def _unknown_layers(backbone: Backbone, found: str) -> BackboneError:
    names = (" or ".join(sorted(names)) for names in (_KEYS, _VALUES, _INNER))
    return BackboneError(
        found=f"the backbone {backbone.id!r} has {found}",
        expected=f"in every block one key layer, one value layer and one last layer of the MLP: {'; '.join(names)}",
        next_step="train low-rank weights instead: softgraft train DOMAIN --adapter lora",
    )
