"""Linear layers whose weights are read as int8 while a reply is decoded.

A reply is decoded one token at a time, and each token reads every weight once: with few rows it is the reading that
takes the time, so half the bytes take about half of it. The int8 weights lie beside the layer's own, rounded to 127
steps an output channel either way; inputs, sums and outputs stay in bf16. Where many rows run at once, as in a prompt,
the arithmetic takes the time and the layer's own weights are used.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Beyond so many rows PyTorch's int8 kernel is slower than its bf16 one (measured on AVX-512).
MOST_ROWS = 4


class RowsLinear(torch.nn.Linear):
    """A linear layer that puts all rows together first.

    Of a slice such as the last position of `[batch, tokens, inputs]` PyTorch makes a batch of products, and copies the
    weights for it: for a head over 49,152 tokens 90 ms in place of 7.
    """

    def forward(self, x: Tensor) -> Tensor:
        """`[..., inputs]` to `[..., outputs]`."""
        return super().forward(x.reshape(-1, self.in_features)).view(*x.shape[:-1], self.out_features)


class Int8Linear(RowsLinear):
    """A linear layer with an int8 copy of its weights beside them, used for at most `MOST_ROWS` rows.

    Attributes:
        codes: `[outputs, inputs]`, int8.
        scales: `[outputs]`, in the weights' dtype: what one step of a channel stands for.
    """

    codes: Tensor
    scales: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """`[..., inputs]` to `[..., outputs]`."""
        rows = x.reshape(-1, self.in_features)
        if len(rows) > MOST_ROWS:
            return super().forward(x)
        product: Tensor = torch.ops.aten._weight_int8pack_mm(rows, self.codes, self.scales)
        product = product if self.bias is None else product + self.bias
        return product.view(*x.shape[:-1], self.out_features)


def with_int8(layer: torch.nn.Linear) -> None:
    """Turn a layer into an `Int8Linear` in place. Its own weights, hooks and name stay as they are."""
    weights = layer.weight.detach()
    # A channel of zeros has no scale; any will do.
    scales = (weights.float().abs().amax(dim=1) / 127).clamp(min=torch.finfo(torch.float32).tiny).to(weights.dtype)
    # Divided by the scale as it is stored, so that its own rounding is made up for.
    codes = (weights.float() / scales.float()[:, None]).round().clamp(-127, 127).to(torch.int8)
    layer.register_buffer("codes", codes, persistent=False)
    layer.register_buffer("scales", scales, persistent=False)
    layer.__class__ = Int8Linear
