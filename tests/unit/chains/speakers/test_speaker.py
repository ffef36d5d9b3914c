"""Streams and batches give the same words, whether the speaker is a backbone or a model that takes text only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from langchain_core.runnables import RunnableConfig

from chains import DomainChain, LocalSpeaker, RemoteSpeaker, SoftPromptChat, Speaker
from prompts import Message, RenderedPrompt, SoftSegment, TextSegment
from retrieval import Index
from tests.support.small_bank import REFUSAL, SCALE, ScriptedChat, make_answering, make_index

# Left out of `make check`.
pytestmark = pytest.mark.heavy

if TYPE_CHECKING:
    from soft_prompt import Backbone

TWIN = "You speak for a bank."
PROMPT = RenderedPrompt(
    (
        Message("system", (TextSegment("Answer from these passages. "), SoftSegment("domain"))),
        Message("user", (TextSegment("When does the branch open?"),)),
    )
)


@pytest.fixture(params=["local", "remote"])
def speaker(request: pytest.FixtureRequest, tiny_backbone: Backbone) -> Speaker:
    if request.param == "remote":
        return RemoteSpeaker(ScriptedChat(), lambda slot: TWIN)
    from soft_prompt import PrefixStore

    return LocalSpeaker(SoftPromptChat(store=PrefixStore(tiny_backbone), fills={"domain": TWIN}, max_tokens=8))


async def test_streams_and_batches_say_the_same(speaker: Speaker) -> None:
    prompt = speaker.prepare(PROMPT)
    assert prompt.fits
    said = "".join(speaker.stream(prompt))
    pieces = [piece async for piece in speaker.astream(prompt)]
    assert said
    assert len(pieces) > 1
    assert "".join(pieces) == said
    assert speaker.reply_many([prompt, prompt]) == [said, said]


# The graph, with each of them

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}
ASKED = "What does a cash withdrawal abroad cost?"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with make_index(tmp_path_factory.mktemp("speaker")) as index:
        yield index


@pytest.fixture
def chain(speaker: Speaker, index: Index, tmp_path: Path) -> Iterator[DomainChain]:
    answering = make_answering(index, speaker, scale=SCALE, passages=1)
    chain = DomainChain(answering, tmp_path / "memory.sqlite")
    yield chain
    chain.close()


async def test_sync_async_and_streamed_answers_are_equal(chain: DomainChain) -> None:
    found = chain.invoke({"question": ASKED})
    assert found["answer"]
    assert found["evidence"]
    assert not found["refused"]
    assert await chain.ainvoke({"question": ASKED}) == found
    said = [part["answer"] for part in chain.stream({"question": ASKED}) if "answer" in part]
    heard = [part["answer"] async for part in chain.astream({"question": ASKED}) if "answer" in part]
    assert "".join(said) == "".join(heard) == found["answer"]
    assert len(said) > 1


async def test_the_graph_remembers_and_refuses_with_each(chain: DomainChain) -> None:
    first = chain.invoke({"question": ASKED}, THREAD)
    second = await chain.ainvoke({"question": "And what does it cost then?"}, THREAD)
    assert second["query"].startswith(ASKED)
    assert [turn["answer"] for turn in chain.history("1")] == [first["answer"], second["answer"]]
    refused = chain.invoke({"question": "Do elephants sing operas on Tuesdays?"})
    assert (refused["refused"], refused["answer"], refused["citations"]) == (True, REFUSAL, [])
