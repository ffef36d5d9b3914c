"""The conversational graph: recall, condense, retrieve, answer, cite.

The state holds plain dicts and strings only, so that it survives a checkpoint of plain data.
"""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, TypedDict, cast

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.channels.untracked_value import UntrackedValue
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from chains.answering.answering import Answering
from chains.answering.citations import Cited
from chains.answering.evidence import Evidence
from chains.answering.history import shortened, without_oldest
from chains.answering.speaker import PreparedPrompt
from chains.conversation.conversations import TurnRecord
from chains.conversation.recall import Recall, given, plain, recalled_in, remembered, say
from soft_prompt import ContextError

# In a config: an event that is set when nobody waits for the answer any more. What begins so is not written down.
CALLER_GONE = "__caller_gone"


class ChainState(TypedDict, total=False):
    """The state of the graph.

    `history` is a history that the caller gives for this call alone. Without one, `turns`, the memory, counts, with the
    `summary` of its beginning. `prompt` goes from retrieval to the speaker and into no checkpoint. `complete` is false
    from a question until its answer is in `turns`.
    """

    question: str
    history: list[dict[str, str]] | None
    recalled: dict[str, Any]
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
    """Compile the graph of one domain; without a checkpointer it remembers nothing."""
    recall = Recall(answering)

    def condense(state: ChainState) -> dict[str, Any]:
        return {"query": _query(answering, state)}

    def retrieve(state: ChainState) -> dict[str, Any]:
        [found] = answering.evidence_many([state["query"]])
        recalled = recalled_in(state)  # type: ignore[arg-type]
        prepared = answering.prepare(state["question"], recalled.turns, found)
        notices = []
        if len(prepared.turns) < len(recalled.turns):
            notices.append("the oldest turns of the conversation were left out: the model's context is full")
        if cut := len(found.passages) - len(prepared.evidence.passages):
            notices.append(
                f"{cut} of {len(found.passages)} passages were left out, the weakest first: the model's context is full"
            )
        say(notices)
        return {
            **prepared.evidence.to_state(),
            "prompt": prepared.prompt,
            "template": answering.template.current().identity,
            "recalled": plain(shortened(recalled, prepared.turns, answering.count_tokens)),
            "notices": [*state["notices"], *notices],
        }

    def answer(state: ChainState, config: RunnableConfig) -> dict[str, Any]:
        write = get_stream_writer()
        words: Iterable[str] = [answering.settings.refusal]
        if (prompt := state["prompt"]) is not None:
            words = answering.speaker.stream(prompt, config)
        pieces = []
        for piece in trimmed(_while_heard(words, config)):
            write({"answer": piece})
            pieces.append(piece)
        return {"answer": "".join(pieces)}

    async def aanswer(state: ChainState, config: RunnableConfig) -> dict[str, Any]:
        if (prompt := state["prompt"]) is None:
            return answer(state, config)
        write = get_stream_writer()
        pieces = []
        # Closed here and now: else the model would go on until the words are swept away.
        async with aclosing(answering.speaker.astream(prompt, config)) as words:
            async for piece in atrimmed(words):
                write({"answer": piece})
                pieces.append(piece)
        return {"answer": "".join(pieces)}

    def tie(state: ChainState) -> dict[str, Any]:
        evidence = Evidence.from_state(state)
        found = Cited([], []) if state["refused"] else answering.cited(state["question"], state["answer"], evidence)
        say(found.notices)
        citations = [asdict(citation) for citation in found.citations]
        turn = TurnRecord(
            question=state["question"],
            answer=state["answer"],
            citations=citations,
            refused=state["refused"],
            notices=[*state["notices"], *found.notices],
            template=state["template"],
            history=recalled_in(state).record,  # type: ignore[arg-type]
            at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        return {"citations": citations, "turns": [turn], "complete": True}

    graph = StateGraph(ChainState)
    nodes: dict[str, Any] = {
        "recall": BothWays(recall.recall, recall.arecall),
        "condense": condense,
        "retrieve": retrieve,
        "answer": BothWays(answer, aanswer),
        "cite": tie,
    }
    for name, node in nodes.items():
        graph.add_node(name, node)
    for start, end in zip((START, *nodes), (*nodes, END), strict=True):
        graph.add_edge(start, end)
    return graph.compile(checkpointer=checkpointer)


def _query(answering: Answering, state: ChainState) -> str:
    """What is searched for. A history that the rewriting model has no room for is taken from the oldest on."""
    # All of it, since a question joined with the one before it needs that one, also where the model reads it no more.
    values = cast(dict[str, Any], state)
    turns = own if (own := given(values)) is not None else remembered(values)
    while True:
        try:
            return answering.query(state["question"], turns)
        except ContextError:
            if not turns:
                return state["question"]
            turns = without_oldest(answering.recent(turns))


class _UnheardError(Exception):
    """Nobody waits for the answer any more."""


def _while_heard(words: Iterable[str], config: RunnableConfig) -> Iterator[str]:
    gone = config.get("configurable", {}).get(CALLER_GONE)
    for piece in words:
        if gone is not None and gone.is_set():
            raise _UnheardError
        yield piece


class BothWays(Runnable[Any, dict[str, Any]]):
    """What LangChain's `RunnableLambda` is, but that one keeps the last 256 functions of a process alive, and with them
    whatever they refer to, such as a model (github.com/langchain-ai/langchain/issues/30667).

    Either function may take `config` as its second argument.
    """

    def __init__(self, run: Callable[..., dict[str, Any]], arun: Callable[..., Awaitable[dict[str, Any]]]) -> None:
        self._run, self._arun = run, arun

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Run the function."""
        return self._call_with_config(self._run, input, config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Run its async twin."""
        return await self._acall_with_config(self._arun, input, config, **kwargs)


def trimmed(pieces: Iterable[str]) -> Iterator[str]:
    """The pieces without white space around the whole."""
    held = _Held()
    for piece in pieces:
        if shown := held.add(piece):
            yield shown


async def atrimmed(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    """As `trimmed`."""
    held = _Held()
    async for piece in pieces:
        if shown := held.add(piece):
            yield shown


class _Held:
    """White space that is shown only if something follows it."""

    def __init__(self) -> None:
        self.text = ""
        self.begun = False

    def add(self, piece: str) -> str:
        """What may be shown now."""
        self.text += piece
        if not self.begun:
            self.text = self.text.lstrip()
        shown = self.text.rstrip()
        self.text = self.text[len(shown) :]
        self.begun = self.begun or bool(shown)
        return shown
