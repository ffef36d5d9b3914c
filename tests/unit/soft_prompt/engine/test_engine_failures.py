"""What goes wrong in one request reaches its caller, who never waits for ever, and no other request."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from oracle import some_ids, some_kv, some_soft_prompt

from soft_prompt import Backbone, BackboneError, Decoding, PrefixStore, Row, SoftPromptError, generate
from soft_prompt.engine.block_pool import BLOCK
from soft_prompt.engine.engine import Engine, engine_of
from soft_prompt.engine.engine_model import supports_engine
from soft_prompt.engine.request import Job, Request
from soft_prompt.engine.running import Running
from soft_prompt.engine.scheduler import Limits
from soft_prompt.generation.static_batch import decode_static_batch

GREEDY = Decoding(max_tokens=9)
Make = Callable[..., Backbone]


def endless(backbone: Backbone) -> Backbone:
    """Without an end token, so that a reply has as many tokens as it may."""
    copied = replace(backbone)
    object.__setattr__(copied, "end_ids", frozenset())
    return copied


def alone(store: PrefixStore, row: Row, decoding: Decoding = GREEDY) -> str:
    [reply] = [d.reply for d in decode_static_batch(store, [row], decoding, [0]) if d.reply is not None]
    return reply.text


def replies(job: Job) -> list[str]:
    """The replies of a job, read in a thread, so that a job without an end fails the test instead of stopping it."""
    found: list[Any] = []

    def read() -> None:
        try:
            found.append({delta.row: delta.reply.text for delta in job if delta.reply is not None})
        except Exception as error:  # noqa: BLE001 raised again in the test's own thread
            found.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(30)
    assert found, "the job does not end"
    if isinstance(found[0], Exception):
        raise found[0]
    return [text for _, text in sorted(found[0].items())]


def row(*segments: tuple[int, ...], suffix: tuple[Any, ...]) -> Row:
    """A row whose prefix has these segments."""
    cuts = tuple(itertools.accumulate(map(len, segments[:-1])))
    return Row(tuple(itertools.chain(*segments)), suffix, cuts)


@pytest.mark.parametrize("native", [False, True])
def test_a_row_that_shares_nothing_beside_rows_that_share_much(tiny_backbone: Backbone, native: bool) -> None:
    store = PrefixStore(tiny_backbone)
    head, first, second, other = some_ids(7, 1), some_ids(9, 2), some_ids(11, 3), some_ids(8, 4)
    rows = [row(head, first, second, suffix=(some_ids(4, 20 + n),)) for n in range(6)]
    rows += [row(head, first, suffix=(some_ids(4, 40 + n),)) for n in range(3)]
    rows.append(row(other, suffix=(some_ids(4, 60),)))
    job = Engine(tiny_backbone, native=native).submit([Request(store, one, GREEDY) for one in rows])
    assert replies(job) == [alone(store, one) for one in rows]


@pytest.mark.parametrize("native", [False, True])
def test_shared_runs_with_a_passage_of_their_own_between_them(make_tiny_backbone: Make, native: bool) -> None:
    backbone = make_tiny_backbone("gemma3_text")
    store, kv = PrefixStore(backbone), some_kv(backbone, 3, 2)
    rows = [row(some_ids(7, 1), some_ids(20, 30 + n), suffix=(kv, some_ids(3, 60 + n))) for n in range(6)]
    job = Engine(backbone, native=native).submit([Request(store, one, GREEDY) for one in rows])
    assert replies(job) == [alone(store, one) for one in rows]


def test_a_tiny_temperature_is_greedy_and_harms_nobody(tiny_backbone: Backbone) -> None:
    store = PrefixStore(tiny_backbone)
    one = Row((), (some_ids(4, 1),))
    for temperature in (1e-40, 1e-4):
        [reply] = generate(store, [one], Decoding(max_tokens=9, temperature=temperature, seed=1))
        assert reply.text == alone(store, one)


def test_an_error_of_the_caller_in_the_line_ends_its_own_job(tiny_backbone: Backbone) -> None:
    store, engine = PrefixStore(tiny_backbone), Engine(tiny_backbone)
    one = Row((), (some_ids(4, 1),))

    def broken() -> bool:
        raise ValueError("a callback")

    bad = engine.submit([Request(store, one, GREEDY)], cancelled=broken)
    good = engine.submit([Request(store, one, GREEDY)])
    assert replies(good) == [alone(store, one)]
    with pytest.raises(ValueError, match="a callback"):
        replies(bad)


def test_an_error_of_one_row_leaves_the_others(tiny_backbone: Backbone) -> None:
    store, engine = PrefixStore(tiny_backbone), Engine(tiny_backbone)
    one = Row((), (some_ids(4, 1),))

    class BrokenBackbone(Backbone):
        def decode(self, ids: Any) -> str:
            raise OSError("no such text")

    broken = BrokenBackbone("tiny", "0" * 64, tiny_backbone.model, tiny_backbone.tokenizer)
    bad = engine.submit([Request(PrefixStore(broken), one, GREEDY)])
    good = engine.submit([Request(store, one, GREEDY)])
    assert replies(good) == [alone(store, one)]
    with pytest.raises(OSError, match="no such text"):
        replies(bad)
    bad.cancel()
    assert engine.used_bytes == 0


def test_a_step_that_fails_ends_what_runs_and_the_next_request_succeeds(
    tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, engine = PrefixStore(tiny_backbone), Engine(tiny_backbone)
    one = Row((), (some_ids(4, 1),))
    jobs = [engine.submit([Request(store, one, GREEDY)]) for _ in range(3)]
    with monkeypatch.context() as patch:

        def fails(*_: Any) -> Any:
            raise RuntimeError("out of memory")

        patch.setattr(engine._model, "forward", fails)
        for job in jobs:
            with pytest.raises((RuntimeError, BackboneError), match="out of memory"):
                replies(job)
    assert replies(engine.submit([Request(store, one, GREEDY)])) == [alone(store, one)]
    assert engine.used_bytes == 0


def test_a_conversation_that_cannot_be_remembered_is_answered(
    tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, engine = PrefixStore(tiny_backbone, conversation_bytes=2**24), Engine(tiny_backbone)
    one = Row((), (some_ids(4, 1),))

    def fails(*_: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(store.conversations, "add", fails)
    assert replies(engine.submit([Request(store, one, GREEDY, reuse=True)])) == [alone(store, one)]
    assert "out of memory" in caplog.text
    assert engine.used_bytes == 0


def test_a_batch_size_below_one_is_refused(tiny_backbone: Backbone) -> None:
    for size in (0, -1):
        with pytest.raises(SoftPromptError, match="at least 1"):
            generate(PrefixStore(tiny_backbone), [Row((), (some_ids(4, 1),))], GREEDY, batch_size=size)


def test_nobody_waits_for_an_engine_that_has_stopped(tiny_backbone: Backbone) -> None:
    backbone = endless(tiny_backbone)
    store, engine = PrefixStore(backbone), Engine(backbone)
    one = Row((), (some_ids(4, 1),))
    job = engine.submit([Request(store, one, Decoding(max_tokens=400))], background=True)
    while engine.steps < 2:
        time.sleep(0.001)
    engine.stop()
    with pytest.raises(BackboneError, match="process ends"):
        replies(job)
    with pytest.raises(BackboneError, match="process ends"):
        engine.submit([Request(store, one, GREEDY)])


def test_a_job_at_its_limit_does_not_hold_up_its_domain(tiny_backbone: Backbone) -> None:
    backbone = endless(tiny_backbone)
    store, engine = PrefixStore(backbone), Engine(backbone)

    def one(number: int) -> Row:
        return Row(some_ids(7, 1), (some_ids(4, number),))

    batch = engine.submit([Request(store, one(n), Decoding(max_tokens=30)) for n in range(6)], limit=1, background=True)
    while engine.steps < 1:
        time.sleep(0.001)
    before = engine.steps
    assert len(replies(engine.submit([Request(store, one(50), Decoding(max_tokens=2))]))) == 1
    assert engine.steps - before < 30
    assert len(replies(batch)) == 6


def test_a_prompt_cancelled_inside_a_soft_prompt_is_not_gone_on_from(tiny_backbone: Backbone) -> None:
    backbone = endless(tiny_backbone)
    store = PrefixStore(backbone, conversation_bytes=2**24)
    engine = Engine(backbone, limits=Limits(slice_tokens=3, free_slice_tokens=3))
    one = Row(some_ids(7, 1), (some_soft_prompt(backbone, 20, 1), some_ids(5, 2)))
    calls = itertools.count()
    assert replies(engine.submit([Request(store, one, GREEDY, reuse=True)], cancelled=lambda: next(calls) > 3)) == []
    assert replies(engine.submit([Request(store, one, GREEDY, reuse=True)])) == [alone(store, one)]


def test_a_soft_prompt_in_training_is_read_anew(tiny_backbone: Backbone) -> None:
    store, engine = PrefixStore(tiny_backbone), Engine(tiny_backbone, native=True)
    kv = some_kv(tiny_backbone, 3, 2)
    kv.vectors.requires_grad_(True)
    rows = [Row(some_ids(7, 1), (kv, some_ids(3, 60 + n))) for n in range(6)]
    # Something else runs all the time, so the engine never comes to rest.
    other = endless(tiny_backbone)
    busy = engine.submit(
        [Request(PrefixStore(other), Row((), (some_ids(4, 9),)), Decoding(max_tokens=490))], background=True
    )
    first = replies(engine.submit([Request(store, one, GREEDY) for one in rows]))
    with torch.no_grad():
        kv.vectors.copy_(torch.randn(kv.vectors.shape, generator=torch.Generator().manual_seed(1)))
    second = replies(engine.submit([Request(store, one, GREEDY) for one in rows]))
    busy.cancel()
    assert second == [alone(store, one) for one in rows] != first


def test_the_memory_of_a_plain_prompt_is_reserved_whole(tiny_backbone: Backbone) -> None:
    backbone = endless(tiny_backbone)
    store = PrefixStore(backbone, conversation_bytes=2**24)
    engine, ids = Engine(backbone), some_ids(300, 1)
    replies(engine.submit([Request(store, Row(ids[:4], (some_ids(3, 2),)), Decoding(max_tokens=2), reuse=True)]))
    one = Request(store, Row(ids, (some_ids(3, 3),)), Decoding(max_tokens=60), reuse=True)
    peak = 0
    for _ in engine.submit([one]):
        peak = max(peak, engine._model.pool.used_blocks)
    assert peak <= Running(Job(engine, 1, None, None), 0, one).reserved <= -(-363 // BLOCK)


def test_other_families_decode_in_batches_that_no_row_joins(make_tiny_backbone: Make) -> None:
    backbone = make_tiny_backbone("gpt_oss", head_dim=8, num_local_experts=4, num_experts_per_tok=2, sliding_window=8)
    assert not supports_engine(backbone)
    with torch.no_grad():
        for name, parameter in backbone.model.named_parameters():
            if name.endswith("sinks"):
                parameter.fill_(3.0)
    store = PrefixStore(backbone)
    rows = [row(some_ids(7, 1), suffix=(some_ids(4, 20 + n),)) for n in range(4)]
    assert [reply.text for reply in generate(store, rows, GREEDY)] == [alone(store, one) for one in rows]


def test_one_caller_runs_the_steps_itself(tiny_backbone: Backbone) -> None:
    store, engine = PrefixStore(tiny_backbone), Engine(tiny_backbone)
    before = threading.active_count()
    job = engine.submit([Request(store, Row((), (some_ids(4, 1),)), GREEDY)])
    for _ in job:
        assert threading.active_count() == before
    assert engine.running == engine.waiting == 0
    assert list(job) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_has_an_engine_of_its_own(tiny_backbone: Backbone) -> None:
    store, one = PrefixStore(endless(tiny_backbone)), Row((), (some_ids(4, 1),))
    engine = engine_of(store.backbone)
    job = engine.submit([Request(store, one, Decoding(max_tokens=400))], background=True)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        # An exit here must not run the tests' own clean-up.
        try:
            [reply] = generate(store, [one], GREEDY)
            os.write(writer, reply.text.encode("utf-8", "replace"))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        said = answer.read().decode("utf-8", "replace")
    os.waitpid(child, 0)
    job.cancel()
    assert said == alone(store, one)


def test_an_engine_that_is_being_made_holds_up_no_other_backbone(
    make_tiny_backbone: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, other = make_tiny_backbone(seed=1), make_tiny_backbone(seed=2)
    begun, goes_on, made = threading.Event(), threading.Event(), Engine.__init__

    def make(self: Engine, backbone: Backbone, **options: Any) -> None:
        if backbone is slow:
            begun.set()
            assert goes_on.wait(20)
        made(self, backbone, **options)

    monkeypatch.setattr(Engine, "__init__", make)
    engines: list[Engine] = []
    makers = [threading.Thread(target=lambda: engines.append(engine_of(slow))) for _ in range(2)]
    makers.append(threading.Thread(target=lambda: engines.append(engine_of(other))))
    for maker in makers:
        maker.start()
        assert begun.wait(20)
    makers[-1].join(10)
    others = list(engines)
    goes_on.set()
    for maker in makers:
        maker.join(20)
    assert others == [engine_of(other)]
    # Two threads that ask for one backbone's engine at the same time get the same one.
    assert engines[1] is engines[2] is engine_of(slow)
