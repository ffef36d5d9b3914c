"""The default dtype of a backbone depends on its device."""

from __future__ import annotations

import pytest
import torch

from soft_prompt.model.backbone import fast_dtype


@pytest.mark.parametrize(("multiplies", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_processor_gets_the_dtype_it_multiplies_in(
    multiplies: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: multiplies)
    assert fast_dtype("cpu") == expected
    assert fast_dtype(torch.device("cpu")) == expected


def test_a_build_without_onednn_gets_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert fast_dtype("cpu") == torch.float32
