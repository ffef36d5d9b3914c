"""The chain as LangChain's event streams, tracers and message histories see it: one run, with its parts below it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.chat_history import BaseChatMessageHistory, InMemoryChatMessageHistory
from langchain_core.documents import Document
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.context import collect_runs
from langchain_core.tracers.schemas import Run

from chains import DomainChain, InputError, LocalSpeaker, RemoteModelError, SoftPromptChat
from soft_prompt import PrefixStore
from tests.support.small_bank import SCALE, ScriptedChat

# Left out of `make check`.
pytestmark = pytest.mark.heavy

MakeChain = Callable[..., DomainChain]
ASKED = "What does a replacement card cost?"
SAID = "A replacement card costs 12 euros."


class Tracer(BaseTracer):
    """Keeps the root runs that ended."""

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.roots.append(run)


def below(runs: Iterable[Run]) -> Iterator[Run]:
    for run in runs:
        yield run
        yield from below(run.child_runs)


def thread(**more: Any) -> RunnableConfig:
    return {"configurable": {"thread_id": "1"}, **more}  # type: ignore[typeddict-item]


@pytest.fixture
def chain(make_chain: MakeChain) -> DomainChain:
    return make_chain(ScriptedChat(answer=lambda _: SAID), scale=SCALE)


def fail(_: str) -> str:
    raise ConnectionError("the line is dead")


async def events_of(chain: Any, given: Any, config: RunnableConfig | None = None) -> list[Any]:
    return [event async for event in chain.astream_events(given, config, version="v2")]


async def test_the_events_of_the_chain_its_search_and_its_model(chain: DomainChain) -> None:
    events = await events_of(chain, {"question": ASKED}, thread())
    own = [event for event in events if event["name"] == "DomainChain"]
    assert (own[0]["event"], own[-1]["event"]) == ("on_chain_start", "on_chain_end")
    assert {event["event"] for event in own[1:-1]} == {"on_chain_stream"}
    assert own[0]["data"]["input"] == {"question": ASKED}
    assert own[-1]["data"]["output"]["answer"] == SAID
    assert "".join(event["data"]["chunk"].get("answer", "") for event in own[1:-1]) == SAID
    assert (events[0], events[-1]) == (own[0], own[-1])
    [found] = [event["data"]["output"] for event in events if event["event"] == "on_retriever_end"]
    assert found[0].metadata["heading"] == "Replacement"
    assert [event["data"]["input"] for event in events if event["event"] == "on_retriever_start"] == [{"query": ASKED}]
    pieces = [event["data"]["chunk"].text for event in events if event["event"] == "on_chat_model_stream"]
    assert "".join(pieces) == SAID
    assert [turn["question"] for turn in chain.history("1")] == [ASKED]


async def test_a_local_model_streams_its_events_as_well(make_chain: MakeChain, store: PrefixStore) -> None:
    chat = SoftPromptChat(store=store, fills={"domain": "Be brief."}, max_tokens=8)
    events = await events_of(make_chain(LocalSpeaker(chat), evidence_tokens=60), {"question": ASKED})
    assert [event["name"] for event in events if event["event"] == "on_chat_model_end"] == ["SoftPromptChat"]
    assert any(event["event"] == "on_chat_model_stream" for event in events)


async def test_events_of_answers_as_messages(chain: DomainChain) -> None:
    events = await events_of(chain.as_messages(), [HumanMessage(ASKED)])
    assert (events[0]["event"], events[0]["name"]) == ("on_chain_start", "AnswerMessages")
    assert (events[-1]["event"], events[-1]["name"]) == ("on_chain_end", "AnswerMessages")
    assert events[-1]["data"]["output"].text == SAID
    assert any(event["event"] == "on_retriever_end" for event in events)


async def test_a_question_that_is_refused_has_no_model_event(chain: DomainChain) -> None:
    events = await events_of(chain, {"question": "Do you treat horses?"})
    assert not [event for event in events if event["event"].startswith("on_chat_model")]
    assert [event for event in events if event["event"] == "on_retriever_end"]


def called(way: str, chain: Any, given: Any, config: RunnableConfig) -> Any:
    async def astreamed() -> list[Any]:
        return [part async for part in chain.astream(given, config)]

    match way:
        case "invoke":
            return chain.invoke(given, config)
        case "stream":
            return list(chain.stream(given, config))
        case "batch":
            return chain.batch([given], config)
        case "ainvoke":
            return asyncio.run(chain.ainvoke(given, config))
        case "abatch":
            return asyncio.run(chain.abatch([given], config))
    return asyncio.run(astreamed())


WAYS = pytest.mark.parametrize("way", ["invoke", "stream", "batch", "ainvoke", "astream", "abatch"])


@WAYS
def test_one_root_run_with_inputs_outputs_and_the_search(chain: DomainChain, way: str) -> None:
    tracer = Tracer()
    with collect_runs() as collected:
        called(way, chain, {"question": ASKED}, thread(callbacks=[tracer], tags=["mine"]))
    for roots in (tracer.roots, collected.traced_runs):
        [root] = roots
        assert (root.name, root.run_type, root.error) == ("DomainChain", "chain", None)
        assert root.inputs == {"question": ASKED}
        assert root.outputs is not None
        assert root.outputs["answer"] == SAID
        assert "mine" in (root.tags or [])
        [search] = [run for run in below(roots) if run.run_type == "retriever"]
        assert search.outputs is not None
        assert all(isinstance(document, Document) for document in search.outputs["documents"])
        assert search.outputs["documents"][0].metadata["doc_id"] == "cards"
        assert len([run for run in below(roots) if run.run_type in ("llm", "chat_model")]) == 1
        assert all(run.end_time for run in below(roots))
    assert [turn["question"] for turn in chain.history("1")] == [ASKED]


@WAYS
def test_a_failure_ends_every_run_with_the_error(make_chain: MakeChain, way: str) -> None:
    chain, tracer = make_chain(ScriptedChat(answer=fail)), Tracer()
    with pytest.raises(RemoteModelError):
        called(way, chain, {"question": ASKED}, thread(callbacks=[tracer]))
    [root] = tracer.roots
    assert root.name == "DomainChain"
    assert "the line is dead" in str(root.error)
    assert all(run.end_time for run in below(tracer.roots))
    assert chain.history("1") == []


def test_a_run_may_be_named_and_wrong_input_is_an_error_of_it(chain: DomainChain) -> None:
    tracer = Tracer()
    chain.invoke({"question": ASKED}, {"callbacks": [tracer], "run_name": "ask the bank"})
    with pytest.raises(InputError):
        chain.invoke({"query": ASKED}, {"callbacks": [tracer]})
    assert [(run.name, bool(run.error)) for run in tracer.roots] == [("ask the bank", False), ("DomainChain", True)]


async def test_a_cancelled_call_ends_its_runs_with_an_error(make_chain: MakeChain) -> None:
    chat, tracer = ScriptedChat(pause=0.05), Tracer()
    chain = make_chain(chat)
    task = asyncio.create_task(chain.ainvoke({"question": ASKED}, thread(callbacks=[tracer])))
    while not chat.seen:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [root] = tracer.roots
    assert "CancelledError" in str(root.error)
    assert chain.history("1") == []


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_closed_stream_leaves_no_run_open(chain: DomainChain, is_async: bool) -> None:
    tracer = Tracer()
    config = thread(callbacks=[tracer])
    if is_async:
        parts: Any = chain.astream({"question": ASKED}, config)
        while not (await anext(parts)).get("answer"):
            pass
        await parts.aclose()
    else:
        parts = chain.stream({"question": ASKED}, config)
        while not next(parts).get("answer"):
            pass
        parts.close()
    [root] = tracer.roots
    assert root.name == "DomainChain"
    assert not tracer.run_map
    assert chain.history("1") == []


def test_inside_another_chain_its_run_is_a_child(chain: DomainChain) -> None:
    tracer = Tracer()
    outer = RunnableLambda(lambda question: chain.invoke({"question": question})["answer"]).with_config(
        run_name="outer"
    )
    assert outer.invoke(ASKED, thread(callbacks=[tracer])) == SAID
    [root] = tracer.roots
    assert root.name == "outer"
    assert [run.name for run in root.child_runs] == ["DomainChain"]
    # The thread is the outer chain's.
    assert chain.history("1") == []


def test_the_models_of_follow_ups_and_summaries_are_traced(make_chain: MakeChain) -> None:
    chain = make_chain(ScriptedChat(), condense="model", history_turns=1, history_overflow="summarise")
    for question in (ASKED, "Is it free?"):
        chain.invoke({"question": question}, thread())
    tracer, usage = Tracer(), UsageMetadataCallbackHandler()
    chain.invoke({"question": "And that?"}, thread(callbacks=[tracer, usage]))
    parents = {run.name for run in below(tracer.roots) if any("llm" in child.run_type for child in run.child_runs)}
    assert parents == {"history", "condense", "answer"}


@pytest.fixture
def history() -> InMemoryChatMessageHistory:
    return InMemoryChatMessageHistory()


def with_history(chain: DomainChain, history: BaseChatMessageHistory) -> Any:
    return RunnableWithMessageHistory(chain.as_messages(), lambda session_id: history)  # type: ignore[arg-type]


def texts_of(messages: Iterable[BaseMessage]) -> list[tuple[str, str]]:
    return [(message.type.removesuffix("MessageChunk").lower(), message.text) for message in messages]


@WAYS
def test_a_message_history_keeps_each_exchange_once(
    make_chain: MakeChain, history: InMemoryChatMessageHistory, way: str
) -> None:
    chat = ScriptedChat(answer=lambda _: SAID)
    remembering = with_history(make_chain(chat), history)
    session: RunnableConfig = {"configurable": {"session_id": "a"}}
    for question in (ASKED, "And abroad?"):
        called(way, remembering, [HumanMessage(question)], session)
    assert texts_of(history.messages) == [("human", ASKED), ("ai", SAID), ("human", "And abroad?"), ("ai", SAID)]
    # The second question was asked with the first exchange before it.
    assert [message.text for message in chat.seen[-1]][-3:] == [ASKED, SAID, "And abroad?"]


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
def test_a_message_history_over_the_chains_own_dict(
    make_chain: MakeChain, history: InMemoryChatMessageHistory, way: str
) -> None:
    chat = ScriptedChat(answer=lambda _: SAID)
    keys = {"input_messages_key": "question", "history_messages_key": "history", "output_messages_key": "answer"}
    remembering: Any = RunnableWithMessageHistory(make_chain(chat), lambda session_id: history, **keys)  # type: ignore[arg-type]
    for question in (ASKED, "And abroad?"):
        called(way, remembering, {"question": question}, {"configurable": {"session_id": "a"}})
    assert texts_of(history.messages) == [("human", ASKED), ("ai", SAID), ("human", "And abroad?"), ("ai", SAID)]
    assert [message.text for message in chat.seen[-1]][-3:] == [ASKED, SAID, "And abroad?"]


async def test_events_that_are_no_longer_read_store_nothing(chain: DomainChain) -> None:
    events: Any = chain.astream_events({"question": ASKED}, thread(), version="v2")
    async for event in events:
        if event["event"] == "on_retriever_end":
            break
    await events.aclose()
    assert chain.history("1") == []


def test_a_message_history_takes_a_question_as_text(chain: DomainChain, history: InMemoryChatMessageHistory) -> None:
    with_history(chain, history).invoke(ASKED, {"configurable": {"session_id": "a"}})
    assert texts_of(history.messages) == [("human", ASKED), ("ai", SAID)]


def test_a_failed_exchange_is_not_kept(make_chain: MakeChain, history: InMemoryChatMessageHistory) -> None:
    with pytest.raises(RemoteModelError):
        with_history(make_chain(ScriptedChat(answer=fail)), history).invoke(
            [HumanMessage(ASKED)], {"configurable": {"session_id": "a"}}
        )
    assert history.messages == []
