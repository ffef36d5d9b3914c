"""An answer on its way: the first words come before the last are known, and nobody works for a caller who is gone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig

from chains import DomainChain, LocalSpeaker, SoftPromptChat
from soft_prompt import Backbone, PrefixStore
from soft_prompt.engine.engine import engine_of

# Left out of `make check`.
pytestmark = pytest.mark.heavy

MakeChain = Callable[..., DomainChain]
ASKED = "What does a replacement card cost?"
TOKENS = 48


class Steps:
    """The forward passes of a backbone while it decodes; from one on they wait for the gate."""

    def __init__(self) -> None:
        self.done = 0
        self.wait_from: int | None = None
        self.gate = threading.Event()
        self.waited_in_vain = False

    def __call__(self, *_: Any) -> None:
        self.done += 1
        if self.wait_from is not None and self.done >= self.wait_from and not self.gate.wait(timeout=5):
            self.waited_in_vain = True


@pytest.fixture
def backbone(make_tiny_backbone: Callable[..., Backbone]) -> Backbone:
    return make_tiny_backbone("llama", max_position_embeddings=4096)


@pytest.fixture
def steps(backbone: Backbone) -> Iterator[Steps]:
    counted = Steps()
    hook = engine_of(backbone)._model.backbone.model.register_forward_pre_hook(counted)
    yield counted
    hook.remove()


@pytest.fixture
def chain(make_chain: MakeChain, backbone: Backbone, steps: Steps) -> DomainChain:
    chat = SoftPromptChat(store=PrefixStore(backbone), fills={"domain": "Be brief."}, max_tokens=TOKENS)
    return make_chain(LocalSpeaker(chat), evidence_tokens=60)


def thread() -> RunnableConfig:
    return {"configurable": {"thread_id": "1"}}


@pytest.mark.parametrize("config", [None, thread()])
def test_the_first_words_come_while_the_model_still_decodes(
    chain: DomainChain, steps: Steps, config: RunnableConfig | None
) -> None:
    steps.wait_from = 12
    parts = chain.stream({"question": ASKED}, config)
    while not next(parts).get("answer"):
        pass
    assert steps.done <= 12
    steps.gate.set()
    list(parts)
    assert steps.done > 15
    assert not steps.waited_in_vain


@pytest.mark.parametrize("config", [None, thread()])
async def test_the_first_words_come_while_the_model_still_decodes_async(
    chain: DomainChain, steps: Steps, config: RunnableConfig | None
) -> None:
    steps.wait_from = 12
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while not steps.gate.is_set():
            beats += 1
            await asyncio.sleep(0.001)

    beating = asyncio.create_task(beat())
    parts = chain.astream({"question": ASKED}, config)
    while not (await anext(parts)).get("answer"):
        pass
    assert steps.done <= 12
    steps.gate.set()
    assert [part async for part in parts]
    await beating
    assert steps.done > 15
    assert not steps.waited_in_vain
    # The event loop was free meanwhile.
    assert beats > 3


@pytest.mark.parametrize("config", [None, thread()])
@pytest.mark.parametrize("way", ["cancelled", "closed"])
async def test_decoding_stops_when_the_caller_stops_waiting(
    chain: DomainChain, steps: Steps, config: RunnableConfig | None, way: str
) -> None:
    steps.wait_from = 8
    parts = chain.astream({"question": ASKED}, config)
    if way == "closed":
        while not (await anext(parts)).get("answer"):
            pass
        closing = asyncio.create_task(parts.aclose())  # type: ignore[attr-defined]
        await asyncio.sleep(0.05)
        steps.gate.set()
        await closing
    else:
        task = asyncio.create_task(_drained(parts))
        while steps.done < 8:
            await asyncio.sleep(0.002)
        task.cancel()
        await asyncio.sleep(0.05)
        steps.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    # The step that was under way comes to its end, and no other begins.
    await asyncio.sleep(0.1)
    assert steps.done <= 10
    if config is not None:
        assert chain.history("1") == []


async def _drained(parts: Any) -> list[Any]:
    return [part async for part in parts]


def test_a_closed_stream_stops_decoding_too(chain: DomainChain, steps: Steps) -> None:
    parts = chain.stream({"question": ASKED}, thread())
    while not next(parts).get("answer"):
        pass
    parts.close()  # type: ignore[attr-defined]
    assert steps.done < 12


async def test_async_answers_are_the_same(chain: DomainChain) -> None:
    assert await chain.ainvoke({"question": ASKED}) == chain.invoke({"question": ASKED})
