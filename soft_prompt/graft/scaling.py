"""Which layers (IA)³ scales (Liu et al. 2022, arXiv:2205.05638), and scales that change nothing yet.

Per block: what the layers of keys and values put out, and what the MLP's last layer takes in. A few numbers a layer,
where low-rank weights take thousands.
"""

from __future__ import annotations

import torch

from soft_prompt.errors import BackboneError
from soft_prompt.graft.adapter import Adapter, block_of, linear_layers
from soft_prompt.model.backbone import Backbone

# The last part of a layer's name in the families of Transformers.
_KEYS = frozenset({"k_proj", "key"})
_VALUES = frozenset({"v_proj", "value"})
# The one whose inputs are the MLP's inner activations.
_INNER = frozenset({"down_proj", "fc2", "fc_out"})


def initial_scaling(backbone: Backbone, layers: int | None = None) -> Adapter:
    """An adapter of scales that changes nothing yet: what is stored is the difference from 1.

    Args:
        backbone: whose layers it scales.
        layers: only in the last so many blocks; None for all.

    Raises:
        BackboneError: the family's names for keys, values and the MLP's last layer are not known, as where one layer
            makes queries, keys and values; or it is an encoder-decoder.
    """
    backbone.require_decoder_only("an adapter")
    return Adapter.of_tensors({name: torch.zeros(shape) for name, shape in scaling_shapes(backbone, layers).items()})


def scaling_shapes(backbone: Backbone, layers: int | None = None) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the scales, as `Adapter.tensors` gives them.

    Raises:
        BackboneError: as in `initial_scaling`.
    """
    blocks: dict[int, dict[str, torch.nn.Linear]] = {}
    for name, layer in linear_layers(backbone, layers).items():
        blocks.setdefault(block_of(name), {})[name] = layer
    inputs: dict[str, tuple[int, ...]] = {}
    outputs: dict[str, tuple[int, ...]] = {}
    for block in blocks.values():
        # What stands in no block, such as a projection before the first, is not scaled.
        if block_of(next(iter(block))) < 0:
            continue
        for wanted in (_KEYS, _VALUES):
            name = _only(backbone, block, wanted)
            outputs[f"scale_out.{name}"] = (block[name].out_features,)
        name = _only(backbone, block, _INNER)
        inputs[f"scale_in.{name}"] = (block[name].in_features,)
    if not inputs:
        raise _unknown(backbone, "no linear layers in its blocks")
    return inputs | outputs


def _only(backbone: Backbone, block: dict[str, torch.nn.Linear], wanted: frozenset[str]) -> str:
    found = [name for name in block if name.rsplit(".", 1)[-1] in wanted]
    if len(found) != 1:
        raise _unknown(backbone, f"in one block the layers {', '.join(name.rsplit('.', 1)[-1] for name in block)}")
    return found[0]


def _unknown(backbone: Backbone, found: str) -> BackboneError:
    names = (" or ".join(sorted(names)) for names in (_KEYS, _VALUES, _INNER))
    return BackboneError(
        found=f"the backbone {backbone.id!r} has {found}",
        expected=f"in every block one layer for keys, for values and behind the MLP's activations: {'; '.join(names)}",
        next_step="train low-rank weights instead: softgraft train DOMAIN --adapter lora",
    )
