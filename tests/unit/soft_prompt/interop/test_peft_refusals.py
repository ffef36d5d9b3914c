"""Grafts that PEFT cannot hold, and adapters that this project does not support: a clear error, and no file."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from artifact_checks import manifest_for
from interop_task import INVOCATION, some_adapter, some_graft
from oracle import some_soft_prompt
from safetensors.torch import load_file, save_file
from torch import Tensor

from soft_prompt import ArtifactError, Backbone, BackboneError, SoftPrompt, adapter_prompt, initial_scaling
from soft_prompt.files import new_folder
from soft_prompt.interop.peft_export import export_peft
from soft_prompt.interop.peft_import import import_peft

# Left out of `make check`.
pytestmark = pytest.mark.heavy

MakeBackbone = Callable[..., Backbone]
CONFIG, TENSORS, OWN = "adapter_config.json", "adapter_model.safetensors", "softgraft.json"
NEXT = "softgraft import DOMAIN --from ANOTHER_FOLDER"


def nothing_left(folder: Path) -> bool:
    return not folder.exists() and not list(folder.parent.glob(f".{folder.name}*"))


def test_an_adapter_for_a_backbone_without_linear_layers_is_refused(
    tiny_backbone: Backbone, make_tiny_backbone: MakeBackbone, tmp_path: Path
) -> None:
    export_peft(tmp_path, some_adapter(tiny_backbone), tiny_backbone, invocation_ids=INVOCATION)
    (tmp_path / OWN).unlink()
    with pytest.raises(ArtifactError, match="'tiny' has no linear layers"):
        import_peft(tmp_path, make_tiny_backbone("gpt2"), "domain", "")


# Exports


def test_vectors_beside_an_adapter_are_refused(tiny_backbone: Backbone, tmp_path: Path) -> None:
    both = replace(some_soft_prompt(tiny_backbone, 4, 1), adapter=some_adapter(tiny_backbone).adapter)
    with pytest.raises(ArtifactError, match="and an adapter of the method 'lora'") as caught:
        export_peft(tmp_path / "out", both, tiny_backbone)
    assert caught.value.next_step.endswith("softgraft train DOMAIN --adapter none")
    assert nothing_left(tmp_path / "out")


def test_an_encoder_decoder_is_refused(encoder_backbone: Backbone, tmp_path: Path) -> None:
    graft = some_soft_prompt(encoder_backbone, 4, 1)
    with pytest.raises(BackboneError, match="an export to PEFT on the encoder-decoder"):
        export_peft(tmp_path / "out", graft, encoder_backbone)
    with pytest.raises(BackboneError, match="an import from PEFT on the encoder-decoder"):
        import_peft(tmp_path / "out", encoder_backbone)
    assert nothing_left(tmp_path / "out")


def test_keys_that_cannot_be_moved_are_refused(learned_backbone: Backbone, tmp_path: Path) -> None:
    graft = SoftPrompt("domain", torch.randn(3, 2, 4, 5, 8), "twin", "kv")
    with pytest.raises(BackboneError, match="no rotary positions"):
        export_peft(tmp_path / "out", graft, learned_backbone)
    assert nothing_left(tmp_path / "out")


def test_block_attention_is_refused(tiny_backbone: Backbone, tmp_path: Path) -> None:
    graft = some_soft_prompt(tiny_backbone, 4, 1)
    manifest = manifest_for(tiny_backbone, graft)
    export_peft(tmp_path / "exact", graft, tiny_backbone, manifest=manifest)
    block = manifest.model_copy(update={"attention": "block"})
    with pytest.raises(ArtifactError, match="trained in 'block' attention"):
        export_peft(tmp_path / "block", graft, tiny_backbone, manifest=block)
    assert nothing_left(tmp_path / "block")


def test_layers_without_a_token_dimension_are_refused(make_tiny_backbone: MakeBackbone, tmp_path: Path) -> None:
    # OPT folds rows and tokens into one dimension before its wide layers.
    backbone = make_tiny_backbone("opt")
    with pytest.raises(ArtifactError, match="has no token dimension"):
        export_peft(tmp_path / "out", some_adapter(backbone), backbone, invocation_ids=INVOCATION)
    assert not any(module._forward_pre_hooks for module in backbone.model.modules())


def test_invocation_tokens_belong_to_an_adapter_alone(tiny_backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="0 invocation tokens"):
        export_peft(tmp_path / "out", some_adapter(tiny_backbone), tiny_backbone)
    with pytest.raises(ArtifactError, match="without an adapter"):
        export_peft(tmp_path / "out", some_graft(tiny_backbone, "kv"), tiny_backbone, invocation_ids=INVOCATION)


def test_weights_of_several_ranks_are_refused(tiny_backbone: Backbone, tmp_path: Path) -> None:
    graft, other = some_adapter(tiny_backbone, 3), some_adapter(tiny_backbone, 2)
    assert graft.adapter is not None
    assert other.adapter is not None
    [name, *_] = graft.adapter.down
    mixed = replace(
        graft.adapter,
        down={**graft.adapter.down, name: other.adapter.down[name]},
        up={**graft.adapter.up, name: other.adapter.up[name]},
    )
    with pytest.raises(ArtifactError, match=r"ranks \[2, 3\]"):
        export_peft(tmp_path / "out", replace(graft, adapter=mixed), tiny_backbone, invocation_ids=INVOCATION)


def test_scales_are_refused(tiny_backbone: Backbone, tmp_path: Path) -> None:
    graft = adapter_prompt(tiny_backbone, "domain", "Be brief.", initial_scaling(tiny_backbone))
    with pytest.raises(ArtifactError, match="scales what goes into or comes out of layers") as caught:
        export_peft(tmp_path / "out", graft, tiny_backbone)
    assert "--adapter lora" in caught.value.next_step
    assert nothing_left(tmp_path / "out")


def test_nothing_is_overwritten(tiny_backbone: Backbone, tmp_path: Path) -> None:
    graft = some_graft(tiny_backbone, "embedding")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("full", "file", "file/below"):
        with pytest.raises(ArtifactError) as caught:
            export_peft(tmp_path / name, graft, tiny_backbone)
        assert "--out" in caught.value.next_step
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full", "mine.txt"]
    (tmp_path / "empty").mkdir()
    export_peft(tmp_path / "empty", graft, tiny_backbone)
    assert (tmp_path / "empty" / OWN).is_file()


def cut_off(folder: Path, error: BaseException) -> None:
    with new_folder(folder) as scratch:
        (scratch / "half").write_text("half")
        raise error


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="No space left"):
        cut_off(tmp_path / "out", OSError(28, "No space left on device"))
    with pytest.raises(KeyboardInterrupt):
        cut_off(tmp_path / "out", KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []


# Imports


def folder_of(backbone: Backbone, kind: str, folder: Path) -> Path:
    export_peft(folder, some_graft(backbone, kind), backbone, invocation_ids=INVOCATION if kind == "adapter" else None)
    return folder


def set_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes))


def set_tensors(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    tensors = change(load_file(folder / TENSORS))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / TENSORS)


def first(tensors: dict[str, Tensor], change: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    name = sorted(tensors)[0]
    return {**tensors, name: change(tensors[name])}


SETTINGS: dict[str, tuple[str, dict[str, Any], str]] = {
    "method": ("adapter", {"peft_type": "IA3"}, "is of the method 'IA3'"),
    "no method": ("kv", {"peft_type": None}, "names no `peft_type`"),
    "dora": ("adapter", {"use_dora": True}, "use_dora: True"),
    "bias": ("adapter", {"bias": "all"}, "bias: all"),
    "bias beside": ("adapter", {"lora_bias": True}, "lora_bias: True"),
    "head": ("adapter", {"modules_to_save": ["lm_head"]}, "modules_to_save"),
    "ranks": ("adapter", {"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
    "scales": ("adapter", {"alpha_pattern": {"q_proj": 2}}, "alpha_pattern"),
    "pissa": ("adapter", {"init_lora_weights": "pissa"}, "init_lora_weights: pissa"),
    "rank": ("adapter", {"r": 4}, "lora_A.weight"),
    "rank zero": ("adapter", {"r": 0}, "r: Input should be greater than or equal to 1"),
    "rank missing": ("adapter", {"r": None}, "r: Input should be a valid integer"),
    "alpha": ("adapter", {"lora_alpha": float("nan")}, "lora_alpha: "),
    "length": ("embedding", {"num_virtual_tokens": 9}, "prompt_embeddings"),
    "length of keys": ("kv", {"num_virtual_tokens": 9}, "prompt_embeddings"),
    "length missing": ("kv", {"num_virtual_tokens": None}, "num_virtual_tokens: "),
    "two halves": ("embedding", {"num_transformer_submodules": 2}, "made for an encoder-decoder"),
    "layers of another width": ("kv", {"num_layers": 2, "token_dim": 24}, "(2, 2, 24)"),
    "other kind": ("embedding", {"peft_type": "PREFIX_TUNING"}, "num_layers"),
    "other kind of keys": ("kv", {"peft_type": "PROMPT_TUNING"}, "prompt_embeddings"),
}  # fmt: skip


@pytest.mark.parametrize("case", SETTINGS)
def test_unsupported_settings_are_refused(tiny_backbone: Backbone, tmp_path: Path, case: str) -> None:
    kind, changes, words = SETTINGS[case]
    folder = folder_of(tiny_backbone, kind, tmp_path / "in")
    set_json(folder / CONFIG, **changes)
    with pytest.raises(ArtifactError) as caught:
        import_peft(folder, tiny_backbone)
    assert words in caught.value.found
    assert caught.value.next_step == NEXT


WEIGHTS: dict[str, tuple[str, Callable[[dict[str, Tensor]], dict[str, Tensor]]]] = {
    "a half": ("adapter", lambda tensors: dict(sorted(tensors.items())[1:])),
    "nothing": ("adapter", lambda _: {}),
    "the head": ("adapter", lambda tensors: tensors | {
        "base_model.model.lm_head.lora_A.weight": torch.zeros(3, 32),
        "base_model.model.lm_head.lora_B.weight": torch.zeros(300, 3),
    }),
    "a vector of magnitudes": ("adapter", lambda tensors: tensors | {
        "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector": torch.zeros(32)
    }),
    "another width": ("adapter", lambda tensors: first(tensors, lambda t: t[:, :-1])),
    "no number": ("adapter", lambda tensors: first(tensors, lambda t: t * torch.nan)),
    "whole numbers": ("embedding", lambda tensors: first(tensors, lambda t: t.to(torch.int32))),
    "double": ("embedding", lambda tensors: first(tensors, lambda t: t.double())),
    "infinite": ("kv", lambda tensors: first(tensors, lambda t: t / 0)),
    "one more": ("kv", lambda tensors: tensors | {"more": torch.zeros(1)}),
    "flat": ("kv", lambda tensors: first(tensors, lambda t: t.flatten())),
    "under another name": ("embedding", lambda tensors: {"embeddings": tensors["prompt_embeddings"]}),
}  # fmt: skip


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_that_do_not_fit_are_refused(tiny_backbone: Backbone, tmp_path: Path, case: str) -> None:
    kind, change = WEIGHTS[case]
    folder = folder_of(tiny_backbone, kind, tmp_path / "in")
    set_tensors(folder, change)
    with pytest.raises(ArtifactError) as caught:
        import_peft(folder, tiny_backbone)
    assert str(folder / TENSORS) in caught.value.found
    assert caught.value.next_step == NEXT


def test_pickled_weights_are_never_read(tiny_backbone: Backbone, tmp_path: Path) -> None:
    folder = folder_of(tiny_backbone, "embedding", tmp_path / "in")
    (folder / TENSORS).rename(folder / "adapter_model.bin")
    with pytest.raises(ArtifactError, match="pickled") as caught:
        import_peft(folder, tiny_backbone)
    assert "save_pretrained" in caught.value.next_step


@pytest.mark.parametrize("name", [CONFIG, TENSORS])
@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_file_is_refused(tiny_backbone: Backbone, tmp_path: Path, name: str, seed: int) -> None:
    folder = folder_of(tiny_backbone, "kv", tmp_path / "in")
    data, rng = (folder / name).read_bytes(), random.Random(seed)
    (folder / name).write_bytes(data[: rng.randrange(len(data))] if seed else b"")
    with pytest.raises(ArtifactError):
        import_peft(folder, tiny_backbone)
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match="cannot be read"):
        import_peft(folder, tiny_backbone)


@pytest.mark.parametrize("text", ["[]", "[" * 100_000, '"LORA"', '{"peft_type": 3}', "\xff", "null"])
def test_a_malformed_config_is_refused(tiny_backbone: Backbone, tmp_path: Path, text: str) -> None:
    folder = folder_of(tiny_backbone, "kv", tmp_path / "in")
    (folder / CONFIG).write_bytes(text.encode("latin-1"))
    with pytest.raises(ArtifactError) as caught:
        import_peft(folder, tiny_backbone)
    assert caught.value.next_step == NEXT


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": 3}, "has the format 3"),
        ({"format_version": None}, "has the format None"),
        ({"colour": "red"}, "cannot be read"),
        ({"backbone_digest": "1" * 64}, "was trained on 'tiny' (weights 1111111111111111)"),
        ({"tokenizer_hash": "1" * 64}, "was trained on 'tiny' (tokenizer 1111111111111111)"),
        ({"lower_layers": 3}, "3 of 3 layers were never trained"),
        ({"lower_layers": -1}, "-1 of 3 layers were never trained"),
    ],
)
def test_a_provenance_of_another_backbone_is_refused(
    tiny_backbone: Backbone, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    folder = folder_of(tiny_backbone, "kv", tmp_path / "in")
    set_json(folder / OWN, **changes)
    with pytest.raises(ArtifactError) as caught:
        import_peft(folder, tiny_backbone)
    assert words in caught.value.found


def test_an_adapter_that_peft_saved_needs_a_slot_and_a_text_twin(tiny_backbone: Backbone, tmp_path: Path) -> None:
    folder = folder_of(tiny_backbone, "kv", tmp_path / "in")
    (folder / OWN).unlink()
    for given in ({}, {"slot": "domain"}, {"text_twin": "Be brief."}):
        with pytest.raises(ArtifactError, match="without a slot and a text twin"):
            import_peft(folder, tiny_backbone, **given)
    assert import_peft(folder, tiny_backbone, "domain", "Be brief.").kind == "kv"


def test_shapes_of_another_backbone_are_refused(
    tiny_backbone: Backbone, make_tiny_backbone: MakeBackbone, tmp_path: Path
) -> None:
    other = make_tiny_backbone("llama", hidden_size=48, num_hidden_layers=2)
    for kind in ("embedding", "kv", "adapter"):
        folder = folder_of(tiny_backbone, kind, tmp_path / kind)
        (folder / OWN).unlink()
        with pytest.raises(ArtifactError) as caught:
            import_peft(folder, other, "domain", "Be brief.")
        assert str(folder / (CONFIG if kind == "kv" else TENSORS)) in caught.value.found
