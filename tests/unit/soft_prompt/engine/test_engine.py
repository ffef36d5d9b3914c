"""Requests that join and leave a running batch get the replies that they get alone."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import some_ids, some_kv, some_soft_prompt

from soft_prompt import (
    Adapter,
    Backbone,
    Constraint,
    ConstraintError,
    ContextError,
    Decoding,
    PrefixStore,
    Row,
    initial_adapter,
    initial_scaling,
)
from soft_prompt.engine.block_pool import BLOCK
from soft_prompt.engine.engine import Engine
from soft_prompt.engine.request import Request
from soft_prompt.engine.scheduler import Limits
from soft_prompt.errors import QueueFullError
from soft_prompt.generation.static_batch import decode_static_batch

TOKENS = 9
GREEDY = Decoding(max_tokens=TOKENS)


def adapted(backbone: Backbone, seed: int, rank: int) -> Any:
    """A soft prompt whose adapter changes the replies."""
    adapter = initial_adapter(backbone, rank, seed)
    rng = torch.Generator().manual_seed(seed)
    up = {name: torch.randn(tensor.shape, generator=rng) for name, tensor in adapter.up.items()}
    return replace(some_soft_prompt(backbone, 2, seed), adapter=replace(adapter, up=up))


def scaled(backbone: Backbone, length: int, seed: int) -> Any:
    """A soft prompt whose adapter scales keys, values and the MLP's inner activations."""
    adapter = initial_scaling(backbone)
    rng = torch.Generator().manual_seed(seed)
    drawn = {name: torch.randn(one.shape, generator=rng) for name, one in adapter.tensors().items()}
    return replace(some_soft_prompt(backbone, length, 1), adapter=Adapter.from_tensors(drawn))


def domain_rows(backbone: Backbone) -> list[Row]:
    """Rows of several domains: every kind of soft prompt, shared and own passages, exact and block attention."""
    head = some_ids(7, 1)
    passages = [some_ids(length, 10 + length) for length in (5, 13, 70)]
    fills: list[tuple[Any, ...]] = [
        (some_soft_prompt(backbone, 4, 1),),
        (some_kv(backbone, 3, 2),),
        (adapted(backbone, 3, 2),),
        (adapted(backbone, 4, 3),),
        (some_ids(4, 5),),
        (),
    ]
    rows = []
    for number, fill in enumerate(fills):
        for attention in ("exact", "block"):
            chosen = passages[: 1 + number % 3] if attention == "exact" else passages[::-1][: 2 + number % 2]
            cuts, prefix = [], head
            for passage in chosen:
                cuts.append(len(prefix))
                prefix += passage
            question = some_ids(3 + 11 * (number % 4), 30 + number)
            rows.append(Row(prefix, (*fill, question), tuple(cuts), attention))  # type: ignore[arg-type]
    return rows


def alone(store: PrefixStore, row: Row, decoding: Decoding = GREEDY, number: int = 0) -> str:
    """The reply of a forward pass of its own, by other code."""
    [reply] = [d.reply for d in decode_static_batch(store, [row], decoding, [number]) if d.reply is not None]
    return reply.text


def texts(engine: Engine, store: PrefixStore, rows: Sequence[Row], **options: Any) -> list[str]:
    job = engine.submit([Request(store, row, GREEDY) for row in rows], **options)
    replies = {delta.row: delta.reply.text for delta in job if delta.reply is not None}
    return [replies[number] for number in range(len(rows))]


def wait_until_idle(engine: Engine) -> None:
    for _ in range(1000):
        if not engine.running and not engine.waiting and engine._thread is None:
            return
        time.sleep(0.01)
    raise AssertionError("the engine does not become idle")


def test_every_kind_of_row_in_one_batch_in_every_family(family_backbone: Backbone) -> None:
    store = PrefixStore(family_backbone)
    rows = domain_rows(family_backbone)
    expected = [alone(store, row) for row in rows]
    # Windows are shorter than passages, so in some families the reply depends on the end of the prompt alone.
    assert len(set(expected)) >= len(rows) // 2
    for native in (False, True):
        engine = Engine(family_backbone, limits=Limits(slice_tokens=8, free_slice_tokens=19), native=native)
        assert texts(engine, store, rows) == expected
        wait_until_idle(engine)
        assert engine.used_bytes == 0
        if not native:
            assert engine._model.kernels is None
        elif shutil.which("cc"):
            assert engine._model.kernels is not None


