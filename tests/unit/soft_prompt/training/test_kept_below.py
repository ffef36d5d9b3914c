"""What the layers that are not trained put out is computed once, and each step goes on from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from adapter_checks import some_adapter_above
from kv_task import kv_start
from oracle import some_ids
from tiny_task import CONFIG, DEV, EXAMPLES, run
from torch import Tensor

from soft_prompt import Backbone, PrefixStore, Row, SoftPrompt, TrainStep, adapter_prompt, from_text_twin, train
from soft_prompt.training import kept_below
from soft_prompt.training.answer_loss import answer_loss
from soft_prompt.training.example import Example
from soft_prompt.training.kept_below import keep_below
from soft_prompt.training.upper_layers import divisible, untrained_layers

MakeBackbone = Callable[..., Backbone]
LAYERS = 3
KINDS = ("kv", "adapter", "kv+adapter")


def top(backbone: Backbone, kind: str, layers: int = 1) -> SoftPrompt:
    """Trains the last layers alone."""
    adapter = some_adapter_above(backbone, layers)
    if kind == "adapter":
        return adapter_prompt(backbone, "domain", "Be brief.", adapter)
    kv = replace(kv_start(backbone), adapter=adapter if kind == "kv+adapter" else None)
    return kv.with_top(layers)


def examples(soft_prompt: SoftPrompt, rows: int = 3) -> list[Example]:
    """Rows of one length, which every family takes."""
    return [Example(Row(some_ids(9, n), (soft_prompt, some_ids(5, n + 9))), some_ids(4, n + 20)) for n in range(rows)]


def loss_and_gradients(store: PrefixStore, soft_prompt: SoftPrompt, of: list[Example]) -> tuple[Tensor, list[Tensor]]:
    live = soft_prompt.with_tensors({n: t.clone().requires_grad_(True) for n, t in soft_prompt.tensors().items()})
    loss, _ = answer_loss(store, [example.with_soft_prompt(live) for example in of])
    return loss.detach(), list(torch.autograd.grad(loss, list(live.tensors().values())))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [1, 2])
def test_every_family_has_the_same_loss_and_gradients(family_backbone: Backbone, kind: str, layers: int) -> None:
    store = PrefixStore(family_backbone)
    soft_prompt = top(family_backbone, kind, layers)
    plain = examples(soft_prompt)
    kept = keep_below(store, plain, untrained_layers(soft_prompt), lambda _: None)
    assert [example.below.layers for example in kept if example.below] == [LAYERS - layers] * 3
    expected, found = (loss_and_gradients(store, soft_prompt, of) for of in (plain, kept))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["opt", "falcon"])
def test_learned_positions_are_not_added_twice_and_blocks_may_give_tuples(
    make_tiny_backbone: MakeBackbone, family: str
) -> None:
    backbone = make_tiny_backbone(family)
    store, soft_prompt = PrefixStore(backbone), top(backbone, "adapter")
    plain = examples(soft_prompt)
    kept = keep_below(store, plain, 2, lambda _: None)
    assert all(example.below for example in kept)
    expected, found = (loss_and_gradients(store, soft_prompt, of) for of in (plain, kept))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_other_lengths_and_other_neighbours_have_the_same_loss(tiny_backbone: Backbone, kind: str) -> None:
    store, soft_prompt = PrefixStore(tiny_backbone), top(tiny_backbone, kind)
    plain = [
        Example(Row(some_ids(4 + 3 * n, n), (soft_prompt, some_ids(2 + n, n + 9))), some_ids(1 + n % 3, n))
        for n in range(11)
    ]
    kept = keep_below(store, plain, 2, lambda _: None)
    assert all(example.below for example in kept)
    for chosen in ([0, 10, 5], [7], [10, 9]):
        expected, found = (loss_and_gradients(store, soft_prompt, [of[i] for i in chosen]) for of in (plain, kept))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_the_layers_below_do_not_run_again(make_tiny_backbone: MakeBackbone) -> None:
    backbone = make_tiny_backbone()
    store, soft_prompt = PrefixStore(backbone), top(backbone, "kv+adapter")
    plain = examples(soft_prompt)
    kept = keep_below(store, plain, 2, lambda _: None)
    expected = loss_and_gradients(store, soft_prompt, kept)
    with torch.no_grad():
        for name, weights in backbone.model.named_parameters():
            if ".layers.0." in name or ".layers.1." in name:
                weights.fill_(torch.nan)
    assert torch.isnan(loss_and_gradients(store, soft_prompt, plain)[0])
    torch.testing.assert_close(loss_and_gradients(store, soft_prompt, kept), expected, atol=0, rtol=0)


def test_a_batch_that_is_not_known_as_a_whole_runs_as_a_whole(tiny_backbone: Backbone) -> None:
    store, soft_prompt = PrefixStore(tiny_backbone), top(tiny_backbone, "kv")
    plain = examples(soft_prompt)
    mixed = [*keep_below(store, plain[:2], 2, lambda _: None), plain[2]]
    expected, found = (loss_and_gradients(store, soft_prompt, of) for of in (plain, mixed))
    torch.testing.assert_close(found, expected, atol=0, rtol=0)


def test_states_that_give_other_logits_are_dropped(tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    right = kept_below.with_below

    def wrong(store: PrefixStore, of: list[Example], layers: int) -> list[Example]:
        found = right(store, of, layers)
        return [replace(e, below=replace(e.below, states=-e.below.states)) for e in found if e.below]

    monkeypatch.setattr(kept_below, "with_below", wrong)
    kept = keep_below(PrefixStore(tiny_backbone), examples(top(tiny_backbone, "kv")), 2, lambda _: None)
    assert [example.below for example in kept] == [None] * 3


def test_without_memory_for_it_training_goes_on_as_it_is(
    tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> list[Example]:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(kept_below, "with_below", full)
    result = run(tiny_backbone, kv_start(tiny_backbone), replace(CONFIG, layers=1))
    assert result.dev_loss < result.start_loss


def test_blocks_that_stand_in_no_list_are_not_divided(make_tiny_backbone: MakeBackbone) -> None:
    backbone = make_tiny_backbone()
    assert divisible(backbone)
    backbone.model.config.num_hidden_layers = 2
    assert not divisible(backbone)


def test_no_more_is_kept_than_there_is_room_for(tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = examples(top(tiny_backbone, "kv"))
    # Five positions of the question and three of the answer, whose last token is only ever predicted.
    needed = 3 * (5 + 3) * tiny_backbone.hidden_size * 4
    for most, known in ((needed, True), (needed - 1, False)):
        monkeypatch.setattr(kept_below, "MOST_BYTES", most)
        kept = keep_below(PrefixStore(tiny_backbone), plain, 2, lambda _: None)
        assert [example.below is not None for example in kept] == [known] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_ends_as_one_that_keeps_nothing(
    tiny_backbone: Backbone, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    soft_prompt, config = top(tiny_backbone, kind), replace(CONFIG, layers=1)
    kept = run(tiny_backbone, soft_prompt, config)
    monkeypatch.setattr(kept_below, "divisible", lambda _: False)
    plain = run(tiny_backbone, soft_prompt, config)
    # Adam divides by what a gradient was, so what rounds otherwise grows.
    assert kept.dev_loss == pytest.approx(plain.dev_loss, rel=1e-3)
    for name, tensor in plain.soft_prompt.tensors().items():
        torch.testing.assert_close(kept.soft_prompt.tensors()[name], tensor, atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("random_length", [False, True])
def test_a_run_tells_of_the_layers_below(tiny_backbone: Backbone, random_length: bool) -> None:
    steps: list[TrainStep] = []
    config = replace(CONFIG, layers=1, epochs=1, random_length=random_length)
    train(PrefixStore(tiny_backbone), kv_start(tiny_backbone), EXAMPLES, DEV, config, on_step=steps.append)
    told = [(step.done, step.total) for step in steps if step.phase == "layers"]
    # In random lengths these layers see other positions at every step.
    assert told == ([] if random_length else [(5, 7), (7, 7)])


def test_what_trains_all_layers_has_none_below(tiny_backbone: Backbone) -> None:
    kv = kv_start(tiny_backbone)
    embedding = from_text_twin(tiny_backbone, "domain", "Be brief.")
    assert [untrained_layers(s) for s in (kv, kv.with_top(2), embedding)] == [0, 1, 0]
    assert untrained_layers(top(tiny_backbone, "adapter", 2)) == 1
    assert untrained_layers(replace(kv, adapter=some_adapter_above(tiny_backbone, 1))) == 0
    assert untrained_layers(replace(embedding, adapter=some_adapter_above(tiny_backbone, 1))) == 0
