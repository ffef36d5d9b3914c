"""Keys and values of a conversation: taken over by the next turn, with the replies of one that starts anew."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from oracle import greedy_ids, some_ids, some_kv, some_rows, some_soft_prompt

from soft_prompt import (
    Backbone,
    ContextError,
    Decoding,
    PrefixStore,
    Reply,
    Row,
    SoftPrompt,
    generate,
    initial_adapter,
    stream,
)
from soft_prompt.rows.conversation_cache import ConversationCache
from soft_prompt.rows.runs import Run

pytestmark = pytest.mark.heavy

TOKENS = 10
GREEDY = Decoding(max_tokens=TOKENS)
MIB = 1024**2


def remembering(backbone: Backbone, **settings: Any) -> PrefixStore:
    return PrefixStore(backbone, **{"conversation_bytes": 64 * MIB, **settings})


def trained_adapter(backbone: Backbone) -> Any:
    """An adapter that changes the replies."""
    adapter = initial_adapter(backbone, 2, 0)
    rng = torch.Generator().manual_seed(3)
    return replace(adapter, up={name: torch.randn(up.shape, generator=rng) for name, up in adapter.up.items()})


def fill(backbone: Backbone, kind: str) -> tuple[Any, ...]:
    """Fills of the slot."""
    if kind == "twin":
        return (some_ids(5, 20),)
    if kind == "nothing":
        return ()
    if kind == "kv":
        return (some_kv(backbone, 4, 1),)
    soft = some_soft_prompt(backbone, 4, 1)
    if kind == "adapter":
        soft = replace(soft, adapter=trained_adapter(backbone))
    return (soft,)


def conversation(backbone: Backbone, first: Row, turns: int = 3) -> list[Row]:
    """A row and those of the turns that follow, each with what a store without memory answered before."""
    rows = [first]
    for number in range(1, turns):
        row = rows[-1]
        said = list(stream_ids(backbone, row))
        rows.append(row.followed_by((*said, *some_ids(6, 40 + number))))
    return rows


def stream_ids(backbone: Backbone, row: Row) -> list[int]:
    store = remembering(backbone)
    generate(store, [row], GREEDY)
    [kept] = store.conversations._entries
    return kept.reply


def replies(store: PrefixStore, rows: Sequence[Row]) -> list[Reply]:
    return [generate(store, [row], GREEDY)[0] for row in rows]


def same_replies(actual: Sequence[Reply], wanted: Sequence[Reply]) -> bool:
    return [(r.text, r.tokens, r.finish, r.prompt_tokens) for r in actual] == [
        (r.text, r.tokens, r.finish, r.prompt_tokens) for r in wanted
    ]


def check(backbone: Backbone, first: Row, turns: int = 3) -> list[Reply]:
    """The same replies with and without; from the second turn on all but the new tokens are taken over."""
    rows = conversation(backbone, first, turns)
    wanted = replies(PrefixStore(backbone), rows)
    actual = replies(remembering(backbone), rows)
    assert same_replies(actual, wanted)
    for before, row, reply in zip(rows, rows[1:], actual[1:], strict=False):
        assert reply.cached_tokens >= before.length
        assert reply.cached_tokens < row.length
    return actual


@pytest.mark.parametrize("kind", ["embedding", "kv", "adapter", "twin", "nothing"])
@pytest.mark.parametrize("prefix", [0, 20])
def test_later_turns_go_on_from_the_one_before(tiny_backbone: Backbone, kind: str, prefix: int) -> None:
    first = Row(some_ids(prefix, 1), (*fill(tiny_backbone, kind), some_ids(7, 2)))
    actual = check(tiny_backbone, first)
    assert len({reply.text for reply in actual}) == 3


def test_in_every_family(family_backbone: Backbone) -> None:
    for kind in ("kv", "adapter"):
        check(family_backbone, Row(some_ids(14, 1), (*fill(family_backbone, kind), some_ids(7, 2))), turns=2)


def test_replies_are_those_of_full_forward_passes(tiny_backbone: Backbone) -> None:
    rows = conversation(tiny_backbone, Row(some_ids(12, 1), (*fill(tiny_backbone, "embedding"), some_ids(7, 2))))
    for row, reply in zip(rows, replies(remembering(tiny_backbone), rows), strict=True):
        ids = greedy_ids(tiny_backbone, row, TOKENS, tiny_backbone.end_ids)
        assert reply.text == tiny_backbone.decode(ids).rstrip("\N{REPLACEMENT CHARACTER}")


@pytest.mark.parametrize("attention", ["exact", "block"])
def test_the_same_passages_are_gone_on_from_and_others_are_not(tiny_backbone: Backbone, attention: Any) -> None:
    def row(*seeds: int) -> Row:
        parts = [some_ids(6, 1), *(some_ids(9, seed) for seed in seeds)]
        cuts = tuple(6 + 9 * number for number in range(len(seeds)))
        ids = tuple(token for part in parts for token in part)
        return Row(ids, (*fill(tiny_backbone, "kv"), some_ids(7, 2)), cuts, attention, len(seeds))

    store = remembering(tiny_backbone)
    first = row(11, 12)
    rows = conversation(tiny_backbone, first)
    other = replace(rows[1], prefix=row(11, 13).prefix)
    asked = [*rows, other, rows[2]]
    actual = replies(store, asked)
    assert same_replies(actual, replies(PrefixStore(tiny_backbone), asked))
    assert actual[1].cached_tokens >= first.length
    # Its passages come from the store of passages, as ever.
    assert actual[3].cached_tokens == len(other.prefix)
    assert actual[4].cached_tokens > first.length


def test_what_fills_the_slot_is_told_apart(tiny_backbone: Backbone) -> None:
    store = remembering(tiny_backbone)
    fills = [fill(tiny_backbone, kind) for kind in ("embedding", "adapter", "kv", "twin", "nothing", "embedding")]
    rows = [Row(some_ids(12, 1), (*parts, some_ids(9, 2))) for parts in fills]
    actual = replies(store, rows)
    assert same_replies(actual, replies(PrefixStore(tiny_backbone), rows))
    # Equal vectors of another object count as another soft prompt.
    assert [reply.cached_tokens for reply in actual][-1] == 12


def test_another_slot_for_the_same_adapter_is_another_beginning(tiny_backbone: Backbone) -> None:
    [soft] = fill(tiny_backbone, "adapter")
    ids = some_ids(20, 1)
    rows = [Row(ids[:4], (ids[4:], soft, some_ids(5, 2))), Row(ids, (soft, some_ids(5, 2)))]
    actual = replies(remembering(tiny_backbone), rows)
    assert same_replies(actual, replies(PrefixStore(tiny_backbone), rows))


def test_a_prompt_in_training_is_neither_kept_nor_gone_on_from(tiny_backbone: Backbone) -> None:
    [soft] = fill(tiny_backbone, "embedding")
    learning = replace(soft, vectors=soft.vectors.clone().requires_grad_(True))
    row = Row(some_ids(12, 1), (learning, some_ids(7, 2)))
    store = remembering(tiny_backbone)
    before = replies(store, [row, row])
    assert store.conversations.used_bytes == 0
    with torch.no_grad():
        learning.vectors.mul_(-3)
    after = replies(store, [row])
    assert same_replies(after, replies(PrefixStore(tiny_backbone), [row]))
    assert after[0].text != before[0].text


def test_the_longest_beginning_counts_and_a_question_asked_again_runs_one_token(tiny_backbone: Backbone) -> None:
    store = remembering(tiny_backbone)
    rows = conversation(tiny_backbone, Row(some_ids(12, 1), (*fill(tiny_backbone, "embedding"), some_ids(7, 2))))
    replies(store, rows)
    # An earlier turn is dropped, since the later one contains it.
    assert len(store.conversations._entries) == 1
    [again] = replies(store, [rows[2]])
    assert again.cached_tokens == rows[2].length - 1
    # Half of another question.
    branch = replace(rows[1], suffix=(*rows[1].suffix[:-1], (*rows[1].suffix[-1][:-3], *some_ids(5, 77))))
    [other] = replies(store, [branch])
    assert other.cached_tokens == rows[1].length - 3
    assert same_replies([other], replies(PrefixStore(tiny_backbone), [branch]))


def test_room_is_bounded_and_the_one_used_last_goes_last(tiny_backbone: Backbone) -> None:
    rows = [Row(some_ids(12, seed), (some_ids(20, 50 + seed),)) for seed in range(4)]
    one = remembering(tiny_backbone)
    replies(one, rows[:1])
    size = one.conversations.used_bytes
    assert size > 0
    store = remembering(tiny_backbone, conversation_bytes=2 * size)
    replies(store, [rows[0], rows[1], rows[0], rows[2]])
    assert store.conversations.used_bytes <= 2 * size
    assert replies(store, [rows[0]])[0].cached_tokens == 31
    assert replies(store, [rows[1]])[0].cached_tokens == 12
    # What does not fit at all pushes nothing out.
    before = store.conversations.used_bytes
    replies(store, [Row(some_ids(12, 9), (some_ids(150, 60),))])
    assert store.conversations.used_bytes == before
    store.close()
    assert store.conversations.used_bytes == 0


def test_the_size_is_that_of_the_tensors(tiny_backbone: Backbone) -> None:
    store = remembering(tiny_backbone)
    row = Row(some_ids(12, 1), (some_ids(20, 2),))
    replies(store, [row])
    layers, heads, head_dim = tiny_backbone.cache_layout
    # The last token of a reply has no keys and values.
    assert store.conversations.used_bytes == layers * 2 * heads * head_dim * 4 * (row.length + TOKENS - 1)


def test_a_limit_of_zero_keeps_nothing(tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone)
    rows = conversation(tiny_backbone, Row(some_ids(12, 1), (some_ids(7, 2),)))
    assert [reply.cached_tokens for reply in replies(store, rows)] == [12, 12, 12]
    assert store.conversations.used_bytes == 0


def test_a_plain_conversation_leaves_no_entry_for_every_turn(tiny_backbone: Backbone) -> None:
    """Without a slot the prefix is the whole conversation up to the last message."""
    store, plain = remembering(tiny_backbone), PrefixStore(tiny_backbone)
    ids = some_ids(30, 1)
    rows = [Row(ids[: 12 + 6 * number], (some_ids(4, 2),)) for number in range(3)]
    actual, wanted = replies(store, rows), replies(plain, rows)
    assert same_replies(actual, wanted)
    assert [reply.cached_tokens for reply in actual] == [12, 12, 18]
    assert (store.computed_tokens, plain.computed_tokens) == (12, 12 + 18 + 24)


def test_batches_and_sampling(tiny_backbone: Backbone) -> None:
    store = remembering(tiny_backbone)
    rows = some_rows(tiny_backbone)
    assert same_replies(generate(store, rows, GREEDY), generate(PrefixStore(tiny_backbone), rows, GREEDY))
    assert store.conversations.used_bytes == 0
    sampled = Decoding(max_tokens=TOKENS, temperature=1.0, seed=5)
    turns = conversation(tiny_backbone, rows[0])
    actual = [generate(store, [row], sampled)[0] for row in turns]
    assert same_replies(actual, [generate(PrefixStore(tiny_backbone), [row], sampled)[0] for row in turns])
    assert actual[2].cached_tokens > len(turns[2].prefix)


def test_the_context_is_looked_at_as_ever(tiny_backbone: Backbone) -> None:
    store = remembering(tiny_backbone)
    row = Row(some_ids(400, 1), (some_ids(90, 2),))
    replies(store, [row])
    longer = row.followed_by(some_ids(30, 3))
    with pytest.raises(ContextError, match="520 tokens"):
        replies(store, [longer])


def test_a_reply_that_is_broken_off_is_gone_on_from(tiny_backbone: Backbone) -> None:
    store = remembering(tiny_backbone)
    row = Row(some_ids(12, 1), (*fill(tiny_backbone, "kv"), some_ids(7, 2)))
    rows = conversation(tiny_backbone, row, 2)
    parts = stream(store, row, GREEDY)
    next(parts)
    next(parts)
    parts.close()  # type: ignore[attr-defined]
    [actual] = replies(store, rows[1:])
    assert row.length < actual.cached_tokens < row.length + TOKENS
    assert same_replies([actual], replies(PrefixStore(tiny_backbone), rows[1:]))


def test_many_at_once(tiny_backbone: Backbone) -> None:
    rows = conversation(tiny_backbone, Row(some_ids(12, 1), (*fill(tiny_backbone, "kv"), some_ids(7, 2))))
    wanted = replies(PrefixStore(tiny_backbone), rows)
    store = remembering(tiny_backbone)
    wrong: list[Any] = []

    def ask() -> None:
        for _ in range(2):
            actual = replies(store, rows)
            if not same_replies(actual, wanted):
                wrong.append(actual)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_int8_weights_are_left_out(make_tiny_backbone: Callable[..., Backbone]) -> None:
    backbone = make_tiny_backbone(hidden_size=64)
    rounded = replace(backbone, model=backbone.model.to(torch.bfloat16))
    rows = conversation_of_ids()
    store = remembering(rounded)
    for row in rows:
        [reply] = generate(store, [row], Decoding(max_tokens=4, weights="int8"))
        assert reply.cached_tokens == 12
    assert store.conversations.used_bytes == 0


def conversation_of_ids() -> list[Row]:
    return [Row(some_ids(12, 1), (some_ids(5 * number, 2),)) for number in (1, 2)]


def test_a_soft_prompt_that_is_gone_is_not_mistaken_for_a_new_one(tiny_backbone: Backbone) -> None:
    store = remembering(tiny_backbone)
    for seed in range(6):
        soft = SoftPrompt("domain", torch.full((3, tiny_backbone.hidden_size), 0.1 * seed), "twin")
        row = Row(some_ids(8, 1), (soft, some_ids(5, 2)))
        assert same_replies(replies(store, [row]), replies(PrefixStore(tiny_backbone), [row]))
        del soft, row


def run_of(start: int, length: int) -> Run:
    return Run(start, length, ((torch.zeros(2, length, 8), torch.zeros(2, length, 8)),))


def test_the_start_of_a_dropped_conversation_does_not_keep_all_of_it_in_memory() -> None:
    size = run_of(0, 100).nbytes
    cache = ConversationCache(3 * size)
    for number in range(20):
        ids = some_ids(100, 100 + number)
        cache.add(Row((), (ids,)), (), [run_of(0, 100)])
        branch = Row((), ((*ids[:10], 1, 2),))
        reused = cache.longest_prefix(branch, 0)
        assert reused is not None
        cache.add(branch, (), [*reused.runs, run_of(10, 2)])
        # The branches are used more often than what they branched off.
        for other in range(number):
            cache.longest_prefix(Row((), ((*some_ids(10, 100 + other), 1, 2, 3),)), 0)
    tensors = [tensor for entry in cache._entries for run in entry.runs for pair in run.layers for tensor in pair]
    held = {tensor.data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    assert sum(held.values()) <= 2 * cache.limit_bytes