def test_an_adapter_that_changes_while_the_engine_rests(tiny_backbone: Backbone) -> None:
    """Weights that are trained between two requests are those of the second one."""
    store, engine = PrefixStore(tiny_backbone), Engine(tiny_backbone)
    soft_prompt = adapted(tiny_backbone, 3, 2)
    row = Row(some_ids(7, 1), (soft_prompt, some_ids(5, 9)))
    before = alone(store, row)
    assert texts(engine, store, [row]) == [before]
    for weights in soft_prompt.adapter.up.values():
        weights.mul_(-3)
    after = alone(store, row)
    assert after != before
    assert texts(engine, store, [row]) == [after]


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_rows_that_join_and_leave_at_any_step(tiny_backbone: Backbone, seed: int) -> None:
    rng = random.Random(seed)
    store = PrefixStore(tiny_backbone)
    rows = domain_rows(tiny_backbone)
    limits = Limits(rows=rng.randint(1, 9), slice_tokens=rng.randint(1, 40), free_slice_tokens=rng.randint(1, 90))
    engine = Engine(tiny_backbone, limits=limits)
    requests, jobs = [], []
    for number in range(20):
        decoding = Decoding(max_tokens=rng.randint(1, 40), temperature=rng.choice([0.0, 0.0, 1.0]), seed=seed)
        requests.append(Request(store, rng.choice(rows), decoding, number))
    left = list(requests)
    while left:
        some = [left.pop() for _ in range(min(len(left), rng.randint(1, 6)))]
        jobs.append((some, engine.submit(some)))
        # The engine goes on meanwhile, for some steps.
        until = engine.steps + rng.randint(0, 12)
        while engine.steps < until and engine.running:
            time.sleep(0.001)
        if rng.random() < 0.3:
            jobs.pop()[1].cancel()
    for some, job in jobs:
        for delta in job:
            if delta.reply is not None:
                request = some[delta.row]
                assert delta.reply.text == alone(store, request.row, request.decoding, request.number)
    wait_until_idle(engine)
    assert engine.used_bytes == 0


def test_a_shared_prefix_is_one_run(tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone)
    engine = Engine(tiny_backbone)
    row = domain_rows(tiny_backbone)[0]
    runs = [list(engine._table.of_row(store, replace(row, suffix=(some_ids(3, n),)))) for n in range(2)]
    assert all(one is other for one, other in zip(*runs, strict=True))
    # The tensors are the store's own.
    [first, *_] = store.segments(row)
    assert runs[0][0].layers[0][0].data_ptr() == first.entry.data_ptr()


def test_soft_prompts_are_told_apart_by_content_not_by_name(tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone)
    kinds: list[Any] = [some_kv, lambda backbone, _, seed: adapted(backbone, seed, 2), scaled]
    for make in kinds:
        prompts = [make(tiny_backbone, 3, seed) for seed in (1, 2, 1)]
        # The last one has no adapter.
        rows = [Row(some_ids(9, 1), (prompt, some_ids(5, 2))) for prompt in [*prompts, some_ids(3, 3)]]
        for native in (False, True):
            actual = texts(Engine(tiny_backbone, native=native), store, rows)
            assert actual == [alone(store, row) for row in rows]
            assert actual[0] == actual[2] != actual[1]


def test_groups_take_turns(tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone)
    engine = Engine(tiny_backbone, limits=Limits(rows=1))
    many = [Row(some_ids(6, 1), (some_ids(3, n),)) for n in range(8)]
    other = Row(some_ids(6, 2), (some_ids(3, 20),))
    order: list[str] = []
    job = engine.submit([Request(store, row, GREEDY) for row in [*many, other]])
    for delta in job:
        if delta.reply is not None:
            order.append("other" if delta.row == len(many) else "many")
    assert order.index("other") <= 1


def test_a_long_prompt_does_not_stop_the_others(tiny_backbone: Backbone) -> None:
    engine = Engine(tiny_backbone, limits=Limits(slice_tokens=16))
    # No end token, so that the short prompt's reply has 100 tokens.
    backbone = replace(tiny_backbone)
    object.__setattr__(backbone, "end_ids", frozenset())
    store = PrefixStore(backbone)
    short = engine.submit([Request(store, Row((), (some_ids(4, 1),)), Decoding(max_tokens=100))], background=True)
    while engine.steps < 2:
        time.sleep(0.001)
    begin = engine.steps
    long = engine.submit([Request(store, Row((), (some_ids(400, 2),)), Decoding(max_tokens=1))])
    assert [delta.reply.tokens for delta in long if delta.reply is not None] == [1]
    # 400 tokens in slices of 16, each beside a token of the other reply.
    assert 25 <= engine.steps - begin < 90
    assert [delta.reply.tokens for delta in short if delta.reply is not None] == [100]


def test_cancelling_frees_the_place_and_the_memory(tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone)
    engine = Engine(tiny_backbone, limits=Limits(rows=1, slice_tokens=1, free_slice_tokens=1))
    for decoding_tokens, prompt in ((300, 4), (2, 200)):
        first = engine.submit([Request(store, Row((), (some_ids(prompt, 1),)), Decoding(max_tokens=decoding_tokens))])
        second = engine.submit([Request(store, Row((), (some_ids(5, 2),)), GREEDY)])
        while not engine.running:
            time.sleep(0.001)
        first.cancel()
        assert [delta for delta in first if delta.reply is not None] == []
        assert [delta for delta in second if delta.reply is not None] != []
    wait_until_idle(engine)
    assert engine.used_bytes == 0


