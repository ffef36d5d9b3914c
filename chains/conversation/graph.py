"""The conversational graph: history, condense, retrieve, answer, cite. Its state holds only plain data."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config
from langgraph.channels.untracked_value import UntrackedValue
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from chains.answering.answer_writer import AnswerWriter
from chains.answering.answering import Answering
from chains.answering.citations import CheckedCitations, Citation
from chains.answering.evidence import Evidence
from chains.answering.history import without_oldest_turn
from chains.answering.speaker import PreparedPrompt
from chains.conversation.conversations import TurnRecord
from chains.conversation.evidence_retriever import EvidenceRetriever
from chains.conversation.history_node import HistoryNode, conversation, emit_notices, window_from_state
from retrieval import Passage
from soft_prompt import ContextError

# Key of the config for an event that is set when the caller has stopped waiting. LangGraph neither traces nor stores
# keys with this prefix.
CANCELLED_KEY = "__cancelled"


class ChainState(TypedDict, total=False):
    """The state of the graph.

    Attributes:
        history: messages that the caller passes for this question; None uses the stored `turns`.
        history_window: the history that the model reads.
        enough: False if the evidence is too weak.
        prompt: None if no model is needed. Not part of checkpoints.
        form: what the answer consists of.
        refused: because the evidence is too weak, or by the model in its own words.
        supported: whether the evidence supports all of the answer; None if the question is refused.
        quoted: citations of the quotes in the answer.
        complete: False from the question until its answer is in `turns`.
    """

    question: str
    history: list[dict[str, str]] | None
    history_window: dict[str, Any]
    summary: dict[str, Any]
    query: str
    evidence: list[dict[str, Any]]
    evidence_score: float | None
    enough: bool
    prompt: Annotated[PreparedPrompt | None, UntrackedValue]
    template: dict[str, str | int]
    answer: str
    form: str
    refused: bool
    supported: bool | None
    quoted: list[dict[str, Any]]
    citations: list[dict[str, Any]]
    notices: list[str]
    complete: bool
    turns: Annotated[list[TurnRecord], operator.add]


def build_graph(answering: Answering, checkpointer: BaseCheckpointSaver[str] | None) -> CompiledStateGraph[Any]:
    """Compile the graph of one domain; without a checkpointer, conversations are not stored."""
    history = HistoryNode(answering)

    def condense(state: ChainState, config: RunnableConfig) -> dict[str, Any]:
        return {"query": _search_query(answering, state, config)}

    def retriever_of(state: ChainState) -> EvidenceRetriever:
        return EvidenceRetriever(search=lambda query: answering.evidence_many([query], [state["question"]])[0])

    def retrieve(state: ChainState, config: RunnableConfig) -> dict[str, Any]:
        return _prepared(state, retriever_of(state).find(state["query"], config))

    async def aretrieve(state: ChainState, config: RunnableConfig) -> dict[str, Any]:
        found = await retriever_of(state).afind(state["query"], config)
        return await asyncio.to_thread(_prepared, state, found)

    def _prepared(state: ChainState, retrieved: Evidence) -> dict[str, Any]:
        window = window_from_state(state)
        prepared = answering.prepare(state["question"], window.messages, retrieved)
        notices = []
        if len(prepared.history) < len(window.messages):
            notices.append("the oldest turns of the conversation were left out: the model's context is full")
        total = len(retrieved.passages)
        if cut := total - len(prepared.evidence.passages):
            notices.append(f"{cut} of {total} passages were left out, the weakest first: the model's context is full")
        emit_notices(notices)
        return {
            **prepared.evidence.to_state(),
            "prompt": prepared.prompt,
            "template": answering.template.current().identity,
            "history_window": asdict(window.shortened(prepared.history, answering.count_tokens)),
            "notices": [*state["notices"], *notices],
        }

    def writer_of(state: ChainState) -> AnswerWriter:
        history, evidence = window_from_state(state).messages, Evidence.from_state(state)
        return answering.writer(state["question"], history, evidence, state["query"])

    def answer(state: ChainState, config: RunnableConfig) -> dict[str, Any]:
        show, writer = get_stream_writer(), writer_of(state)
        prompt, cancelled = state["prompt"], config.get("configurable", {}).get(CANCELLED_KEY)
        for piece in answering.speaker.stream(prompt, config) if prompt is not None else ():
            if cancelled is not None and cancelled.is_set():
                raise _CancelledError
            if text := writer.add(piece):
                show({"answer": text})
        return _finished(writer, show)

    async def aanswer(state: ChainState, config: RunnableConfig) -> dict[str, Any]:
        if (prompt := state["prompt"]) is None:
            return await asyncio.to_thread(answer, state, config)
        show, writer = get_stream_writer(), await asyncio.to_thread(writer_of, state)
        # Close the stream at once: otherwise the model would generate until garbage collection.
        async with aclosing(answering.speaker.astream(prompt, config)) as pieces:
            async for piece in pieces:
                if text := writer.add(piece):
                    show({"answer": text})
        return await asyncio.to_thread(_finished, writer, show)

    def _finished(writer: AnswerWriter, show: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        if text := writer.finish():
            show({"answer": text})
        return {
            "answer": writer.text,
            "refused": writer.refused,
            "supported": None if writer.refused else writer.supported,
            "form": answering.settings.form,
            "quoted": [asdict(citation) for citation in writer.citations],
        }

    def cite(state: ChainState) -> dict[str, Any]:
        evidence = Evidence.from_state(state)
        checked = CheckedCitations([], [])
        if not state["refused"]:
            quoted = [Citation(**citation) for citation in state["quoted"]]
            checked = answering.cite(state["question"], state["answer"], evidence, quoted)
        emit_notices(checked.notices)
        citations = [asdict(citation) for citation in checked.citations]
        turn = TurnRecord(
            question=state["question"],
            query=state["query"],
            answer=state["answer"],
            citations=citations,
            passages=[_span(entry.passage) for entry in evidence.passages],
            refused=state["refused"],
            supported=state["supported"],
            notices=[*state["notices"], *checked.notices],
            template=state["template"],
            form=state["form"],
            answered_by=dict(answering.answered_by()),
            history=window_from_state(state).counts,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        return {"citations": citations, "turns": [turn], "complete": True}

    graph = StateGraph(ChainState)
    nodes: dict[str, Any] = {
        "history": SyncAsyncNode(history.run, history.arun),
        "condense": condense,
        "retrieve": SyncAsyncNode(retrieve, aretrieve),
        "answer": SyncAsyncNode(answer, aanswer),
        "cite": cite,
    }
    for name, node in nodes.items():
        graph.add_node(name, node)
    for start, end in zip((START, *nodes), (*nodes, END), strict=True):
        graph.add_edge(start, end)
    return graph.compile(checkpointer=checkpointer)


def _span(passage: Passage) -> dict[str, str | int]:
    """Where a passage is; its text stays in the index."""
    return {"doc_id": passage.doc_id, "start": passage.start, "end": passage.end}


def _search_query(answering: Answering, state: ChainState, config: RunnableConfig) -> str:
    """The standalone query; the oldest turns are dropped if the history exceeds the rewriter's context."""
    # The whole conversation, not the window: a follow-up is joined with the question before it in any case.
    history = conversation(state)
    while True:
        try:
            return answering.query(state["question"], history, config)
        except ContextError:
            if not history:
                return state["question"]
            history = without_oldest_turn(answering.recent(history))


class _CancelledError(Exception): ...


class SyncAsyncNode(Runnable[Any, dict[str, Any]]):
    """A node with a sync and an async function, each with the state and the config. The graph opens the node's run.

    LangChain's `RunnableLambda` would keep the last 256 functions of a process alive, and everything they refer to,
    such as a model (github.com/langchain-ai/langchain/issues/30667).
    """

    def __init__(self, run: Callable[..., dict[str, Any]], arun: Callable[..., Awaitable[dict[str, Any]]]) -> None:
        self._run, self._arun = run, arun

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        return self._run(input, ensure_config(config))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        return await self._arun(input, ensure_config(config))
