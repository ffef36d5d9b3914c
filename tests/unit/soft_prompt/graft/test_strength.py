"""A part of what was learned: `at_strength`."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from adapter_checks import some_adapter
from kv_task import PREFIX, kv_start
from oracle import some_ids

from soft_prompt import Backbone, PrefixStore, SoftPrompt, TrainingError, adapter_prompt, at_strength, from_text_twin


def trained(start: SoftPrompt) -> SoftPrompt:
    """As if training had moved each number of the vectors by another distance."""
    change = torch.linspace(-3, 5, start.vectors.numel()).reshape(start.vectors.shape)
    return replace(start, vectors=start.vectors + change)


@pytest.mark.parametrize("kind", ["kv", "kv of two layers", "embedding", "longer embedding"])
def test_vectors_go_part_of_the_way_from_their_text_twin(tiny_backbone: Backbone, kind: str) -> None:
    start = {
        "kv": kv_start(tiny_backbone),
        "kv of two layers": kv_start(tiny_backbone, 5).with_trained_layers(2),
        "embedding": from_text_twin(tiny_backbone, "domain", "Be brief."),
        "longer embedding": from_text_twin(tiny_backbone, "domain", "Be brief.", 40),
    }[kind]
    whole = replace(trained(start), adapter=some_adapter(tiny_backbone, 2, 1))
    store, prefix = PrefixStore(tiny_backbone), tiny_backbone.encode_text(PREFIX)
    assert at_strength(store.backbone, whole, 1.0, prefix) is whole
    for strength in (0.0, 0.25, 0.75):
        actual = at_strength(store.backbone, whole, strength, prefix)
        expected = start.vectors + strength * (whole.vectors - start.vectors)
        torch.testing.assert_close(actual.vectors, expected, atol=1e-5, rtol=1e-5)
        assert actual.adapter is not None
        assert whole.adapter is not None
        assert all(torch.equal(up, strength * whole.adapter.up[name]) for name, up in actual.adapter.up.items())
        assert (actual.slot, actual.kind, actual.text_twin) == (whole.slot, whole.kind, whole.text_twin)
        assert actual.lower is whole.lower
        # What is cached for one strength is no other's.
        assert actual.digest != whole.digest
    assert torch.equal(at_strength(store.backbone, whole, 0.0, prefix).vectors, start.vectors)


def test_the_text_twin_of_a_kv_is_read_behind_the_prefix(tiny_backbone: Backbone) -> None:
    whole, store = trained(kv_start(tiny_backbone)), PrefixStore(tiny_backbone)
    one, other = (at_strength(store.backbone, whole, 0.0, prefix) for prefix in (some_ids(9, 1), some_ids(9, 2)))
    assert not torch.equal(one.vectors, other.vectors)


def test_positions_that_were_cut_off_stay_so(tiny_backbone: Backbone) -> None:
    start = kv_start(tiny_backbone, 6)
    whole = trained(start)
    whole = replace(whole, vectors=whole.vectors[..., :4, :])
    actual = at_strength(tiny_backbone, whole, 0.0, tiny_backbone.encode_text(PREFIX))
    torch.testing.assert_close(actual.vectors, start.vectors[..., :4, :])


def test_words_stay_where_an_adapter_is_trained_alone(tiny_backbone: Backbone) -> None:
    whole = adapter_prompt(tiny_backbone, "domain", "Be brief.", some_adapter(tiny_backbone, 2, 1))
    actual = at_strength(tiny_backbone, whole, 0.5, ())
    assert actual.vectors is whole.vectors
    assert actual.adapter is not None
    assert whole.adapter is not None
    assert all(torch.equal(up, 0.5 * whole.adapter.up[name]) for name, up in actual.adapter.up.items())


def test_vectors_alone_stay_without_an_adapter(tiny_backbone: Backbone) -> None:
    whole = trained(from_text_twin(tiny_backbone, "domain", "Be brief."))
    assert at_strength(tiny_backbone, whole, 0.5, ()).adapter is None


@pytest.mark.parametrize("kind", ["kv", "embedding"])
def test_without_a_text_twin_there_is_no_way_to_go(tiny_backbone: Backbone, kind: str) -> None:
    start = kv_start(tiny_backbone) if kind == "kv" else from_text_twin(tiny_backbone, "domain", "Be brief.")
    whole, store = replace(start, text_twin=""), PrefixStore(tiny_backbone)
    assert at_strength(store.backbone, whole, 1.0, (5,)) is whole
    with pytest.raises(TrainingError, match="a text twin of 0 tokens"):
        at_strength(store.backbone, whole, 0.5, (5,))
