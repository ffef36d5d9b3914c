"""The public chain: a LangChain Runnable over the graph, with memory if a thread id is given."""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, contextmanager, nullcontext
from copy import copy
from dataclasses import asdict
from pathlib import Path
from threading import Event, Lock
from typing import Any, cast

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langchain_core.runnables.utils import AddableDict
from langgraph.graph.state import CompiledStateGraph

from chains.answering.answering import Answering
from chains.conversation.conversations import Conversations, ThreadSummary, TurnRecord
from chains.conversation.graph import CANCELLED_KEY, build_graph
from chains.conversation.memory import ConversationMemory
from chains.errors import ClosedError, InputError
from chains.messages.answer_messages import AnswerMessages, thread_messages
from chains.messages.content import plain_text
from chains.messages.prompt_template import history_turns
from chains.messages.traced import TracedRunnable

_RESULT_KEYS = ("query", "evidence", "evidence_score", "template", "form", "refused", "supported", "citations")


class DomainChain(TracedRunnable[dict[str, Any], dict[str, Any]]):
    """Answers questions about a domain.

    Input: `{"question": str}` and, if the caller stores the conversation, `"history"`: a list of [question, answer]
    pairs or messages. With `config={"configurable": {"thread_id": "42"}}` the conversation of that id is stored in the
    domain's database; without a thread id nothing is stored.

    Output: a dict of `question`, `query` (the search query), `evidence` (ranked passages), `evidence_score`,
    `template` (name, version and hash), `answer`, `form` (what the answer consists of), `refused`, `supported` (whether
    the evidence supports all of the answer; None if it is refused), `citations` and `notices`. A stream consists of
    dicts that add up to the same dict.
    """

    def __init__(self, answering: Answering, memory_path: Path) -> None:
        self.answering = answering
        self.conversations = Conversations(memory_path)
        # Shared with the chains of `with_answering`, whose conversations are the same.
        self._closed = Event()
        self._graph_lock = Lock()
        # Python's own once-per-location filter is reset whenever a library changes the warning filters.
        self._warned: set[str] = set()
        self._stateless_graph = build_graph(answering, None)
        self._stateful_graph: tuple[ConversationMemory, CompiledStateGraph[Any]] | None = None

    @property
    def memory(self) -> ConversationMemory:
        """The LangGraph checkpointer of the domain's conversations."""
        self._require_open()
        return self.conversations.memory

    def threads(self) -> list[ThreadSummary]:
        self._require_open()
        return self.conversations.threads()

    def history(self, thread_id: str) -> list[TurnRecord]:
        """The turns of one conversation; empty if the id is unknown."""
        self._require_open()
        return self.conversations.history(str(thread_id))

    def messages(self, thread_id: str) -> list[BaseMessage]:
        """One conversation as messages; the answers carry their citations as annotations."""
        return thread_messages(self.history(thread_id))

    def as_messages(self) -> AnswerMessages:
        """This chain with messages as input and output, and citations as LangChain annotations."""
        return AnswerMessages(self)

    def delete(self, thread_id: str) -> None:
        """Raises UnknownThreadError if the id is unknown."""
        self._require_open()
        self.conversations.delete(str(thread_id))

    def with_answering(self, answering: Answering) -> DomainChain:
        """A chain that answers differently and stores its turns with those of this one; it takes milliseconds.

        Closing one closes both.
        """
        other = copy(self)
        other.answering = answering
        other._graph_lock = Lock()
        other._stateless_graph = build_graph(answering, None)
        other._stateful_graph = None
        return other

    def close(self) -> None:
        """Close the database of the conversations. A closed chain raises ClosedError when it is used."""
        self._closed.set()
        self.conversations.close()

    def _require_open(self) -> None:
        if self._closed.is_set():
            raise ClosedError(
                found=f"a chain that was closed ({self.conversations.path.parent})",
                expected="a chain, or the domain that it comes from, that is still open",
                next_step='open it again: softgraft.open_domain("...").chain; call close() after the last question',
            )

    def invoke(self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Answer one question.

        Raises:
            ClosedError: if the chain was closed.
            InputError: if the input is not as described above.
            RemoteModelError: if a model behind an API did not answer.
        """

        def answer(given: dict[str, Any], child: RunnableConfig) -> dict[str, Any]:
            return _add_parts(list(self._parts(given, child, kwargs)))

        return self._traced_invoke(answer, input, config)

    async def ainvoke(
        self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        async def answer(given: dict[str, Any], child: RunnableConfig) -> dict[str, Any]:
            return _add_parts([part async for part in self._aparts(given, child, kwargs)])

        return await self._traced_ainvoke(answer, input, config)

    def stream(
        self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[dict[str, Any]]:
        """Stream the answer as dicts that add up to the result.

        The turn is stored before the last part, the citations, is yielded. Closing the iterator before that leaves the
        conversation unchanged.
        """
        return self._traced_stream(lambda given, child: self._parts(given, child, kwargs), input, config)

    async def astream(
        self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """As `stream`; cancelling the task stops generation."""
        stream = self._traced_astream(lambda given, child: self._aparts(given, child, kwargs), input, config)
        async with aclosing(cast(Any, stream)) as parts:
            async for part in parts:
                yield part

    def _parts(
        self, chain_input: dict[str, Any], config: RunnableConfig, settings: dict[str, Any]
    ) -> Generator[dict[str, Any]]:
        self._require_open()
        state, thread_id = _initial_state(chain_input, settings), _thread_id(config)
        yield AddableDict(question=state["question"], notices=self._notices())
        last: list[dict[str, Any]] = []
        # The graph is closed before the next turn can start.
        with (
            nullcontext() if thread_id is None else self.conversations.turn(thread_id),
            _graph_stream(self._graph(thread_id), state, config) as entries,
        ):
            for part in map(_result_part, entries):
                if "citations" in part:
                    last.append(part)
                elif part:
                    yield part
        yield from last

    async def _aparts(
        self, chain_input: dict[str, Any], config: RunnableConfig, settings: dict[str, Any]
    ) -> AsyncGenerator[dict[str, Any]]:
        self._require_open()
        state, thread_id = _initial_state(chain_input, settings), _thread_id(config)
        yield AddableDict(question=state["question"], notices=self._notices())
        last: list[dict[str, Any]] = []
        async with (
            nullcontext() if thread_id is None else self.conversations.aturn(thread_id),
            aclosing(_graph_astream(self._graph(thread_id), state, config)) as entries,
        ):
            async for entry in entries:
                part = _result_part(entry)
                if "citations" in part:
                    last.append(part)
                elif part:
                    yield part
        for final in last:
            yield final

    def _notices(self) -> list[str]:
        notices = self.answering.notices()
        for notice in notices:
            if notice not in self._warned:
                self._warned.add(notice)
                warnings.warn(notice, stacklevel=3)
        return notices

    def _graph(self, thread_id: str | None) -> CompiledStateGraph[Any]:
        if thread_id is None:
            return self._stateless_graph
        memory = self.memory
        with self._graph_lock:
            if self._stateful_graph is None or self._stateful_graph[0] is not memory:
                self._stateful_graph = memory, build_graph(self.answering, memory)
            return self._stateful_graph[1]


@contextmanager
def _graph_stream(
    graph: CompiledStateGraph[Any], state: dict[str, Any], config: RunnableConfig | None
) -> Iterator[Iterator[Any]]:
    cancelled = Event()
    config = merge_configs(config, {"configurable": {CANCELLED_KEY: cancelled}})
    parts: Any = graph.stream(state, config, **_stream_options(graph))
    try:
        yield parts
    finally:
        # Closing waits for the node, which runs in another thread.
        cancelled.set()
        parts.close()


def _graph_astream(graph: CompiledStateGraph[Any], state: dict[str, Any], config: RunnableConfig | None) -> Any:
    return graph.astream(state, config, **_stream_options(graph))


def _stream_options(graph: CompiledStateGraph[Any]) -> dict[str, Any]:
    # One checkpoint per turn, when it is complete.
    return {"stream_mode": ["custom", "updates"], "durability": "exit" if graph.checkpointer else None}


def _initial_state(chain_input: object, settings: dict[str, Any]) -> dict[str, Any]:
    example = 'chain.invoke({"question": "..."}, config={"configurable": {"thread_id": "42"}})'
    keys = set(chain_input) if isinstance(chain_input, dict) else set()
    if not isinstance(chain_input, dict) or "question" not in keys or keys - {"question", "history"} or settings:
        is_dict = isinstance(chain_input, dict)
        found = f"the input {sorted(map(str, keys))}" if is_dict else f"a {type(chain_input).__name__}"
        extra = f" with {', '.join(settings)}" if settings else ""
        raise InputError(
            found=found + extra, expected="a dict with `question` and optionally `history`", next_step=f"call {example}"
        )
    question = plain_text(chain_input["question"]).strip()
    if not question:
        raise InputError(found="an empty question", expected="a question in words", next_step=f"call {example}")
    history = chain_input.get("history")
    messages = None if history is None else [asdict(message) for message in history_turns(history)]
    return {"question": question, "history": messages, "complete": False}


def _thread_id(config: RunnableConfig | None) -> str | None:
    settings = (config or {}).get("configurable", {})
    if unknown := sorted({"checkpoint_id", "checkpoint_ns"} & set(settings)):
        raise InputError(
            found=f"{unknown[0]} in the config",
            expected="only a thread_id: a conversation stores its newest state and no earlier ones",
            next_step='call chain.invoke({"question": "..."}, config={"configurable": {"thread_id": "42"}})',
        )
    thread_id = settings.get("thread_id")
    return None if thread_id is None else str(thread_id)


def _result_part(entry: tuple[str, dict[str, Any]]) -> AddableDict:
    mode, content = entry
    if mode == "custom":
        return AddableDict(content)
    updates = [update or {} for update in content.values()]
    return AddableDict({name: update[name] for update in updates for name in _RESULT_KEYS if name in update})


def _add_parts(parts: list[dict[str, Any]]) -> dict[str, Any]:
    total = AddableDict()
    for part in parts:
        total = total + cast(AddableDict, part)
    total.setdefault("answer", "")
    return dict(total)
