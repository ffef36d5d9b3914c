"""A backbone of one's own: loaded from a folder, refused with the next step, and never written to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import MambaConfig, MambaForCausalLM

import soft_prompt
from soft_prompt import Backbone, BackboneError, TrainingError, from_text_twin, kv_from_text_twin, weights_checksum
from soft_prompt.model.backbone import fast_dtype
from soft_prompt.replies import sampling
from soft_prompt.rows import encode

# Left out of `make check`.
pytestmark = pytest.mark.heavy

ROOT = Path(soft_prompt.__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path, tiny_backbone: Backbone) -> Path:
    tiny_backbone.model.save_pretrained(tmp_path)
    tiny_backbone.tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_a_local_folder_loads(folder: Path, tiny_backbone: Backbone) -> None:
    backbone = Backbone.load(str(folder), dtype=torch.float32)
    assert backbone.id == str(folder)
    assert weights_checksum(backbone) == weights_checksum(tiny_backbone)
    assert backbone.tokenizer_hash == tiny_backbone.tokenizer_hash
    assert backbone.encode_text("a<|im_end|>") == tiny_backbone.encode_text("a<|im_end|>")
    assert not backbone.model.training
    assert not any(parameter.requires_grad for parameter in backbone.model.parameters())


def test_the_home_of_nobody_is_no_folder() -> None:
    with pytest.raises(BackboneError, match="no folder ~nobody-of-that-name/model"):
        Backbone.load("~nobody-of-that-name/model")


def test_without_a_dtype_it_loads_in_the_one_its_device_is_fast_in(folder: Path) -> None:
    assert Backbone.load(str(folder)).dtype == fast_dtype("cpu")


def test_the_digest_stands_for_the_weights(folder: Path) -> None:
    before = Backbone.load(str(folder)).digest
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert Backbone.load(str(folder)).digest != before
    assert len(before) == 64


def test_pickled_weights_are_refused(folder: Path, tiny_backbone: Backbone) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(tiny_backbone.model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(BackboneError, match=r"safetensors"):
        Backbone.load(str(folder))


def test_a_folder_that_holds_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="backbone"):
        Backbone.load(str(tmp_path))


def test_a_model_with_a_recurrent_state_is_refused(tmp_path: Path, tiny_backbone: Backbone) -> None:
    # Its past is not keys and values, so no prefix of it could be stored.
    model = MambaForCausalLM(MambaConfig(vocab_size=300, hidden_size=16, state_size=4, num_hidden_layers=1))
    with pytest.raises(BackboneError, match=r"mamba.*recurrent state"):
        Backbone("tiny", "0" * 64, model, tiny_backbone.tokenizer)
    model.save_pretrained(tmp_path)
    tiny_backbone.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(BackboneError, match="recurrent state"):
        Backbone.load(str(tmp_path))


@pytest.mark.parametrize("name", ["./absent", "/absent/absent", "~/absent/absent"])
def test_a_folder_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(BackboneError, match="no folder"):
        Backbone.load(name)


def test_damaged_weights_are_a_backbone_error(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BackboneError, match=r"model\.safetensors has a header"):
        Backbone.load(str(folder))


def test_every_end_token_counts(make_tiny_backbone: Callable[..., Backbone]) -> None:
    backbone = make_tiny_backbone()
    assert backbone.end_ids == {backbone.tokenizer.eos_token_id}
    several = make_tiny_backbone()
    several.model.generation_config.eos_token_id = [7, 9]
    assert several.end_ids == {7, 9, several.tokenizer.eos_token_id}
    # Training aims at the one that the chat template writes.
    assert several.end_id == several.tokenizer.eos_token_id


def test_a_backbone_that_names_no_end_is_refused(make_tiny_backbone: Callable[..., Backbone]) -> None:
    backbone = make_tiny_backbone()
    backbone.model.generation_config.eos_token_id = None
    backbone.tokenizer.eos_token = None
    with pytest.raises(BackboneError, match="no end-of-text token"):
        _ = backbone.end_id


def test_one_changed_weight_changes_the_checksum(make_tiny_backbone: Callable[..., Backbone]) -> None:
    backbone = make_tiny_backbone()
    before = weights_checksum(backbone)
    assert weights_checksum(make_tiny_backbone()) == before
    with torch.no_grad():
        backbone.model.lm_head.weight[0, 0] += 1e-6
    assert weights_checksum(backbone) != before


def test_a_soft_prompt_starts_as_its_text_twin(tiny_backbone: Backbone) -> None:
    ids = tiny_backbone.encode_text("Be brief.")
    prompt = from_text_twin(tiny_backbone, "domain", "Be brief.")
    assert torch.equal(prompt.vectors, tiny_backbone.embed(ids))
    assert prompt.vectors.dtype == torch.float32
    shorter = from_text_twin(tiny_backbone, "domain", "Be brief.", length=2)
    assert torch.equal(shorter.vectors, tiny_backbone.embed(ids[:2]))
    longer = from_text_twin(tiny_backbone, "domain", "Be brief.", length=len(ids) + 2)
    assert torch.equal(longer.vectors, tiny_backbone.embed([*ids, *ids[:2]]))


@pytest.mark.parametrize(("text", "length"), [("", None), ("", 4), ("Be brief.", 0), ("Be brief.", -1)])
def test_a_soft_prompt_needs_a_text_and_a_length(tiny_backbone: Backbone, text: str, length: int | None) -> None:
    with pytest.raises(TrainingError, match="at least"):
        from_text_twin(tiny_backbone, "domain", text, length)


@pytest.mark.parametrize("make", [from_text_twin, lambda *given: kv_from_text_twin(*given[:3], (), given[3])])
def test_a_soft_prompt_is_no_longer_than_the_context(
    tiny_backbone: Backbone, make: Callable[[Backbone, str, str, int], object]
) -> None:
    with pytest.raises(TrainingError, match=r"a soft prompt of 513 positions\. Expected: at most 512"):
        make(tiny_backbone, "domain", "Be brief.", tiny_backbone.context_length + 1)


def test_writing_to_a_soft_prompt_leaves_the_backbone_alone(tiny_backbone: Backbone) -> None:
    before = weights_checksum(tiny_backbone)
    from_text_twin(tiny_backbone, "domain", "Be brief.").vectors.add_(1)
    assert weights_checksum(tiny_backbone) == before


def test_the_public_names_are_sorted_and_load() -> None:
    names = soft_prompt.__all__
    assert names == sorted(names, key=lambda name: (not name[0].isupper(), name))
    assert soft_prompt.SlotFill is encode.SlotFill
    assert soft_prompt.Attention is encode.Attention
    assert soft_prompt.DecodeWeights is sampling.DecodeWeights
    for name in set(names) - {"Attention", "DecodeWeights", "SlotFill"}:
        assert getattr(soft_prompt, name).__name__ == name
    with pytest.raises(AttributeError, match="absent"):
        _ = soft_prompt.absent


def test_importing_soft_prompt_loads_nothing_heavy() -> None:
    heavy = ["torch", "transformers", "langchain_core", "faiss", "matplotlib"]
    code = f"import sys, soft_prompt; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
