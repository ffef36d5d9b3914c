"""Linear layers for few rows: packed weights, and weights that are read as int8.

oneDNN multiplies bf16 weights faster in a layout of its own: one row two to seven times, 64 rows up to one and a half
times as fast as PyTorch's, with the same result to the bit. The layout is made once and kept beside the weights.

Int8 weights halve what decoding reads for every token. They are kept beside the layer's own, rounded to 127 steps per
output channel and sign. Inputs, sums and outputs stay in bf16. A prompt has many rows, where arithmetic takes the time,
so it uses the layer's own weights.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from soft_prompt.model.huge_pages import use_huge_pages

# Above this number of rows PyTorch's int8 kernel is slower than its bf16 kernel (measured on AVX-512).
MAX_INT8_ROWS = 4


class FlattenedLinear(torch.nn.Linear):
    """A linear layer that flattens all leading dimensions into rows first.

    For a slice such as the last position of `[batch, tokens, inputs]` PyTorch makes a batch of products and copies the
    weights for it. A head over 49,152 tokens then takes 90 ms instead of 7.
    """

    def forward(self, x: Tensor) -> Tensor:
        """`[..., inputs]` to `[..., outputs]`."""
        return super().forward(x.reshape(-1, self.in_features)).view(*x.shape[:-1], self.out_features)


class PackedLinear(FlattenedLinear):
    """A linear layer with a packed copy of its weights, used where nothing needs a gradient.

    Attributes:
        packed: the weights in oneDNN's layout.
    """

    packed: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """`[..., inputs]` to `[..., outputs]`."""
        if x.requires_grad:
            return super().forward(x)
        rows = x.reshape(-1, self.in_features)
        return packed_product(rows, self.packed, self.bias).view(*x.shape[:-1], self.out_features)


class Int8Linear(FlattenedLinear):
    """A linear layer with an int8 copy of its weights, used for at most `MAX_INT8_ROWS` rows.

    Attributes:
        codes: `[outputs, inputs]`, int8.
        scales: `[outputs]`, in the weights' dtype: the step size of each output channel.
    """

    codes: Tensor
    scales: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """`[..., inputs]` to `[..., outputs]`."""
        rows = x.reshape(-1, self.in_features)
        if len(rows) > MAX_INT8_ROWS:
            return super().forward(x)
        product: Tensor = torch.ops.aten._weight_int8pack_mm(rows, self.codes, self.scales)
        product = product if self.bias is None else product + self.bias
        return product.view(*x.shape[:-1], self.out_features)


# By the first weight, so that copies of a model share them, and they are freed with it.
_packed: MutableMapping[Tensor, dict[int, Tensor]] = WeakTensorKeyDictionary()
# The layout does not depend on it; PyTorch asks for the usual number of rows.
_ROWS = 16


def packed_weights(weights: Sequence[Tensor]) -> Tensor:
    """The bf16 weights of layers with the same input, one below the other in oneDNN's layout."""
    by_count = _packed.setdefault(weights[0], {})
    if len(weights) not in by_count:
        joined = weights[0].detach() if len(weights) == 1 else torch.cat([weight.detach() for weight in weights])
        packed = torch.ops.mkldnn._reorder_linear_weight(joined, _ROWS)
        use_huge_pages(packed)
        by_count[len(weights)] = packed
    return by_count[len(weights)]


def packed_product(x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    """A linear layer with packed weights and without gradient: `[rows, inputs]` to `[rows, outputs]`."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return product


def add_packed_weights(layer: torch.nn.Linear) -> None:
    """Turn a layer with bf16 weights on the CPU into a `PackedLinear` in place."""
    # Not a buffer: it has no storage that could be saved, copied or moved.
    object.__setattr__(layer, "packed", packed_weights([layer.weight]))
    layer.__class__ = PackedLinear


def add_int8_weights(layer: torch.nn.Linear) -> None:
    """Turn a layer into an `Int8Linear` in place. Its own weights, hooks and name stay as they are."""
    weights = layer.weight.detach()
    # Clamped, since a channel of zeros would have the scale 0.
    scales = (weights.float().abs().amax(dim=1) / 127).clamp(min=torch.finfo(torch.float32).tiny).to(weights.dtype)
    # Divide by the scale as stored, which compensates for its own rounding.
    codes = (weights.float() / scales.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
    layer.register_buffer("codes", codes, persistent=False)
    layer.register_buffer("scales", scales, persistent=False)
    layer.__class__ = Int8Linear
