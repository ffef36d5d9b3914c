"""The tensors of a soft prompt as they are stored: as fp32, or in a quarter of the space as int8 with scales.

Each row, or each column of a tall matrix, is rounded to 127 steps per sign. The scales are an fp32 tensor of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

Stored = Literal["float32", "int8"]
# Behind the name of a tensor: its scales.
SCALES = ".scales"
_STEPS = 127


def _longer(tensor: Tensor) -> int:
    """The longer one of the last two dimensions, which needs the fewest scales."""
    return -2 if tensor.ndim > 1 and tensor.shape[-2] > tensor.shape[-1] else -1


def to_stored(tensors: Mapping[str, Tensor], stored: Stored) -> dict[str, Tensor]:
    """The tensors as they are written, on the CPU and contiguous."""
    plain = {name: tensor.detach().to("cpu", torch.float32).contiguous() for name, tensor in tensors.items()}
    if stored == "float32":
        return plain
    written: dict[str, Tensor] = {}
    for name, tensor in plain.items():
        scales = tensor.abs().amax(dim=_longer(tensor), keepdim=True).clamp(min=1e-12) / _STEPS
        written[name] = (tensor / scales).round().clamp(-_STEPS, _STEPS).to(torch.int8)
        written[f"{name}{SCALES}"] = scales
    return written


def from_stored(tensors: Mapping[str, Tensor], stored: Stored) -> dict[str, Tensor]:
    """The fp32 tensors of those that were written; any that do not belong together stay as they are."""
    if stored == "float32":
        return dict(tensors)
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        scales = tensors.get(f"{name}{SCALES}")
        if tensor.dtype == torch.int8 and scales is not None and scales.dtype == torch.float32:
            if scales.shape in ((*tensor.shape[:-1], 1), (*tensor.shape[:-2], 1, *tensor.shape[-1:])):
                found[name] = tensor.float() * scales
                continue
        elif name.endswith(SCALES) and name.removesuffix(SCALES) in tensors:
            continue
        found[name] = tensor
    return found
