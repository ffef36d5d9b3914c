"""Scores of labels: the tree behind one prompt pass gives what each label alone gives behind the whole prompt."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from oracle import full_loss, some_ids, some_soft_prompt

from soft_prompt import Backbone, BackboneError, PrefixStore, Row, SoftPromptError, initial_adapter, score_continuations
from soft_prompt.graft.prompt import SoftPrompt

# Left out of `make check`.
pytestmark = pytest.mark.heavy

# Some share a beginning, one is the beginning of another, and one shares nothing.
SHARED = some_ids(3, 7)
LABELS = [
    (*SHARED, 2), (*SHARED, *some_ids(2, 8), 2), (*SHARED[:1], *some_ids(4, 9), 2), some_ids(1, 10), some_ids(6, 11),
]  # fmt: skip


def rows_of(backbone: Backbone) -> list[Row]:
    soft = some_soft_prompt(backbone, 4, 1)
    return [
        Row(some_ids(21, 1), (soft, some_ids(6, 2))),
        Row(some_ids(9, 3), (soft, some_ids(3, 4))),
        Row(some_ids(30, 5), (some_ids(11, 6),)),
    ]


def one_at_a_time(backbone: Backbone, rows: list[Row], labels: list[tuple[int, ...]]) -> torch.Tensor:
    return torch.tensor([[-float(full_loss(backbone, [row], [label])) for label in labels] for row in rows])


@pytest.mark.parametrize("batch_size", [1, 3])
def test_each_label_scores_as_it_does_alone(tiny_backbone: Backbone, batch_size: int) -> None:
    rows, seen = rows_of(tiny_backbone), []
    actual = score_continuations(PrefixStore(tiny_backbone), rows, LABELS, batch_size=batch_size, on_row=seen.append)
    torch.testing.assert_close(actual, one_at_a_time(tiny_backbone, rows, LABELS), atol=2e-4, rtol=1e-4)
    assert seen == list(range(batch_size, 4, batch_size))


@pytest.mark.parametrize("family", ["qwen3", "gpt2", "gemma"])
def test_other_families(make_tiny_backbone: Callable[..., Backbone], family: str) -> None:
    backbone = make_tiny_backbone(family)
    rows = rows_of(backbone)
    actual = score_continuations(PrefixStore(backbone), rows, LABELS)
    torch.testing.assert_close(actual, one_at_a_time(backbone, rows, LABELS), atol=5e-4, rtol=1e-4)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_without_rows_is_refused(tiny_backbone: Backbone, batch_size: int) -> None:
    with pytest.raises(SoftPromptError, match=f"a batch size of {batch_size}"):
        score_continuations(PrefixStore(tiny_backbone), rows_of(tiny_backbone), LABELS, batch_size=batch_size)


def test_more_labels_than_run_together(tiny_backbone: Backbone) -> None:
    labels = [some_ids(4, 200 + n) for n in range(60)]
    rows = rows_of(tiny_backbone)[:2]
    actual = score_continuations(PrefixStore(tiny_backbone), rows, labels)
    torch.testing.assert_close(actual, one_at_a_time(tiny_backbone, rows, labels), atol=2e-4, rtol=1e-4)


def test_an_adapter_acts_on_labels_too(tiny_backbone: Backbone) -> None:
    adapter = initial_adapter(tiny_backbone, 2, 0)
    adapter = type(adapter).from_tensors({n: torch.full_like(t, 0.05) for n, t in adapter.tensors().items()})
    soft = some_soft_prompt(tiny_backbone, 4, 1)
    with_adapter = SoftPrompt(soft.slot, soft.vectors, soft.text_twin, adapter=adapter)
    row = Row(some_ids(12, 1), (with_adapter, some_ids(6, 2)))
    plain = Row(some_ids(12, 1), (soft, some_ids(6, 2)))
    store = PrefixStore(tiny_backbone)
    actual, without = (score_continuations(store, [one], LABELS) for one in (row, plain))
    from soft_prompt.training.answer_loss import answer_loss
    from soft_prompt.training.example import TrainingExample

    with torch.no_grad():
        expected = [-float(answer_loss(store, [TrainingExample(row, label)])[0]) for label in LABELS]
    torch.testing.assert_close(actual[0], torch.tensor(expected), atol=2e-4, rtol=1e-4)
    assert (actual - without).abs().max() > 0.1


def test_what_is_ruled_out_is_not_run_and_never_underrated(tiny_backbone: Backbone) -> None:
    labels = [some_ids(5, 300 + n) for n in range(40)]
    rows = rows_of(tiny_backbone)
    store = PrefixStore(tiny_backbone)
    whole = score_continuations(store, rows, labels)
    pruned = score_continuations(store, rows, labels, within=3.0)
    best = whole.max(dim=1, keepdim=True).values
    near = whole >= best - 3.0
    torch.testing.assert_close(pruned[near], whole[near], atol=2e-4, rtol=1e-4)
    assert (pruned >= whole - 2e-4).all()
    assert (pruned[~near] < (best - 3.0).expand_as(whole)[~near] + 2e-4).all()
    assert (pruned > whole + 0.5).any(), "nothing was ruled out, so the test shows nothing"


def test_a_bias_decides_what_is_ruled_out(tiny_backbone: Backbone) -> None:
    labels = [some_ids(5, 300 + n) for n in range(40)]
    rows, store = rows_of(tiny_backbone), PrefixStore(tiny_backbone)
    whole = score_continuations(store, rows, labels)
    # The label that is unlikeliest by itself is the best one with this bias.
    last = int(whole[0].argmin())
    bias = torch.zeros(2, len(labels))
    bias[1, last] = 200.0
    pruned = score_continuations(store, rows, labels, biases=bias.tolist(), within=1.0)
    torch.testing.assert_close(pruned[:, last], whole[:, last], atol=2e-4, rtol=1e-4)
    # And the best one of the first alternative is still exact.
    torch.testing.assert_close(pruned.max(dim=1).values, whole.max(dim=1).values, atol=2e-4, rtol=1e-4)


def test_a_bias_keeps_a_label_in_the_running(tiny_backbone: Backbone) -> None:
    labels = [some_ids(5, 300 + n) for n in range(40)]
    rows, store = rows_of(tiny_backbone)[:1], PrefixStore(tiny_backbone)
    [whole] = score_continuations(store, rows, labels)
    first, second = whole.argsort()[:2].tolist()
    # So far behind the first that it waits until that is whole; without its bias it would then be ruled out.
    bias = [0.0] * len(labels)
    bias[first] = 300.0
    bias[second] = 300.0 + float(whole[first] - whole[second]) - 60.0
    [pruned] = score_continuations(store, rows, labels, biases=[bias], within=62.0)
    torch.testing.assert_close(pruned[[first, second]], whole[[first, second]], atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("labels", [[], [(3,), (3,)], [(3,), ()]])
def test_equal_or_empty_labels_are_refused(tiny_backbone: Backbone, labels: list[tuple[int, ...]]) -> None:
    with pytest.raises(BackboneError, match="each label different words"):
        score_continuations(PrefixStore(tiny_backbone), rows_of(tiny_backbone), labels)


def test_a_window_that_is_too_short(make_tiny_backbone: Callable[..., Backbone]) -> None:
    backbone = make_tiny_backbone("mistral")
    with pytest.raises(BackboneError, match="a window that is long enough for both"):
        score_continuations(PrefixStore(backbone), [Row(some_ids(21, 1), (some_ids(6, 2),))], LABELS)


def test_encoder_decoders_are_refused(make_tiny_backbone: Callable[..., Backbone]) -> None:
    with pytest.raises(BackboneError, match="scores of labels"):
        score_continuations(PrefixStore(make_tiny_backbone("t5")), [Row((), (some_ids(6, 2),))], LABELS)
