"""(IA)³: scales of keys, values and inner activations from the slot on, with and without low-rank weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from adapter_checks import check_rows_alone, last_logits, some_adapter
from artifact_checks import manifest_for
from oracle import some_ids, some_kv, some_soft_prompt
from torch import Tensor

from soft_prompt import (
    Adapter,
    ArtifactError,
    Backbone,
    BackboneError,
    PrefixStore,
    Row,
    SoftPrompt,
    initial_adapter,
    initial_scaling,
    load_soft_prompt,
    save_soft_prompt,
    weights_checksum,
)
from soft_prompt.graft.adapter import linear_layers
from soft_prompt.graft.adapter_hooks import apply_adapters, batch_adapters
from soft_prompt.model.kv_cache import dynamic_cache, prefill
from soft_prompt.training.answer_loss import answer_loss
from soft_prompt.training.example import TrainingExample

# Left out of `make check`.
pytestmark = pytest.mark.heavy

LAYERS = 3


def some_scaling(backbone: Backbone, seed: int, layers: int | None = None) -> Adapter:
    """Scales far enough from 1 that a layer without them changes the result."""
    rng = torch.Generator().manual_seed(seed)
    blank = initial_scaling(backbone, layers).tensors()
    return Adapter.from_tensors({name: torch.randn(t.shape, generator=rng) * 0.4 for name, t in blank.items()})


def merged(backbone: Backbone, adapter: Adapter) -> Backbone:
    """The same backbone with the scales multiplied into its own weights, and low-rank weights added."""
    other = Backbone(backbone.id, backbone.digest, copy.deepcopy(backbone.model), backbone.tokenizer)
    with torch.no_grad():
        for name, layer in linear_layers(other).items():
            if name in adapter.scale_out:
                layer.weight *= 1 + adapter.scale_out[name][:, None]
                if layer.bias is not None:
                    layer.bias *= 1 + adapter.scale_out[name]
            if name in adapter.down:
                layer.weight += adapter.up[name] @ adapter.down[name]
            if name in adapter.scale_in:
                layer.weight *= 1 + adapter.scale_in[name]
    return other


def logits_of_merged(backbone: Backbone, row: Row, soft: SoftPrompt) -> Tensor:
    """Frozen before the slot, merged from there on: `[1, vocabulary]`."""
    assert soft.adapter is not None
    prefix_kv, other = prefill(backbone, row.prefix), merged(backbone, soft.adapter)
    words = [part for part in row.suffix if not isinstance(part, SoftPrompt)]
    embeddings = torch.cat([soft.vectors, *map(backbone.embed, words)])[None]
    with torch.no_grad():
        logits: Tensor = other.model(
            inputs_embeds=embeddings,
            attention_mask=torch.ones(1, row.length, dtype=torch.int64),
            position_ids=torch.arange(len(row.prefix), row.length)[None],
            past_key_values=dynamic_cache([(layer[0][None], layer[1][None]) for layer in prefix_kv]),
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
    return logits


SEPARATE = ["gemma", "gemma2", "gemma3_text", "llama", "mistral", "opt", "phi", "qwen2", "qwen3"]


@pytest.mark.parametrize("family", SEPARATE)
@pytest.mark.parametrize("both", [False, True], ids=["scales", "scales and low-rank"])
def test_from_the_slot_on_the_row_runs_as_with_merged_scales(
    make_tiny_backbone: Callable[..., Backbone], family: str, both: bool
) -> None:
    backbone = make_tiny_backbone(family)
    with torch.no_grad():
        # A tiny model's biases start at zero, where scaling them would not show.
        for layer in linear_layers(backbone).values():
            if layer.bias is not None:
                layer.bias.uniform_(-0.5, 0.5)
    scaling = some_scaling(backbone, 1)
    low_rank = some_adapter(backbone, 2, 2)
    adapter = replace(scaling, down=low_rank.down, up=low_rank.up) if both else scaling
    soft = replace(some_soft_prompt(backbone, 4, 1), adapter=adapter)
    row = Row(some_ids(12, 1), (soft, some_ids(5, 2)))
    actual = last_logits(backbone, [row])
    torch.testing.assert_close(actual, logits_of_merged(backbone, row, soft), atol=2e-4, rtol=1e-4)
    assert (actual - last_logits(backbone, [row.with_soft_prompt(replace(soft, adapter=None))])).abs().max() > 1e-2


def test_it_has_a_scale_a_key_value_and_inner_activation_of_each_block(tiny_backbone: Backbone) -> None:
    adapter = initial_scaling(tiny_backbone)
    assert (adapter.method, adapter.rank) == ("ia3", 0)
    assert sorted(adapter.scale_in) == [f"model.layers.{n}.mlp.down_proj" for n in range(LAYERS)]
    assert sorted(adapter.scale_out) == [f"model.layers.{n}.self_attn.{w}_proj" for n in range(LAYERS) for w in "kv"]
    assert {tuple(t.shape) for t in adapter.scale_in.values()} == {(64,)}
    assert {tuple(t.shape) for t in adapter.scale_out.values()} == {(16,)}
    assert not any(t.any() for t in adapter.tensors().values())
    assert initial_scaling(tiny_backbone, 1).blocks == range(2, 3)


@pytest.mark.parametrize("family", ["phi3", "gpt2", "t5"])
def test_a_family_whose_layers_are_not_known_is_refused(
    make_tiny_backbone: Callable[..., Backbone], family: str
) -> None:
    with pytest.raises(BackboneError) as caught:
        initial_scaling(make_tiny_backbone(family))
    words = {"phi3": "qkv_proj", "gpt2": "no linear layers", "t5": "encoder-decoder"}[family]
    assert words in caught.value.found
    assert "softgraft train DOMAIN" in caught.value.next_step


def mixed_rows(backbone: Backbone) -> list[Row]:
    """Scales, others in the last block alone, low-rank weights, both, vectors without, and a text."""
    scaling, low_rank = some_scaling(backbone, 3), some_adapter(backbone, 3, 4)
    soft = some_soft_prompt(backbone, 4, 5)
    return [
        Row(some_ids(14, 1), (replace(soft, adapter=scaling), some_ids(6, 2))),
        Row(some_ids(9, 3), (replace(soft, adapter=some_scaling(backbone, 5, 1)), some_ids(4, 4))),
        Row(some_ids(11, 5), (replace(some_kv(backbone, 3, 6), adapter=low_rank), some_ids(4, 7))),
        Row((), (replace(soft, adapter=replace(scaling, down=low_rank.down, up=low_rank.up)), some_ids(3, 8))),
        Row(some_ids(21, 9), (soft, some_ids(2, 10))),
        Row(some_ids(11, 11), (some_ids(7, 12),)),
    ]


def test_each_row_of_a_batch_has_its_own(tiny_backbone: Backbone) -> None:
    check_rows_alone(tiny_backbone, mixed_rows(tiny_backbone))


def test_without_it_the_backbone_gives_the_same_bits_as_before(make_tiny_backbone: Callable[..., Backbone]) -> None:
    backbone = make_tiny_backbone()
    soft = some_soft_prompt(backbone, 4, 1)
    row = Row(some_ids(9, 1), (soft, some_ids(5, 2)))
    before, checksum = last_logits(backbone, [row]), weights_checksum(backbone)
    # Low-rank ones first: what they hooked does not keep scales from being hooked later.
    with_low_rank = last_logits(backbone, [row.with_soft_prompt(replace(soft, adapter=some_adapter(backbone, 2, 1)))])
    changed = row.with_soft_prompt(replace(soft, adapter=some_scaling(backbone, 2)))
    actual = last_logits(backbone, [changed])
    assert torch.equal(last_logits(backbone, [row]), before)
    assert not torch.allclose(actual, with_low_rank, atol=1e-2)
    torch.testing.assert_close(actual, logits_of_merged(backbone, changed, changed.suffix[0]), atol=2e-4, rtol=1e-4)  # type: ignore[arg-type]
    # A copy has the hooks too, and meets them once.
    other = Backbone(backbone.id, backbone.digest, copy.deepcopy(backbone.model), backbone.tokenizer)
    assert torch.equal(last_logits(other, [changed]), actual)
    assert weights_checksum(backbone) == checksum


def test_scales_of_zero_change_no_bit(tiny_backbone: Backbone) -> None:
    soft = some_soft_prompt(tiny_backbone, 4, 1)
    row = Row(some_ids(9, 1), (soft, some_ids(5, 2)))
    blank = row.with_soft_prompt(replace(soft, adapter=initial_scaling(tiny_backbone)))
    assert torch.equal(last_logits(tiny_backbone, [row]), last_logits(tiny_backbone, [blank]))


def test_a_small_scale_is_not_lost_in_bf16(tiny_backbone: Backbone) -> None:
    backbone = copy.copy(tiny_backbone)
    object.__setattr__(backbone, "model", copy.deepcopy(tiny_backbone.model).to(torch.bfloat16))
    name, layer = next((n, m) for n, m in linear_layers(backbone).items() if n.endswith("down_proj"))
    # 1 + 0.003 is 1 in bf16.
    weights = batch_adapters(backbone, [Adapter(scale_in={name: torch.full((64,), 0.003)})])
    x = torch.linspace(-3, 3, 64 * 64).reshape(1, 64, 64).to(torch.bfloat16)
    with torch.no_grad(), apply_adapters(backbone, weights):
        changed = layer(x)
    with torch.no_grad():
        without = layer(x)
        exact = layer((x.float() * 1.003).to(torch.bfloat16))
    assert not torch.equal(changed, without)
    assert (changed - exact).abs().max() < (without - exact).abs().max() / 2


def test_gradients_are_those_of_small_steps(tiny_backbone: Backbone) -> None:
    backbone = copy.copy(tiny_backbone)
    object.__setattr__(backbone, "model", copy.deepcopy(tiny_backbone.model).double())
    soft = replace(some_soft_prompt(backbone, 3, 1), adapter=some_scaling(backbone, 2))
    store, rng = PrefixStore(backbone), torch.Generator().manual_seed(3)

    def loss(tensors: dict[str, Tensor]) -> Tensor:
        row = Row(some_ids(9, 1), (soft.with_tensors(tensors), some_ids(4, 2)))
        return answer_loss(store, [TrainingExample(row, some_ids(3, 3))])[0]

    live = {name: t.double().requires_grad_(True) for name, t in soft.tensors().items()}
    torch.autograd.backward(loss(live))
    with torch.no_grad():
        for name, tensor in live.items():
            assert tensor.grad is not None, name
            assert tensor.grad.abs().max() > 0, name
            direction, step = torch.randn(tensor.shape, generator=rng, dtype=torch.float64), 1e-3
            ahead, behind = (loss({**live, name: tensor + sign * step * direction}) for sign in (1, -1))
            expected = float(ahead - behind) / (2 * step)
            # The loss is in fp32, so a difference of two has few digits.
            assert math.isclose(float((tensor.grad * direction).sum()), expected, rel_tol=0.02, abs_tol=0.02), name
    assert all(parameter.grad is None for parameter in backbone.model.parameters())


@pytest.mark.parametrize("form", ["lora", "ia3", "both"])
def test_strength_scales_what_is_added_and_zero_changes_no_bit(tiny_backbone: Backbone, form: str) -> None:
    scaling, low_rank = some_scaling(tiny_backbone, 1), some_adapter(tiny_backbone, 2, 1)
    adapter = {"lora": low_rank, "ia3": scaling, "both": replace(scaling, down=low_rank.down, up=low_rank.up)}[form]
    soft = replace(some_soft_prompt(tiny_backbone, 4, 1), adapter=adapter)
    row = Row(some_ids(9, 1), (soft, some_ids(5, 2)))
    without = last_logits(tiny_backbone, [row.with_soft_prompt(replace(soft, adapter=None))])
    assert torch.equal(
        last_logits(tiny_backbone, [row.with_soft_prompt(replace(soft, adapter=adapter.scaled(0.0)))]), without
    )
    half = replace(soft, adapter=adapter.scaled(0.5))
    actual = last_logits(tiny_backbone, [row.with_soft_prompt(half)])
    torch.testing.assert_close(actual, logits_of_merged(tiny_backbone, row, half), atol=2e-4, rtol=1e-4)
    # The change of one layer is halved.
    name, x = "model.layers.1.self_attn.v_proj", torch.linspace(-1, 1, 32).reshape(1, 1, 32)
    layer = linear_layers(tiny_backbone)[name]
    added = []
    for one in (adapter, adapter.scaled(0.5)):
        with torch.no_grad(), apply_adapters(tiny_backbone, batch_adapters(tiny_backbone, [one])):
            added.append(layer(x))
    with torch.no_grad():
        torch.testing.assert_close(added[1] - layer(x), (added[0] - layer(x)) / 2, atol=1e-5, rtol=1e-4)


def save_one(folder: Path, backbone: Backbone, soft: SoftPrompt, form: str | None, rank: int | None = None) -> None:
    manifest = manifest_for(backbone, soft).model_copy(update={"adapter": form, "adapter_rank": rank})
    save_soft_prompt(folder, soft, manifest)


def test_what_is_saved_comes_back_exactly(tmp_path: Path, tiny_backbone: Backbone) -> None:
    soft = replace(some_soft_prompt(tiny_backbone, 4, 1), adapter=some_scaling(tiny_backbone, 2))
    save_one(tmp_path / "soft", tiny_backbone, soft, "ia3")
    loaded = load_soft_prompt(tmp_path / "soft", tiny_backbone)
    assert loaded is not None
    assert loaded[1].adapter_method == "ia3"
    assert loaded[0].tensors().keys() == soft.tensors().keys()
    assert all(torch.equal(tensor, soft.tensors()[name]) for name, tensor in loaded[0].tensors().items())


@pytest.mark.parametrize("fault", ["unnamed", "rank", "lora", "missing", "part"])
def test_scales_that_do_not_fit_their_manifest_are_refused(tmp_path: Path, tiny_backbone: Backbone, fault: str) -> None:
    adapter: Adapter | None = some_scaling(tiny_backbone, 2, 1 if fault == "part" else None)
    assert adapter is not None
    if fault == "lora":
        adapter = initial_adapter(tiny_backbone, 2, 0)
    soft = replace(some_soft_prompt(tiny_backbone, 4, 1), adapter=None if fault == "missing" else adapter)
    form, rank = {"unnamed": (None, None), "rank": ("lora", 2)}.get(fault, ("ia3", None))
    save_one(tmp_path / "soft", tiny_backbone, soft, form, rank)
    with pytest.raises(ArtifactError, match=r"holds (scale_in|scale_out|down|up)\.") as caught:
        load_soft_prompt(tmp_path / "soft", tiny_backbone)
    assert "softgraft train" in caught.value.next_step


def test_scales_that_are_not_finite_are_not_saved(tmp_path: Path, tiny_backbone: Backbone) -> None:
    soft = replace(some_soft_prompt(tiny_backbone, 4, 1), adapter=some_scaling(tiny_backbone, 2).scaled(math.nan))
    with pytest.raises(ArtifactError, match="infinite or undefined"):
        save_one(tmp_path / "soft", tiny_backbone, soft, "ia3")
    assert load_soft_prompt(tmp_path / "soft", tiny_backbone) is None
