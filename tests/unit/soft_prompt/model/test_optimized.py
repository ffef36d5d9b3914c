"""The optimised model gives the backbone's outputs, shares its weights and changes nothing of it."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from oracle import greedy_ids, some_ids, some_rows, some_soft_prompt
from torch import Tensor

from soft_prompt import (
    Adapter,
    Backbone,
    BackboneError,
    Decoding,
    PrefixStore,
    Row,
    SoftPromptError,
    generate,
    initial_adapter,
    weights_checksum,
)
from soft_prompt.graft.adapter_hooks import apply_adapters, batch_adapters
from soft_prompt.model.kv_cache import preallocated_cache
from soft_prompt.model.linear import MAX_INT8_ROWS, Int8Linear
from soft_prompt.model.optimized import optimized

# Left out of `make check`.
pytestmark = pytest.mark.heavy

Make = Callable[..., Backbone]


def step_logits(backbone: Backbone, batch: int, masked: bool) -> list[Tensor]:
    """Logits of a prompt and then two single tokens, `[batch, vocabulary]` each; padded at the left where masked."""
    ids = torch.tensor([some_ids(14, seed) for seed in range(batch)])
    mask = torch.ones_like(ids)
    if masked:
        mask[0, :3] = 0
    cache = preallocated_cache(backbone.model.config.num_hidden_layers, 14)
    actual = []
    for start, end in ((0, 8), (8, 12), (12, 13), (13, 14)):
        with torch.no_grad():
            output = backbone.model(
                input_ids=ids[:, start:end],
                attention_mask=mask[:, :end] if masked else None,
                position_ids=torch.arange(start, end).expand(batch, -1),
                past_key_values=cache,
                use_cache=True,
            )
        actual.append(output.logits[:, -1].float())
    return actual


@pytest.mark.parametrize("masked", [False, True], ids=["unmasked", "masked"])
def test_the_decoder_says_what_the_model_says(family_backbone: Backbone, masked: bool) -> None:
    fast, plain = step_logits(optimized(family_backbone), 3, masked), step_logits(family_backbone, 3, masked)
    for one, other in zip(fast, plain, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_one_row_without_padding_decodes_as_full_forward_passes(family_backbone: Backbone) -> None:
    for row in some_rows(family_backbone):
        reply = generate(PrefixStore(family_backbone), [row], Decoding(max_tokens=8))[0]
        expected = family_backbone.decode(greedy_ids(family_backbone, row, 8, family_backbone.end_ids))
        assert reply.text == expected.rstrip("\N{REPLACEMENT CHARACTER}")


@pytest.mark.parametrize("family", ["falcon", "stablelm"])
def test_a_family_that_attends_in_code_of_its_own_decodes_too(make_tiny_backbone: Make, family: str) -> None:
    backbone = make_tiny_backbone(family)
    for masked in (False, True):
        fast, plain = step_logits(optimized(backbone), 3, masked), step_logits(backbone, 3, masked)
        torch.testing.assert_close(fast, plain, atol=1e-4, rtol=0)
    for row in some_rows(backbone):
        reply = generate(PrefixStore(backbone), [row], Decoding(max_tokens=8))[0]
        expected = backbone.decode(greedy_ids(backbone, row, 8, backbone.end_ids))
        assert reply.text == expected.rstrip("\N{REPLACEMENT CHARACTER}")


def test_the_decoder_shares_every_weight_and_leaves_the_model_as_it_is(tiny_backbone: Backbone) -> None:
    backbone = replace(tiny_backbone, model=copy.deepcopy(tiny_backbone.model))
    before, attention = weights_checksum(backbone), backbone.model.config._attn_implementation
    fast = optimized(backbone)
    own, shared = list(backbone.model.parameters()), list(fast.model.parameters())
    assert len(own) == len(shared) > 20
    assert all(one is other for one, other in zip(own, shared, strict=True))
    assert weights_checksum(backbone) == before
    assert backbone.model.config._attn_implementation == attention != fast.model.config._attn_implementation


def test_the_decoder_is_made_once_and_goes_with_its_model(make_tiny_backbone: Make) -> None:
    backbone = make_tiny_backbone()
    assert optimized(backbone).model is optimized(backbone, "own").model
    gone = weakref.ref(optimized(backbone).model)
    del backbone
    gc.collect()
    assert gone() is None


@pytest.fixture(scope="module")
def half(make_tiny_backbone: Make) -> Backbone:
    """A tiny backbone in bf16, wide enough that rounding shows as it does in real ones."""
    backbone = make_tiny_backbone(hidden_size=128, intermediate_size=256, initializer_range=0.05)
    return replace(backbone, model=backbone.model.to(torch.bfloat16))


def test_int8_weights_stay_within_half_a_step(half: Backbone) -> None:
    layers = [m for m in optimized(half, "int8").model.modules() if isinstance(m, Int8Linear)]
    # Seven in each of three layers, and the one that makes logits.
    assert len(layers) == 22
    for layer in layers:
        restored = layer.codes.float() * layer.scales.float()[:, None]
        # The scale itself is rounded to bf16, so the largest weights may lie a little beyond the last step.
        allowed = layer.scales.float()[:, None] * (0.5 + 127 * 2**-8)
        assert bool(((restored - layer.weight.float()).abs() <= allowed).all())
        assert float((restored - layer.weight.float()).pow(2).mean().sqrt()) < 0.4 * float(layer.scales.float().max())


@pytest.mark.parametrize("bias", [False, True])
def test_few_rows_run_in_int8_and_many_with_the_own_weights(half: Backbone, bias: bool) -> None:
    layer = next(m for m in optimized(half, "int8").model.modules() if isinstance(m, Int8Linear))
    layer = copy.deepcopy(layer)
    if bias:
        layer.bias = torch.nn.Parameter(torch.randn(layer.out_features, dtype=torch.bfloat16), requires_grad=False)
    x = torch.randn(MAX_INT8_ROWS + 1, layer.in_features, dtype=torch.bfloat16)
    own = torch.nn.functional.linear(x, layer.weight, layer.bias)
    assert torch.equal(layer(x), own)
    few = layer(x[None, :MAX_INT8_ROWS])[0]
    assert not torch.equal(few, own[:MAX_INT8_ROWS])
    assert float((few - own[:MAX_INT8_ROWS]).abs().max()) < 0.05 * float(own.abs().max())


def test_logits_in_int8_stay_close(half: Backbone) -> None:
    before = weights_checksum(half)
    plain, rounded = step_logits(half, 1, masked=False), step_logits(optimized(half, "int8"), 1, masked=False)
    for one, other in zip(plain[2:], rounded[2:], strict=True):
        assert not torch.equal(one, other)
        assert float((one - other).pow(2).mean().sqrt()) < 0.06 * float(one.std())
    assert weights_checksum(half) == before


def test_auto_reads_the_own_weights_and_int8_on_request_alone(half: Backbone, tiny_backbone: Backbone) -> None:
    def rounded(backbone: Backbone) -> bool:
        return any(isinstance(m, Int8Linear) for m in backbone.model.modules())

    assert not rounded(optimized(half))
    assert rounded(optimized(half, "int8"))
    assert not rounded(optimized(tiny_backbone))
    row = Row(some_ids(9, 1), (some_ids(5, 2),))

    def replies(temperature: float, weights: str) -> list[str]:
        decoding = Decoding(max_tokens=40, temperature=temperature, seed=3, weights=weights)  # type: ignore[arg-type]
        return [reply.text for reply in generate(PrefixStore(half), [row], decoding)]

    for temperature in (0.0, 1.0):
        assert replies(temperature, "auto") == replies(temperature, "own") != replies(temperature, "int8")


def test_int8_is_refused_where_it_cannot_be(tiny_backbone: Backbone) -> None:
    with pytest.raises(BackboneError, match="bfloat16 on the CPU"):
        generate(PrefixStore(tiny_backbone), [Row((), (some_ids(3, 1),))], Decoding(weights="int8"))
    with pytest.raises(SoftPromptError, match="auto, own or int8"):
        Decoding(weights="int4")  # type: ignore[arg-type]


def loud_adapter(backbone: Backbone) -> Adapter:
    adapter = initial_adapter(backbone, 2, 0)
    rng = torch.Generator().manual_seed(5)
    return Adapter(adapter.down, {n: torch.randn(up.shape, generator=rng) * 0.1 for n, up in adapter.up.items()})


@pytest.mark.parametrize("hooked_first", [False, True], ids=["copied before", "copied after"])
def test_adapters_act_once_on_top_of_int8(make_tiny_backbone: Make, hooked_first: bool) -> None:
    backbone = make_tiny_backbone(hidden_size=128, intermediate_size=256, initializer_range=0.05)
    backbone = replace(backbone, model=backbone.model.to(torch.bfloat16))
    weights = batch_adapters(backbone, [loud_adapter(backbone)])
    if not hooked_first:
        optimized(backbone)
    with apply_adapters(backbone, weights):
        expected = step_logits(backbone, 1, masked=False)[-1]
    fast = optimized(backbone)
    with apply_adapters(fast, weights):
        actual = step_logits(fast, 1, masked=False)[-1]
    without = step_logits(fast, 1, masked=False)[-1]
    error, effect = (float((other - expected).pow(2).mean().sqrt()) for other in (actual, without))
    assert error < 0.1 * effect


def test_a_soft_prompt_decodes_in_int8(half: Backbone) -> None:
    rows = [Row(some_ids(12, n), (some_soft_prompt(half, 4, n), some_ids(5, n + 1))) for n in range(2)]
    replies = generate(PrefixStore(half), rows, Decoding(max_tokens=6))
    assert [reply.prompt_tokens for reply in replies] == [21, 21]
