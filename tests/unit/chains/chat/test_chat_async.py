"""Async calls: the event loop goes on, and decoding ends with the token in work when the caller goes away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import HumanMessage

from chains import InputError, SoftPromptChat
from soft_prompt import Backbone, Constraint, PrefixStore
from soft_prompt.engine.engine import engine_of

# Left out of `make check`.
pytestmark = pytest.mark.heavy

QUESTION = [HumanMessage("How much is it?")]
ENDLESS = Constraint.regex("[a-z]{2000}")
TOKEN_SECONDS = 0.01


class Passes:
    """Counts the forward passes of a backbone, each of which takes a while."""

    def __init__(self) -> None:
        self.count = 0
        self.running = False

    def __call__(self, *_: Any) -> None:
        self.count += 1
        time.sleep(TOKEN_SECONDS)


@pytest.fixture
async def slow(make_tiny_backbone: Callable[..., Backbone]) -> AsyncIterator[tuple[SoftPromptChat, Passes]]:
    """A chat model that says 200 tokens, none of which ends the reply, if it is held to `ENDLESS`."""
    backbone = make_tiny_backbone("llama", max_position_embeddings=4096)
    passes = Passes()
    engine_of(backbone)._model.backbone.model.register_forward_pre_hook(passes)
    store = PrefixStore(backbone)
    _ = backbone.grammar_tokenizer
    yield SoftPromptChat(store=store, max_tokens=200), passes
    store.close()


async def ended(passes: Passes) -> int:
    """Passes so far, once no more come."""
    before = -1
    while before != passes.count:
        before = passes.count
        await asyncio.sleep(8 * TOKEN_SECONDS)
    return before


async def test_the_event_loop_ticks_while_a_reply_is_decoded(slow: tuple[SoftPromptChat, Passes]) -> None:
    chat, passes = slow
    task = asyncio.create_task(chat.ainvoke(QUESTION, constraint=ENDLESS, max_tokens=20))
    ticks = 0
    while not task.done():
        await asyncio.sleep(TOKEN_SECONDS / 4)
        ticks += 1
    assert task.result().usage_metadata["output_tokens"] == 20  # type: ignore[index]
    assert ticks > passes.count >= 20


async def test_a_cancelled_task_leaves_no_decoding_running(slow: tuple[SoftPromptChat, Passes]) -> None:
    chat, passes = slow
    task = asyncio.create_task(chat.ainvoke(QUESTION, constraint=ENDLESS))
    while passes.count < 3:
        await asyncio.sleep(TOKEN_SECONDS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    at_cancel = passes.count
    assert await ended(passes) <= at_cancel + 1
    assert at_cancel < 100


async def test_a_closed_stream_leaves_no_decoding_running(slow: tuple[SoftPromptChat, Passes]) -> None:
    chat, passes = slow
    stream = chat.astream(QUESTION, constraint=ENDLESS)
    async for _ in stream:
        break
    await stream.aclose()  # type: ignore[attr-defined]
    at_close = passes.count
    assert await ended(passes) <= at_close + 1
    assert at_close < 100


async def test_decoding_ends_while_text_is_held_back(slow: tuple[SoftPromptChat, Passes]) -> None:
    chat, passes = slow
    # Nothing of this reply is ever certain, so the stream gives no piece at which it could stop.
    reply = str(chat.invoke(QUESTION, constraint=ENDLESS, max_tokens=60).content)
    passes.count = 0
    task = asyncio.create_task(chat.ainvoke(QUESTION, constraint=ENDLESS, stop=[reply + "never"]))
    while passes.count < 3:
        await asyncio.sleep(TOKEN_SECONDS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    at_cancel = passes.count
    assert await ended(passes) <= at_cancel + 1


async def test_a_task_cancelled_before_it_begins_decodes_nothing(slow: tuple[SoftPromptChat, Passes]) -> None:
    chat, passes = slow
    task = asyncio.create_task(chat.ainvoke(QUESTION, constraint=ENDLESS))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await ended(passes) == 0


async def test_more_streams_than_the_default_executor_has_threads_share_the_passes(
    slow: tuple[SoftPromptChat, Passes],
) -> None:
    chat, passes = slow
    many = [chat.ainvoke(QUESTION, constraint=ENDLESS, max_tokens=20) for _ in range(48)]
    replies = await asyncio.gather(*many)
    assert len({str(reply.content) for reply in replies}) == 1
    # 48 replies of 20 tokens one by one take 960 passes.
    assert passes.count < 200


def test_a_closed_sync_stream_stops_decoding(slow: tuple[SoftPromptChat, Passes]) -> None:
    chat, passes = slow
    stream = chat.stream(QUESTION, constraint=ENDLESS)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    at_close = passes.count
    time.sleep(4 * TOKEN_SECONDS)
    # One pass may have been running.
    assert passes.count <= at_close + 1
    assert at_close < 100


async def test_async_callbacks_hear_every_piece(store: PrefixStore) -> None:
    heard: list[str] = []

    class Listener(AsyncCallbackHandler):
        async def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
            heard.append(token)

    chat = SoftPromptChat(store=store, max_tokens=16)
    said = [chunk.content async for chunk in chat.astream(QUESTION, {"callbacks": [Listener()]})]
    assert "".join(map(str, said)) == "".join(heard) == chat.invoke(QUESTION).content != ""


async def test_an_error_reaches_the_caller(store: PrefixStore) -> None:
    chat = SoftPromptChat(store=store, max_tokens=4)
    with pytest.raises(InputError, match="unknown setting nonsense"):
        await chat.ainvoke(QUESTION, nonsense=1)
    with pytest.raises(InputError, match="the graft 'nobody'"):
        async for _ in chat.astream(QUESTION, graft="nobody"):
            pass


async def test_several_at_once_do_not_mix(store: PrefixStore) -> None:
    chat = SoftPromptChat(store=store, max_tokens=12)
    questions = [[HumanMessage("x" * number)] for number in range(1, 5)]
    alone = [chat.invoke(question).content for question in questions]
    together = await asyncio.gather(*(chat.ainvoke(question) for question in questions))
    assert [message.content for message in together] == alone
