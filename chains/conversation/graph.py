"""The conversational graph: history, condense, retrieve, answer, cite. Its state holds only plain data."""

from __future__ import annotations

import operator
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, TypedDict

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.channels.untracked_value import UntrackedValue
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from chains.answering.answering import Answering
from chains.answering.citations import CheckedCitations
from chains.answering.evidence import Evidence
from chains.answering.history import without_oldest_turn
from chains.answering.speaker import PreparedPrompt
from chains.conversation.conversations import TurnRecord
from chains.conversation.history_node import HistoryNode, conversation, emit_notices, window_from_state
from soft_prompt import ContextError

# Key of the config for an event that is set when the caller has stopped waiting. LangGraph neither traces nor stores
# keys with this prefix.
CANCELLED_KEY = "__cancelled"


class ChainState(TypedDict, total=False):
    """The state of the graph.

    Attributes:
        history: messages that the caller passes for this question; None uses the stored `turns`.
        history_window: the history that the model reads.
        prompt: None if the question is refused. Not part of checkpoints.
        complete: False from the question until its answer is in `turns`.
    """

    question: str
    history: list[dict[str, str]] | None
    history_window: dict[str, Any]
    summary: dict[str, Any]
    query: str
    evidence: list[dict[str, Any]]
    evidence_score: float | None
    refused: bool
    prompt: Annotated[PreparedPrompt | None, UntrackedValue]
    template: dict[str, str | int]
    answer: str
    citations: list[dict[str, Any]]
    notices: list[str]
    complete: bool
    turns: Annotated[list[TurnRecord], operator.add]


def build_graph(answering: Answering, checkpointer: BaseCheckpointSaver[str] | None) -> CompiledStateGraph[Any]:
    """Compile the graph of one domain; without a checkpointer, conversations are not stored."""
    history = HistoryNode(answering)

    def condense(state: ChainState) -> dict[str, Any]:
        return {"query": _search_query(answering, state)}

    def retrieve(state: ChainState) -> dict[str, Any]:
        [retrieved] = answering.evidence_many([state["query"]])
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

    def answer(state: ChainState, config: RunnableConfig) -> dict[str, Any]:
        write = get_stream_writer()
        pieces: Iterable[str] = [answering.settings.refusal]
        if (prompt := state["prompt"]) is not None:
            pieces = answering.speaker.stream(prompt, config)
        shown, cancelled = TrimmedText(), config.get("configurable", {}).get(CANCELLED_KEY)
        for piece in pieces:
            if cancelled is not None and cancelled.is_set():
                raise _CancelledError
            if text := shown.add(piece):
                write({"answer": text})
        return {"answer": shown.text}

    async def aanswer(state: ChainState, config: RunnableConfig) -> dict[str, Any]:
        if (prompt := state["prompt"]) is None:
            return answer(state, config)
        write = get_stream_writer()
        shown = TrimmedText()
        # Close the stream at once: otherwise the model would generate until garbage collection.
        async with aclosing(answering.speaker.astream(prompt, config)) as pieces:
            async for piece in pieces:
                if text := shown.add(piece):
                    write({"answer": text})
        return {"answer": shown.text}

    def cite(state: ChainState) -> dict[str, Any]:
        evidence = Evidence.from_state(state)
        checked = CheckedCitations([], [])
        if not state["refused"]:
            checked = answering.cite(state["question"], state["answer"], evidence)
        emit_notices(checked.notices)
        citations = [asdict(citation) for citation in checked.citations]
        turn = TurnRecord(
            question=state["question"],
            answer=state["answer"],
            citations=citations,
            refused=state["refused"],
            notices=[*state["notices"], *checked.notices],
            template=state["template"],
            history=window_from_state(state).counts,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        return {"citations": citations, "turns": [turn], "complete": True}

    graph = StateGraph(ChainState)
    nodes: dict[str, Any] = {
        "history": SyncAsyncNode(history.run, history.arun),
        "condense": condense,
        "retrieve": retrieve,
        "answer": SyncAsyncNode(answer, aanswer),
        "cite": cite,
    }
    for name, node in nodes.items():
        graph.add_node(name, node)
    for start, end in zip((START, *nodes), (*nodes, END), strict=True):
        graph.add_edge(start, end)
    return graph.compile(checkpointer=checkpointer)


def _search_query(answering: Answering, state: ChainState) -> str:
    """The standalone query; the oldest turns are dropped if the history exceeds the rewriter's context."""
    # The whole conversation, not the window: a follow-up is joined with the question before it in any case.
    history = conversation(state)
    while True:
        try:
            return answering.query(state["question"], history)
        except ContextError:
            if not history:
                return state["question"]
            history = without_oldest_turn(answering.recent(history))


class _CancelledError(Exception): ...


class SyncAsyncNode(Runnable[Any, dict[str, Any]]):
    """A node with a sync and an async function, each of which may take `config` as its second argument.

    LangChain's `RunnableLambda` would keep the last 256 functions of a process alive, and everything they refer to,
    such as a model (github.com/langchain-ai/langchain/issues/30667).
    """

    def __init__(self, run: Callable[..., dict[str, Any]], arun: Callable[..., Awaitable[dict[str, Any]]]) -> None:
        self._run, self._arun = run, arun

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        return self._call_with_config(self._run, input, config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        return await self._acall_with_config(self._arun, input, config, **kwargs)


class TrimmedText:
    """Collects a text without the white space around it; `add` returns the part that can be shown now."""

    def __init__(self) -> None:
        self.text = ""
        self._held = ""

    def add(self, piece: str) -> str:
        self._held += piece
        if not self.text:
            self._held = self._held.lstrip()
        shown = self._held.rstrip()
        self._held = self._held[len(shown) :]
        self.text += shown
        return shown