def test_a_request_that_was_given_up_while_it_waited_never_runs(tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone)
    engine = Engine(tiny_backbone, limits=Limits(rows=1))
    first = engine.submit([Request(store, Row((), (some_ids(4, 1),)), Decoding(max_tokens=60))])
    gone = engine.submit([Request(store, Row((), (some_ids(4, 2),)), GREEDY)], cancelled=lambda: True)
    assert list(gone) == []
    assert [delta.reply.tokens for delta in first if delta.reply is not None] != []


def test_more_requests_than_may_wait_are_refused(tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone)
    engine = Engine(tiny_backbone, limits=Limits(rows=1, waiting=2))
    rows = [Row((), (some_ids(4, n),)) for n in range(5)]
    with pytest.raises(QueueFullError, match="try again later"):
        texts(engine, store, rows, may_refuse=True)
    assert len(texts(engine, store, rows)) == 5


def test_memory_is_bounded_and_a_large_request_runs_alone(tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone)
    block_bytes = Engine(tiny_backbone)._model.pool.block_bytes
    engine = Engine(tiny_backbone, limits=Limits(memory_bytes=2 * block_bytes))
    rows = [Row((), (some_ids(length, n),)) for n, length in enumerate((5, 6, 7, 3 * BLOCK, 8, 9))]
    peak, job = 0, engine.submit([Request(store, row, GREEDY) for row in rows])
    for _ in job:
        peak = max(peak, engine.used_bytes)
    assert peak <= 4 * block_bytes
    assert engine._model.pool.blocks * block_bytes <= 64 * block_bytes


def test_errors_reach_their_caller_alone(tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone)
    engine = Engine(tiny_backbone)
    good = Row((), (some_ids(5, 1),))
    with pytest.raises(ContextError):
        engine.submit([Request(store, Row((), (some_ids(600, 1),)), GREEDY)])
    with pytest.raises(ConstraintError):
        engine.submit([Request(store, replace(good, constraint=Constraint.regex("(")), GREEDY)])

    class BrokenStore(PrefixStore):
        def segments(self, row: Row) -> Any:
            raise OSError("the disk is gone")

    running = engine.submit([Request(store, good, Decoding(max_tokens=40))])
    broken = engine.submit([Request(BrokenStore(tiny_backbone), good, GREEDY)])
    with pytest.raises(OSError, match="the disk is gone"):
        list(broken)
    assert [delta.reply.text for delta in running if delta.reply is not None] == [
        alone(store, good, Decoding(max_tokens=40))
    ]


def test_constraints_stop_texts_and_seeds_hold_for_every_row(tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone)
    engine = Engine(tiny_backbone)
    row = Row(some_ids(8, 1), (some_ids(4, 2),))
    choice = replace(row, constraint=Constraint.choice(["yes", "no"]))
    plain = alone(store, row)
    requests = [
        Request(store, row, GREEDY),
        Request(store, choice, GREEDY),
        Request(store, row, Decoding(max_tokens=TOKENS, stop=(plain[2:4],))),
        Request(store, row, Decoding(max_tokens=TOKENS, temperature=1.0, seed=5), number=1),
    ]
    replies = {delta.row: delta.reply for delta in engine.submit(requests) if delta.reply is not None}
    assert replies[0].text == plain
    assert replies[1].text in ("yes", "no")
    assert replies[2].text == plain[:2]
    assert replies[3].text == alone(store, row, requests[3].decoding, number=1) != plain
    assert [replies[n].prompt_tokens for n in range(4)] == [12] * 4


def test_nothing_grows_with_the_number_of_requests(tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone)
    engine = Engine(tiny_backbone)
    rows = domain_rows(tiny_backbone)[:6]
    for _ in range(3):
        texts(engine, store, rows * 4)
        wait_until_idle(engine)
    blocks = engine._model.pool.blocks
    for _ in range(10):
        texts(engine, store, rows * 4)
    wait_until_idle(engine)
    assert engine._model.pool.blocks == blocks
    assert len(engine._table._runs) == 0


def test_a_process_may_end_in_the_middle_of_a_reply() -> None:
    script = """
import sys
sys.path[:0] = sys.argv[1:]
from tiny_backbones import make_backbone
from soft_prompt import Decoding, PrefixStore, Row, stream
pieces = stream(PrefixStore(make_backbone()), Row((), (tuple(range(3, 40)),)), Decoding(max_tokens=400))
next(pieces)
"""
    tests = Path(__file__).parents[3]
    command = [sys.executable, "-c", script, str(tests / "support"), str(tests.parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
