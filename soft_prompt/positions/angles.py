"""The rotary angles of a backbone, computed by the model's own module (Su et al. 2021, arXiv:2104.09864)."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

import torch
from torch import Tensor

from soft_prompt.model.backbone import Backbone


@dataclass(frozen=True, eq=False)
class Angles:
    """Cosines and sines of consecutive positions.

    Attributes:
        cos: `[layers, 1, tokens, width]`, fp32; the first dimension is 1 if all layers have the same angles.
        sin: the same shape.
    """

    cos: Tensor
    sin: Tensor

    def rotate(self, keys: Tensor) -> Tensor:
        """Rotate the first `width` dimensions of keys, `[layers, kv_heads, tokens, head_dim]`."""
        return _rotate(keys, self.cos, self.sin)

    def unrotate(self, keys: Tensor) -> Tensor:
        """The inverse of `rotate`.

        Yarn and longrope scale cosine and sine, so the inverse divides by the square of the scale.
        """
        square = self.cos**2 + self.sin**2
        return _rotate(keys, self.cos / square, -self.sin / square)

    def layer_range(self, first: int, count: int) -> Angles:
        """The angles of `count` layers, starting with layer `first`."""
        if self.cos.shape[0] == 1:
            return self
        return Angles(self.cos[first : first + count], self.sin[first : first + count])

    def unscaled(self) -> Angles:
        """The same angles without the scale of yarn and longrope, for keys that are scaled already."""
        scale = (self.cos**2 + self.sin**2).sqrt()
        return Angles(self.cos / scale, self.sin / scale)

    def masked(self, layers: Tensor) -> Angles:
        """The same angles in some layers and none in the others. `layers`: `[layers]`, bool."""
        chosen = layers[:, None, None, None]
        return Angles(torch.where(chosen, self.cos, 1.0), torch.where(chosen, self.sin, 0.0))


def rotary_module(backbone: Backbone) -> torch.nn.Module | None:
    """The module that computes the decoder's rotary angles, or None if there is none."""
    for owner in (backbone.model.get_decoder(), backbone.model.base_model):
        module = getattr(owner, "rotary_emb", None)
        if isinstance(module, torch.nn.Module):
            return module
    return None


def angles(backbone: Backbone, first: int, tokens: int) -> Angles:
    """Angles of `tokens` positions from `first` on, for a backbone with a rotary module.

    Some models use other frequencies in layers with sliding windows than in the others. Their rotary module takes the
    type of the layer as an argument.
    """
    rotary = rotary_module(backbone)
    assert rotary is not None
    positions = torch.arange(first, first + tokens, device=backbone.device)[None]
    like = torch.zeros((), dtype=torch.float32, device=backbone.device)
    types = getattr(backbone.model.config.get_text_config(), "layer_types", None)
    if types and "layer_type" in inspect.signature(rotary.forward).parameters:
        by_type = {name: rotary(like, positions, layer_type=name) for name in dict.fromkeys(types)}
        cos, sin = (torch.stack([by_type[name][i] for name in types]) for i in (0, 1))
    else:
        cos, sin = (part[None] for part in rotary(like, positions))
    return Angles(cos, sin)


def _rotate(keys: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    width = cos.shape[-1]
    rotary, rest = keys[..., :width], keys[..., width:]
    first, second = rotary.chunk(2, dim=-1)
    half = torch.cat((-second, first), dim=-1)
    return torch.cat((rotary * cos + half * sin, rest), dim=-1)
