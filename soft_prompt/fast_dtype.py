"""The dtype that a device multiplies fastest in."""

from __future__ import annotations

import torch


def fast_dtype(device: str | torch.device) -> torch.dtype:
    """`bfloat16` where the device multiplies in it, `float32` where it would only emulate it.

    A processor without AVX-512 converts every bf16 operand first: 256 tokens through SmolLM2-135M take 4.5 s in bf16
    and 0.8 s in float32 on 2 cores with AVX2 alone. Nothing is lost: a bf16 weight is exact in float32.

    Args:
        device: a PyTorch device.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if kind == "cpu":
        return torch.bfloat16 if _onednn_has_bf16() else torch.float32
    return torch.bfloat16


def _onednn_has_bf16() -> bool:
    # PyTorch's own compiler asks the same; a build without oneDNN has no such operator.
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
