"""Distillation: the divergence from a teacher's most likely tokens."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import kl_div

from soft_prompt.training.teacher import TOP, distillation_loss, listed_targets, teacher_targets


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


def test_listed_tokens_are_the_same_teacher() -> None:
    given = logits(0)
    [known] = teacher_targets(given, [5], top=20)
    rows = [
        dict(zip(ids, values, strict=True))
        for ids, values in zip(known.ids.tolist(), known.log_probabilities.tolist(), strict=True)
    ]
    listed = listed_targets(rows, 20)
    assert torch.equal(listed.ids, known.ids)
    student = logits(1)
    assert torch.equal(distillation_loss(student, [listed], 2.0), distillation_loss(student, [known], 2.0))


def test_a_row_that_lists_fewer_tokens_gains_none() -> None:
    likely = {7: -0.5, 0: -1.2}
    filled = listed_targets([likely, {3: 0.0}], 6)
    assert filled.ids.shape == (2, 6)
    assert len(set(filled.ids[0].tolist())) == 6
    student = logits(1, tokens=2)
    found = distillation_loss(student, [filled], 1.0)
    # By hand: two tokens and the rest; then one token that is certain.
    own = torch.log_softmax(student, dim=1).double()
    rest = 1 - sum(torch.tensor(value).double().exp() for value in likely.values())
    left = 1 - own[0, [7, 0]].exp().sum()
    expected = sum(torch.tensor(value).double().exp() * (value - own[0, token]) for token, value in likely.items())
    expected = expected + rest * (rest.log() - left.log())
    assert float(found[0]) == pytest.approx(float(expected), abs=1e-4)
    assert float(found[1]) == pytest.approx(-float(own[1, 3]), abs=1e-4)
