"""The conversations of a domain: which there are, what was said in them, and forgetting one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, TypedDict

from chains.conversation.memory import ConversationMemory
from chains.conversation.thread_locks import ThreadLocks
from chains.errors import UnknownThreadError

_NAMED = 5


class TurnRecord(TypedDict):
    """One exchange as memory keeps it.

    `history` counts what the model read of the conversation: how many `exchanges` there were before, how many of them
    it `read` as they were said and for how many it read a summary (`summarised`), and the `tokens` of all that. `at` is
    when the answer was complete, in UTC, and `template` the name, version and hash of the template that it was made
    with. Conversations from before these three and `refused` and `notices` lack them.
    """

    question: str
    answer: str
    citations: list[dict[str, Any]]
    refused: bool
    notices: list[str]
    template: dict[str, str | int]
    history: dict[str, int]
    at: str


@dataclass(frozen=True, slots=True)
class ThreadSummary:
    """One conversation of the list.

    Attributes:
        thread: its id.
        turns: how many exchanges it has.
        first: the first question.
        updated: when it was last added to, ISO 8601 in UTC.
    """

    thread: str
    turns: int
    first: str
    updated: str


class Conversations:
    """The conversations in one database. No model is needed for it.

    Every method raises:
        MemoryDamagedError: the database, or what stands in it, cannot be read.
        MemoryUnavailableError: it is locked or cannot be read or written.

    Args:
        path: the database; made with the first turn.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._memory: ConversationMemory | None = None
        self._opening = Lock()
        self._locks = ThreadLocks(path.with_suffix(".locks"))

    @property
    def memory(self) -> ConversationMemory:
        """The checkpointer; it makes the database where there is none."""
        with self._opening:
            if self._memory is None:
                self._memory = ConversationMemory.open(self.path)
            return self._memory

    def close(self) -> None:
        """Close the database; it is opened again when it is next needed."""
        with self._opening:
            if self._memory is not None:
                self._memory.conn.close()
            self._memory = None

    @contextmanager
    def turn(self, thread_id: str) -> Iterator[None]:
        """Within this context nobody else, in this process or another, adds to the conversation or deletes it."""
        with self._locks.hold(thread_id):
            yield

    @asynccontextmanager
    async def aturn(self, thread_id: str) -> AsyncIterator[None]:
        """As `turn`, without blocking the event loop."""
        async with self._locks.ahold(thread_id):
            yield

    def threads(self) -> list[ThreadSummary]:
        """All conversations, the one that was talked in last first."""
        found = []
        for thread in self._ids():
            if (kept := self._kept(thread)) is not None and (turns := kept["turns"]):
                found.append(ThreadSummary(thread, len(turns), turns[0]["question"], kept["updated"]))
        return found

    def history(self, thread_id: str) -> list[TurnRecord]:
        """The exchanges of one conversation; empty where there is none of that id."""
        kept = self._kept(thread_id)
        return [] if kept is None else kept["turns"]

    def transcript(self, thread_id: str) -> dict[str, Any]:
        """One conversation as plain data: `thread`, `updated`, `summary` (of its beginning, or None) and `turns`.

        Raises:
            UnknownThreadError: there is none of that id.
        """
        kept = self._kept(thread_id)
        if kept is None or not kept["turns"]:
            raise self._unknown(thread_id)
        return {"thread": thread_id, **kept}

    def delete(self, thread_id: str) -> None:
        """Forget one conversation, once a turn that is being answered in it is done.

        Raises:
            UnknownThreadError: there is none of that id.
        """
        if thread_id not in self._ids():
            raise self._unknown(thread_id)
        with self.turn(thread_id):
            self.memory.delete_thread(thread_id)

    def _ids(self) -> list[str]:
        return self.memory.threads() if self.path.is_file() else []

    def _kept(self, thread_id: str) -> dict[str, Any] | None:
        if not self.path.is_file():
            return None
        found = self.memory.get_tuple({"configurable": {"thread_id": thread_id}})
        if found is None:
            return None
        values = found.checkpoint["channel_values"]
        summary = values.get("summary")
        return {
            "updated": found.checkpoint["ts"],
            "summary": summary["text"] if summary else None,
            "turns": list(values.get("turns", [])),
        }

    def _unknown(self, thread_id: str) -> UnknownThreadError:
        known = self._ids()
        more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
        return UnknownThreadError(
            found=f"no conversation {thread_id!r} in {self.path}",
            expected=f"one of {', '.join(map(repr, known[:_NAMED]))}{more}" if known else "one that was begun before",
            next_step="run: softgraft threads list DOMAIN"
            if known
            else f'begin one: softgraft ask DOMAIN "..." --thread {thread_id}',
        )
