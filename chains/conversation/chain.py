"""The chain that people call: a Runnable over the graph, with memory where a thread id is given."""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, contextmanager, nullcontext
from pathlib import Path
from threading import Event, Lock
from typing import Any, cast

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import merge_configs
from langchain_core.runnables.utils import AddableDict
from langgraph.graph.state import CompiledStateGraph

from chains.answering.answering import Answering
from chains.conversation.conversations import Conversations, ThreadSummary, TurnRecord
from chains.conversation.graph import CALLER_GONE, build_graph
from chains.conversation.memory import ConversationMemory
from chains.errors import InputError
from chains.messages.answer_messages import AnswerMessages, thread_messages
from chains.messages.content import plain_text
from chains.messages.prompt_template import history_turns

_SHOWN = ("query", "evidence", "evidence_score", "refused", "template", "citations")


class DomainChain(Runnable[dict[str, Any], dict[str, Any]]):
    """Ask a domain.

    Input: `{"question": str}` and, if the caller keeps the conversation itself, `"history"`: a list of
    [question, answer] pairs or messages. With `config={"configurable": {"thread_id": "42"}}` the conversation of that
    id is remembered in the domain's own database; without a thread id nothing is kept.

    Output: a dict of `question`, `query` (what was searched for), `evidence` (ranked passages), `evidence_score`,
    `refused`, `template` (name, version and hash), `answer`, `citations` and `notices`. Streaming gives the same dict
    in parts that add up to it.
    """

    def __init__(self, answering: Answering, memory_path: Path) -> None:
        self.answering = answering
        self.conversations = Conversations(memory_path)
        self._building = Lock()
        # Python's own "once a place" starts anew whenever a library touches the warning filters.
        self._warned: set[str] = set()
        self._forgetful = build_graph(answering, None)
        self._remembering: tuple[ConversationMemory, CompiledStateGraph[Any]] | None = None

    @property
    def memory(self) -> ConversationMemory:
        """The domain's conversations as LangGraph's checkpointer."""
        return self.conversations.memory

    def threads(self) -> list[ThreadSummary]:
        """The conversations that are remembered, the one that was talked in last first."""
        return self.conversations.threads()

    def history(self, thread_id: str) -> list[TurnRecord]:
        """The exchanges of one conversation; empty where there is none of that id."""
        return self.conversations.history(str(thread_id))

    def messages(self, thread_id: str) -> list[BaseMessage]:
        """One conversation as messages; the answers carry their citations as annotations."""
        return thread_messages(self.history(thread_id))

    def as_messages(self) -> AnswerMessages:
        """This chain as one that takes and gives messages, with LangChain's own citation annotations."""
        return AnswerMessages(self)

    def delete(self, thread_id: str) -> None:
        """Forget one conversation.

        Raises:
            UnknownThreadError: there is none of that id.
        """
        self.conversations.delete(str(thread_id))

    def close(self) -> None:
        """Close the memory's database."""
        self.conversations.close()

    def invoke(self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Answer one question.

        Raises:
            InputError: the input is not as described above.
            RemoteModelError: a model behind an API did not answer.
        """
        return _summed(list(self.stream(input, config, **kwargs)))

    async def ainvoke(
        self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """As `invoke`."""
        return _summed([part async for part in self.astream(input, config, **kwargs)])

    def stream(
        self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[dict[str, Any]]:
        """The answer in parts, each a dict to be added to those before it.

        The turn is kept before its last part, the citations, is given; closing the iterator before that leaves the
        conversation as it was.
        """
        state, thread_id = _checked(input, kwargs), _thread_id(config)
        yield AddableDict(question=state["question"], notices=self._notices())
        last: list[dict[str, Any]] = []
        # The graph is closed before the next turn may begin.
        with (
            nullcontext() if thread_id is None else self.conversations.turn(thread_id),
            _running(self._graph(thread_id), state, config) as found,
        ):
            for part in map(_part, found):
                if "citations" in part:
                    last.append(part)
                elif part:
                    yield part
        yield from last

    async def astream(
        self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """As `stream`; a task that is cancelled stops the model's decoding."""
        state, thread_id = _checked(input, kwargs), _thread_id(config)
        yield AddableDict(question=state["question"], notices=self._notices())
        last: list[dict[str, Any]] = []
        async with (
            nullcontext() if thread_id is None else self.conversations.aturn(thread_id),
            aclosing(_arunning(self._graph(thread_id), state, config)) as found,
        ):
            async for entry in found:
                part = _part(entry)
                if "citations" in part:
                    last.append(part)
                elif part:
                    yield part
        for shown in last:
            yield shown

    def _notices(self) -> list[str]:
        found = self.answering.notices()
        for notice in found:
            if notice not in self._warned:
                self._warned.add(notice)
                warnings.warn(notice, stacklevel=3)
        return found

    def _graph(self, thread_id: str | None) -> CompiledStateGraph[Any]:
        if thread_id is None:
            return self._forgetful
        memory = self.memory
        with self._building:
            if self._remembering is None or self._remembering[0] is not memory:
                self._remembering = memory, build_graph(self.answering, memory)
            return self._remembering[1]


@contextmanager
def _running(
    graph: CompiledStateGraph[Any], state: dict[str, Any], config: RunnableConfig | None
) -> Iterator[Iterator[Any]]:
    gone = Event()
    # One checkpoint a turn, when it is whole.
    durability: Any = "exit" if graph.checkpointer else None
    config = merge_configs(config, {"configurable": {CALLER_GONE: gone}})
    parts = cast(
        "Generator[Any]", graph.stream(state, config, stream_mode=["custom", "updates"], durability=durability)
    )
    try:
        yield parts
    finally:
        # A node runs in a thread of its own, which closing waits for.
        gone.set()
        parts.close()


def _arunning(
    graph: CompiledStateGraph[Any], state: dict[str, Any], config: RunnableConfig | None
) -> AsyncGenerator[Any]:
    durability: Any = "exit" if graph.checkpointer else None
    parts = graph.astream(state, config, stream_mode=["custom", "updates"], durability=durability)
    return cast("AsyncGenerator[Any]", parts)


def _checked(given: object, settings: dict[str, Any]) -> dict[str, Any]:
    example = 'chain.invoke({"question": "..."}, config={"configurable": {"thread_id": "42"}})'
    if not isinstance(given, dict) or "question" not in given or set(given) - {"question", "history"} or settings:
        found = f"the input {sorted(map(str, given))}" if isinstance(given, dict) else f"a {type(given).__name__}"
        extra = f" with {', '.join(settings)}" if settings else ""
        raise InputError(
            found=found + extra, expected="a dict with `question` and perhaps `history`", next_step=f"call {example}"
        )
    question = plain_text(given["question"]).strip()
    if not question:
        raise InputError(found="an empty question", expected="a question in words", next_step=f"call {example}")
    history = given.get("history")
    turns = None if history is None else [{"role": t.role, "text": t.text} for t in history_turns(history)]
    return {"question": question, "history": turns, "complete": False}


def _thread_id(config: RunnableConfig | None) -> str | None:
    settings = (config or {}).get("configurable", {})
    if unknown := sorted({"checkpoint_id", "checkpoint_ns"} & set(settings)):
        raise InputError(
            found=f"{unknown[0]} in the config",
            expected="a thread_id alone: a conversation keeps its newest state and no earlier ones",
            next_step='call chain.invoke({"question": "..."}, config={"configurable": {"thread_id": "42"}})',
        )
    found = settings.get("thread_id")
    return None if found is None else str(found)


def _part(entry: tuple[str, dict[str, Any]]) -> AddableDict:
    """What the caller sees of something that the graph has streamed; empty where that is nothing."""
    mode, content = entry
    if mode == "custom":
        return AddableDict(content)
    updates = [update or {} for update in content.values()]
    return AddableDict({name: update[name] for update in updates for name in _SHOWN if name in update})


def _summed(parts: list[dict[str, Any]]) -> dict[str, Any]:
    total = AddableDict()
    for part in parts:
        total = total + cast(AddableDict, part)
    total.setdefault("answer", "")
    return dict(total)
