"""The rotary angles of a backbone, asked of the model's own module (Su et al. 2021, arXiv:2104.09864)."""

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
        cos: `[layers, 1, tokens, width]`, fp32; the first dimension is 1 where all layers turn alike.
        sin: the same shape.
    """

    cos: Tensor
    sin: Tensor

    def put_on(self, keys: Tensor) -> Tensor:
        """Rotate keys, `[layers, kv_heads, tokens, head_dim]`; the rest of a wider head stays."""
        return _turn(keys, self.cos, self.sin)

    def take_off(self, keys: Tensor) -> Tensor:
        """The inverse of `put_on`.

        Yarn and longrope scale cosine and sine, so the inverse divides by the square of the scale.
        """
        square = self.cos**2 + self.sin**2
        return _turn(keys, self.cos / square, -self.sin / square)

    def of_layers(self, first: int, count: int) -> Angles:
        """The angles of some layers, from the one numbered `first` on."""
        if self.cos.shape[0] == 1:
            return self
        return Angles(self.cos[first : first + count], self.sin[first : first + count])

    def unscaled(self) -> Angles:
        """The same angles without the scale that yarn and longrope put on, for keys that carry it already."""
        scale = (self.cos**2 + self.sin**2).sqrt()
        return Angles(self.cos / scale, self.sin / scale)

    def only_in(self, layers: Tensor) -> Angles:
        """The same angles in some layers and none in the others. `layers`: `[layers]`, bool."""
        chosen = layers[:, None, None, None]
        return Angles(torch.where(chosen, self.cos, 1.0), torch.where(chosen, self.sin, 0.0))


def rotary_module(backbone: Backbone) -> torch.nn.Module | None:
    """The module that gives the decoder's rotary angles, or None where there is none."""
    for owner in (backbone.model.get_decoder(), backbone.model.base_model):
        found = getattr(owner, "rotary_emb", None)
        if isinstance(found, torch.nn.Module):
            return found
    return None


def angles(backbone: Backbone, rotary: torch.nn.Module, first: int, tokens: int) -> Angles:
    """Angles of the positions `first`, `first + 1`, ...

    Some models turn by other frequencies in layers with sliding windows than in the others. What tells is the module:
    it then asks for the type of the layer.
    """
    positions = torch.arange(first, first + tokens, device=backbone.device)[None]
    like = torch.zeros((), dtype=torch.float32, device=backbone.device)
    kinds = getattr(backbone.model.config.get_text_config(), "layer_types", None)
    if kinds and "layer_type" in inspect.signature(rotary.forward).parameters:
        by_kind = {kind: rotary(like, positions, layer_type=kind) for kind in dict.fromkeys(kinds)}
        cos, sin = (torch.stack([by_kind[kind][i] for kind in kinds]) for i in (0, 1))
    else:
        cos, sin = (part[None] for part in rotary(like, positions))
    return Angles(cos, sin)


def _turn(keys: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    width = cos.shape[-1]
    turned, rest = keys[..., :width], keys[..., width:]
    first, second = turned.chunk(2, dim=-1)
    half = torch.cat((-second, first), dim=-1)
    return torch.cat((turned * cos + half * sin, rest), dim=-1)
