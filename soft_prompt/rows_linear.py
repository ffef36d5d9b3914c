"""A linear layer that multiplies all its rows at once, whatever slice of a tensor they come from."""

from __future__ import annotations

import torch
from torch import Tensor


class RowsLinear(torch.nn.Linear):
    """A linear layer that puts all rows together first.

    Of a slice such as the last position of `[batch, tokens, inputs]` PyTorch makes a batch of products, and copies the
    weights for it: for a head over 49,152 tokens 90 ms in place of 7.
    """

    def forward(self, x: Tensor) -> Tensor:
        """`[..., inputs]` to `[..., outputs]`."""
        return super().forward(x.reshape(-1, self.in_features)).view(*x.shape[:-1], self.out_features)
