"""Attention with a separate frozen prefix gives the outputs and gradients of ordinary attention."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from oracle import full_loss, some_ids, some_soft_prompt
from torch import Tensor

from soft_prompt import Backbone, PrefixStore, Row, kv_from_text_twin
from soft_prompt.model.frozen_attention import frozen_prefix, prefix_attention
from soft_prompt.model.optimized import optimized, supports_frozen_prefix
from soft_prompt.training.answer_loss import answer_loss
from soft_prompt.training.example import TrainingExample

HEADS, KV_HEADS, NEW, FROZEN, REST, WIDTH = 4, 2, 5, 19, 8, 8


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def masks() -> dict[str, Tensor | None]:
    causal = torch.ones(3, 1, NEW, FROZEN + REST, dtype=torch.bool)
    causal[..., FROZEN + REST - NEW :] = torch.tril(torch.ones(NEW, NEW, dtype=torch.bool))
    padded = causal.clone()
    padded[1, :, :, :6] = False
    padded[2, :, :, :FROZEN] = False
    # A window hides other frozen positions from each query.
    window = causal & (torch.ones(NEW, FROZEN + REST).triu(diagonal=FROZEN - 3).bool())
    return {"none": None, "causal": causal, "padded": padded, "window": window}


@pytest.mark.parametrize("name", ["none", "causal", "padded", "window"])
def test_outputs_and_gradients_are_those_of_attention_over_the_whole(name: str) -> None:
    mask = masks()[name]
    frozen = drawn(3, KV_HEADS, FROZEN, WIDTH, seed=1), drawn(3, KV_HEADS, FROZEN, WIDTH, seed=2)
    inputs = [drawn(3, HEADS, NEW, WIDTH, seed=3), *(drawn(3, KV_HEADS, REST, WIDTH, seed=s) for s in (4, 5))]
    ours, reference = ([t.clone().requires_grad_(True) for t in inputs] for _ in range(2))
    with frozen_prefix([frozen]):
        out = prefix_attention(*ours, frozen, mask, 0.3)
    keys, values = (torch.cat((f, t), dim=-2) for f, t in zip(frozen, reference[1:], strict=True))
    expected = torch.nn.functional.scaled_dot_product_attention(
        reference[0], keys, values, attn_mask=mask, scale=0.3, enable_gqa=True
    ).transpose(1, 2)
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)
    pull = drawn(*out.shape, seed=6)
    (out * pull).sum().backward()
    (expected * pull).sum().backward()
    for own, other in zip(ours, reference, strict=True):
        torch.testing.assert_close(own.grad, other.grad, atol=1e-5, rtol=1e-4)


def test_a_query_that_sees_nothing_gives_zeros() -> None:
    frozen = drawn(1, KV_HEADS, FROZEN, WIDTH, seed=1), drawn(1, KV_HEADS, FROZEN, WIDTH, seed=2)
    query = drawn(1, HEADS, NEW, WIDTH, seed=3).requires_grad_(True)
    key, value = (drawn(1, KV_HEADS, REST, WIDTH, seed=s).requires_grad_(True) for s in (4, 5))
    mask = torch.ones(1, 1, NEW, FROZEN + REST, dtype=torch.bool)
    mask[:, :, 0] = False
    with frozen_prefix([frozen]):
        out = prefix_attention(query, key, value, frozen, mask, 0.3)
    out.sum().backward()
    assert (out[:, 0] == 0).all()
    assert all(torch.isfinite(t.grad).all() for t in (query, key, value) if t.grad is not None)


def test_bf16_is_as_near_as_the_kernel_of_pytorch() -> None:
    frozen = drawn(2, KV_HEADS, 300, WIDTH, seed=1), drawn(2, KV_HEADS, 300, WIDTH, seed=2)
    inputs = [drawn(2, HEADS, NEW, WIDTH, seed=3), *(drawn(2, KV_HEADS, NEW, WIDTH, seed=s) for s in (4, 5))]
    exact = [t.bfloat16().float() for t in (*inputs, *frozen)]
    whole = [torch.cat((exact[i + 2], exact[i]), dim=-2) for i in (1, 2)]
    truth = torch.nn.functional.scaled_dot_product_attention(exact[0], *whole, scale=1.0, enable_gqa=True)
    kernel = torch.nn.functional.scaled_dot_product_attention(
        exact[0].bfloat16(), *(t.bfloat16() for t in whole), scale=1.0, enable_gqa=True
    )
    halves = frozen[0].bfloat16(), frozen[1].bfloat16()
    with frozen_prefix([halves]):
        out = prefix_attention(*(t.bfloat16() for t in inputs), halves, None, 1.0).transpose(1, 2)
    off = (out.float() - truth).abs().mean()
    assert off <= 1.5 * (kernel.float() - truth).abs().mean()


def test_training_takes_this_way_and_its_loss_and_gradient_are_those_of_a_plain_forward(
    family_backbone: Backbone,
) -> None:
    soft = some_soft_prompt(family_backbone, 4, 1)
    soft.vectors.requires_grad_(True)
    rows = [Row(some_ids(24, 1), (soft, some_ids(6, 2))), Row(some_ids(24, 3), (soft, some_ids(6, 4)))]
    answers = [some_ids(3, 5), some_ids(3, 6)]
    loss, _ = answer_loss(
        PrefixStore(family_backbone), [TrainingExample(r, a) for r, a in zip(rows, answers, strict=True)]
    )
    [mine] = torch.autograd.grad(loss, [soft.vectors])
    expected = full_loss(family_backbone, rows, answers)
    [theirs] = torch.autograd.grad(expected, [soft.vectors])
    torch.testing.assert_close(loss, expected, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-3)


def test_which_models_support_it(make_tiny_backbone: Callable[..., Backbone]) -> None:
    supported = {
        name: supports_frozen_prefix(optimized(make_tiny_backbone(name), "own")) for name in ("llama", "qwen3", "gpt2")
    }
    assert supported == {"llama": True, "qwen3": True, "gpt2": True}
    backbone = make_tiny_backbone()
    backbone.model.config._attn_implementation = "eager"
    assert not supports_frozen_prefix(optimized(backbone, "own"))


def test_the_frozen_prefix_gets_no_gradient_and_is_not_copied(tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone)
    kv = kv_from_text_twin(store.backbone, "domain", "Be brief.", some_ids(9, 1))
    kv.vectors.requires_grad_(True)
    row = Row(some_ids(40, 2), (kv, some_ids(5, 3)))
    loss, _ = answer_loss(store, [TrainingExample(row, some_ids(2, 4))])
    seen, left = [], [loss.grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in seen:
            seen.append(node)
            left += [parent for parent, _ in node.next_functions]
    attending = [node for node in seen if node.name() == "_PrefixAttentionBackward"]
    assert len(attending) == 3
    # Query, key and value have parents; frozen keys and values and the masks have none.
    assert [[parent is not None for parent, _ in n.next_functions] for n in attending][-1][3:5] == [False, False]
