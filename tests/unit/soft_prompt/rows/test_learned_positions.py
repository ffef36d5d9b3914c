"""Backbones with learned positions: the `embedding` kind works, and what needs rotation is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from adapter_checks import check_adapter_acts_from_the_slot_on
from oracle import some_ids, some_rows
from row_checks import check_equal_to_each_row_alone, check_greedy, check_loss_and_gradient
from tiny_task import run, task

from soft_prompt import (
    Backbone,
    BackboneError,
    ContextError,
    PrefixStore,
    Row,
    TrainConfig,
    from_text_twin,
    initial_adapter,
    weights_checksum,
)
from soft_prompt.rows.batch import assemble

pytestmark = pytest.mark.heavy


def test_a_batch_equals_each_row_alone(learned_backbone: Backbone) -> None:
    check_equal_to_each_row_alone(learned_backbone, some_rows(learned_backbone))


def test_greedy_decoding_equals_full_forward_passes(learned_backbone: Backbone) -> None:
    check_greedy(learned_backbone, some_rows(learned_backbone))


def test_loss_and_gradient_equal_a_plain_forward_pass(learned_backbone: Backbone) -> None:
    check_loss_and_gradient(learned_backbone, 4)


def test_a_small_task_is_learned(learned_backbone: Backbone) -> None:
    start = from_text_twin(learned_backbone, "domain", "Be brief.", length=16)
    tasks = [task("Fees: 12.", question, "12.") for question in ("How much?", "The fee?", "What is it?")]
    before = weights_checksum(learned_backbone)
    config = TrainConfig(epochs=40, min_steps=1, batch_size=3, learning_rate=0.3, warmup_steps=5, patience=40)
    result = run(learned_backbone, start, config, examples=tasks, dev=tasks)
    assert weights_checksum(learned_backbone) == before
    assert result.dev_loss < 0.6 * result.start_loss


def test_the_context_ends_with_the_learned_positions(make_tiny_backbone: Callable[..., Backbone]) -> None:
    backbone = make_tiny_backbone("gpt2", max_position_embeddings=32)
    assert backbone.model.transformer.wpe.weight.shape[0] == backbone.context_length == 32
    store = PrefixStore(backbone)
    check_equal_to_each_row_alone(backbone, [Row(some_ids(20, 1), (some_ids(12, 2),))])
    with pytest.raises(ContextError, match="at most 32 tokens"):
        assemble(store, [Row(some_ids(20, 1), (some_ids(13, 2),))])


def test_an_adapter_on_opt_acts_from_the_slot_on(make_tiny_backbone: Callable[..., Backbone]) -> None:
    check_adapter_acts_from_the_slot_on(make_tiny_backbone("opt"))


def test_an_adapter_on_gpt2_is_refused(make_tiny_backbone: Callable[..., Backbone]) -> None:
    # Its blocks consist of convolutions of width one, which adapters do not support.
    with pytest.raises(BackboneError, match="no linear layers in its blocks") as caught:
        initial_adapter(make_tiny_backbone("gpt2"), 4, 0)
    assert "--adapter none" in caught.value.next_step
