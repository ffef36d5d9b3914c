"""Keys and values at other positions: exact if the probe accepts the backbone, refused otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from oracle import batch_logits, full_logits, greedy_ids, some_ids, some_kv, some_rows, whole
from row_checks import check_equal_to_each_row_alone, check_greedy
from torch import Tensor

from soft_prompt import (
    Backbone,
    BackboneError,
    ContextError,
    Decoding,
    PrefixStore,
    Row,
    generate,
    kv_from_text_twin,
    positions_can_move,
    require_movable_positions,
)
from soft_prompt.graft.prompt import keys_and_values
from soft_prompt.model.kv_cache import dynamic_cache, stacked_layers
from soft_prompt.model.tokenizer import original_context_length
from soft_prompt.positions import probe as probing
from soft_prompt.positions.probe import probe
from soft_prompt.positions.rotary import rotate, unrotate
from soft_prompt.rows.batch import assemble

pytestmark = pytest.mark.heavy

TWIN = "Answer the question in one short sentence."
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128, "rope_theta": 10000.0}
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0, 1.5, 2.0, 2.5],
    "long_factor": [2.0, 3.0, 4.0, 5.0],
    "factor": 4.0,
    "original_max_position_embeddings": 64,
    "rope_theta": 10000.0,
}
DYNAMIC = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
# Turns by other frequencies in its windows than elsewhere, as the large Gemma 3 models do.
GEMMA3_LAYERS = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 10000.0},
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama with yarn": ("llama", {"rope_parameters": YARN}),
    "llama with longrope": ("llama", {"rope_parameters": LONGROPE}),
    "llama with dynamic NTK": ("llama", {"rope_parameters": DYNAMIC}),
    "gemma 3 with two bases": (
        "gemma3_text",
        {
            "rope_parameters": GEMMA3_LAYERS,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
    "a layer without positions": ("smollm3", {"no_rope_layers": [1, 0, 1], "layer_types": ["full_attention"] * 3}),
}


@pytest.fixture(scope="session", params=sorted(VARIANTS))
def variant_backbone(request: pytest.FixtureRequest, make_tiny_backbone: Callable[..., Backbone]) -> Backbone:
    family, settings = VARIANTS[request.param]
    return make_tiny_backbone(family, **settings)


def run_at(backbone: Backbone, ids: tuple[int, ...], first: int) -> Tensor:
    """The model's own keys and values of ids at positions from `first` on, with nothing before them."""
    cache = dynamic_cache([])
    positions = torch.arange(first, first + len(ids))[None]
    with torch.no_grad():
        backbone.model(input_ids=torch.tensor([ids]), position_ids=positions, past_key_values=cache, use_cache=True)
    return stacked_layers(cache)


def check_moved(backbone: Backbone) -> None:
    """A `kv` soft prompt computed at position 0 equals the model's own keys and values at another position."""
    soft = kv_from_text_twin(backbone, "domain", TWIN, ())
    ids = tuple(backbone.encode_text(TWIN))
    for first in (0, 3, 40):
        expected = run_at(backbone, ids, first)
        for layers in (None, 1):
            # The same where only the last layers were trained, whose angles may be others than those below.
            whole = torch.cat(
                keys_and_values(backbone, soft if layers is None else soft.with_trained_layers(layers), first)
            )
            torch.testing.assert_close(whole, expected, atol=1e-4, rtol=0)
    # The guard of this test: positions do change keys.
    here, there = (torch.cat(keys_and_values(backbone, soft, first)) for first in (0, 40))
    assert (here - there).abs().max() > 0.1


def test_a_kv_prompt_moves_as_the_model_would_move_it(family_backbone: Backbone) -> None:
    check_moved(family_backbone)


def test_a_kv_prompt_moves_as_the_model_would_move_it_with_other_frequencies(variant_backbone: Backbone) -> None:
    check_moved(variant_backbone)


