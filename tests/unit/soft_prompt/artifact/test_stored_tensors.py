"""Soft prompts that are stored as int8."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from artifact_checks import change, manifest_for
from oracle import some_soft_prompt

from soft_prompt import ArtifactError, Backbone, load_soft_prompt, save_soft_prompt
from soft_prompt.artifact.stored_tensors import from_stored, to_stored


def test_int8_is_a_quarter_as_large_and_close() -> None:
    tensors = {
        "vectors": torch.randn(4, 2, 64),
        "up.q": torch.randn(64, 64) * 1e-3,
        # A tall matrix, as adapters have.
        "tall": torch.randn(300, 4),
        "zero": torch.zeros(2, 8),
        "scale": torch.randn(16),
    }
    stored = to_stored(tensors, "int8")
    assert {stored[name].dtype for name in tensors} == {torch.int8}
    size = sum(tensor.nbytes for tensor in stored.values())
    assert size < 0.3 * sum(tensor.nbytes for tensor in tensors.values())
    back = from_stored(stored, "int8")
    assert {*back} == {*tensors}
    for name, tensor in tensors.items():
        dim = -2 if name == "tall" else -1
        error = (back[name] - tensor).abs().amax(dim=dim)
        assert bool((error <= tensor.abs().amax(dim=dim) / 127 * 0.51 + 1e-12).all()), name
    assert from_stored(to_stored(tensors, "float32"), "float32")["up.q"].equal(tensors["up.q"])


def test_a_soft_prompt_is_saved_and_loaded_as_int8(tmp_path: Path, tiny_backbone: Backbone) -> None:
    soft_prompt = some_soft_prompt(tiny_backbone, 4, 1)
    manifest = manifest_for(tiny_backbone, soft_prompt).model_copy(update={"stored": "int8"})
    save_soft_prompt(tmp_path / "small", soft_prompt, manifest)
    loaded = load_soft_prompt(tmp_path / "small", tiny_backbone)
    assert loaded is not None
    assert loaded[1].stored == "int8"
    assert loaded[0].vectors.dtype == torch.float32
    step = soft_prompt.vectors.abs().amax(dim=-1, keepdim=True) / 127
    assert bool(((loaded[0].vectors - soft_prompt.vectors).abs() <= step * 0.51).all())
    # A manifest that says otherwise does not fit the tensors.
    change(tmp_path / "small", stored="float32")
    with pytest.raises(ArtifactError, match="holds"):
        load_soft_prompt(tmp_path / "small", tiny_backbone)


def test_scales_that_do_not_fit_are_refused(tmp_path: Path, tiny_backbone: Backbone) -> None:
    soft_prompt = some_soft_prompt(tiny_backbone, 4, 1)
    save_soft_prompt(tmp_path / "small", soft_prompt, manifest_for(tiny_backbone, soft_prompt))
    change(tmp_path / "small", stored="int8")
    # Tensors without scales are fp32, whatever the manifest says, and load.
    assert load_soft_prompt(tmp_path / "small", tiny_backbone) is not None
    stored = to_stored({"vectors": torch.ones(2, 4)}, "int8")
    stored["vectors.scales"] = torch.ones(3, 1)
    assert from_stored(stored, "int8")["vectors"].dtype == torch.int8
