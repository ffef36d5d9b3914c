"""Hidden states of the frozen lower layers are computed once, and each step starts from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from adapter_checks import some_adapter_above
from kv_task import kv_start
from oracle import some_ids
from tiny_task import DEV, EXAMPLES, configured, run
from torch import Tensor

from soft_prompt import Backbone, PrefixStore, Row, SoftPrompt, TrainStep, adapter_prompt, from_text_twin, train
from soft_prompt.training import answer_loss as answer_loss_module
from soft_prompt.training.answer_loss import answer_loss, cache_lower_layers
from soft_prompt.training.example import TrainingExample
from soft_prompt.training.layer_split import can_split, frozen_lower_layers

# Left out of `make check`.
pytestmark = pytest.mark.heavy

MakeBackbone = Callable[..., Backbone]
LAYERS = 3
KINDS = ("kv", "adapter", "kv+adapter")


def top(backbone: Backbone, kind: str, layers: int = 1) -> SoftPrompt:
    """A soft prompt that trains the last layers alone."""
    adapter = some_adapter_above(backbone, layers)
    if kind == "adapter":
        return adapter_prompt(backbone, "domain", "Be brief.", adapter)
    kv = replace(kv_start(backbone), adapter=adapter if kind == "kv+adapter" else None)
    return kv.with_trained_layers(layers)


def examples(soft_prompt: SoftPrompt, rows: int = 3) -> list[TrainingExample]:
    """Rows of equal length, which every family supports."""
    return [
        TrainingExample(Row(some_ids(9, n), (soft_prompt, some_ids(5, n + 9))), some_ids(4, n + 20))
        for n in range(rows)
    ]


def loss_and_gradients(
    store: PrefixStore, soft_prompt: SoftPrompt, of: list[TrainingExample]
) -> tuple[Tensor, list[Tensor]]:
    live = soft_prompt.with_tensors({n: t.clone().requires_grad_(True) for n, t in soft_prompt.tensors().items()})
    loss, _ = answer_loss(store, [example.with_soft_prompt(live) for example in of])
    return loss.detach(), list(torch.autograd.grad(loss, list(live.tensors().values())))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [1, 2])
def test_every_family_has_the_same_loss_and_gradients(family_backbone: Backbone, kind: str, layers: int) -> None:
    store = PrefixStore(family_backbone)
    soft_prompt = top(family_backbone, kind, layers)
    plain = examples(soft_prompt)
    cached = cache_lower_layers(store, plain, frozen_lower_layers(soft_prompt), lambda _: None)
    assert [example.lower_layers for example in cached if example.lower_states is not None] == [LAYERS - layers] * 3
    expected, actual = (loss_and_gradients(store, soft_prompt, of) for of in (plain, cached))
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["opt", "falcon"])
def test_learned_positions_are_not_added_twice_and_blocks_may_give_tuples(
    make_tiny_backbone: MakeBackbone, family: str
) -> None:
    backbone = make_tiny_backbone(family)
    store, soft_prompt = PrefixStore(backbone), top(backbone, "adapter")
    plain = examples(soft_prompt)
    cached = cache_lower_layers(store, plain, 2, lambda _: None)
    assert all(example.lower_states is not None for example in cached)
    expected, actual = (loss_and_gradients(store, soft_prompt, of) for of in (plain, cached))
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_any_length_in_any_batch_have_the_same_loss(tiny_backbone: Backbone, kind: str) -> None:
    store, soft_prompt = PrefixStore(tiny_backbone), top(tiny_backbone, kind)
    plain = [
        TrainingExample(Row(some_ids(4 + 3 * n, n), (soft_prompt, some_ids(2 + n, n + 9))), some_ids(1 + n % 3, n))
        for n in range(11)
    ]
    cached = cache_lower_layers(store, plain, 2, lambda _: None)
    assert all(example.lower_states is not None for example in cached)
    for chosen in ([0, 10, 5], [7], [10, 9]):
        expected, actual = (loss_and_gradients(store, soft_prompt, [of[i] for i in chosen]) for of in (plain, cached))
        torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_lower_layers_do_not_run_again(make_tiny_backbone: MakeBackbone) -> None:
    backbone = make_tiny_backbone()
    store, soft_prompt = PrefixStore(backbone), top(backbone, "kv+adapter")
    plain = examples(soft_prompt)
    cached = cache_lower_layers(store, plain, 2, lambda _: None)
    expected = loss_and_gradients(store, soft_prompt, cached)
    with torch.no_grad():
        for name, weights in backbone.model.named_parameters():
            if ".layers.0." in name or ".layers.1." in name:
                weights.fill_(torch.nan)
    assert torch.isnan(loss_and_gradients(store, soft_prompt, plain)[0])
    torch.testing.assert_close(loss_and_gradients(store, soft_prompt, cached), expected, atol=0, rtol=0)


def test_a_batch_that_is_partly_cached_runs_through_all_layers(tiny_backbone: Backbone) -> None:
    store, soft_prompt = PrefixStore(tiny_backbone), top(tiny_backbone, "kv")
    plain = examples(soft_prompt)
    mixed = [*cache_lower_layers(store, plain[:2], 2, lambda _: None), plain[2]]
    expected, actual = (loss_and_gradients(store, soft_prompt, of) for of in (plain, mixed))
    torch.testing.assert_close(actual, expected, atol=0, rtol=0)


def test_cached_states_that_change_the_logits_are_dropped(
    tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = answer_loss_module.with_lower_states

    def wrong(store: PrefixStore, of: list[TrainingExample], layers: int) -> list[TrainingExample]:
        return [
            replace(e, lower_states=-e.lower_states) for e in right(store, of, layers) if e.lower_states is not None
        ]

    monkeypatch.setattr(answer_loss_module, "with_lower_states", wrong)
    cached = cache_lower_layers(PrefixStore(tiny_backbone), examples(top(tiny_backbone, "kv")), 2, lambda _: None)
    assert [example.lower_states for example in cached] == [None] * 3


def test_training_works_without_memory_for_the_cache(tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> list[TrainingExample]:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(answer_loss_module, "with_lower_states", full)
    result = run(tiny_backbone, kv_start(tiny_backbone), configured(layers=1))
    assert result.dev_loss < result.start_loss


def test_a_model_without_a_list_of_blocks_is_not_split(make_tiny_backbone: MakeBackbone) -> None:
    backbone = make_tiny_backbone()
    assert can_split(backbone)
    backbone.model.config.num_hidden_layers = 2
    assert not can_split(backbone)


def test_the_cache_respects_its_limit(tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = examples(top(tiny_backbone, "kv"))
    # Five positions of the question and three of the answer, whose last token is only predicted.
    needed = 3 * (5 + 3) * tiny_backbone.hidden_size * 4
    for limit, fits in ((needed, True), (needed - 1, False)):
        monkeypatch.setattr(answer_loss_module, "MAX_BYTES", limit)
        cached = cache_lower_layers(PrefixStore(tiny_backbone), plain, 2, lambda _: None)
        assert [example.lower_states is not None for example in cached] == [fits] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_with_the_cache_gives_the_result_of_one_without(
    tiny_backbone: Backbone, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    soft_prompt, config = top(tiny_backbone, kind), configured(layers=1)
    cached = run(tiny_backbone, soft_prompt, config)
    monkeypatch.setattr(answer_loss_module, "can_split", lambda _: False)
    plain = run(tiny_backbone, soft_prompt, config)
    # Adam divides by the size of gradients, which magnifies rounding.
    assert cached.dev_loss == pytest.approx(plain.dev_loss, rel=1e-3)
    for name, tensor in plain.soft_prompt.tensors().items():
        torch.testing.assert_close(cached.soft_prompt.tensors()[name], tensor, atol=1e-3, rtol=1e-2)


def test_a_run_reports_its_progress_through_the_lower_layers(tiny_backbone: Backbone) -> None:
    steps: list[TrainStep] = []
    config = configured(layers=1, epochs=1)
    train(PrefixStore(tiny_backbone), kv_start(tiny_backbone), EXAMPLES, DEV, config, on_step=steps.append)
    assert [(step.done, step.total) for step in steps if step.phase == "layers"] == [(5, 7), (7, 7)]


def test_the_number_of_frozen_lower_layers(tiny_backbone: Backbone) -> None:
    kv = kv_start(tiny_backbone)
    embedding = from_text_twin(tiny_backbone, "domain", "Be brief.")
    assert [frozen_lower_layers(s) for s in (kv, kv.with_trained_layers(2), embedding)] == [0, 1, 0]
    assert frozen_lower_layers(top(tiny_backbone, "adapter", 2)) == 1
    assert frozen_lower_layers(replace(kv, adapter=some_adapter_above(tiny_backbone, 1))) == 0
    assert frozen_lower_layers(replace(embedding, adapter=some_adapter_above(tiny_backbone, 1))) == 0
