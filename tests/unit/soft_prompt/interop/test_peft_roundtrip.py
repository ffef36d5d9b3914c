"""Export to PEFT and import from PEFT give the same logits."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from interop_task import (
    AT,
    IDS,
    INVOCATION,
    KINDS,
    engine_logits,
    invocation_of,
    loaded_by_peft,
    peft_logits,
    row_of,
    some_adapter,
    some_graft,
)
from oracle import full_logits, some_kv
from safetensors.torch import load_file, save_file
from torch import Tensor

from soft_prompt import Backbone, Row, SoftPrompt, adapter_prompt, initial_adapter
from soft_prompt.interop.invocation import slot_ids
from soft_prompt.interop.peft_export import export_peft
from soft_prompt.interop.peft_import import import_peft
from soft_prompt.model.kv_cache import dynamic_cache

pytestmark = pytest.mark.heavy

MakeBackbone = Callable[..., Backbone]


def exported(backbone: Backbone, graft: SoftPrompt, folder: Path) -> Path:
    export_peft(folder, graft, backbone, invocation_ids=INVOCATION if graft.adapter else None)
    return folder


def config_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    return content


def tensors_of(folder: Path) -> dict[str, Tensor]:
    content: dict[str, Tensor] = load_file(folder / "adapter_model.safetensors")
    return content


# What is written, read by hand


def test_prompt_tuning_contains_the_vectors(tiny_backbone: Backbone, tmp_path: Path) -> None:
    graft = some_graft(tiny_backbone, "embedding")
    folder = exported(tiny_backbone, graft, tmp_path / "out")
    [(name, written)] = tensors_of(folder).items()
    assert (name, written.dtype) == ("prompt_embeddings", torch.float32)
    assert torch.equal(written, graft.vectors)
    config = config_of(folder)
    assert (config["peft_type"], config["task_type"], config["num_virtual_tokens"]) == (
        "PROMPT_TUNING",
        "CAUSAL_LM",
        10,
    )
    full = torch.cat((written, tiny_backbone.embed(IDS)))
    torch.testing.assert_close(full_logits(tiny_backbone, full)[10:], engine_logits(tiny_backbone, graft))


def test_prefix_tuning_contains_keys_rotated_to_the_start(tiny_backbone: Backbone, tmp_path: Path) -> None:
    graft = some_graft(tiny_backbone, "kv")
    folder = exported(tiny_backbone, graft, tmp_path / "out")
    config, written = config_of(folder), tensors_of(folder)["prompt_embeddings"]
    assert (config["peft_type"], config["prefix_projection"]) == ("PREFIX_TUNING", False)
    heads, width = config["num_attention_heads"], config["token_dim"] // config["num_attention_heads"]
    assert written.shape == (10, config["num_layers"] * 2 * config["token_dim"])
    # As PEFT takes it apart: layers, keys and values, `[1, heads, tokens, width]` each.
    parts = written.view(10, config["num_layers"], 2, heads, width).permute(1, 2, 3, 0, 4)
    logits = tiny_backbone.model(
        input_ids=torch.tensor([IDS]),
        past_key_values=dynamic_cache([(keys[None], values[None]) for keys, values in parts]),
        position_ids=torch.arange(10, 10 + len(IDS))[None],
    ).logits[0]
    torch.testing.assert_close(logits, engine_logits(tiny_backbone, graft))
    # The first position is turned by nothing, the others are.
    torch.testing.assert_close(parts[:, 0, :, 0], graft.vectors[:, 0, :, 0])
    assert (parts[:, 0, :, 1:] - graft.vectors[:, 0, :, 1:]).abs().max() > 0.1
    torch.testing.assert_close(parts[:, 1], graft.vectors[:, 1])


def test_an_adapter_becomes_an_activated_lora_without_a_scale(tiny_backbone: Backbone, tmp_path: Path) -> None:
    graft = some_adapter(tiny_backbone)
    assert graft.adapter is not None
    folder = exported(tiny_backbone, graft, tmp_path / "out")
    config, written = config_of(folder), tensors_of(folder)
    assert config["alora_invocation_tokens"] == list(INVOCATION)
    assert config["lora_alpha"] == config["r"] == 3
    assert config["target_modules"] == [
        "down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj",
    ]  # fmt: skip
    for name, down in graft.adapter.down.items():
        assert torch.equal(written[f"base_model.model.{name}.lora_A.weight"], down)
        assert torch.equal(written[f"base_model.model.{name}.lora_B.weight"], graft.adapter.up[name])
    assert len(written) == 2 * len(graft.adapter.down)


def test_an_adapter_of_the_last_blocks_names_its_layers(tiny_backbone: Backbone, tmp_path: Path) -> None:
    graft = replace(some_adapter(tiny_backbone), adapter=initial_adapter(tiny_backbone, 2, 0, layers=1))
    config = config_of(exported(tiny_backbone, graft, tmp_path / "out"))
    assert len(config["target_modules"]) == 7
    assert all(name.startswith("model.layers.2.") for name in config["target_modules"])


def test_lower_layers_are_exported_too(tiny_backbone: Backbone, tmp_path: Path) -> None:
    full = some_kv(tiny_backbone, 4, 1)
    written = [
        tensors_of(exported(tiny_backbone, graft, tmp_path / str(number)))["prompt_embeddings"]
        for number, graft in enumerate((full, full.with_trained_layers(1)))
    ]
    assert torch.equal(*written)


def test_export_and_import_do_not_need_peft(
    tiny_backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An entry of None makes every import of that name fail.
    monkeypatch.setitem(sys.modules, "peft", None)
    for kind in KINDS:
        import_peft(exported(tiny_backbone, some_graft(tiny_backbone, kind), tmp_path / kind), tiny_backbone)


# What PEFT makes of it


@pytest.mark.parametrize("kind", KINDS)
def test_peft_gives_the_same_logits(
    family_backbone: Backbone, make_tiny_backbone: MakeBackbone, tmp_path: Path, kind: str
) -> None:
    pytest.importorskip("peft")
    graft = some_graft(family_backbone, kind)
    folder = exported(family_backbone, graft, tmp_path / "out")
    ours = engine_logits(family_backbone, graft)
    own = make_tiny_backbone(family_backbone.model.config.model_type)
    bare = peft_logits(own.model, len(ours))
    theirs = peft_logits(loaded_by_peft(own.model, folder), len(ours))
    torch.testing.assert_close(theirs, ours)
    # And not because it does nothing; behind a short window little is left of a soft prompt.
    assert (bare - ours).abs().max() > 1e-4


def test_peft_gives_the_same_logits_on_learned_positions(
    learned_backbone: Backbone, make_tiny_backbone: MakeBackbone, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    graft = some_graft(learned_backbone, "embedding")
    folder = exported(learned_backbone, graft, tmp_path / "out")
    own = make_tiny_backbone(learned_backbone.model.config.model_type)
    ours = engine_logits(learned_backbone, graft)
    torch.testing.assert_close(peft_logits(loaded_by_peft(own.model, folder), len(ours)), ours)


def test_before_the_invocation_tokens_peft_does_not_change_the_model(
    tiny_backbone: Backbone, make_tiny_backbone: MakeBackbone, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    folder = exported(tiny_backbone, some_adapter(tiny_backbone), tmp_path / "out")
    own = make_tiny_backbone()
    bare = peft_logits(own.model, len(IDS))
    theirs = peft_logits(loaded_by_peft(own.model, folder), len(IDS))
    assert torch.equal(theirs[:AT], bare[:AT])
    assert (theirs[AT] - bare[AT]).abs().max() > 1e-2


def test_an_adapter_with_words_in_its_slot_is_invoked_by_them(
    tiny_backbone: Backbone, make_tiny_backbone: MakeBackbone, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    adapter = some_adapter(tiny_backbone).adapter
    assert adapter is not None
    graft = adapter_prompt(tiny_backbone, "domain", tiny_backbone.decode(INVOCATION), adapter)
    assert slot_ids(tiny_backbone, graft) == INVOCATION
    export_peft(tmp_path / "out", graft, tiny_backbone)
    assert config_of(tmp_path / "out")["alora_invocation_tokens"] == list(INVOCATION)
    back = import_peft(tmp_path / "out", tiny_backbone)
    assert torch.equal(back.vectors, graft.vectors)
    assert back.kind == "adapter"
    # The ids that PEFT reads have the words where the engine has their embeddings.
    row = Row(IDS[:AT], (graft, IDS[AT + len(INVOCATION) :]))
    ours = engine_logits(tiny_backbone, graft, row)
    own = make_tiny_backbone()
    torch.testing.assert_close(peft_logits(loaded_by_peft(own.model, tmp_path / "out"), len(ours)), ours)


# There and back


@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_graft_is_imported_exactly(family_backbone: Backbone, tmp_path: Path, kind: str) -> None:
    graft = some_graft(family_backbone, kind)
    back = import_peft(exported(family_backbone, graft, tmp_path / "out"), family_backbone)
    assert (back.slot, back.text_twin, back.kind, back.length) == (
        graft.slot,
        graft.text_twin,
        graft.kind,
        graft.length,
    )
    assert back.tensors().keys() == graft.tensors().keys()
    for name, tensor in graft.tensors().items():
        assert back.tensors()[name].dtype == torch.float32
        torch.testing.assert_close(back.tensors()[name], tensor)


def test_untrained_layers_are_imported_as_such(tiny_backbone: Backbone, tmp_path: Path) -> None:
    graft = some_kv(tiny_backbone, 4, 1).with_trained_layers(1)
    back = import_peft(exported(tiny_backbone, graft, tmp_path / "out"), tiny_backbone)
    assert graft.lower is not None
    assert back.lower is not None
    torch.testing.assert_close(back.vectors, graft.vectors)
    torch.testing.assert_close(back.lower, graft.lower)


def test_an_import_may_choose_the_slot_and_the_text_twin(tiny_backbone: Backbone, tmp_path: Path) -> None:
    folder = exported(tiny_backbone, some_graft(tiny_backbone, "embedding"), tmp_path / "out")
    back = import_peft(folder, tiny_backbone, "style", "Be kind.")
    assert (back.slot, back.text_twin) == ("style", "Be kind.")


# What PEFT itself has trained


def trained_by_peft(model: Any, config: Any) -> Any:
    """A model of PEFT after some steps."""
    import peft

    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.manual_seed(1)
        trained = peft.get_peft_model(model, config)
        weights = [p for p in trained.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=0.1)
        ids = torch.tensor([IDS])
        for _ in range(3):
            optimizer.zero_grad()
            trained(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids).loss.backward()
            optimizer.step()
    return trained


CONFIGS: dict[str, Callable[[Any], Any]] = {
    "prompt tuning": lambda p: p.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5),
    "prefix tuning": lambda p: p.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5),
    "prefix tuning through a projection": lambda p: p.PrefixTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=5, prefix_projection=True, encoder_hidden_size=16
    ),
    "activated lora": lambda p: p.LoraConfig(
        task_type="CAUSAL_LM", r=4, lora_alpha=12, target_modules="all-linear", alora_invocation_tokens=list(INVOCATION)
    ),
    "activated lora beside some layers": lambda p: p.LoraConfig(
        task_type="CAUSAL_LM", r=4, lora_alpha=3, use_rslora=True, target_modules=["q_proj", "v_proj"],
        layers_to_transform=[0, 2], alora_invocation_tokens=list(INVOCATION),
    ),
}  # fmt: skip


@pytest.mark.parametrize("method", CONFIGS)
def test_an_adapter_trained_by_peft_gives_the_same_logits(
    tiny_backbone: Backbone, make_tiny_backbone: MakeBackbone, tmp_path: Path, method: str
) -> None:
    peft = pytest.importorskip("peft")
    trained = trained_by_peft(make_tiny_backbone().model, CONFIGS[method](peft))
    trained.save_pretrained(tmp_path)
    graft = import_peft(tmp_path, tiny_backbone, "domain", "" if "lora" in method else "twin")
    assert graft.kind == {"prefix": "kv", "prompt": "embedding", "activated": "adapter"}[method.split()[0]]
    ours = engine_logits(tiny_backbone, graft)
    torch.testing.assert_close(peft_logits(trained, len(ours)), ours, atol=3e-5, rtol=1e-5)


def test_a_plain_lora_acts_from_the_slot_on(
    tiny_backbone: Backbone, make_tiny_backbone: MakeBackbone, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "down_proj"])
    trained = trained_by_peft(make_tiny_backbone().model, config)
    trained.save_pretrained(tmp_path)
    graft = import_peft(tmp_path, tiny_backbone, "domain", "")
    ours = engine_logits(tiny_backbone, graft)
    # Some tokens precede the slot; PEFT's adapter acts on those too.
    assert row_of(graft).prefix
    assert (peft_logits(trained, len(ours)) - ours).abs().max() > 1e-2


def test_half_precision_is_read_as_fp32(tiny_backbone: Backbone, tmp_path: Path) -> None:
    graft = some_graft(tiny_backbone, "embedding")
    folder = exported(tiny_backbone, graft, tmp_path / "out")
    save_file({"prompt_embeddings": graft.vectors.bfloat16()}, folder / "adapter_model.safetensors")
    # Its digest is that of the numbers before.
    (folder / "softgraft.json").unlink()
    back = import_peft(folder, tiny_backbone, graft.slot, graft.text_twin)
    assert back.vectors.dtype == torch.float32
    assert torch.equal(back.vectors, graft.vectors.bfloat16().float())


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_depends_on_the_graft_alone(tiny_backbone: Backbone, tmp_path: Path, kind: str) -> None:
    graft = some_graft(tiny_backbone, kind)
    names = [export_peft(tmp_path / n, graft, tiny_backbone, invocation_ids=invocation_of(kind)) for n in "ab"]
    assert names[0] == names[1]
    files = [{path.name: path.read_bytes() for path in (tmp_path / n).iterdir()} for n in "ab"]
    assert files[0] == files[1]
    assert files[0].keys() == {"adapter_config.json", "adapter_model.safetensors", "softgraft.json"}