def check_start(backbone: Backbone) -> None:
    store, prefix, question = PrefixStore(backbone), some_ids(19, 1), some_ids(5, 2)
    soft = kv_from_text_twin(store.backbone, "domain", TWIN, prefix)
    text = Row(prefix, (tuple(backbone.encode_text(TWIN)), question))
    with torch.no_grad():
        expected = full_logits(backbone, whole(backbone, text))[-len(question) :]
    actual = batch_logits(backbone, assemble(store, [Row(prefix, (soft, question))]))[0]
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=0)
    reply = generate(store, [Row(prefix, (soft, question))], Decoding(max_tokens=8))[0]
    assert reply.text == backbone.decode(greedy_ids(backbone, text, 8, backbone.end_ids)).rstrip("\ufffd")


def test_a_kv_prompt_starts_as_its_text_twin(family_backbone: Backbone) -> None:
    check_start(family_backbone)


def test_a_kv_prompt_starts_as_its_text_twin_with_other_frequencies(variant_backbone: Backbone) -> None:
    check_start(variant_backbone)


def test_unrotating_is_the_inverse_of_rotating(variant_backbone: Backbone) -> None:
    keys = some_kv(variant_backbone, 6, 1).vectors[:, 0]
    for first in (0, 17):
        back = unrotate(variant_backbone, rotate(variant_backbone, keys, first), first)
        torch.testing.assert_close(back, keys, atol=1e-5, rtol=0)


def test_rotating_is_differentiable(family_backbone: Backbone) -> None:
    keys = some_kv(family_backbone, 3, 1).vectors[:, 0].requires_grad_(True)
    torch.autograd.backward(rotate(family_backbone, keys, 9).square().sum())
    assert keys.grad is not None
    assert (keys.grad != 0).all()


def test_layers_without_rotary_positions_pass_through(make_tiny_backbone: Callable[..., Backbone]) -> None:
    family, settings = VARIANTS["a layer without positions"]
    backbone = make_tiny_backbone(family, **settings)
    assert probe(backbone).rotated_layers == (True, False, True)
    keys = some_kv(backbone, 6, 1).vectors[:, 0]
    moved = rotate(backbone, keys, 40)
    assert torch.equal(moved[1], keys[1])
    assert not torch.equal(moved[0], keys[0])


def test_the_probe_passes_where_positions_rotate_keys(family_backbone: Backbone, variant_backbone: Backbone) -> None:
    for backbone in (family_backbone, variant_backbone):
        assert positions_can_move(backbone)
        require_movable_positions(backbone)
        assert probe(backbone).error < 1e-4


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["llama", "phi", "gemma3_text"])
def test_the_probe_passes_in_half_precision(
    make_tiny_backbone: Callable[..., Backbone], family: str, dtype: torch.dtype
) -> None:
    made = make_tiny_backbone(family)
    assert positions_can_move(Backbone("half", "0" * 64, made.model.to(dtype), made.tokenizer))


@pytest.mark.parametrize("name", ["cohere", "a layer without positions"])
def test_an_embedding_needs_no_movable_positions(make_tiny_backbone: Callable[..., Backbone], name: str) -> None:
    family, settings = VARIANTS.get(name, (name, {}))
    backbone = make_tiny_backbone(family, **settings)
    check_equal_to_each_row_alone(backbone, some_rows(backbone))
    check_greedy(backbone, some_rows(backbone))


def add_positions_to_values(backbone: Backbone) -> None:
    """Values that depend on their position, in the last layer alone, so that no key does."""
    seen: list[Tensor] = []
    model = backbone.model.model
    model.register_forward_pre_hook(lambda _, __, kwargs: seen.append(kwargs["position_ids"]), with_kwargs=True)
    model.layers[-1].self_attn.v_proj.register_forward_hook(
        lambda _, __, output: output + 0.5 * torch.sin(seen[-1][..., None].float())
    )


def add_learned_positions(backbone: Backbone) -> None:
    """Learned positions in addition to the rotary ones."""
    learned = torch.nn.Embedding(backbone.context_length, backbone.hidden_size)

    def with_positions(_: Any, args: tuple[Tensor], kwargs: dict[str, Any]) -> tuple[tuple[Tensor], dict[str, Any]]:
        return (args[0] + learned(kwargs["position_ids"]),), kwargs

    backbone.model.model.layers[0].register_forward_pre_hook(with_positions, with_kwargs=True)


def break_last_layer(backbone: Backbone) -> None:
    """Keys that are no numbers, as an overflow makes them."""
    backbone.model.model.layers[-1].self_attn.k_proj.register_forward_hook(lambda _, __, output: output * torch.nan)


