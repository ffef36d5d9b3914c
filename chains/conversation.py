"""The chain that people call: a Runnable over the graph, with memory where a thread id is given."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from threading import Lock
from typing import Any, cast

from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.utils import AddableDict
from langgraph.graph.state import CompiledStateGraph

from chains.answer_messages import AnswerMessages, thread_messages
from chains.answering import Answering
from chains.content import plain_text
from chains.errors import InputError
from chains.graph import build_graph
from chains.memory import ConversationMemory, ThreadLocks
from chains.prompt_template import history_turns

_SHOWN = ("query", "evidence", "evidence_score", "refused", "citations")


class DomainChain(Runnable[dict[str, Any], dict[str, Any]]):
    """Ask a domain.

    Input: `{"question": str}` and, if the caller keeps the conversation itself, `"history"`: a list of
    [question, answer] pairs or messages. With `config={"configurable": {"thread_id": "42"}}` the conversation of that
    id is remembered in the domain's own database; without a thread id nothing is kept.

    Output: a dict of `question`, `query` (what was searched for), `evidence` (ranked passages), `evidence_score`,
    `refused`, `answer`, `citations` and `notices`. Streaming gives the same dict in parts that add up to it.
    """

    def __init__(self, answering: Answering, memory_path: Path) -> None:
        self.answering = answering
        self._memory_path = memory_path
        self._memory: ConversationMemory | None = None
        self._opening = Lock()
        self._locks = ThreadLocks()
        # Python's own "once a place" starts anew whenever a library touches the warning filters.
        self._warned: set[str] = set()
        self._forgetful = build_graph(answering, None)
        self._remembering: CompiledStateGraph[Any] | None = None

    @property
    def memory(self) -> ConversationMemory:
        """The domain's conversations."""
        with self._opening:
            if self._memory is None:
                self._memory = ConversationMemory.open(self._memory_path)
            return self._memory

    def close(self) -> None:
        """Close the memory's database."""
        with self._opening:
            if self._memory is not None:
                self._memory.conn.close()
            self._memory = self._remembering = None

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
        """The answer in parts, each a dict to be added to those before it."""
        state = _checked(input, kwargs)
        yield AddableDict(question=state["question"], notices=self._notices())
        thread_id = _thread_id(config)
        if thread_id is None:
            yield from map(_part, _shown(self._forgetful.stream(state, config, stream_mode=["custom", "updates"])))
            return
        with self._locks.hold(thread_id):
            parts = self._threads().stream(state, config, stream_mode=["custom", "updates"], durability="exit")
            yield from map(_part, _shown(parts))

    async def astream(
        self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """As `stream`."""
        state = _checked(input, kwargs)
        yield AddableDict(question=state["question"], notices=self._notices())
        thread_id = _thread_id(config)
        if thread_id is None:
            async for found in self._forgetful.astream(state, config, stream_mode=["custom", "updates"]):
                for part in _shown([found]):
                    yield _part(part)
            return
        async with self._locks.ahold(thread_id):
            graph = self._threads()
            async for found in graph.astream(state, config, stream_mode=["custom", "updates"], durability="exit"):
                for part in _shown([found]):
                    yield _part(part)

    def _notices(self) -> list[str]:
        found = self.answering.notices()
        for notice in found:
            if notice not in self._warned:
                self._warned.add(notice)
                warnings.warn(notice, stacklevel=3)
        return found

    def history(self, thread_id: str) -> list[dict[str, Any]]:
        """The exchanges of one conversation, each with question, answer and citations."""
        state = self._threads().get_state({"configurable": {"thread_id": thread_id}})
        return list(state.values.get("turns", []))

    def messages(self, thread_id: str) -> list[BaseMessage]:
        """One conversation as messages; the answers carry their citations as annotations."""
        return thread_messages(self.history(thread_id))

    def as_messages(self) -> AnswerMessages:
        """This chain as one that takes and gives messages, with LangChain's own citation annotations."""
        return AnswerMessages(self)

    def _threads(self) -> CompiledStateGraph[Any]:
        memory = self.memory
        with self._opening:
            if self._remembering is None:
                self._remembering = build_graph(self.answering, memory)
            return self._remembering


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
    return {"question": question, "history": turns}


def _thread_id(config: RunnableConfig | None) -> str | None:
    found = (config or {}).get("configurable", {}).get("thread_id")
    return None if found is None else str(found)


def _shown(parts: Any) -> Iterator[dict[str, Any]]:
    for mode, content in parts:
        if mode == "custom":
            yield content
        else:
            for update in content.values():
                if part := {name: update[name] for name in _SHOWN if name in (update or {})}:
                    yield part


def _part(values: dict[str, Any]) -> AddableDict:
    return AddableDict(values)


def _summed(parts: list[dict[str, Any]]) -> dict[str, Any]:
    total = AddableDict()
    for part in parts:
        total = total + cast(AddableDict, part)
    total.setdefault("answer", "")
    return dict(total)
