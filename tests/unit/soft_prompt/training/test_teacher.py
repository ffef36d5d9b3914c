"""Distillation: the divergence from a teacher's most likely tokens."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import kl_div

from soft_prompt.training.teacher import TOP, distillation_loss, teacher_targets


def logits(seed: int, tokens: int = 5, vocabulary: int = 200) -> torch.Tensor:
    return 3 * torch.randn(tokens, vocabulary, generator=torch.Generator().manual_seed(seed))


def test_the_most_likely_tokens_are_kept_for_each_answer() -> None:
    given = logits(0)
    first, second = teacher_targets(given, [2, 3])
    assert (first.ids.shape, second.log_probabilities.shape) == ((2, TOP), (3, TOP))
    assert torch.equal(second.ids[:, 0].long(), given[2:].argmax(dim=1))
    assert torch.allclose(first.log_probabilities, torch.log_softmax(given[:2], dim=1).topk(TOP).values)


def test_a_student_like_its_teacher_has_no_loss() -> None:
    given = logits(0)
    for temperature in (1.0, 2.0):
        loss = distillation_loss(given, teacher_targets(given, [5]), temperature)
        assert loss.abs().max() < 1e-5
        assert (distillation_loss(logits(1), teacher_targets(given, [5]), temperature) > 0.01).all()


def test_with_all_tokens_kept_it_is_the_whole_divergence() -> None:
    student, teacher = logits(1, vocabulary=40), logits(0, vocabulary=40)
    found = distillation_loss(student, teacher_targets(teacher, [5], top=40), 1.0)
    parts = [torch.log_softmax(one, dim=1) for one in (student, teacher)]
    assert torch.allclose(found, kl_div(*parts, reduction="none", log_target=True).sum(dim=1), atol=1e-4)


def test_its_gradient_moves_the_student_to_the_teacher() -> None:
    teacher = teacher_targets(logits(0), [5])
    student = logits(1).requires_grad_(True)
    before = float(distillation_loss(student, teacher, 2.0).sum().detach())
    for _ in range(30):
        loss = distillation_loss(student, teacher, 2.0).sum()
        [gradient] = torch.autograd.grad(loss, student)
        with torch.no_grad():
            student -= gradient
    assert float(distillation_loss(student, teacher, 2.0).sum().detach()) < 0.5 * before


@pytest.mark.parametrize("wrong", [3, 9])
def test_teacher_and_student_need_the_same_tokens(wrong: int) -> None:
    with pytest.raises(ValueError, match=f"a teacher of {wrong} tokens for 5"):
        distillation_loss(logits(1), teacher_targets(logits(0, wrong), [wrong]), 1.0)
