"""Checks of rows that hold for every backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from oracle import (
    batch_logits,
    full_logits,
    full_loss,
    greedy_ids,
    some_ids,
    some_soft_prompt,
    whole,
)
from torch import Tensor

from soft_prompt import Backbone, Decoding, PrefixStore, Reply, Row, SoftPrompt, generate
from soft_prompt.rows.batch import assemble
from soft_prompt.training.answer_loss import answer_loss
from soft_prompt.training.example import TrainingExample


def check_equal_to_each_row_alone(backbone: Backbone, rows: Sequence[Row]) -> None:
    batch = assemble(PrefixStore(backbone), rows)
    logits = batch_logits(backbone, batch)
    assert torch.isfinite(logits).all()
    for number, row in enumerate(rows):
        with torch.no_grad():
            alone = full_logits(backbone, whole(backbone, row))
        new = int(batch.mask[number, batch.cached_length :].sum())
        torch.testing.assert_close(logits[number, -new:], alone[-new:], atol=1e-4, rtol=0)


TOKENS = 12


# A reply never ends in half a character, and random weights like to.
HALF = "\N{REPLACEMENT CHARACTER}"


def check_greedy(backbone: Backbone, rows: list[Row]) -> list[Reply]:
    replies = generate(PrefixStore(backbone), rows, Decoding(max_tokens=TOKENS))
    for row, reply in zip(rows, replies, strict=True):
        ids = greedy_ids(backbone, row, TOKENS, backbone.end_ids)
        assert reply.text == backbone.decode(ids).rstrip(HALF)
        assert reply.tokens == len(ids)
        assert reply.finish == ("length" if len(ids) == TOKENS else "stop")
        assert reply.prompt_tokens == row.length
    return replies


ANSWERS = [some_ids(5, 101), some_ids(1, 102), some_ids(9, 103), some_ids(3, 104)]


def live(backbone: Backbone) -> SoftPrompt:
    soft = some_soft_prompt(backbone, 4, 1)
    return replace(soft, vectors=soft.vectors.clone().requires_grad_(True))


def rows_with(soft: SoftPrompt) -> list[Row]:
    """Slots first, in the middle and last, behind prefixes from none to long."""
    return [
        Row(some_ids(21, 1), (soft, some_ids(6, 2))),
        Row((), (soft, some_ids(2, 3))),
        Row(some_ids(4, 4), (some_ids(7, 5), soft, some_ids(8, 6))),
        Row(some_ids(33, 7), (soft,)),
    ]


def gradient(soft: SoftPrompt, loss: Tensor) -> Tensor:
    (grad,) = torch.autograd.grad(loss, [soft.vectors])
    return grad


def check_loss_and_gradient(backbone: Backbone, count: int) -> None:
    soft = live(backbone)
    rows = rows_with(soft)[:count]
    examples = [TrainingExample(row, answer) for row, answer in zip(rows, ANSWERS, strict=False)]
    loss, tokens = answer_loss(PrefixStore(backbone), examples)
    expected = full_loss(backbone, rows, [example.answer for example in examples])
    assert tokens == sum(len(example.answer) for example in examples)
    # Means over tokens, as training takes them: a sum would compare larger numbers with the same tolerance.
    torch.testing.assert_close(loss / tokens, expected / tokens, atol=1e-5, rtol=1e-5)
    cached, plain = gradient(soft, loss / tokens), gradient(soft, expected / tokens)
    assert cached.abs().max() > 1e-2
    torch.testing.assert_close(cached, plain, atol=1e-5, rtol=1e-5)