def forget_positions(backbone: Backbone) -> None:
    """A model that does not look at the positions it is given."""

    def at_zero(_: Any, __: Any, kwargs: dict[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
        return (), {**kwargs, "position_ids": torch.zeros_like(kwargs["position_ids"])}

    backbone.model.model.register_forward_pre_hook(at_zero, with_kwargs=True)


@pytest.mark.parametrize(
    ("family", "change", "words"),
    [
        ("gpt2", None, "has no rotary positions"),
        ("opt", None, "has no rotary positions"),
        ("t5", None, "is an encoder-decoder"),
        # Rotates neighbouring dimensions instead of the halves of a head.
        ("cohere", None, "has keys that depend on the position in another form"),
        ("llama", add_positions_to_values, "has values that depend on the position in another form .* in layer 2"),
        ("llama", add_learned_positions, "has keys that depend on the position in another form"),
        ("llama", break_last_layer, "another form .by inf% in layer 2"),
        ("llama", forget_positions, "rotates keys in no layer"),
    ],
)
def test_the_probe_refuses_other_positions(
    make_tiny_backbone: Callable[..., Backbone], family: str, change: Callable[[Backbone], None] | None, words: str
) -> None:
    backbone = make_tiny_backbone(family)
    if change is not None:
        change(backbone)
    assert not positions_can_move(backbone)
    with pytest.raises(BackboneError, match=words) as caught:
        require_movable_positions(backbone)
    assert "softgraft train DOMAIN --kind embedding" in caught.value.next_step
    with pytest.raises(BackboneError, match=words):
        kv_from_text_twin(backbone, "domain", TWIN, ())


def test_a_backbone_is_probed_once(make_tiny_backbone: Callable[..., Backbone]) -> None:
    backbone = make_tiny_backbone()
    calls: list[int] = []
    soft = some_kv(backbone, 4, 1)
    backbone.model.model.register_forward_hook(lambda *_: calls.append(1))
    for first in range(5):
        keys_and_values(backbone, soft, first)
    assert positions_can_move(backbone)
    assert len(calls) == 1


def test_a_forgotten_backbone_is_let_go(make_tiny_backbone: Callable[..., Backbone]) -> None:
    backbone = make_tiny_backbone()
    assert positions_can_move(backbone)
    before = len(probing._probes)
    del backbone
    assert len(probing._probes) == before - 1


def test_longrope_ends_the_context_at_its_original_length(make_tiny_backbone: Callable[..., Backbone]) -> None:
    # Beyond it the frequencies of all rows of a batch change at once.
    backbone = make_tiny_backbone(rope_parameters=LONGROPE)
    assert (backbone.context_length, original_context_length(backbone.model.config)) == (64, 64)
    store = PrefixStore(backbone)
    row = Row(some_ids(50, 1), (some_ids(6, 2),))
    assert generate(store, [row], Decoding(max_tokens=8))[0].tokens
    with pytest.raises(ContextError, match=r"at most 64 tokens .* whose rotary frequencies change beyond that"):
        generate(store, [row], Decoding(max_tokens=9))


def test_dynamic_frequencies_do_not_change_within_the_context(make_tiny_backbone: Callable[..., Backbone]) -> None:
    backbone = make_tiny_backbone(rope_parameters=DYNAMIC, max_position_embeddings=64)
    store = PrefixStore(backbone)
    short, long = Row(some_ids(9, 1), (some_ids(6, 2),)), Row(some_ids(50, 3), (some_ids(6, 4),))
    alone = batch_logits(backbone, assemble(store, [short]))[0, -1]
    batched = batch_logits(backbone, assemble(store, [short, long]))[0, -1]
    torch.testing.assert_close(batched, alone, atol=1e-4, rtol=0)
    with pytest.raises(ContextError, match="at most 64 tokens"):
        assemble(store, [long], max_new_tokens=9)


def test_other_frequencies_leave_the_context_as_it_is(make_tiny_backbone: Callable[..., Backbone]) -> None:
    for settings in ({}, {"rope_parameters": YARN}):
        backbone = make_tiny_backbone(**settings)
        assert (backbone.context_length, original_context_length(backbone.model.config)) == (512, None)
