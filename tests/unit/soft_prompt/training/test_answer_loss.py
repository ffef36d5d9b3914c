"""The loss of answers and its gradient: through the prefix store the same as through a plain full forward pass."""

from __future__ import annotations

import pytest
import torch
from oracle import some_ids
from row_checks import ANSWERS, check_loss_and_gradient, live, rows_with

from soft_prompt import Backbone, PrefixStore, Row
from soft_prompt.training.answer_loss import answer_loss
from soft_prompt.training.example import TrainingExample


@pytest.mark.parametrize("count", [1, 2, 4])
def test_loss_and_gradient_equal_a_plain_forward_pass(tiny_backbone: Backbone, count: int) -> None:
    check_loss_and_gradient(tiny_backbone, count)


def test_loss_and_gradient_equal_a_plain_forward_pass_in_other_families(family_backbone: Backbone) -> None:
    check_loss_and_gradient(family_backbone, 4)


def test_only_the_soft_prompt_gets_a_gradient(tiny_backbone: Backbone, store: PrefixStore) -> None:
    soft = live(tiny_backbone)
    loss, _ = answer_loss(store, [TrainingExample(row, a) for row, a in zip(rows_with(soft), ANSWERS, strict=True)])
    torch.autograd.backward(loss)
    assert soft.vectors.grad is not None
    assert torch.isfinite(soft.vectors.grad).all()
    # Every position of the prompt takes part.
    assert (soft.vectors.grad.abs().sum(dim=1) > 0).all()
    assert [name for name, p in tiny_backbone.model.named_parameters() if p.grad is not None or p.requires_grad] == []


def test_rows_of_very_different_length_give_finite_numbers(tiny_backbone: Backbone, store: PrefixStore) -> None:
    # Padded positions attend to nothing at all, which some kernels answer with NaN.
    soft = live(tiny_backbone)
    examples = [
        TrainingExample(Row((), (soft,)), some_ids(1, 1)),
        TrainingExample(Row(some_ids(60, 2), (soft, some_ids(40, 3))), some_ids(30, 4)),
    ]
    loss, _ = answer_loss(store, examples)
    torch.autograd.backward(loss)
    assert torch.isfinite(loss)
    assert soft.vectors.grad is not None
    assert torch.isfinite(soft.vectors.grad).all()


def test_an_example_does_not_change_the_loss_of_its_neighbours(tiny_backbone: Backbone, store: PrefixStore) -> None:
    soft = live(tiny_backbone)
    examples = [TrainingExample(row, answer) for row, answer in zip(rows_with(soft), ANSWERS, strict=True)]
    with torch.no_grad():
        together = float(answer_loss(store, examples)[0])
        alone = [float(answer_loss(store, [example])[0]) for example in examples]
    assert together == pytest.approx(sum(alone), rel=1e-5)


def test_an_answer_of_one_token_is_predicted_by_the_end_of_the_prompt(
    tiny_backbone: Backbone, store: PrefixStore
) -> None:
    row = Row(some_ids(5, 1), (some_ids(3, 2),))
    assert TrainingExample(row, (7,)).full is row
    with torch.no_grad():
        logits = tiny_backbone.model(torch.tensor([[*row.prefix, *some_ids(3, 2)]])).logits[0, -1]
        loss, tokens = answer_loss(store, [TrainingExample(row, (7,))])
    assert tokens == 1
    assert float(loss) == pytest.approx(float(-torch.log_softmax(logits, dim=-1)[7]), abs=1e-4)
