"""The stored conversations of a domain: list, read and delete them."""

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

# Maximum number of ids that an error lists.
_LISTED_IDS = 5


class TurnRecord(TypedDict):
    """One stored turn: a question and its answer, complete at the time `at` in UTC.

    `history` describes what the model read: the number of earlier turns (`exchanges`), of those that it `read`
    verbatim, of those covered by a summary (`summarised`), and of `tokens`. `supported` is None if the question was
    refused. Older conversations lack `refused`, `supported`, `notices`, `template`, `history` and `at`.
    """

    question: str
    answer: str
    citations: list[dict[str, Any]]
    refused: bool
    supported: bool | None
    notices: list[str]
    template: dict[str, str | int]
    history: dict[str, int]
    at: str


@dataclass(frozen=True, slots=True)
class ThreadSummary:
    """One conversation: its id, number of turns, first question, and time of the last turn (ISO 8601 in UTC)."""

    thread: str
    turns: int
    first: str
    updated: str


class Conversations:
    """The conversations in one database, created with the first turn. It needs no model.

    Every method raises MemoryDamagedError if the database or its content cannot be read, and MemoryUnavailableError if
    it is locked, or cannot be opened or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._memory: ConversationMemory | None = None
        self._open_lock = Lock()
        self._locks = ThreadLocks(path.with_suffix(".locks"))

    @property
    def memory(self) -> ConversationMemory:
        """The checkpointer; creates the database if it does not exist."""
        with self._open_lock:
            if self._memory is None:
                self._memory = ConversationMemory.open(self.path)
            return self._memory

    def close(self) -> None:
        """Close the database; the next use opens it again."""
        with self._open_lock:
            if self._memory is not None:
                self._memory.conn.close()
            self._memory = None

    @contextmanager
    def turn(self, thread_id: str) -> Iterator[None]:
        """Lock a conversation: in this context, no other thread or process adds to it or deletes it."""
        with self._locks.hold(thread_id):
            yield

    @asynccontextmanager
    async def aturn(self, thread_id: str) -> AsyncIterator[None]:
        async with self._locks.ahold(thread_id):
            yield

    def threads(self) -> list[ThreadSummary]:
        """All conversations, most recently updated first."""
        summaries = []
        for thread in self._ids():
            if (stored := self._stored(thread)) is not None and (turns := stored["turns"]):
                summaries.append(ThreadSummary(thread, len(turns), turns[0]["question"], stored["updated"]))
        return summaries

    def history(self, thread_id: str) -> list[TurnRecord]:
        """The turns of one conversation; empty if the id is unknown."""
        stored = self._stored(thread_id)
        return [] if stored is None else stored["turns"]

    def transcript(self, thread_id: str) -> dict[str, Any]:
        """One conversation as plain data: `thread`, `updated`, `summary` (of its first turns, or None) and `turns`."""
        stored = self._stored(thread_id)
        if stored is None or not stored["turns"]:
            raise self._unknown_thread(thread_id)
        return {"thread": thread_id, **stored}

    def delete(self, thread_id: str) -> None:
        """Delete one conversation, after the turn in progress, if any."""
        if thread_id not in self._ids():
            raise self._unknown_thread(thread_id)
        with self.turn(thread_id):
            self.memory.delete_thread(thread_id)

    def _ids(self) -> list[str]:
        return self.memory.threads() if self.path.is_file() else []

    def _stored(self, thread_id: str) -> dict[str, Any] | None:
        if not self.path.is_file():
            return None
        saved = self.memory.get_tuple({"configurable": {"thread_id": thread_id}})
        if saved is None:
            return None
        values = saved.checkpoint["channel_values"]
        summary = values.get("summary")
        return {
            "updated": saved.checkpoint["ts"],
            "summary": summary["text"] if summary else None,
            "turns": list(values.get("turns", [])),
        }

    def _unknown_thread(self, thread_id: str) -> UnknownThreadError:
        known = self._ids()
        more = f" and {len(known) - _LISTED_IDS} more" if len(known) > _LISTED_IDS else ""
        return UnknownThreadError(
            found=f"no conversation {thread_id!r} in {self.path}",
            expected=f"one of {', '.join(map(repr, known[:_LISTED_IDS]))}{more}" if known else "an existing id",
            next_step="run: softgraft threads list DOMAIN"
            if known
            else f'start one: softgraft ask DOMAIN "..." --thread {thread_id}',
        )
