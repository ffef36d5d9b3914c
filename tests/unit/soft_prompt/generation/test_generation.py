"""Generation with cached keys and values gives the same tokens as full forward passes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from oracle import greedy_ids, some_ids, some_rows
from row_checks import HALF, TOKENS, check_greedy

from soft_prompt import Backbone, ContextError, Decoding, PrefixStore, Row, generate, stream, weights_checksum
from soft_prompt.generation.generation import decode_batch

# Left out of `make check`.
pytestmark = pytest.mark.heavy

SAMPLED = Decoding(max_tokens=TOKENS, temperature=1.0, top_p=0.95, seed=11)


def common_tokens(backbone: Backbone, rows: list[Row]) -> list[int]:
    """Tokens that greedy decoding comes to in some rows and not in others, at different steps."""
    decoded = [greedy_ids(backbone, row, TOKENS, frozenset()) for row in rows]
    return [decoded[0][2], decoded[1][5], decoded[2][8]]


def test_greedy_decoding_equals_full_forward_passes(tiny_backbone: Backbone) -> None:
    replies = check_greedy(tiny_backbone, some_rows(tiny_backbone))
    # The replies differ, so the comparison is meaningful.
    assert len({reply.text for reply in replies}) == len(replies)


def test_greedy_decoding_equals_full_forward_passes_in_other_families(family_backbone: Backbone) -> None:
    check_greedy(family_backbone, some_rows(family_backbone))


def test_rows_that_end_leave_the_batch_and_the_others_go_on(make_tiny_backbone: Callable[..., Backbone]) -> None:
    backbone = make_tiny_backbone()
    rows = some_rows(backbone)
    # A model may name several end tokens: here three that rows come to at different steps.
    backbone.model.generation_config.eos_token_id = common_tokens(backbone, rows)
    replies = check_greedy(backbone, rows)
    assert len({reply.tokens for reply in replies}) >= 4
    assert {reply.finish for reply in replies} == {"stop", "length"}


@pytest.mark.parametrize("decoding", [Decoding(max_tokens=TOKENS), SAMPLED], ids=["greedy", "sampled"])
def test_the_batch_size_does_not_change_a_reply(tiny_backbone: Backbone, decoding: Decoding) -> None:
    rows = some_rows(tiny_backbone)
    texts = [
        [reply.text for reply in generate(PrefixStore(tiny_backbone), rows, decoding, batch_size=size)]
        for size in (1, 2, 3, 16)
    ]
    assert texts == [texts[0]] * 4


@pytest.mark.parametrize("decoding", [Decoding(max_tokens=TOKENS), SAMPLED], ids=["greedy", "sampled"])
def test_the_order_in_the_batch_does_not_change_a_reply(
    tiny_backbone: Backbone, store: PrefixStore, decoding: Decoding
) -> None:
    rows = some_rows(tiny_backbone)
    expected = [reply.text for reply in generate(store, rows, decoding)]
    for order in ([6, 5, 4, 3, 2, 1, 0], [3, 0, 6, 1]):
        deltas = decode_batch(store, [rows[i] for i in order], decoding, row_numbers=order)
        replies = {order[delta.row]: delta.reply.text for delta in deltas if delta.reply is not None}
        assert replies == {i: expected[i] for i in order}


def test_greedy_replies_follow_their_rows_when_the_rows_change_places(
    tiny_backbone: Backbone, store: PrefixStore
) -> None:
    rows = some_rows(tiny_backbone)
    decoding = Decoding(max_tokens=TOKENS)
    assert generate(store, rows[::-1], decoding) == generate(store, rows, decoding)[::-1]


def test_a_seed_decides_the_sample(tiny_backbone: Backbone, store: PrefixStore) -> None:
    row = Row(some_ids(8, 1), (some_ids(3, 2),))

    def say(seed: int | None) -> str:
        return generate(store, [row], Decoding(max_tokens=TOKENS, temperature=1.0, seed=seed))[0].text

    assert say(0) == say(0)
    assert say(0) != say(1)
    assert say(None) != say(None)


def test_the_same_prompt_twice_is_sampled_twice(tiny_backbone: Backbone, store: PrefixStore) -> None:
    row = Row(some_ids(8, 1), (some_ids(3, 2),))
    one, other = generate(store, [row, row], SAMPLED)
    assert one.text != other.text


def test_sampling_leaves_the_global_generator_alone(tiny_backbone: Backbone, store: PrefixStore) -> None:
    before = torch.random.get_rng_state()
    generate(store, some_rows(tiny_backbone), SAMPLED)
    generate(store, some_rows(tiny_backbone), Decoding(max_tokens=2, temperature=1.0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_low_top_p_is_greedy_and_a_high_temperature_is_not(tiny_backbone: Backbone, store: PrefixStore) -> None:
    rows = some_rows(tiny_backbone)
    greedy = generate(store, rows, Decoding(max_tokens=TOKENS))
    assert generate(store, rows, Decoding(max_tokens=TOKENS, temperature=1.0, top_p=1e-6, seed=0)) == greedy
    assert generate(store, rows, Decoding(max_tokens=TOKENS, temperature=5.0, seed=0)) != greedy


def test_replies_come_in_the_order_of_the_rows_and_are_counted(tiny_backbone: Backbone, store: PrefixStore) -> None:
    rows = some_rows(tiny_backbone)
    counted: list[int] = []
    replies = generate(store, rows, Decoding(max_tokens=3), batch_size=2, on_reply=counted.append)
    assert [reply.prompt_tokens for reply in replies] == [row.length for row in rows]
    assert counted == list(range(1, len(rows) + 1))


def test_no_rows_give_no_replies(store: PrefixStore) -> None:
    assert generate(store, []) == []


def test_what_came_from_the_store_is_said(tiny_backbone: Backbone, store: PrefixStore) -> None:
    row = Row(some_ids(9, 1), (some_ids(4, 2),))
    reply = generate(store, [row], Decoding(max_tokens=2))[0]
    assert (reply.prompt_tokens, reply.cached_tokens) == (13, 9)
    both = generate(store, [row, Row((), (some_ids(10, 3),))], Decoding(max_tokens=2))
    assert [r.cached_tokens for r in both] == [9, 0]


def test_at_most_so_many_tokens(tiny_backbone: Backbone, store: PrefixStore) -> None:
    rows = some_rows(tiny_backbone)
    for count in (1, 2, 7):
        assert max(reply.tokens for reply in generate(store, rows, Decoding(max_tokens=count))) == count


def test_a_row_and_its_answer_must_fit_the_context(make_tiny_backbone: Callable[..., Backbone]) -> None:
    backbone = make_tiny_backbone(max_position_embeddings=32)
    row = Row(some_ids(20, 1), (some_ids(4, 2),))
    check = generate(PrefixStore(backbone), [row], Decoding(max_tokens=8))
    assert check[0].text == backbone.decode(greedy_ids(backbone, row, 8, backbone.end_ids)).rstrip(HALF)
    with pytest.raises(ContextError, match="at most 32 tokens"):
        generate(PrefixStore(backbone), [row], Decoding(max_tokens=9))
    with pytest.raises(ContextError, match="up to 64 more"):
        list(stream(PrefixStore(backbone), row, Decoding(max_tokens=64)))


def test_generation_changes_neither_weights_nor_stored_keys(tiny_backbone: Backbone, store: PrefixStore) -> None:
    rows = some_rows(tiny_backbone)
    weights = weights_checksum(tiny_backbone)
    stored = {row.prefix: store.get(row.prefix).clone() for row in rows if row.prefix}
    generate(store, rows, Decoding(max_tokens=TOKENS))
    assert weights_checksum(tiny_backbone) == weights
    assert all(torch.equal(store.get(prefix), entry) for prefix, entry in stored.items())
