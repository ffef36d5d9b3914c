"""Batches have padding at the far left only, and give each row the logits that it has alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from oracle import batch_logits, full_logits, some_ids, some_kv, some_rows, some_soft_prompt, whole
from row_checks import check_equal_to_each_row_alone

from soft_prompt import Backbone, BackboneError, ContextError, PrefixStore, Row
from soft_prompt.rows.batch import assemble

# Left out of `make check`.
pytestmark = pytest.mark.heavy


def test_padding_stands_at_the_far_left_only(tiny_backbone: Backbone, store: PrefixStore) -> None:
    rows = some_rows(tiny_backbone)
    batch = assemble(store, rows)
    for number, row in enumerate(rows):
        in_store = batch.mask[number, : batch.cached_length].tolist()
        in_forward = batch.mask[number, batch.cached_length :].tolist()
        # Within either part a real position is never followed by padding, and none stands between the parts.
        assert in_store == sorted(in_store)
        assert in_forward == sorted(in_forward)
        assert sum(in_store) + sum(in_forward) == row.length
        assert not any(in_store) or all(in_forward)
        assert batch.positions[number, -sum(in_forward) :].tolist() == list(range(sum(in_store), row.length))


def test_only_what_must_run_runs(tiny_backbone: Backbone, store: PrefixStore) -> None:
    rows = some_rows(tiny_backbone)
    batch = assemble(store, rows)
    longest_suffix = max(row.length - len(row.prefix) for row in rows)
    assert batch.embeddings.shape == (len(rows), longest_suffix, tiny_backbone.hidden_size)
    assert batch.mask.shape == (len(rows), batch.cached_length + batch.embeddings.shape[1])


def test_a_batch_equals_each_row_alone(tiny_backbone: Backbone) -> None:
    check_equal_to_each_row_alone(tiny_backbone, some_rows(tiny_backbone))


def test_a_batch_equals_each_row_alone_in_other_families(family_backbone: Backbone) -> None:
    check_equal_to_each_row_alone(family_backbone, some_rows(family_backbone))


@pytest.mark.parametrize("at", ["first", "middle", "last", "everything"])
def test_the_slot_may_stand_anywhere(tiny_backbone: Backbone, at: str) -> None:
    soft = some_soft_prompt(tiny_backbone, 5, 3)
    ids = some_ids(20, 4)
    row = {
        "first": Row((), (soft, ids)),
        "middle": Row(ids[:9], (soft, ids[9:])),
        "last": Row(ids, (soft,)),
        "everything": Row((), (soft,)),
    }[at]
    check_equal_to_each_row_alone(tiny_backbone, [row])
    check_equal_to_each_row_alone(tiny_backbone, [row, Row(some_ids(3, 5), (some_ids(2, 6),))])


def test_the_comparison_would_notice_a_slot_in_another_place(tiny_backbone: Backbone) -> None:
    # The guard of this file: if the random weights were too flat, every comparison above would pass.
    soft = some_soft_prompt(tiny_backbone, 5, 3)
    ids = some_ids(20, 4)
    with torch.no_grad():
        one = full_logits(tiny_backbone, whole(tiny_backbone, Row(ids[:9], (soft, ids[9:]))))
        other = full_logits(tiny_backbone, whole(tiny_backbone, Row(ids[:8], (soft, ids[8:]))))
    assert (one[-1] - other[-1]).abs().max() > 0.1


def test_a_cached_prefix_is_cut_where_the_suffix_is_shorter_than_the_longest(
    tiny_backbone: Backbone, store: PrefixStore
) -> None:
    short = Row(some_ids(10, 1), (some_ids(2, 2),))
    long = Row(some_ids(10, 1), (some_ids(7, 3),))
    batch = assemble(store, [short, long])
    assert batch.mask[:, : batch.cached_length].sum(dim=1).tolist() == [5, 10]
    check_equal_to_each_row_alone(tiny_backbone, [short, long])


def test_a_row_shorter_than_the_longest_suffix_takes_nothing_from_the_store(
    tiny_backbone: Backbone, store: PrefixStore
) -> None:
    short = Row(some_ids(4, 1), (some_ids(2, 2),))
    long = Row(some_ids(10, 3), (some_ids(20, 4),))
    batch = assemble(store, [short, long])
    assert batch.mask[0, : batch.cached_length].sum() == 0
    assert store.computed_tokens == 10
    check_equal_to_each_row_alone(tiny_backbone, [short, long])


def test_rows_without_any_prefix_have_no_cached_part(tiny_backbone: Backbone, store: PrefixStore) -> None:
    rows = [Row((), (some_ids(4, 1),)), Row((), (some_ids(6, 2),))]
    batch = assemble(store, rows)
    assert batch.cached is None
    assert batch.cached_length == store.computed_tokens == 0
    check_equal_to_each_row_alone(tiny_backbone, rows)


def test_a_prefix_is_computed_once(tiny_backbone: Backbone, store: PrefixStore) -> None:
    prefix = some_ids(10, 1)
    rows = [Row(prefix, (some_ids(3, seed),)) for seed in range(5)]
    for _ in range(3):
        assemble(store, rows)
    assert store.computed_tokens == len(prefix)


def test_the_context_may_be_filled_and_no_further(make_tiny_backbone: Callable[..., Backbone]) -> None:
    store = PrefixStore(make_tiny_backbone(max_position_embeddings=32))
    row = Row(some_ids(20, 1), (some_ids(4, 2),))
    assert assemble(store, [row], max_new_tokens=8).mask.sum() == 24
    with pytest.raises(ContextError, match=r"24 tokens and up to 9 more.*at most 32 tokens"):
        assemble(store, [row], max_new_tokens=9)
    with pytest.raises(ContextError):
        assemble(store, [Row((), (some_ids(2, 3),)), row.followed_by(some_ids(9, 4))])


def test_a_batch_is_differentiable_in_the_vectors_only(tiny_backbone: Backbone, store: PrefixStore) -> None:
    rows = some_rows(tiny_backbone)
    rows[0].suffix[0].vectors.requires_grad_(True)  # type: ignore[union-attr]
    batch = assemble(store, rows)
    assert batch.embeddings.requires_grad
    assert batch.cached is not None
    assert not batch.cached.requires_grad


def test_kv_prompts_in_rows_of_different_length_are_right_or_refused(family_backbone: Backbone) -> None:
    # A kv soft prompt leaves padding between prefix and suffix, which a sliding window counts as distance.
    front = some_kv(family_backbone, 4, 3)
    rows = [Row(some_ids(20, 1), (front, some_ids(14, 2))), Row(some_ids(9, 3), (front, some_ids(3, 4)))]
    store = PrefixStore(family_backbone)
    if getattr(family_backbone.model.config, "sliding_window", None):
        with pytest.raises(BackboneError, match="sliding windows"):
            assemble(store, rows)
    else:
        batched = batch_logits(family_backbone, assemble(store, rows))
        for number, row in enumerate(rows):
            alone = batch_logits(family_backbone, assemble(store, [row]))[0]
            torch.testing.assert_close(batched[number, -alone.shape[0] :], alone, atol=1e-4, rtol=0)
